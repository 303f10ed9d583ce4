package netx_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// TestMemoryOfLargeBodies: whatever fills a body, reading it takes a small multiple of its size. Not parallel: it counts what the process allocates.
func TestMemoryOfLargeBodies(t *testing.T) {
	const most = 24
	route := netx.New(netx.DefaultPath, nil).Routes[0]
	for name, body := range map[string]string{
		"many members":    apitest.LargeBody(`{"jsonrpc":"2.0","id":1,"method":"validateSession"`, `}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"many parameters": apitest.LargeBody(`{"jsonrpc":"2.0","id":1,"method":"validateSession","params":[0`, `]}`, func(int) string { return `,1` }),
		"a long text":     apitest.LargeBody(`{"jsonrpc":"2.0","id":"`, `"}`, func(int) string { return `\u00e4` }),
		"a long method":   apitest.LargeBody(`{"jsonrpc":"2.0","id":1,"method":"`, `"}`, func(int) string { return `\u00e4` }),
		"a large bean":    apitest.LargeBody(`{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{"label":"a"`, `}]}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"nesting":         apitest.LargeBody(`{"params":`, ``, func(int) string { return `{"a":[` }),
	} {
		took := apitest.Allocated(func() {
			if _, err := route.Serve(t.Context(), &protocol.Request{Method: "POST", Body: []byte(body)}); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
		if took > most*apitest.LargeBodyBytes {
			t.Errorf("%s: %d bytes were allocated for a body of %d", name, took, len(body))
		}
	}
}

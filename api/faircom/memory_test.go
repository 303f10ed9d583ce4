package faircom_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// TestMemoryOfLargeBodies: whatever fills a body, reading it takes a small multiple of its size. Not parallel: it counts what the process allocates.
func TestMemoryOfLargeBodies(t *testing.T) {
	const most = 32 // the worst takes 23, and 25 under the race detector
	route := faircom.New(faircom.DefaultConfig(), nil).Routes[0]
	for name, body := range map[string]string{
		"many members":    apitest.LargeBody(`{"action":"pingSession","responseOptions":{"x":0`, `},"api":"none"}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"many tokens":     apitest.LargeBody(`{"action":"describeSessions","params":{"authTokens":["x"`, `]}}`, func(int) string { return `,""` }),
		"a long text":     apitest.LargeBody(`{"action":"createSession","debug":"max","params":{"username":"`, `"}}`, func(int) string { return `\u00e4` }),
		"many parameters": apitest.LargeBody(`{"action":"createSession","params":{"a":1`, `}}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
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

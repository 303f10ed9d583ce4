package netx_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// TestMemoryOfLargeBodies: whatever fills a body, reading it takes a small multiple of its size. Not parallel: it counts what the process allocates.
func TestMemoryOfLargeBodies(t *testing.T) {
	const size, most = 1 << 20, 24
	fill := func(begin, end string, part func(n int) string) string {
		var b strings.Builder
		b.WriteString(begin)
		for n := 0; b.Len() < size-len(end)-64; n++ {
			b.WriteString(part(n))
		}
		return b.String() + end
	}
	route := netx.New(netx.DefaultPath, nil).Routes[0]
	for name, body := range map[string]string{
		"many members":    fill(`{"jsonrpc":"2.0","id":1,"method":"validateSession"`, `}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"many parameters": fill(`{"jsonrpc":"2.0","id":1,"method":"validateSession","params":[0`, `]}`, func(int) string { return `,1` }),
		"a long text":     fill(`{"jsonrpc":"2.0","id":"`, `"}`, func(int) string { return `\u00e4` }),
		"a long method":   fill(`{"jsonrpc":"2.0","id":1,"method":"`, `"}`, func(int) string { return `\u00e4` }),
		"a large bean":    fill(`{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{"label":"a"`, `}]}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"nesting":         fill(`{"params":`, ``, func(int) string { return `{"a":[` }),
	} {
		took := allocated(func() {
			if _, err := route.Serve(t.Context(), &protocol.Request{Method: "POST", Body: []byte(body)}); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
		if took > most*size {
			t.Errorf("%s: %d bytes were allocated for a body of %d", name, took, len(body))
		}
	}
}

// allocated is what f allocates, at the least of three times: the runtime and what other tests have left behind allocate now and then, too.
func allocated(f func()) (least uint64) {
	for try := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; try == 0 || took < least {
			least = took
		}
	}
	return least
}

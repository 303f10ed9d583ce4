package faircom_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// TestMemoryOfLargeBodies: whatever fills a body, reading it takes a small multiple of its size. Not parallel: it counts what the process allocates.
func TestMemoryOfLargeBodies(t *testing.T) {
	const size, most = 1 << 20, 32 // the worst takes 23, and 25 under the race detector
	fill := func(begin, end string, part func(n int) string) string {
		var b strings.Builder
		b.WriteString(begin)
		for n := 0; b.Len() < size-len(end)-64; n++ {
			b.WriteString(part(n))
		}
		return b.String() + end
	}
	route := faircom.New(faircom.DefaultConfig(), nil).Routes[0]
	for name, body := range map[string]string{
		"many members":    fill(`{"action":"pingSession","responseOptions":{"x":0`, `},"api":"none"}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
		"many tokens":     fill(`{"action":"describeSessions","params":{"authTokens":["x"`, `]}}`, func(int) string { return `,""` }),
		"a long text":     fill(`{"action":"createSession","debug":"max","params":{"username":"`, `"}}`, func(int) string { return `\u00e4` }),
		"many parameters": fill(`{"action":"createSession","params":{"a":1`, `}}`, func(n int) string { return fmt.Sprintf(`,"%d":1`, n) }),
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

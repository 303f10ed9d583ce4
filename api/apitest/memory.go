package apitest

import (
	"runtime"
	"strings"
)

// LargeBodyBytes is about how long a LargeBody is.
const LargeBodyBytes = 1 << 20

// LargeBody is a request's body: begin, as many parts as have room, and end.
func LargeBody(begin, end string, part func(n int) string) string {
	const room = 64 // for the last part
	var b strings.Builder
	b.WriteString(begin)
	for n := 0; b.Len() < LargeBodyBytes-len(end)-room; n++ {
		b.WriteString(part(n))
	}
	return b.String() + end
}

// Allocated is how many bytes f allocates, at the least of three times: the runtime and what other tests have left behind allocate now and then, too.
func Allocated(f func()) (least uint64) {
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

// Package leftover fails a package's tests when goroutines outlive them.
package leftover

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is for what was told to end and is busy: a probe or a dial under way ends with its own timeout, and a busy machine needs
// longer. What leaks is there for ever.
const patience = time.Minute

// Verify runs the tests and then the cleanups, and returns the code to exit with: that of the tests, or 1 when a goroutine stays although all have passed.
func Verify(tests interface{ Run() int }, cleanups ...func()) (code int) {
	code = tests.Run()
	for _, cleanup := range cleanups {
		cleanup()
	}
	if code != 0 {
		return code
	}
	for end := time.Now().Add(patience); ; {
		err := goleak.Find() // which waits for a moment
		if err == nil {
			return 0
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

package leftover_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/e2e/leftover"
)

// tests are what a package's would be.
type tests func() int

func (t tests) Run() int { return t() }

func TestVerifyWaitsForWhatIsEnding(t *testing.T) {
	end := make(chan struct{})
	later := tests(func() int {
		go func() { <-end }()
		time.AfterFunc(2*time.Second, func() { close(end) }) // longer than goleak alone waits
		return 0
	})
	cleaned := false
	if code := leftover.Verify(later, func() { cleaned = true }); code != 0 || !cleaned {
		t.Errorf("exit code %d, cleaned up: %v; want 0, true", code, cleaned)
	}
}

func TestVerifyKeepsAFailure(t *testing.T) {
	if code := leftover.Verify(tests(func() int { return 3 })); code != 3 {
		t.Errorf("exit code %d, want the tests' 3", code)
	}
}

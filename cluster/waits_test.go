package cluster_test

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// patience bounds every wait of these tests for something that must happen.
const patience = time.Minute

// eventually polls until ok, and fails the test with what it waited for else.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// refuses asks until the leader refuses with want: while there is none, asking fails otherwise.
func refuses(t *testing.T, what string, want error, ask func() error) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s: %v", what, want), func() bool {
		err := ask()
		if err == nil {
			t.Fatalf("%s: done, want %v", what, want)
		}
		return errors.Is(err, want)
	})
}

// succeeds asks until it does: while there is no leader, asking fails.
func succeeds(t *testing.T, what string, ask func() error) {
	t.Helper()
	eventually(t, what, func() bool {
		err := ask()
		if err != nil {
			t.Logf("%s: %v", what, err)
		}
		return err == nil
	})
}

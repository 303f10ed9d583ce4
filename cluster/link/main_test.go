package link_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package when a goroutine outlives the links that the tests closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

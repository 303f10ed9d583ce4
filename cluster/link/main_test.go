package link_test

import (
	"os"
	"testing"

	"github.com/hydrastore/hydrastore/e2e/leftover"
)

// TestMain fails the package when a goroutine outlives the links that the tests closed.
func TestMain(m *testing.M) { os.Exit(leftover.Verify(m)) }

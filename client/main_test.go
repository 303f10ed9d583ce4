package client_test

import (
	"os"
	"testing"

	"github.com/hydrastore/hydrastore/e2e/leftover"
)

func TestMain(m *testing.M) { os.Exit(leftover.Verify(m)) }

package node_test

import (
	"os"
	"testing"

	"github.com/hydrastore/hydrastore/e2e/atonce"
)

func TestMain(m *testing.M) {
	atonce.Run(4)
	os.Exit(m.Run())
}

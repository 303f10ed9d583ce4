package e2e_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/e2e/freeport"
)

// ports deals out the ports of this package's tests.
var ports = freeport.New()

// freeAddress returns an address of this machine on which nobody listens, for TCP and UDP.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

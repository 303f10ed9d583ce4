package freeport_test

import (
	"net"
	"testing"

	"github.com/hydrastore/hydrastore/e2e/freeport"
)

func TestAddressesAreFreeAndDealtOnce(t *testing.T) {
	t.Parallel()
	d := freeport.New()
	seen := map[string]bool{}
	for range 50 {
		address, err := d.Address()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s is dealt twice", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("%s is not free: %v", address, err)
		}
		defer l.Close()
	}
}

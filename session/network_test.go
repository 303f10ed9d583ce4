package session_test

import (
	"net/netip"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

func TestNetworksOfCallers(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8::1": "2001:db8::", "2001:db8:0:0:ffff::": "2001:db8::", "2001:db8:0:1::1": "2001:db8:0:1::", "fe80::1%eth0": "fe80::",
		"::1": "::", "0.0.0.0": "0.0.0.0",
	} {
		if got := session.Network(netip.MustParseAddr(address)); got != netip.MustParseAddr(want) {
			t.Errorf("the network of %s: got %s, want %s", address, got, want)
		}
	}
	if got := session.Network(netip.Addr{}); got.IsValid() {
		t.Errorf("the network of no address: got %s", got)
	}
}

package session

import "net/netip"

// callerPrefixBits are those of an IPv6 address that tell one caller from another: a subscriber is given a /64 at least (RFC 6177), and
// draws the rest itself.
const callerPrefixBits = 64

// Network is what one caller can be expected to have of an address: all of IPv4, the first 64 bits of IPv6. An invalid address stays invalid.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(callerPrefixBits) // never more than it has
	return p.Addr()
}

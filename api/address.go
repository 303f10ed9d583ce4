package api

import (
	"net/http"
	"net/netip"
	"strings"
)

// addresses tells who really asks. Only a trusted proxy is believed about others.
type addresses struct{ trusted []netip.Prefix }

func newAddresses(trusted []netip.Prefix) addresses {
	normal := make([]netip.Prefix, len(trusted))
	for i, p := range trusted {
		normal[i] = unmapPrefix(p)
	}
	return addresses{trusted: normal}
}

// client returns the address of the client, without zone and with v4-mapped v6 as v4; the zero Addr when it is unknown.
//
// Each proxy appends to X-Forwarded-For whom it speaks for. So the list is read from the right, and only as long as
// the one who wrote an entry is trusted: everything further left may be made up.
func (a addresses) client(r *http.Request) netip.Addr {
	client := peer(r.RemoteAddr)
	if !a.isTrusted(client) {
		return client
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				rest, entry = "", rest
			}
			before, err := parseEntry(strings.TrimSpace(entry))
			if err != nil {
				return client // the last one that somebody trusted vouches for
			}
			if client = before; !a.isTrusted(client) {
				return client
			}
		}
	}
	return client
}

// extract is client in the form of Echo's IPExtractor.
func (a addresses) extract(r *http.Request) string {
	if client := a.client(r); client.IsValid() {
		return client.String()
	}
	return ""
}

func (a addresses) isTrusted(address netip.Addr) bool {
	if !address.IsValid() {
		return false
	}
	for _, p := range a.trusted {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

func peer(remote string) netip.Addr {
	both, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a Unix socket has none
	}
	return normalAddress(both.Addr())
}

// parseEntry takes an address with or without a port: some proxies add it.
func parseEntry(entry string) (netip.Addr, error) {
	if len(entry) > 1 && entry[0] == '[' && entry[len(entry)-1] == ']' {
		entry = entry[1 : len(entry)-1]
	}
	if address, err := netip.ParseAddr(entry); err == nil {
		return normalAddress(address), nil
	}
	both, err := netip.ParseAddrPort(entry)
	if err != nil {
		return netip.Addr{}, err
	}
	return normalAddress(both.Addr()), nil
}

func normalAddress(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

func unmapPrefix(p netip.Prefix) netip.Prefix {
	const mappedBits = 96
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked()
	}
	return p.Masked()
}

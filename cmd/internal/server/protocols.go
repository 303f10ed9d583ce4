package server

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"

	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// protocols are those beside REST that the settings turn on.
func (s *Server) protocols(o Options) []protocol.Protocol {
	var on []protocol.Protocol
	p := o.Config.Protocols
	if p.FairCom {
		c := faircom.DefaultConfig()
		c.Defaults, c.Host, c.Version = p.FairComDefaults, s.host(o), o.Version
		on = append(on, faircom.New(c, s.node))
	}
	if p.LiveJournal {
		c := livejournal.DefaultConfig()
		c.MaxUserName = p.LiveJournalMaxUserName
		on = append(on, livejournal.New(c, s.node))
	}
	if p.NetX {
		on = append(on, netx.New(p.NetXPath, s.node))
	}
	return on
}

// host is what the node says of itself to FairCom's clients: nothing that the cluster's members are not told either.
func (s *Server) host(o Options) faircom.Host {
	h := faircom.Host{Name: o.Config.Node.Name, UUID: uuidOf(s.node.NodeID()), ServerNamePort: o.Config.Cluster.Name}
	host, _, _ := net.SplitHostPort(o.Config.API.Advertise)
	if _, err := netip.ParseAddr(host); err == nil {
		h.Addresses = []string{host}
	}
	return h
}

// uuidOf gives an id the form of a UUID, version 8: clients may parse what FairCom calls one.
func uuidOf(id string) string {
	b := sha256.Sum256([]byte(id))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

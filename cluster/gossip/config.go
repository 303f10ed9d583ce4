package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is a set of gossip timers.
type Profile string

// The profiles. A failed node of three is noticed after about 4 s (LAN), 30 s (WAN) or 2 s (Loopback).
const (
	LAN      Profile = "lan"      // one site; the default
	WAN      Profile = "wan"      // sites apart: slower, fewer false alarms
	Loopback Profile = "loopback" // all nodes on one machine: fast, not for real networks
)

// Limits of a pool.
const (
	MaxMetaBytes  = memberlist.MetaMaxSize  // 512
	MaxLabelBytes = memberlist.LabelMaxSize // 255
	maxNameBytes  = 128
	maxKeys       = 16
	// deadNodeReclaim is how long a dead name keeps its address: after it a node may come back elsewhere.
	deadNodeReclaim = 30 * time.Second
)

// Config is copied by Start.
type Config struct {
	// Name is the node id, unique in the pool. Required.
	Name string
	// BindAddr is the host:port of the UDP and TCP sockets; port 0 takes a free one. Required.
	BindAddr string
	// AdvertiseAddr is the host:port that others use; a name is resolved once, at Start; port 0 means the bound one.
	// Default: the bound address, or a private one of this machine when all are bound.
	AdvertiseAddr string
	// Label is the cluster id. Pools with different labels never merge. Required.
	Label string
	// Keyring holds AES keys of 16, 24 or 32 bytes, the first encrypts, any decrypts. Empty = no encryption, and none can be
	// turned on later.
	Keyring [][]byte
	// Meta is told to all members, at most MaxMetaBytes.
	Meta []byte
	// Profile sets the timers. Default LAN.
	Profile Profile
	// Logger receives memberlist's lines. Default: discarded.
	Logger *slog.Logger
}

// Validate reports the first setting that Start would refuse. No error holds a key.
func (c Config) Validate() error {
	switch {
	case c.Name == "" || len(c.Name) > maxNameBytes:
		return fmt.Errorf("gossip: node name has %d bytes, want 1 to %d", len(c.Name), maxNameBytes)
	case c.Label == "":
		return errors.New("gossip: the label is required: without the cluster id as label two clusters could merge")
	case len(c.Label) > MaxLabelBytes:
		return fmt.Errorf("gossip: the label has %d bytes, at most %d are possible", len(c.Label), MaxLabelBytes)
	case len(c.Meta) > MaxMetaBytes:
		return fmt.Errorf("gossip: the node's meta data has %d bytes, at most %d are possible", len(c.Meta), MaxMetaBytes)
	case len(c.Keyring) > maxKeys:
		return fmt.Errorf("gossip: %d keys, at most %d are possible", len(c.Keyring), maxKeys)
	case c.Profile != "" && c.Profile != LAN && c.Profile != WAN && c.Profile != Loopback:
		return fmt.Errorf("gossip: profile %q, want %s, %s or %s", c.Profile, LAN, WAN, Loopback)
	}
	for i, key := range c.Keyring {
		if err := validKey(key); err != nil {
			return fmt.Errorf("gossip: key %d of %d: %w", i+1, len(c.Keyring), err)
		}
	}
	return nil
}

// timers returns memberlist's settings for the profile.
func (c Config) timers() *memberlist.Config {
	switch c.Profile {
	case WAN:
		return memberlist.DefaultWANConfig()
	case Loopback:
		m := memberlist.DefaultLocalConfig()
		m.ProbeInterval, m.ProbeTimeout = 500*time.Millisecond, 250*time.Millisecond
		m.GossipInterval = 50 * time.Millisecond
		m.PushPullInterval = 5 * time.Second
		return m
	}
	return memberlist.DefaultLANConfig()
}

// memberlistConfig resolves the addresses and fills in memberlist's settings but for the delegates.
func (c Config) memberlistConfig(ctx context.Context) (*memberlist.Config, error) {
	m := c.timers()
	m.Name, m.Label = c.Name, c.Label
	m.DeadNodeReclaimTime = deadNodeReclaim
	m.MsgpackUseNewTimeFormat = true
	m.RequireNodeNames = false
	bind, err := resolve(ctx, c.BindAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip: bind address: %w", err)
	}
	m.BindAddr, m.BindPort = bind.IP.String(), bind.Port
	m.AdvertiseAddr, m.AdvertisePort = "", bind.Port
	if c.AdvertiseAddr == "" {
		if bind.IP.IsUnspecified() && bind.IP.To4() == nil {
			return nil, fmt.Errorf("gossip: bound to %s: other nodes need an address, set the advertised one", c.BindAddr)
		}
		return m, nil
	}
	advertise, err := resolve(ctx, c.AdvertiseAddr)
	if err != nil {
		return nil, fmt.Errorf("gossip: advertise address: %w", err)
	}
	m.AdvertiseAddr = advertise.IP.String()
	switch {
	case advertise.Port == 0:
	case bind.Port == 0: // memberlist would advertise the port it finds
		return nil, fmt.Errorf("gossip: advertised port %d needs a fixed bind port", advertise.Port)
	default:
		m.AdvertisePort = advertise.Port
	}
	return m, nil
}

// resolve makes an IP address of host:port. memberlist would take a name for "every interface". An empty host is 0.0.0.0.
func resolve(ctx context.Context, hostPort string) (*net.TCPAddr, error) {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("%q: want host:port", hostPort)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q: want a port from 0 to 65535", hostPort)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if ip := net.ParseIP(host); ip != nil {
		return &net.TCPAddr{IP: ip, Port: int(port)}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	best := ips[0]
	for _, ip := range ips {
		if ip.Unmap().Is4() { // what the other nodes are most likely to reach
			best = ip
			break
		}
	}
	return &net.TCPAddr{IP: best.Unmap().AsSlice(), Port: int(port)}, nil
}

package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Config is copied by Open and never changed after it. A zero limit means its default.
type Config struct {
	// Listen is the host:port to listen on, "127.0.0.1:0" in tests. Required.
	Listen string
	// Advertise is the host:port that others dial. Default: the listener's address.
	Advertise string
	// Identity is asked at every handshake, because the cluster id appears at birth. It must not block. Required.
	Identity func() Identity
	// AllowBeforeBirth is asked when this node holds no cluster id and a peer wants PurposeRaft or PurposeRPC: members of a
	// stored proposal are let in, nobody else. It sees the peer's cluster id and must check it. It must not block.
	// Default: nobody.
	AllowBeforeBirth func(remote Identity, p Purpose) bool

	// TLS turns on mutual TLS 1.3. Both certificates must be signed by the CA and name node.<ClusterName> in a SAN. nil = none.
	TLS *TLSFiles
	// ClusterName is the configured name of the cluster that certificates name. Required with TLS.
	ClusterName string
	// GossipKey is proved by both sides when TLS is nil, of at least 16 bytes. It authenticates the peers; it does not encrypt
	// the stream. nil = no proof.
	GossipKey []byte
	// GossipKeys, when set, is asked for the key ring at every handshake in place of GossipKey: the first key proves this node, any
	// of them proves a peer, so that keys can be rotated. It must not block. Whether there are keys at all must not change.
	GossipKeys func() [][]byte
	// InsecurePeers allows listening off loopback with neither TLS nor GossipKey.
	InsecurePeers bool

	// Logger receives refused handshakes and lost connections. Default: discarded.
	Logger *slog.Logger
	// Dial opens the TCP connection below TLS and handshake; for fault injection. Default: net.Dialer with keep-alive.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// HandshakeTimeout bounds TLS and handshake of one connection, on both sides. Default 5 s.
	HandshakeTimeout time.Duration
	// DialTimeout bounds the TCP connect. Callers wait for it at most once: others share the attempt. Default 2 s.
	DialTimeout time.Duration
	// DialBackoff is how long a failed dial is remembered; calls in that time fail at once with its error. Default and
	// maximum 50 ms: more would delay the first call to a peer that has just come back.
	DialBackoff time.Duration
	// CallTimeout is the time of a call whose context has no deadline. Default 30 s.
	CallTimeout time.Duration
	// PingInterval is how often a silent connection is probed; four unanswered probes close it. Default 1 s.
	PingInterval time.Duration
	// MaxFrameBytes bounds one request or answer with its header. Default 16 MiB.
	MaxFrameBytes int
	// MaxInFlight bounds the unanswered calls on one connection: callers over it wait, and a server refuses more as
	// not executed. Default 4096.
	MaxInFlight int
	// MaxConns bounds the accepted connections, handshaking ones included. Default 1024.
	MaxConns int
}

// TLSFiles names PEM files. They are read again when they change on disk; connections that exist are left alone.
type TLSFiles struct {
	CA   string // certificates that sign the peers' certificates
	Cert string // this node's certificate, with its intermediates
	Key  string // its private key
}

// Defaults and bounds of the limits above.
const (
	defaultHandshakeTimeout = 5 * time.Second
	defaultDialTimeout      = 2 * time.Second
	maxDialBackoff          = 50 * time.Millisecond
	defaultCallTimeout      = 30 * time.Second
	defaultPingInterval     = time.Second
	defaultMaxFrameBytes    = 16 << 20
	minMaxFrameBytes        = 4 << 10
	minKeyBytes             = 16
	defaultMaxInFlight      = 4096
	defaultMaxConns         = 1024
)

// Validate reports the first setting that Open would refuse, with what to do about it.
func (c Config) Validate() error {
	if c.Identity == nil {
		return errors.New("link: Identity is required")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("link: listen address %q: want host:port", c.Listen)
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			return fmt.Errorf("link: advertise address %q: want host:port", c.Advertise)
		}
	}
	if c.TLS != nil && c.ClusterName == "" {
		return errors.New("link: TLS needs the cluster name, which the certificates must name as node.<cluster name>")
	}
	if c.GossipKey != nil && len(c.GossipKey) < minKeyBytes {
		return fmt.Errorf("link: the gossip key has %d bytes, the least is %d", len(c.GossipKey), minKeyBytes)
	}
	if c.MaxFrameBytes != 0 && c.MaxFrameBytes < minMaxFrameBytes {
		return fmt.Errorf("link: MaxFrameBytes is %d, the least is %d", c.MaxFrameBytes, minMaxFrameBytes)
	}
	return nil
}

// withDefaults returns c with every absent setting filled in.
func (c Config) withDefaults() Config {
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orDuration(&c.HandshakeTimeout, defaultHandshakeTimeout)
	orDuration(&c.DialTimeout, defaultDialTimeout)
	orDuration(&c.DialBackoff, maxDialBackoff)
	c.DialBackoff = min(c.DialBackoff, maxDialBackoff)
	orDuration(&c.CallTimeout, defaultCallTimeout)
	orDuration(&c.PingInterval, defaultPingInterval)
	orInt(&c.MaxFrameBytes, defaultMaxFrameBytes)
	orInt(&c.MaxInFlight, defaultMaxInFlight)
	orInt(&c.MaxConns, defaultMaxConns)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	return c
}

package link_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

var (
	keyA = []byte("gossip-key-A-of-32-bytes--------")
	keyB = []byte("gossip-key-B-of-32-bytes--------")
)

// pair is a server and a client with their logs.
type pair struct {
	server, client       *link.Link
	serverLog, clientLog *logBook
}

// openPair opens both sides with an echo method for both purposes that carry calls, and serves.
func openPair(t *testing.T, server, client link.Config) pair {
	t.Helper()
	p := pair{serverLog: &logBook{}, clientLog: &logBook{}}
	server.Logger, client.Logger = p.serverLog.logger(), p.clientLog.logger()
	p.server, p.client = open(t, server), open(t, client)
	p.server.Handle("echo", link.PurposeRPC, echo)
	p.server.Handle("echo", link.PurposeBirth, echo)
	p.server.Serve()
	return p
}

// call sends a probe over purpose, as calls or as a Raft stream.
func (p pair) call(t *testing.T, purpose link.Purpose) error {
	t.Helper()
	if purpose == link.PurposeRaft {
		conn, err := p.client.RaftStreams().Dial("b@"+addressOf(p.server), waitLimit)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	got, err := p.client.Call(bounded(t), p.server.Addr(), purpose, "echo", []byte("hello"))
	if err == nil && string(got) != "hello" {
		t.Errorf("answer = %q, want the payload", got)
	}
	return err
}

func TestHandshakeAdmits(t *testing.T) {
	t.Parallel()
	both := func(f func(*link.Config)) func(a, b *link.Config) { return func(a, b *link.Config) { f(a); f(b) } }
	allow := func(remote link.Identity, p link.Purpose) bool {
		return remote == link.Identity{NodeID: "a", ClusterID: "c1"} && p == link.PurposeRaft
	}
	for _, tc := range []struct {
		name    string
		purpose link.Purpose
		set     func(a, b *link.Config)
	}{
		{"calls on loopback without security", link.PurposeRPC, func(a, b *link.Config) {}},
		{"calls with the same key", link.PurposeRPC, both(func(c *link.Config) { c.GossipKey = keyA })},
		{"raft with the same key", link.PurposeRaft, both(func(c *link.Config) { c.GossipKey = keyA })},
		{"keys being rotated", link.PurposeRPC, func(a, b *link.Config) {
			a.GossipKeys = func() [][]byte { return [][]byte{keyA, keyB} }
			b.GossipKeys = func() [][]byte { return [][]byte{keyB, keyA} }
		}},
		{"birth between nodes without a cluster", link.PurposeBirth, func(a, b *link.Config) {
			a.Identity, b.Identity = as("a", ""), as("b", "")
		}},
		{"birth: a newcomer asks a member", link.PurposeBirth, func(a, b *link.Config) { a.Identity = as("a", "") }},
		{"raft of a stored proposal's member to an unborn node", link.PurposeRaft, func(a, b *link.Config) {
			b.Identity, b.AllowBeforeBirth = as("b", ""), allow
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, server := link.Config{Identity: as("a", "c1")}, link.Config{Identity: as("b", "c1")}
			tc.set(&client, &server)
			if err := openPair(t, server, client).call(t, tc.purpose); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestHandshakeRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		purpose link.Purpose
		set     func(a, b *link.Config)
		says    []string // what the sentence on each side holds
	}{
		{"another cluster, calls", link.PurposeRPC, func(a, b *link.Config) { b.Identity = as("b", "c2") }, []string{"c1", "c2"}},
		{"another cluster, raft", link.PurposeRaft, func(a, b *link.Config) { b.Identity = as("b", "c2") }, []string{"c1", "c2"}},
		{"another key", link.PurposeRPC, func(a, b *link.Config) { a.GossipKey, b.GossipKey = keyA, keyB }, []string{"gossip key"}},
		{"another key, birth", link.PurposeBirth, func(a, b *link.Config) { a.GossipKey, b.GossipKey = keyA, keyB }, []string{"gossip key"}},
		{"a key on one side", link.PurposeRPC, func(a, b *link.Config) { b.GossipKey = keyB }, []string{"same peer security"}},
		{"a newcomer calls", link.PurposeRPC, func(a, b *link.Config) { a.Identity = as("a", "") }, []string{"must join first"}},
		{"both unborn", link.PurposeRaft, func(a, b *link.Config) { a.Identity, b.Identity = as("a", ""), as("b", "") }, []string{"must join first"}},
		{"raft to an unborn node that knows of no proposal", link.PurposeRaft, func(a, b *link.Config) { b.Identity = as("b", "") }, []string{"must join first"}},
		{"raft to an unborn node with another proposal", link.PurposeRaft, func(a, b *link.Config) {
			b.Identity = as("b", "")
			b.AllowBeforeBirth = func(remote link.Identity, _ link.Purpose) bool { return remote.ClusterID == "c9" }
		}, []string{"must join first"}},
		{"a copied data folder", link.PurposeRaft, func(a, b *link.Config) { a.Identity = as("b", "c1") }, []string{"data folder was copied"}},
		{"another node answers", link.PurposeRaft, func(a, b *link.Config) { b.Identity = as("x", "c1") }, []string{"expected"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, server := link.Config{Identity: as("a", "c1")}, link.Config{Identity: as("b", "c1")}
			tc.set(&client, &server)
			p := openPair(t, server, client)
			err := p.call(t, tc.purpose)
			if !errors.Is(err, link.ErrRefused) {
				t.Fatalf("error = %v, want ErrRefused", err)
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
				for side, log := range map[string]*logBook{"server": p.serverLog, "client": p.clientLog} {
					eventually(t, fmt.Sprintf("%s logs %q", side, want), func() bool { return strings.Contains(log.String(), want) })
				}
			}
			noKeys(t, err.Error()+p.serverLog.String()+p.clientLog.String())
		})
	}
}

// noKeys fails when text holds a gossip key in any usual spelling.
func noKeys(t *testing.T, text string) {
	t.Helper()
	for _, key := range [][]byte{keyA, keyB} {
		for _, secret := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), fmt.Sprint(key)} {
			if strings.Contains(text, secret) {
				t.Errorf("a gossip key shows in %q", text)
			}
		}
	}
}

func TestRefusedSentenceIsNotRepeated(t *testing.T) {
	t.Parallel()
	p := openPair(t, link.Config{Identity: as("b", "c2")}, link.Config{Identity: as("a", "c1")})
	for range 5 {
		if _, err := p.client.RaftStreams().Dial("b@"+addressOf(p.server), waitLimit); !errors.Is(err, link.ErrRefused) {
			t.Fatalf("error = %v, want ErrRefused", err)
		}
	}
	eventually(t, "five refusals are counted", func() bool { return p.server.Stats().HandshakesRefused == 5 })
	for side, log := range map[string]*logBook{"server": p.serverLog, "client": p.clientLog} {
		if got := bytes.Count([]byte(log.String()), []byte("\n")); got != 1 {
			t.Errorf("the %s wrote %d lines, want 1", side, got)
		}
	}
}

func TestWrongNodeNeverGetsTheCall(t *testing.T) {
	t.Parallel()
	p := openPair(t, link.Config{Identity: as("b", "c1")}, link.Config{Identity: as("a", "c1")})
	_, err := p.client.CallExpect(bounded(t), link.Peer{Addr: p.server.Addr(), NodeID: "z"}, link.PurposeRPC, "echo", nil)
	if !errors.Is(err, link.ErrWrongNode) || !errors.Is(err, link.ErrUnreachable) {
		t.Errorf("error = %v, want ErrWrongNode and ErrUnreachable", err)
	}
	if _, err := p.client.CallExpect(bounded(t), link.Peer{Addr: p.server.Addr(), NodeID: "b"}, link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call to the right node: %v", err)
	}
	if served := p.server.Stats().CallsServed; served != 1 {
		t.Errorf("calls served = %d, want 1", served)
	}
	id, err := p.client.PeerIdentity(bounded(t), p.server.Addr(), link.PurposeRPC)
	if err != nil || id.NodeID != "b" {
		t.Errorf("peer identity = %v, %v; want node b", id, err)
	}
}

func TestOpenRefusesUnsafePort(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		cfg  link.Config
		ok   bool
	}{
		{"no security", link.Config{Advertise: "example.test:8701"}, false},
		{"key", link.Config{Advertise: "example.test:8701", GossipKey: keyA}, true},
		{"said to be wanted", link.Config{Advertise: "example.test:8701", InsecurePeers: true}, true},
		{"nothing to dial", link.Config{GossipKey: keyA}, false},
		{"short key", link.Config{Advertise: "example.test:8701", GossipKey: keyA[:8]}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.Listen, tc.cfg.Identity = "0.0.0.0:0", as("a", "c1")
			l, err := link.Open(tc.cfg)
			if (err == nil) != tc.ok {
				t.Errorf("open: %v, want success %v", err, tc.ok)
			}
			if err == nil {
				if got := l.Addr(); got != "example.test:8701" {
					t.Errorf("address = %q, want the advertised one", got)
				}
				l.Close()
			}
		})
	}
}

// A dialer without the key gets in neither with nothing, nor with the acceptor's own proof played back.
func TestAcceptorChecksTheDialersProof(t *testing.T) {
	t.Parallel()
	s := open(t, link.Config{Identity: as("b", "c1"), GossipKey: keyA})
	s.Serve()
	for name, proofOf := range map[string]func(theirs []byte) []byte{
		"zeros":     func([]byte) []byte { return nil },
		"reflected": func(theirs []byte) []byte { return theirs },
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(waitLimit))
			send(t, conn, link.EncodeHello(link.PurposeRPC, link.Identity{NodeID: "a", ClusterID: "c1"}))
			receive(t, conn) // the acceptor's hello
			admits, proof, err := link.DecodeVerdict(receive(t, conn))
			if err != nil || !admits {
				t.Fatalf("first verdict: admits %v, %v", admits, err)
			}
			send(t, conn, link.EncodeProof(proofOf(proof)))
			if admits, _, err := link.DecodeVerdict(receive(t, conn)); err != nil || admits {
				t.Errorf("last verdict: admits %v, %v; want a refusal", admits, err)
			}
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("the connection gave %d bytes more, want its end", n)
			}
		})
	}
}

func send(t *testing.T, conn net.Conn, body []byte) {
	t.Helper()
	if _, err := conn.Write(link.AppendMessage(nil, body)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	head := make([]byte, 6)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[4])<<8|int(head[5]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	return body
}

package link

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"time"
)

// The handshake, after TLS when there is TLS:
//
//	dialer   → hello
//	acceptor → hello, verdict + proof
//	dialer   → verdict + proof
//	acceptor → verdict
//
// A proof is HMAC-SHA256(gossip key, role ‖ dialer's hello ‖ acceptor's hello): both nonces, both identities, the purpose and
// the version are in it, and the role keeps one side's proof from being played back as the other's.
const (
	dialerRole   = "hydrastore peer dialer\x00"
	acceptorRole = "hydrastore peer acceptor\x00"
)

// greeting is a handshake under way.
type greeting struct {
	link       *Link
	conn       net.Conn
	keys       [][]byte
	local      hello
	remote     hello
	transcript []byte // both hellos as sent, the dialer's first
	expect     string // the node id that must answer the dialer; "" = any
}

// newGreeting takes the identity and the keys of this moment and bounds the handshake in time.
func (l *Link) newGreeting(conn net.Conn) (*greeting, error) {
	if err := conn.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout)); err != nil {
		return nil, err
	}
	g := &greeting{link: l, conn: conn, keys: l.gossipKeys()}
	g.local.id = l.cfg.Identity()
	if !g.local.id.valid() {
		return nil, fmt.Errorf("own node id %q, cluster id %q: want 1 to %d printable ASCII characters without spaces",
			g.local.id.NodeID, g.local.id.ClusterID, MaxIDBytes)
	}
	g.local.proof = l.proofKind(g.keys)
	_, err := rand.Read(g.local.nonce[:])
	return g, err
}

// proofKind is what this node's settings ask of a peer.
func (l *Link) proofKind(keys [][]byte) proofKind {
	switch {
	case l.cfg.TLS != nil:
		return proofTLS
	case len(keys) > 0:
		return proofKey
	}
	return proofNone
}

// dial runs the dialer's side. The returned error is a refusedError when either side refused.
func (g *greeting) dial(p Purpose, expect string) (Identity, error) {
	g.local.purpose, g.expect = p, expect
	mine := g.local.encode()
	if _, err := g.conn.Write(appendMessage(nil, mine)); err != nil {
		return Identity{}, err
	}
	theirs, err := readMessage(g.conn)
	if err != nil {
		return Identity{}, err
	}
	if g.remote, err = decodeHello(theirs); err != nil {
		return Identity{}, versionRefusal(err)
	}
	if g.remote.purpose != p {
		return Identity{}, errNotHandshake
	}
	g.transcript = append(append(g.transcript, mine...), theirs...)
	answer, err := g.readVerdict()
	if err != nil {
		return g.remote.id, err
	}
	return g.remote.id, g.settleDial(answer)
}

// settleDial judges the acceptor, proves this side and waits for the acceptor's last word.
func (g *greeting) settleDial(answer verdict) error {
	v := verdict{refusal: g.link.judge(g.local, g.remote, true, g.expect)}
	if v.refusal == admitted && !g.proves(answer.proof, acceptorRole) {
		v.refusal = refusedProof
	}
	if v.refusal == admitted {
		v.proof = g.proof(dialerRole)
	}
	if _, err := g.conn.Write(appendMessage(nil, v.encode())); err != nil {
		return err
	}
	if v.refusal != admitted {
		return g.refused(v.refusal)
	}
	if _, err := g.readVerdict(); err != nil {
		return err
	}
	return g.conn.SetDeadline(time.Time{})
}

// accept runs the acceptor's side and returns what the peer is and wants.
func (g *greeting) accept() (Identity, Purpose, error) {
	theirs, err := readMessage(g.conn)
	if err != nil {
		return Identity{}, 0, err
	}
	if g.remote, err = decodeHello(theirs); err != nil {
		return Identity{}, 0, g.turnAway(err)
	}
	g.local.purpose = g.remote.purpose
	mine := g.local.encode()
	g.transcript = append(append(g.transcript, theirs...), mine...)
	v := verdict{refusal: g.link.judge(g.local, g.remote, false, "")}
	if v.refusal == admitted {
		v.proof = g.proof(acceptorRole)
	}
	if err := g.answer(v); err != nil {
		return g.remote.id, g.remote.purpose, err
	}
	if v.refusal != admitted {
		return g.remote.id, g.remote.purpose, g.refused(v.refusal)
	}
	return g.remote.id, g.remote.purpose, g.settleAccept()
}

// settleAccept checks the dialer's proof and says the last word.
func (g *greeting) settleAccept() error {
	answer, err := g.readVerdict()
	if err != nil {
		return err
	}
	var last verdict
	if !g.proves(answer.proof, dialerRole) {
		last.refusal = refusedProof
	}
	if _, err := g.conn.Write(appendMessage(nil, last.encode())); err != nil {
		return err
	}
	if last.refusal != admitted {
		return g.refused(last.refusal)
	}
	return g.conn.SetDeadline(time.Time{})
}

// answer sends the acceptor's hello and verdict in one write.
func (g *greeting) answer(v verdict) error {
	b := appendMessage(nil, g.local.encode())
	_, err := g.conn.Write(appendMessage(b, v.encode()))
	return err
}

// readVerdict reads the peer's verdict; a refusal is an error.
func (g *greeting) readVerdict() (verdict, error) {
	body, err := readMessage(g.conn)
	if err != nil {
		return verdict{}, err
	}
	v, err := decodeVerdict(body)
	if err == nil && v.refusal != admitted {
		err = g.refused(v.refusal)
	}
	return v, err
}

// proof returns this side's proof, made with the first key; zeros when no key is proved.
func (g *greeting) proof(role string) (p [proofBytes]byte) {
	if g.local.proof == proofKey {
		copy(p[:], hmacOf(g.keys[0], role, g.transcript))
	}
	return p
}

// proves reports whether p was made with any key of the ring: while keys are rotated the two first keys may differ.
func (g *greeting) proves(p [proofBytes]byte, role string) bool {
	if g.local.proof != proofKey {
		return true
	}
	for _, key := range g.keys {
		if hmac.Equal(p[:], hmacOf(key, role, g.transcript)) {
			return true
		}
	}
	return false
}

func hmacOf(key []byte, role string, transcript []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(role))
	m.Write(transcript)
	return m.Sum(nil)
}

func (g *greeting) refused(r refusal) error {
	return &refusedError{refusal: r, text: r.sentence(g.local, g.remote, g.expect)}
}

// turnAway tells a peer of another version so, in a hello whose version it can read, and hangs up on anything else.
func (g *greeting) turnAway(err error) error {
	refused := versionRefusal(err)
	if isRefusal(refused) {
		if err := g.answer(verdict{refusal: refusedVersion}); err != nil {
			return err
		}
	}
	return refused
}

// versionRefusal makes a refusal of another version and leaves every other error as it is.
func versionRefusal(err error) error {
	var v versionError
	if errors.As(err, &v) {
		return &refusedError{refusal: refusedVersion, text: v.Error()}
	}
	return err
}

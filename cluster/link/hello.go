package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A handshake message is magic, body length (2 bytes), body. The body's first byte is its kind; a hello's version follows it
// at once, so that a later version can still be told apart and named.
const (
	magic            = "HYDR"
	protocolVersion  = 1
	prefixBytes      = len(magic) + 2
	maxHandshakeBody = 512 // a hello with both ids at their longest fits
	nonceBytes       = 32
	proofBytes       = 32 // HMAC-SHA256

	kindHello   byte = 1
	kindVerdict byte = 2
)

// errNotHandshake: what came is no handshake of this protocol.
var errNotHandshake = errors.New("not a Hydrastore peer handshake: check that the address is a peer port and that all nodes " +
	"use TLS or none does")

// versionError: the peer speaks another version of the handshake.
type versionError uint16

func (v versionError) Error() string {
	return fmt.Sprintf("the peer speaks protocol version %d, this node %d: run releases that are at most one apart",
		uint16(v), protocolVersion)
}

// proofKind says how the peers prove that they belong together. Both sides must be configured alike.
type proofKind byte

const (
	proofNone proofKind = 0
	proofKey  proofKind = 1 // HMAC of the gossip key
	proofTLS  proofKind = 2 // certificates, checked before the first hello
)

func (k proofKind) String() string {
	switch k {
	case proofNone:
		return "no peer security"
	case proofKey:
		return "the gossip key"
	case proofTLS:
		return "TLS certificates"
	}
	return fmt.Sprintf("proof kind %d", byte(k))
}

// hello is the first message of each side.
type hello struct {
	purpose Purpose
	proof   proofKind
	nonce   [nonceBytes]byte
	id      Identity
}

// encode returns the body of h.
func (h *hello) encode() []byte {
	b := make([]byte, 0, maxHandshakeBody)
	b = append(b, kindHello)
	b = binary.BigEndian.AppendUint16(b, protocolVersion)
	b = append(b, byte(h.purpose), byte(h.proof))
	b = append(b, h.nonce[:]...)
	b = append(b, byte(len(h.id.NodeID)))
	b = append(b, h.id.NodeID...)
	b = append(b, byte(len(h.id.ClusterID)))
	return append(b, h.id.ClusterID...)
}

// decodeHello reads a body that came from anybody. It returns a versionError for another version.
func decodeHello(body []byte) (hello, error) {
	var h hello
	if len(body) < 3 || body[0] != kindHello {
		return h, errNotHandshake
	}
	if v := binary.BigEndian.Uint16(body[1:]); v != protocolVersion {
		return h, versionError(v)
	}
	body = body[3:]
	if len(body) < 2+nonceBytes {
		return h, errNotHandshake
	}
	h.purpose, h.proof = Purpose(body[0]), proofKind(body[1])
	copy(h.nonce[:], body[2:])
	body = body[2+nonceBytes:]
	var ok bool
	if h.id.NodeID, body, ok = cutShort(body); !ok {
		return h, errNotHandshake
	}
	if h.id.ClusterID, body, ok = cutShort(body); !ok || len(body) != 0 {
		return h, errNotHandshake
	}
	if !h.purpose.valid() || !h.id.valid() {
		return h, errNotHandshake
	}
	return h, nil
}

// cutShort takes a string with a one-byte length off b.
func cutShort(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := int(b[0])
	return string(b[1 : 1+n]), b[1+n:], true
}

// verdict tells the peer whether the sender goes on, with its proof when the two prove a key.
type verdict struct {
	refusal refusal
	proof   [proofBytes]byte
}

func (v *verdict) encode() []byte {
	return append([]byte{kindVerdict, byte(v.refusal)}, v.proof[:]...)
}

func decodeVerdict(body []byte) (verdict, error) {
	var v verdict
	if len(body) != 2+proofBytes || body[0] != kindVerdict {
		return v, errNotHandshake
	}
	v.refusal = refusal(body[1])
	copy(v.proof[:], body[2:])
	return v, nil
}

// appendMessage appends body with its prefix to b.
func appendMessage(b, body []byte) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// readMessage reads one message and not a byte more, because what follows belongs to Raft or to the calls.
func readMessage(r io.Reader) ([]byte, error) {
	var prefix [prefixBytes]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, err
	}
	if string(prefix[:len(magic)]) != magic {
		return nil, errNotHandshake
	}
	n := int(binary.BigEndian.Uint16(prefix[len(magic):]))
	if n > maxHandshakeBody {
		return nil, errNotHandshake
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body, nil
}

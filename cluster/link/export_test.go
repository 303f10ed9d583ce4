package link

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"time"
)

// The decoders of bytes that come from strangers, for the fuzz targets.

// DecodeHello decodes a hello's body and encodes it again.
func DecodeHello(body []byte) (again []byte, err error) {
	h, err := decodeHello(body)
	if err != nil {
		return nil, err
	}
	return h.encode(), nil
}

// EncodeHello returns the body of a hello.
func EncodeHello(p Purpose, id Identity) []byte {
	h := hello{purpose: p, proof: proofKey, id: id}
	return h.encode()
}

// ReadMessage reads one handshake message and returns its body and what is left.
func ReadMessage(b []byte) (body, rest []byte, err error) {
	r := bytes.NewReader(b)
	body, err = readMessage(r)
	return body, b[len(b)-r.Len():], err
}

// AppendMessage appends a handshake message.
func AppendMessage(b, body []byte) []byte { return appendMessage(b, body) }

// ReadFrames reads frames until the bytes end and decodes each by its kind.
func ReadFrames(b []byte, max int) (frames int, err error) {
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		f, err := readFrame(r, max)
		if err != nil {
			return frames, err
		}
		switch f.kind {
		case frameRequest:
			_, _, _, err = decodeRequest(f.body)
		case frameFailure, frameRefusal:
			_, err = decodeError(f.body)
		}
		if err != nil {
			return frames, err
		}
		frames++
	}
}

// AppendRequest appends a request frame.
func AppendRequest(b []byte, id uint64, remaining time.Duration, method string, payload []byte) []byte {
	return appendRequest(b, id, remaining, method, payload)
}

// AppendFailure appends a failure frame.
func AppendFailure(b []byte, id uint64, e *CallError) []byte {
	return appendError(b, frameFailure, id, e)
}

// EncodeProof returns the body of a verdict that admits the peer and carries proof.
func EncodeProof(proof []byte) []byte {
	var v verdict
	copy(v.proof[:], proof)
	return v.encode()
}

// DecodeVerdict returns what a verdict's body says.
func DecodeVerdict(body []byte) (admits bool, proof []byte, err error) {
	v, err := decodeVerdict(body)
	return v.refusal == admitted, v.proof[:], err
}

// RetiresAfter counts the intervals without a call until a connection retires, and reports whether it refuses calls then.
func RetiresAfter() (intervals int, refuses bool) {
	near, far := net.Pipe()
	defer far.Close()
	set := connSet{conns: make(map[*trackedConn]bool)}
	tracked, err := set.add(near, false, &counters{})
	if err != nil {
		return 0, false
	}
	defer tracked.Close()
	c := newCaller(&Link{cfg: Config{}.withDefaults()}, newWire(tracked, tracked), Identity{})
	for intervals = 1; !c.retire(); intervals++ {
	}
	_, err = c.send(context.Background(), &pendingCall{}, "m", nil)
	return intervals, errors.Is(err, errNotSent) && !c.alive()
}

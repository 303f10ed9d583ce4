package link

import (
	"bufio"
	"bytes"
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

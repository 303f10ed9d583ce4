package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A frame is length of the rest (4 bytes), kind (1), call id (8), body. Integers are big-endian.
//
//	request  remaining time in µs, 0 = none (8) · method length (1) · method · payload
//	answer   payload
//	failure  code length (1) · code · message     the handler ran and failed
//	refusal  as failure                           the handler did not run
//	cancel, ping, pong                            no body
const (
	frameHeaderBytes = 4 + 1 + 8
	frameRestBytes   = frameHeaderBytes - 4
	requestHeadBytes = 8 + 1

	frameRequest byte = 1
	frameAnswer  byte = 2
	frameFailure byte = 3
	frameRefusal byte = 4
	frameCancel  byte = 5
	framePing    byte = 6
	framePong    byte = 7
)

// maxMethodBytes bounds a method's name.
const maxMethodBytes = 255

// errFrame: the peer sent what no release of this protocol sends; the connection cannot go on.
var errFrame = errors.New("malformed frame")

// frame is one frame as read. body is not shared with anything.
type frame struct {
	kind byte
	id   uint64
	body []byte
}

// readFrame reads one frame of at most max bytes.
func readFrame(r *bufio.Reader, max int) (frame, error) {
	head, err := r.Peek(frameHeaderBytes)
	if err != nil {
		return frame{}, err
	}
	size := int64(binary.BigEndian.Uint32(head)) - frameRestBytes
	f := frame{kind: head[4], id: binary.BigEndian.Uint64(head[5:])}
	switch {
	case size < 0 || f.kind < frameRequest || f.kind > framePong:
		return frame{}, errFrame
	case size+frameHeaderBytes > int64(max):
		return frame{}, fmt.Errorf("%w: %d bytes, at most %d are taken", errFrame, size+frameHeaderBytes, max)
	}
	if _, err := r.Discard(frameHeaderBytes); err != nil {
		return frame{}, err
	}
	if size > 0 {
		f.body = make([]byte, size)
		_, err = io.ReadFull(r, f.body)
	}
	return f, err
}

// appendHeader appends the header of a frame whose body will have size bytes.
func appendHeader(b []byte, kind byte, id uint64, size int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(frameRestBytes+size))
	b = append(b, kind)
	return binary.BigEndian.AppendUint64(b, id)
}

// appendRequest appends a request frame. remaining 0 = no deadline.
func appendRequest(b []byte, id uint64, remaining time.Duration, method string, payload []byte) []byte {
	b = appendHeader(b, frameRequest, id, requestHeadBytes+len(method)+len(payload))
	b = binary.BigEndian.AppendUint64(b, uint64(remaining.Microseconds()))
	b = append(b, byte(len(method)))
	b = append(b, method...)
	return append(b, payload...)
}

// maxRemaining bounds the time that a request may claim, so that it cannot overflow a Duration.
const maxRemaining = 24 * time.Hour

// decodeRequest splits a request's body; method and payload alias it.
func decodeRequest(body []byte) (remaining time.Duration, method, payload []byte, err error) {
	if len(body) < requestHeadBytes {
		return 0, nil, nil, errFrame
	}
	micros := binary.BigEndian.Uint64(body)
	n := int(body[8])
	body = body[requestHeadBytes:]
	if len(body) < n {
		return 0, nil, nil, errFrame
	}
	remaining = time.Duration(min(micros, uint64(maxRemaining.Microseconds()))) * time.Microsecond
	return remaining, body[:n], body[n:], nil
}

// appendError appends a failure or refusal frame; overlong texts are cut.
func appendError(b []byte, kind byte, id uint64, e *CallError) []byte {
	code, message := e.Code, e.Message
	code = code[:min(len(code), maxCodeBytes)]
	message = message[:min(len(message), maxMessageBytes)]
	b = appendHeader(b, kind, id, 1+len(code)+len(message))
	b = append(b, byte(len(code)))
	b = append(b, code...)
	return append(b, message...)
}

// decodeError reads a failure's or refusal's body.
func decodeError(body []byte) (*CallError, error) {
	code, message, ok := cutShort(body)
	if !ok {
		return nil, errFrame
	}
	return &CallError{Code: code, Message: string(message)}, nil
}

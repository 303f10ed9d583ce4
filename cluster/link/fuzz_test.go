package link_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// A hello either is refused or means exactly what it says: encoding it again gives the same bytes.
func FuzzHello(f *testing.F) {
	f.Add(link.EncodeHello(link.PurposeRaft, link.Identity{NodeID: "n1", ClusterID: "c1"}))
	f.Add(link.EncodeHello(link.PurposeBirth, link.Identity{NodeID: strings.Repeat("n", link.MaxIDBytes)}))
	f.Add([]byte{1, 0, 2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		again, err := link.DecodeHello(body)
		if err == nil && !bytes.Equal(again, body) {
			t.Errorf("a hello read as something else\n got %x\nwant %x", again, body)
		}
	})
}

// A handshake message is read without a byte too many, since what follows belongs to somebody else.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("HYDR\x00\x03abcrest"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("HYDR\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, rest, err := link.ReadMessage(b)
		if err == nil && !bytes.Equal(append(link.AppendMessage(nil, body), rest...), b) {
			t.Errorf("message and rest do not add up to the input: %x + %x, input %x", body, rest, b)
		}
	})
}

// Frames from a broken peer end in an error, never in a panic or in an allocation past the limit.
func FuzzFrames(f *testing.F) {
	f.Add(link.AppendRequest(nil, 7, time.Second, "echo", []byte("payload")))
	f.Add(link.AppendFailure(nil, 7, &link.CallError{Code: "code", Message: "message"}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := link.ReadFrames(b, 64<<10)
		if err == nil {
			t.Errorf("%d frames and no end", frames)
		}
		if frames*13 > len(b) {
			t.Errorf("%d frames out of %d bytes", frames, len(b))
		}
	})
}

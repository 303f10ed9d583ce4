package fsm

import (
	"encoding/binary"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// fields cuts a record into its fields. Once there are too few bytes, or a field is not possible, bad stays set.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.b) || f.bad {
		f.bad, f.b = true, nil
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) fixed(n int) uint64 {
	var raw [8]byte
	copy(raw[:], f.take(n))
	return binary.LittleEndian.Uint64(raw[:])
}

// uint takes a number that only counts up: none has come anywhere near the bound, below which it cannot overflow.
func (f *fields) uint() uint64 {
	n := f.fixed(8)
	if n > 1<<62 {
		f.bad = true
	}
	return n
}

func (f *fields) byte() byte { return byte(f.fixed(1)) }

// bytes takes a string of at most the given length.
func (f *fields) bytes(most int) []byte {
	n := int(f.fixed(2))
	if n > most {
		f.bad = true
	}
	return f.take(n)
}

// instant takes an instant: one that a clock can show, or a little later (policy.birth).
func (f *fields) instant() int64 {
	ms := f.uint()
	if ms > 2*MaxClockMS {
		f.bad = true
	}
	return int64(ms)
}

// duration takes milliseconds: -1 for "automatic", and nothing that a timer cannot have.
func (f *fields) duration() time.Duration {
	ms := int64(f.fixed(8))
	if ms < -1 || ms > session.MaxTimeout.Milliseconds() {
		f.bad = true
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

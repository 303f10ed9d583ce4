package fsm

import "slices"

const (
	chunkBits = 4
	// chunkLen is a trade: a write to a chunk that a running snapshot shares copies the chunk, so that long chunks stall
	// applies (1,000 touches copy up to 1,000 chunks, of 2 KiB where they hold sessions), while short ones lengthen the directory that a
	// snapshot copies: 1 MB for a million sessions and their users.
	chunkLen = 1 << chunkBits
)

// chunked is an array that grows without moving and is frozen by copying its directory. Index 0 is never used,
// so that 0 can stand for "none".
//
// Arrays that a snapshot reads are written through mut only. Arrays that it does not read may be written through at.
type chunked[T any] struct {
	chunks []*[chunkLen]T
	gens   []uint64 // per chunk: the newest snapshot that does not share it
	n      uint32   // indexes handed out, index 0 included
}

// at returns a place for reading. The pointer is valid until the next mut.
func (c *chunked[T]) at(i uint32) *T { return &c.chunks[i>>chunkBits][i%chunkLen] }

// mut returns a place for writing. shared is the newest running snapshot, 0 when there is none.
func (c *chunked[T]) mut(i uint32, shared uint64) *T {
	chunk := i >> chunkBits
	if c.gens[chunk] < shared {
		own := *c.chunks[chunk]
		c.chunks[chunk] = &own
		c.gens[chunk] = shared
	}
	return &c.chunks[chunk][i%chunkLen]
}

// grow hands out the next index.
func (c *chunked[T]) grow(shared uint64) uint32 {
	if c.n == 0 {
		c.n = 1
	}
	i := c.n
	if int(i>>chunkBits) == len(c.chunks) {
		c.chunks = append(c.chunks, new([chunkLen]T))
		c.gens = append(c.gens, shared)
	}
	c.n++
	return i
}

// freeze returns the array as it is now. From here on every write must name a newer snapshot as shared.
func (c *chunked[T]) freeze() frozen[T] { return frozen[T]{chunks: slices.Clone(c.chunks), n: c.n} }

// frozen is a chunked array that never changes.
type frozen[T any] struct {
	chunks []*[chunkLen]T
	n      uint32
}

func (f frozen[T]) at(i uint32) *T { return &f.chunks[i>>chunkBits][i%chunkLen] }

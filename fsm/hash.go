package fsm

import (
	"encoding/binary"
	"math/bits"
)

// hasher maps keys to the positions of hash tables. Its seed makes positions unpredictable for whoever picks user names
// or addresses; nothing that is written or replicated depends on it.
type hasher uint64

// Odd constants from the digits of the golden ratio and of sqrt(2).
const (
	hashMul1 = 0x9e3779b97f4a7c15
	hashMul2 = 0x6a09e667f3bcc909
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// random hashes what is random already: key hashes and ids. Eight bytes suffice.
func (h hasher) random(b []byte) uint64 {
	return mix(binary.LittleEndian.Uint64(b)^uint64(h), hashMul1)
}

// bytes hashes what a client may choose.
func (h hasher) bytes(b []byte) uint64 {
	sum := mix(uint64(h)^hashMul2, uint64(len(b))^hashMul1)
	for len(b) >= 8 {
		sum = mix(binary.LittleEndian.Uint64(b)^uint64(h)^hashMul1, sum^hashMul2)
		b = b[8:]
	}
	var tail [8]byte
	copy(tail[:], b)
	return mix(binary.LittleEndian.Uint64(tail[:])^uint64(h)^hashMul1, sum^hashMul2)
}

package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A snapshot is a header and blocks:
//
//	header   magic (8 bytes) · version (uint32)
//	block    kind (1 byte) · length (uint32) · payload · CRC-32C of all that (uint32)
//
// Integers are little-endian. A block holds whole records of one kind, kinds ascend, and the last block is the
// trailer: the number of records of each kind, and the CRC-32C of the checksums of all blocks before it, so that a
// missing, repeated or foreign block is found too. (A CRC-32C over the blocks themselves would find none of that:
// once a block is followed by its own checksum, what it held has no influence any more.)
const (
	snapshotMagic   = "HYDRAFSM"
	snapshotVersion = 1

	blockTarget = 256 << 10 // a block is written when it has grown to this
	maxBlock    = 512 << 10 // no block is longer: what a reader allocates before it knows more
	blockHead   = 5
)

type blockKind uint8

const (
	blockMeta blockKind = iota + 1
	blockSealKeys
	blockSealHolders
	blockPolicies
	blockUsers
	blockSessions
	blockIdempotency
	blockAttempts
	blockChallengeSecrets
	blockUsedChallenges
	blockTrailer
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockWriter streams a snapshot. After an error it does nothing more.
type blockWriter struct {
	w       io.Writer
	written int64
	sum     uint32 // of the blocks' checksums
	err     error

	kind   blockKind
	buf    []byte
	counts [blockTrailer]uint64
}

func newBlockWriter(w io.Writer) *blockWriter {
	b := &blockWriter{w: w, buf: make([]byte, blockHead, 4<<10)}
	b.write(binary.LittleEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion))
	return b
}

func (b *blockWriter) write(p []byte) {
	if b.err != nil {
		return
	}
	n, err := b.w.Write(p)
	b.written += int64(n)
	b.err = err
}

// record adds one record, which add appends to its argument. It returns false after an error.
func (b *blockWriter) record(kind blockKind, add func([]byte) []byte) bool {
	if kind != b.kind || len(b.buf) >= blockTarget {
		b.flush()
		b.kind = kind
	}
	b.buf = add(b.buf)
	b.counts[kind-1]++
	return b.err == nil
}

func (b *blockWriter) flush() {
	if len(b.buf) > blockHead {
		b.buf[0] = byte(b.kind)
		binary.LittleEndian.PutUint32(b.buf[1:], uint32(len(b.buf)-blockHead))
		n := len(b.buf)
		b.buf = binary.LittleEndian.AppendUint32(b.buf, crc32.Checksum(b.buf, castagnoli))
		b.write(b.buf)
		b.sum = crc32.Update(b.sum, castagnoli, b.buf[n:])
	}
	b.buf = b.buf[:blockHead]
}

// trailer ends the snapshot.
func (b *blockWriter) trailer() (int64, error) {
	b.flush()
	b.kind = blockTrailer
	for _, n := range b.counts[:blockTrailer-1] {
		b.buf = binary.LittleEndian.AppendUint64(b.buf, n)
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, b.sum)
	b.flush()
	return b.written, b.err
}

// blockReader reads a snapshot, no byte further than its trailer.
type blockReader struct {
	r      io.Reader
	sum    uint32
	buf    []byte
	last   blockKind
	counts [blockTrailer]uint64
}

func newBlockReader(r io.Reader) (*blockReader, error) {
	b := &blockReader{r: r, buf: make([]byte, len(snapshotMagic)+4)}
	head, err := b.read(b.buf)
	if err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errors.New("this is no snapshot of Hydrastore's state")
	}
	if v := binary.LittleEndian.Uint32(head[len(snapshotMagic):]); v != snapshotVersion {
		return nil, fmt.Errorf("snapshot has version %d, this release reads %d: install the release that wrote it, or a newer one", v, snapshotVersion)
	}
	return b, nil
}

func (b *blockReader) read(p []byte) ([]byte, error) {
	if _, err := io.ReadFull(b.r, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("snapshot is cut off")
		}
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return p, nil
}

// next returns the next block's kind and payload, which is valid until the following call.
func (b *blockReader) next() (blockKind, []byte, error) {
	head, err := b.read(b.buf[:blockHead])
	if err != nil {
		return 0, nil, err
	}
	kind, n := blockKind(head[0]), binary.LittleEndian.Uint32(head[1:])
	if kind < blockMeta || kind > blockTrailer || n == 0 || n > maxBlock-blockHead {
		return 0, nil, fmt.Errorf("snapshot is damaged: no block has kind %d and %d bytes", kind, n)
	}
	b.buf = slices.Grow(b.buf[:blockHead], int(n)+4)
	if _, err := b.read(b.buf[blockHead : blockHead+n+4]); err != nil {
		return 0, nil, err
	}
	body, sum := b.buf[:blockHead+n], b.buf[blockHead+n:blockHead+n+4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return 0, nil, fmt.Errorf("snapshot is damaged: a block of kind %d fails its checksum", kind)
	}
	if kind < b.last {
		return 0, nil, fmt.Errorf("snapshot is damaged: a block of kind %d follows one of kind %d", kind, b.last)
	}
	b.last = kind
	payload := body[blockHead:]
	if kind == blockTrailer {
		return kind, nil, b.checkTrailer(payload)
	}
	b.sum = crc32.Update(b.sum, castagnoli, sum)
	return kind, payload, nil
}

func (b *blockReader) checkTrailer(payload []byte) error {
	want := make([]byte, 0, len(payload))
	for _, n := range b.counts[:blockTrailer-1] {
		want = binary.LittleEndian.AppendUint64(want, n)
	}
	want = binary.LittleEndian.AppendUint32(want, b.sum)
	if string(payload) != string(want) {
		return errors.New("snapshot is damaged: its trailer does not fit what precedes it")
	}
	return nil
}

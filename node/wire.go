package node

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of fsmpb.Entry and fsmpb.Batch. Batches travel encoded from their origin into the entry: the leader
// only puts them side by side, so that it neither decodes nor encodes the commands of others. wire_test.go holds
// these against the generated code.
const (
	entryFormatLevel = 1
	entryClockMS     = 2
	entryEpoch       = 3
	entryBatches     = 4
	entryEnds        = 5

	batchOrigin      = 1
	batchIncarnation = 2
	batchNumber      = 3
	batchCommands    = 4
)

// appendBatch appends an encoded fsmpb.Batch of encoded commands.
func appendBatch(dst []byte, origin string, incarnation, number uint64, commands [][]byte) []byte {
	dst = protowire.AppendTag(dst, batchOrigin, protowire.BytesType)
	dst = protowire.AppendString(dst, origin)
	dst = appendUint(dst, batchIncarnation, incarnation)
	dst = appendUint(dst, batchNumber, number)
	for _, c := range commands {
		dst = protowire.AppendTag(dst, batchCommands, protowire.BytesType)
		dst = protowire.AppendBytes(dst, c)
	}
	return dst
}

// appendEntry appends an encoded fsmpb.Entry of encoded batches.
func appendEntry(dst []byte, level uint32, clockMS int64, epoch uint64, batches [][]byte) []byte {
	dst = appendUint(dst, entryFormatLevel, uint64(level))
	dst = appendUint(dst, entryClockMS, uint64(clockMS))
	dst = appendUint(dst, entryEpoch, epoch)
	for _, b := range batches {
		dst = protowire.AppendTag(dst, entryBatches, protowire.BytesType)
		dst = protowire.AppendBytes(dst, b)
	}
	return dst
}

// appendRemoval appends an encoded fsmpb.Entry that only ends sessions, at most so many, at a clock that moves nothing.
func appendRemoval(dst []byte, level uint32, clockMS int64, epoch uint64, ends int) []byte {
	return appendUint(appendEntry(dst, level, clockMS, epoch, nil), entryEnds, uint64(ends))
}

func appendUint(dst []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), value)
}

package local

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/hydrastore/hydrastore/backend"
)

const headBytes = 8 + 8 + 4

// stored is a record as the file has it; version 0 = there is none.
type stored struct {
	version   uint64
	expiresMS int64
	value     []byte // the file's own memory
}

func bucketOf(kind backend.Kind) []byte { return []byte{byte(kind)} }

func (r stored) encode(name backend.Name) []byte {
	raw := make([]byte, headBytes, headBytes+len(r.value))
	binary.BigEndian.PutUint64(raw, r.version)
	binary.BigEndian.PutUint64(raw[8:], uint64(r.expiresMS))
	raw = append(raw, r.value...)
	binary.BigEndian.PutUint32(raw[16:], checksum(name, raw))
	return raw
}

// checksum covers all of a record but itself, and its name: a record in a wrong place is damaged too.
func checksum(name backend.Name, raw []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum([]byte{byte(name.Kind)}, table)
	sum = crc32.Update(sum, table, []byte(name.ID))
	sum = crc32.Update(sum, table, raw[:16])
	return crc32.Update(sum, table, raw[headBytes:])
}

// damage is a record that the disk gives back otherwise than it was written.
type damage struct{ kind backend.Kind }

func (d *damage) Error() string {
	return "a record of kind " + string(rune(d.kind)) + " is damaged: its checksum is not right; restore the folder from a copy"
}

func parse(name backend.Name, raw []byte) (stored, error) {
	if len(raw) < headBytes || checksum(name, raw) != binary.BigEndian.Uint32(raw[16:]) {
		return stored{}, &damage{name.Kind}
	}
	return stored{binary.BigEndian.Uint64(raw), int64(binary.BigEndian.Uint64(raw[8:])), raw[headBytes:]}, nil
}

func read(tx *bolt.Tx, name backend.Name) (stored, error) {
	raw := tx.Bucket(bucketOf(name.Kind)).Get([]byte(name.ID))
	if raw == nil {
		return stored{}, nil
	}
	return parse(name, raw)
}

func (r stored) tag() backend.Version {
	if r.version == 0 {
		return ""
	}
	return backend.Version(strconv.FormatUint(r.version, 36))
}

func (r stored) record(name backend.Name) backend.Record {
	return backend.Record{Name: name, Version: r.tag(), Value: bytes.Clone(r.value)}
}

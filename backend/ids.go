package backend

import (
	"encoding/binary"

	"github.com/hydrastore/hydrastore/session"
)

// newID draws an id whose order is that of creation: six bytes of milliseconds, ten random ones.
func newID(random interface{ Read([]byte) (int, error) }, nowMS int64) (session.ID, error) {
	id, err := session.NewID(random)
	if err != nil {
		return id, err
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(nowMS))
	copy(id[:6], ms[2:])
	return id, nil
}

// drawnMS is when an id was drawn.
func drawnMS(id session.ID) int64 {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return int64(binary.BigEndian.Uint64(ms[:])) //nolint:gosec // of six bytes
}

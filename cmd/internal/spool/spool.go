// Package spool keeps portable sessions on disk until all are there, and gives them back in the order in which they were made.
package spool

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// Spool holds sessions in a file that has no name any more, in the system's folder for temporary ones: it goes with the process. In memory it
// needs 48 bytes a session and the names of its users. Call Close.
type Spool struct {
	file   *os.File
	out    *bufio.Writer
	length int64
	users  map[string]uint32
	places []place
}

// place is where a session is, and what its order depends on.
type place struct {
	at        int64
	bytes     int32
	user      uint32
	createdMS int64 // or of an earlier one of its user, if that was later
	number    uint64
	id        session.ID
}

// New makes an empty one.
func New() (*Spool, error) {
	file, err := os.CreateTemp("", "hydrastore-sessions-*") // of mode 0600
	if err != nil {
		return nil, fmt.Errorf("make a file for sessions that wait for their order (TMPDIR names the folder): %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink the file of waiting sessions: %w", err), file.Close())
	}
	return &Spool{file: file, out: bufio.NewWriter(file), users: map[string]uint32{}}, nil
}

// Close drops everything. It may be called again.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Add takes a session.
func (s *Spool) Add(r portable.Record) error {
	text, err := r.Encode()
	if err != nil {
		return err
	}
	user, known := s.users[r.Session.User]
	if !known {
		user = uint32(len(s.users))
		s.users[r.Session.User] = user
	}
	s.places = append(s.places, place{
		at: s.length, bytes: int32(len(text)), user: user, createdMS: r.Session.CreatedMS, number: r.Session.Number, id: r.Session.ID,
	})
	s.length += int64(len(text))
	if _, err := s.out.Write(text); err != nil {
		return fmt.Errorf("write waiting sessions: %w", err)
	}
	return nil
}

// InOrder calls f for pages of at most n sessions, in an order in which creation and the numbers of each user rise.
func (s *Spool) InOrder(n int, f func([]portable.Record) error) error {
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("write waiting sessions: %w", err)
	}
	s.sort()
	for part := range slices.Chunk(s.places, n) {
		page := make([]portable.Record, len(part))
		for i, p := range part {
			var err error
			if page[i], err = s.read(p); err != nil {
				return err
			}
		}
		if err := f(page); err != nil {
			return err
		}
	}
	return nil
}

// sort orders by creation. A user's numbers come first: where its sessions of two policies were made within a millisecond, creation can say otherwise.
func (s *Spool) sort() {
	slices.SortFunc(s.places, func(a, b place) int { return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.number, b.number)) })
	for i := 1; i < len(s.places); i++ {
		if before := s.places[i-1]; before.user == s.places[i].user {
			s.places[i].createdMS = max(s.places[i].createdMS, before.createdMS)
		}
	}
	slices.SortFunc(s.places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.createdMS, b.createdMS), cmp.Compare(a.number, b.number), bytes.Compare(a.id[:], b.id[:]))
	})
}

func (s *Spool) read(p place) (portable.Record, error) {
	text := make([]byte, p.bytes)
	if _, err := s.file.ReadAt(text, p.at); err != nil && !errors.Is(err, io.EOF) {
		return portable.Record{}, fmt.Errorf("read waiting sessions: %w", err)
	}
	return portable.Parse(text)
}

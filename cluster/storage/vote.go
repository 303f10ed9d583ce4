package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/hashicorp/raft"
)

// The keys under which raft v1.7.3 keeps its election state (raft.go, keyCurrentTerm and following).
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// keyElection is where all three live here, as one value.
const keyElection = "hydrastore/election"

// ErrBrokenVote: the stored term and vote cannot be read back. The node must not take part in elections with this data.
var ErrBrokenVote = errors.New("the record of term and vote is damaged; this node may have voted and no longer knows: " +
	"move the data folder away and let the node join again as a new member")

// election is what a node must never forget: the newest term it knows and the vote that it cast last.
type election struct {
	term      uint64
	voteTerm  uint64
	candidate []byte // nil: no vote yet
}

// votes is a raft.StableStore that keeps term and vote in one atomic record (hashicorp/raft#661). Raft writes a vote in two
// steps, term first, candidate second. A crash in between leaves the new term with the old candidate, and after the restart
// raft takes that for a vote already given to the old candidate in the new term and grants it again, even if the candidate's
// log is behind. Here the term of a vote waits in memory for its candidate; both, with the current term, are one write.
// Other keys pass through. Safe for concurrent use.
type votes struct {
	raft.StableStore // other keys; every write goes through a disk

	mu       sync.Mutex
	saved    election // what the disk holds
	voteTerm uint64   // told by raft, waiting for its candidate; 0: none
}

// openVotes reads the record from store.
func openVotes(store raft.StableStore) (*votes, error) {
	v := &votes{StableStore: store}
	data, err := store.Get([]byte(keyElection))
	if err != nil && !isNotFound(err) {
		return nil, fmt.Errorf("read term and vote: %w", err)
	}
	if len(data) == 0 {
		return v, nil
	}
	v.saved, err = decodeElection(data)
	return v, err
}

// SetUint64 implements raft.StableStore. Terms only grow.
func (v *votes) SetUint64(key []byte, value uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(key) {
	case keyCurrentTerm:
		if value == v.saved.term {
			return nil
		}
		if value < v.saved.term {
			return fmt.Errorf("save term %d: the term is %d already and never goes back", value, v.saved.term)
		}
		next := v.saved
		next.term = value
		return v.save(next)
	case keyLastVoteTerm:
		v.voteTerm = value
		return nil
	}
	return v.StableStore.SetUint64(key, value)
}

// Set implements raft.StableStore. A vote once saved is never exchanged for another one of the same term.
func (v *votes) Set(key, value []byte) error {
	if string(key) != keyLastVoteCand {
		return v.StableStore.Set(key, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	next := election{term: v.saved.term, voteTerm: v.voteTerm, candidate: bytes.Clone(value)}
	if next.voteTerm == 0 {
		return errors.New("save vote: the candidate came without a term")
	}
	v.voteTerm = 0
	if next.voteTerm < v.saved.voteTerm || next.voteTerm == v.saved.voteTerm && !bytes.Equal(next.candidate, v.saved.candidate) {
		return fmt.Errorf("save vote: a vote in term %d has been given already", v.saved.voteTerm)
	}
	next.term = max(next.term, next.voteTerm)
	return v.save(next)
}

// save writes the record; the caller holds mu.
func (v *votes) save(next election) error {
	if err := v.StableStore.Set([]byte(keyElection), next.encode()); err != nil {
		return err
	}
	v.saved = next
	return nil
}

// GetUint64 implements raft.StableStore: 0 for a key that was never set.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch string(key) {
	case keyCurrentTerm:
		return v.saved.term, nil
	case keyLastVoteTerm:
		return v.saved.voteTerm, nil
	}
	value, err := v.StableStore.GetUint64(key)
	if isNotFound(err) {
		return 0, nil
	}
	return value, err
}

// Get implements raft.StableStore: nil for a key that was never set.
func (v *votes) Get(key []byte) ([]byte, error) {
	if string(key) == keyLastVoteCand {
		v.mu.Lock()
		defer v.mu.Unlock()
		return bytes.Clone(v.saved.candidate), nil
	}
	value, err := v.StableStore.Get(key)
	if isNotFound(err) {
		return nil, nil
	}
	return value, err
}

// The record: version, term, vote's term, candidate, CRC-32C of what stands before.
const (
	electionVersion = 1
	electionHead    = 1 + 8 + 8
)

func (e election) encode() []byte {
	b := make([]byte, 0, electionHead+len(e.candidate)+4)
	b = append(b, electionVersion)
	b = binary.BigEndian.AppendUint64(b, e.term)
	b = binary.BigEndian.AppendUint64(b, e.voteTerm)
	b = append(b, e.candidate...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeElection(b []byte) (election, error) {
	if len(b) < electionHead+4 {
		return election{}, ErrBrokenVote
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if body[0] != electionVersion || crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return election{}, ErrBrokenVote
	}
	e := election{term: binary.BigEndian.Uint64(body[1:]), voteTerm: binary.BigEndian.Uint64(body[9:])}
	if e.voteTerm > 0 {
		e.candidate = bytes.Clone(body[electionHead:])
	}
	return e, nil
}

// isNotFound: raft-boltdb has an error of its own for an absent key, raft compares its text, the interface promises neither.
func isNotFound(err error) bool { return err != nil && err.Error() == "not found" }

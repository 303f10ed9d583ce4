package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// identityFile is the name of the file in the data folder that says who this
// node is. It is text so that an operator can read it, and it must never be
// copied to another node: two nodes with one id break the cluster's promises.
const identityFile = "identity.json"

// identityVersion is the format of the file.
const identityVersion = 1

// identity is what a node remembers of itself outside the log.
type identity struct {
	Version     int    `json:"version"`
	NodeID      string `json:"node_id"`
	Incarnation uint64 `json:"incarnation"`

	// ClusterID is set once, at birth or join, and never changes.
	ClusterID string `json:"cluster_id,omitempty"`
	// Proposal is the birth this node has agreed to; it accepts no other.
	Proposal *proposedBirth `json:"proposal,omitempty"`
	// Seeded says that Raft has state of this cluster on this disk. A node that
	// is seeded and finds an empty log has lost it and must not vote.
	Seeded bool `json:"seeded,omitempty"`
	// Removed says that the cluster has removed this node.
	Removed bool `json:"removed,omitempty"`
}

// proposedBirth is the exact list of nodes with which a cluster begins.
type proposedBirth struct {
	ClusterID string       `json:"cluster_id"`
	Peers     []birthplace `json:"peers"` // by id
}

// birthplace is one node of a proposal.
type birthplace struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	PeerAddress string `json:"peer_address"`
}

func (p *proposedBirth) has(id string) bool {
	if p == nil {
		return false
	}
	for _, peer := range p.Peers {
		if peer.ID == id {
			return true
		}
	}
	return false
}

// identityStore keeps the identity in memory and on disk. A change is on disk
// before it can be seen in memory; reading never waits for the disk.
type identityStore struct {
	dir string
	now atomic.Pointer[identity]

	mu sync.Mutex // one change at a time, held across the write
}

// openIdentity reads the identity in dir, or makes one, and counts this start.
// hasState says whether Raft has state in the folder, which must agree with it.
func openIdentity(dir string, hasState bool) (*identityStore, error) {
	s := &identityStore{dir: dir}
	var id identity
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if hasState {
			return nil, newError(CodeInvalid, "data folder %s has a Raft log but no %s: restore the file from this node's own copy, or empty the folder and start as a new node", dir, identityFile)
		}
		id = identity{Version: identityVersion, NodeID: newID()}
	case err != nil:
		return nil, fmt.Errorf("read identity: %w", err)
	default:
		if id, err = s.decode(raw, hasState); err != nil {
			return nil, err
		}
	}
	s.now.Store(&id)
	return s, s.update(func(id *identity) { id.Incarnation++ })
}

func (s *identityStore) decode(raw []byte, hasState bool) (identity, error) {
	path := filepath.Join(s.dir, identityFile)
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return id, codeError(CodeInvalid, err, "%s is damaged: restore it from this node's own copy, or empty the folder and start as a new node", path)
	}
	if id.Version != identityVersion || id.NodeID == "" {
		return id, newError(CodeInvalid, "%s has version %d, this program reads version %d", path, id.Version, identityVersion)
	}
	if id.Seeded && !hasState {
		return id, newError(CodeInvalid, "data folder %s has an identity but its Raft log is gone: a node that forgot what it voted for must not vote; empty the folder and start as a new node", s.dir)
	}
	return id, nil
}

// get returns a copy; its Proposal is shared and never changed.
func (s *identityStore) get() identity { return *s.now.Load() }

// nodeID returns the node's id, which never changes.
func (s *identityStore) nodeID() string { return s.now.Load().NodeID }

// update changes the identity, durably. After an error nothing has changed in
// memory; on disk either may be found at the next start.
func (s *identityStore) update(change func(*identity)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.get()
	change(&next)
	if err := s.write(next); err != nil {
		return fmt.Errorf("store identity: %w", err)
	}
	s.now.Store(&next)
	return nil
}

// write replaces the file: a new one, flushed, renamed over the old one, and the
// folder flushed, so that a crash leaves the old or the new content, whole.
func (s *identityStore) write(id identity) error {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, identityFile+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(append(raw, '\n')); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(s.dir, identityFile)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newID returns a random id of 130 bits: letters and digits in lower case.
func newID() string { return strings.ToLower(rand.Text()) }

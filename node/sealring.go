package node

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// put notes a key that was derived; present tells that it is the present password's.
func (s *sealing) put(id uint32, k *auth.SealKey, present bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[id] = k; present {
		s.present = id
	}
}

// forgetOthers forgets keys that the cluster has forgotten: nothing is sealed with them, and a move that begins anew brings the same ones under other ids.
func (s *sealing) forgetOthers(known []fsm.SealKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.keys, func(id uint32, _ *auth.SealKey) bool {
		return !slices.ContainsFunc(known, func(k fsm.SealKey) bool { return k.ID == id })
	})
}

func (s *sealing) isPresent(id uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.present == id
}

func (s *sealing) key(id uint32) *auth.SealKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys[id]
}

func (s *sealing) holds(id uint32) bool { return s.key(id) != nil }

func (s *sealing) held() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.keys)
}

// active is the newest key that every node has: voters, and others that have said anything.
func (s *sealing) active() (uint32, *auth.SealKey, error) {
	known, _ := s.node.fsm.SealKeys()
	held := s.heldBy()
	for _, k := range slices.Backward(known) {
		everywhere := true
		for _, m := range s.node.cluster.Members() {
			ids, told := held[m.ID]
			everywhere = everywhere && (slices.Contains(ids, k.ID) || !told && m.Suffrage != cluster.Voter)
		}
		if key := s.key(k.ID); everywhere && key != nil {
			return k.ID, key, nil
		}
	}
	return 0, nil, &session.Error{
		Code: session.CodeConflict, Field: "sealed_attributes",
		Message: "this cluster has no seal key that all its nodes have: set the same tokenizer.safe_password on all of them",
	}
}

// seal turns values into sealed attributes of a session.
func (s *sealing) seal(id session.ID, values session.Attributes) ([]*fsmpb.Attribute, error) {
	if len(values) == 0 {
		return nil, nil
	}
	key, k, err := s.active()
	if err != nil {
		return nil, err
	}
	out := newAttributes(values)
	for _, a := range out {
		if a.Value, err = s.sealOne(key, k, id, a.Name, a.Value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *sealing) sealOne(key uint32, k *auth.SealKey, id session.ID, name string, value []byte) ([]byte, error) {
	if len(value) > session.MaxSealedAttributeBytes {
		return nil, session.ErrSealedTooLarge(len(value))
	}
	sealed, err := k.Seal(fsm.SealHeader(key), s.node.config.Random, id[:], name, value)
	if err != nil {
		return nil, internalError("seal attribute", err)
	}
	return sealed, nil
}

// open gives the sealed attributes of a session in the clear; nil when it has none.
func (s *sealing) open(id session.ID, list []fsm.Attribute) (session.Attributes, error) {
	var out session.Attributes
	for _, a := range list {
		key, _, isSealed := fsm.CutSealed(a.Value)
		if !isSealed {
			continue
		}
		value, err := s.openOne(key, id, a)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = session.Attributes{}
		}
		out[a.Name] = value
	}
	return out, nil
}

func (s *sealing) openOne(key uint32, id session.ID, a fsm.Attribute) (json.RawMessage, error) {
	k := s.key(key)
	if k == nil {
		return nil, &session.Error{Code: session.CodeUnavailable, Field: "sealed_attributes", Message: "this node has not the key that these attributes are sealed with; ask another one", RetryAfter: electionPause}
	}
	_, sealed, _ := fsm.CutSealed(a.Value)
	value, err := k.Open(sealed, id[:], a.Name)
	if err != nil {
		return nil, internalError("open sealed attribute", err)
	}
	return value, nil
}

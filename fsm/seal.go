package fsm

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// A sealed value stands among the attributes like any other. It begins with a byte that no JSON begins with, so that
// nothing else needs to know of it: limits count its bytes as they are.
const (
	sealMark    = 0
	sealIDBytes = 4

	// SealSaltBytes and SealCheckBytes are the lengths in a SealKey.
	SealSaltBytes  = 16
	SealCheckBytes = 16

	maxHolderBytes = 128
)

// SealHeader begins a value that is sealed with key id; nonce and ciphertext follow.
func SealHeader(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{sealMark}, id) }

// CutSealed tells whether a value is sealed, and if so gives the key's id, and nonce and ciphertext.
func CutSealed(value []byte) (id uint32, sealed []byte, ok bool) {
	if len(value) <= session.SealOverheadBytes || value[0] != sealMark {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(value[1:]), value[1+sealIDBytes:], true
}

// SealKey is what the cluster knows of a key: enough to derive it from the right password, and to know it again.
type SealKey struct {
	ID          uint32
	Salt        [SealSaltBytes]byte
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
	Check       [SealCheckBytes]byte
	Uses        int // values that are sealed with it
}

// SealHolder is a node and the keys that it can derive.
type SealHolder struct {
	Node string
	IDs  []uint32
}

// seals is what is known of sealing. There is little of it, so it is copied whole when it changes or is read.
type seals struct {
	keys    []SealKey // in the order of their ids
	last    uint32    // the highest id ever given
	holders []SealHolder
}

func (s *seals) find(id uint32) int {
	return slices.IndexFunc(s.keys, func(k SealKey) bool { return k.ID == id })
}

// countSealed adds the sealed values of a blob to their keys' uses, or with -1 takes them out.
func (s *state) countSealed(blob []byte, n int) {
	if len(s.seals.keys) == 0 {
		return
	}
	for len(blob) > 0 {
		var value []byte
		if _, value, blob = cutAttribute(blob); len(value) > 0 && value[0] == sealMark {
			if id, _, ok := CutSealed(value); ok {
				s.seals.keys[s.seals.find(id)].Uses += n
			}
		}
	}
}

// inTheClear leaves sealed values out of a blob.
func (s *state) inTheClear(blob []byte) []byte {
	if len(s.seals.keys) == 0 {
		return blob
	}
	var out []byte
	for len(blob) > 0 {
		var name, value []byte
		if name, value, blob = cutAttribute(blob); len(value) == 0 || value[0] != sealMark {
			out = appendAttribute(out, string(name), value)
		}
	}
	return out
}

// mayStore tells whether a value may become an attribute: it is not sealed, or well formed and with a known key.
func (s *state) mayStore(value []byte) bool {
	if len(value) == 0 || value[0] != sealMark {
		return true
	}
	id, _, ok := CutSealed(value)
	return ok && s.seals.find(id) >= 0
}

func (s *state) putSealKey(c *fsmpb.PutSealKey, r *fsmpb.Result) {
	k, ok := sealKeyOf(c)
	if !ok {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if c.After != s.seals.last {
		fail(r, fsmpb.Code_CODE_CONFLICT, "after")
		return
	}
	keys := slices.Clone(s.seals.keys)
	if len(keys) >= session.MaxSealKeys {
		unused := slices.IndexFunc(keys, func(k SealKey) bool { return k.Uses == 0 && !s.maySealMore(k) })
		if unused < 0 {
			fail(r, fsmpb.Code_CODE_TOO_LARGE, "seal_keys")
			return
		}
		keys = slices.Delete(keys, unused, unused+1)
	}
	s.seals.last++
	k.ID = s.seals.last
	keys = append(keys, k)
	s.seals.keys = keys
	setVersion(r, uint64(k.ID))
}

// maySealMore tells whether a filling may still bring values that a key has sealed.
func (s *state) maySealMore(k SealKey) bool {
	return s.moving.phase == PhaseFilling && k.ID > s.moving.sealOffset && k.ID <= s.moving.sealLast
}

// sealKeyOf converts a key, whose id is not given yet; false when there is none such.
func sealKeyOf(c *fsmpb.PutSealKey) (k SealKey, ok bool) {
	if len(c.Salt) != SealSaltBytes || len(c.Check) != SealCheckBytes || c.MemoryKib == 0 || c.Iterations == 0 || c.Parallelism == 0 || c.Parallelism > math.MaxUint8 {
		return k, false
	}
	k = SealKey{MemoryKiB: c.MemoryKib, Iterations: c.Iterations, Parallelism: uint8(c.Parallelism)}
	copy(k.Salt[:], c.Salt)
	copy(k.Check[:], c.Check)
	return k, true
}

// holdSealKeys records what a node holds. When there are too many nodes the one that has said nothing for longest makes room: it is
// one that was removed.
func (s *state) holdSealKeys(c *fsmpb.HoldSealKeys, r *fsmpb.Result) {
	if c.Node == "" || len(c.Node) > maxHolderBytes || len(c.Ids) > session.MaxSealKeys || !ascending(c.Ids) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	holders := slices.DeleteFunc(slices.Clone(s.seals.holders), func(h SealHolder) bool { return h.Node == c.Node })
	if len(holders) >= session.MaxSealHolders {
		holders = holders[1:]
	}
	holders = append(holders, SealHolder{Node: c.Node, IDs: slices.Clone(c.Ids)})
	s.seals.holders = holders
}

func ascending(ids []uint32) bool {
	for i, id := range ids {
		if id == 0 || i > 0 && id <= ids[i-1] {
			return false
		}
	}
	return true
}

func (s *state) replaceSealed(c *fsmpb.ReplaceSealed, r *fsmpb.Result) {
	if c.User != "" {
		s.replaceVerifier(c, r)
		return
	}
	id, ok := sessionID(c.Id)
	if !ok || len(c.Changes) > session.MaxAttributes {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	slot := s.findID(id)
	if slot == 0 || !s.alive(slot) {
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "id")
		return
	}
	changes, code := s.standing(s.arena.get(s.sessions.recs.at(slot).attributes), c.Changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	blob, code := mergeAttributes(s.arena.get(s.sessions.recs.at(slot).attributes), changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	if len(changes) > 0 {
		s.storeAttributes(slot, blob)
	}
	r.Payload = &fsmpb.Result_Count{Count: uint64(len(changes))}
}

// standing judges changes of sealed values and keeps those whose old value still stands in the blob.
func (s *state) standing(blob []byte, changes []*fsmpb.SealedChange) ([]*fsmpb.AttributeChange, fsmpb.Code) {
	all := make([]*fsmpb.AttributeChange, len(changes))
	old := make(map[string]string, len(changes))
	for i, c := range changes {
		if _, _, sealed := CutSealed(c.New); !sealed || !s.mayStore(c.New) {
			return nil, fsmpb.Code_CODE_INVALID
		}
		all[i] = &fsmpb.AttributeChange{Name: c.Name, Value: c.New}
		old[c.Name] = string(c.Old)
	}
	all, code := s.checkChanges(all)
	if code != fsmpb.Code_CODE_OK {
		return nil, code
	}
	present := make(map[string]string, len(changes))
	for len(blob) > 0 {
		var name, value []byte
		name, value, blob = cutAttribute(blob)
		present[string(name)] = string(value)
	}
	return slices.DeleteFunc(all, func(c *fsmpb.AttributeChange) bool {
		was, there := present[c.Name]
		_, _, sealed := CutSealed([]byte(was))
		return !there || !sealed || was != old[c.Name]
	}), fsmpb.Code_CODE_OK
}

// SealKeys returns the known seal keys in the order of their ids, and the last id that was given.
func (m *Machine) SealKeys() (keys []SealKey, last uint32) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.state.seals.keys), m.state.seals.last
}

// SealHolders returns which nodes have said what keys they hold. The answer is shared and must not be changed.
func (m *Machine) SealHolders() []SealHolder {
	return reading(m, func(s *state) []SealHolder { return s.seals.holders })
}

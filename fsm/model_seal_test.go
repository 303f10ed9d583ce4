package fsm_test

import (
	"maps"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// sealedBy gives the id of the key that a value is sealed with; 0 = none.
func sealedBy(value string) uint32 {
	if len(value) <= 33 || value[0] != 0 {
		return 0
	}
	return uint32(value[1])<<24 | uint32(value[2])<<16 | uint32(value[3])<<8 | uint32(value[4])
}

// carriedDigest is that of what a log-in in the session's place gets from its node.
func (s *modelSession) carriedDigest() []byte {
	var carried []fsm.Attribute
	for _, name := range slices.Sorted(maps.Keys(s.attributes)) {
		if value := s.attributes[name]; name == "credentials" || sealedBy(value) != 0 {
			carried = append(carried, fsm.Attribute{Name: name, Value: []byte(value)})
		}
	}
	return carriedDigest(carried...)
}

func carriedDigest(all ...fsm.Attribute) []byte {
	digest := fsm.CarriedDigest(all)
	return digest[:]
}

func (m *model) mayStore(value []byte) bool {
	return len(value) == 0 || value[0] != 0 || slices.Contains(m.sealKeys, sealedBy(string(value))) && sealedBy(string(value)) != 0
}

// sealUses counts the values that are sealed with a key.
func (m *model) sealUses(id uint32) (n int) {
	for _, s := range m.sessions {
		for _, value := range s.attributes {
			if sealedBy(value) == id {
				n++
			}
		}
	}
	for _, u := range m.users {
		if sealedBy(u.verifier) == id {
			n++
		}
	}
	return n
}

func (m *model) putSealKey(c *fsmpb.PutSealKey, r *fsmpb.Result) {
	switch {
	case len(c.Salt) != 16 || len(c.Check) != 16 || c.MemoryKib*c.Iterations*c.Parallelism == 0:
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	case c.After != m.lastSealKey:
		set(r, fsmpb.Code_CODE_CONFLICT, "after")
		return
	}
	if len(m.sealKeys) == 16 {
		unused := slices.IndexFunc(m.sealKeys, func(id uint32) bool { return m.sealUses(id) == 0 && !m.isMoved(id) })
		if unused < 0 {
			set(r, fsmpb.Code_CODE_TOO_LARGE, "seal_keys")
			return
		}
		m.sealKeys = slices.Delete(m.sealKeys, unused, unused+1)
	}
	m.lastSealKey++
	m.sealKeys = append(m.sealKeys, m.lastSealKey)
	r.Payload = &fsmpb.Result_Version{Version: uint64(m.lastSealKey)}
}

func (m *model) holdSealKeys(c *fsmpb.HoldSealKeys, r *fsmpb.Result) {
	if c.Node == "" || !slices.IsSorted(c.Ids) || slices.Contains(c.Ids, 0) || len(slices.Compact(slices.Clone(c.Ids))) != len(c.Ids) {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	m.holders = slices.DeleteFunc(m.holders, func(h fsm.SealHolder) bool { return h.Node == c.Node })
	m.holders = append(m.holders, fsm.SealHolder{Node: c.Node, IDs: c.Ids})
	m.holders = m.holders[max(0, len(m.holders)-64):]
}

func (m *model) replaceSealed(c *fsmpb.ReplaceSealed, r *fsmpb.Result) {
	if c.User != "" {
		m.replaceVerifier(c, r)
		return
	}
	s := m.byID(c.Id)
	if !m.alive(s) {
		set(r, fsmpb.Code_CODE_NOT_FOUND, "id")
		return
	}
	seen := map[string]bool{}
	for _, change := range c.Changes {
		if sealedBy(string(change.New)) == 0 || !m.mayStore(change.New) || seen[change.Name] {
			set(r, fsmpb.Code_CODE_INVALID, "attributes")
			return
		}
		seen[change.Name] = true
	}
	count(r, 0)
	for _, change := range c.Changes {
		if was, there := s.attributes[change.Name]; there && sealedBy(was) != 0 && was == string(change.Old) {
			s.attributes[change.Name] = string(change.New)
			count(r, r.GetCount()+1)
		}
	}
}

package fsm

import (
	"encoding/binary"
	"testing"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// nowhere is a slot that no session has: whoever follows a link to it panics.
const nowhere = 1<<31 - 1

// crowd makes a user with many sessions, far more than one entry ends.
func crowd(t *testing.T, sessions int) *Machine {
	t.Helper()
	m := New(Options{})
	hash := "hash"
	do(t, m, &fsmpb.Command{Kind: &fsmpb.Command_PutUser{PutUser: &fsmpb.PutUser{
		Name: "ann", Mode: fsmpb.PutUser_MODE_CREATE, PasswordHash: &hash, Authority: &fsmpb.Authority{System: true}}}})
	for first := 0; first < sessions; first += 1000 {
		var commands []*fsmpb.Command
		for n := first; n < first+1000; n++ {
			var key session.KeyHash
			var id session.ID
			binary.BigEndian.PutUint64(key[:], uint64(n)*0x9e3779b97f4a7c15)
			copy(id[:], key[:])
			binary.BigEndian.PutUint64(id[8:], (uint64(n)+1)*0xbf58476d1ce4e5b9)
			commands = append(commands, &fsmpb.Command{Kind: &fsmpb.Command_CreateSession{CreateSession: &fsmpb.CreateSession{
				KeyHash: key[:], Id: id[:], User: "ann", Vouched: true, Authority: &fsmpb.Authority{System: true}}}})
		}
		do(t, m, commands...)
	}
	return m
}

func do(t *testing.T, m *Machine, commands ...*fsmpb.Command) *Applied {
	t.Helper()
	data, err := (&fsmpb.Entry{FormatLevel: 1, Epoch: 1, ClockMs: 1_700_000_000_000, Batches: []*fsmpb.Batch{{Commands: commands}}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	applied, err := m.Apply(m.Index()+1, 1, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range applied.Batches[0].Results {
		if r.Code != fsmpb.Code_CODE_OK {
			t.Fatalf("got %v", r)
		}
	}
	return applied
}

// trap breaks the links of a user's sessions where nobody gets who looks at a bounded number of them: in the ring behind the first ones, and in the
// tree everywhere but along its edges.
func trap(m *Machine, user string, first int) {
	s := m.state
	links := s.users.links.at(s.findUser(user))
	edge := map[uint32]bool{}
	for n := *links.root(false); n != 0; n = s.sessions.tree(ofUser).link(n).left {
		edge[n] = true
	}
	for n := *links.root(false); n != 0; n = s.sessions.tree(ofUser).link(n).right {
		edge[n] = true
	}
	for n := uint32(1); n < s.sessions.links.n; n++ {
		if k := &s.sessions.links.at(n).owner[ofUser]; !edge[n] {
			k.left, k.right = nowhere, nowhere
		}
	}
	at := *links.head(false)
	for range first {
		at = s.sessions.links.at(at).userNext
	}
	s.sessions.links.at(at).userNext = nowhere
}

// touched counts the chunks of session records that were written since a snapshot began.
func touched(m *Machine) (n int) {
	for _, generation := range m.state.sessions.recs.gens {
		if generation == m.state.sharing.last {
			n++
		}
	}
	return n
}

// TestEndingAllSessionsOfAUserIsLittleWork: the entry that kills them looks at few and writes to none, and each entry after it at no more
// than it ends.
func TestEndingAllSessionsOfAUserIsLittleWork(t *testing.T) {
	t.Parallel()
	const sessions, looks = 20_000, 3 * DefaultEndsPerEntry
	by := &fsmpb.Authority{System: true}
	disabled, password := true, "another hash"
	for name, command := range map[string]*fsmpb.Command{
		"disabled": {Kind: &fsmpb.Command_PutUser{PutUser: &fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: &disabled, Authority: by}}},
		"password": {Kind: &fsmpb.Command_PutUser{PutUser: &fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: &password, Authority: by}}},
		"deleted":  {Kind: &fsmpb.Command_DeleteUser{DeleteUser: &fsmpb.DeleteUser{Name: "ann", Authority: by}}},
		"revoked":  {Kind: &fsmpb.Command_RevokeUserSessions{RevokeUserSessions: &fsmpb.RevokeUserSessions{User: "ann", Authority: by}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := crowd(t, sessions)
			trap(m, "ann", looks)
			defer m.Snapshot().Release()
			if applied := do(t, m, command); len(applied.Ended) > 0 || touched(m) > 0 {
				t.Errorf("ended %d, wrote to %d chunks of sessions", len(applied.Ended), touched(m))
			}
			if m.state.sessions.condemned != sessions || m.state.sessions.standing != 0 {
				t.Errorf("%d are dead and %d live, of %d", m.state.sessions.condemned, m.state.sessions.standing, sessions)
			}
			for entry := 1; entry <= 2; entry++ {
				if applied := do(t, m); len(applied.Ended) != DefaultEndsPerEntry || touched(m) > entry*DefaultEndsPerEntry {
					t.Errorf("entry %d ended %d and wrote to %d chunks", entry, len(applied.Ended), touched(m))
				}
			}
			if n := m.Stats().Sessions; n != sessions-2*DefaultEndsPerEntry {
				t.Errorf("%d are left", n)
			}
		})
	}
}

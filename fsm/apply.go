package fsm

import (
	"fmt"
	"runtime"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// Reads wait for at most this much of an entry: between slices the state is consistent, and each command its own step.
const (
	commandsPerLock = 32
	endsPerLock     = 8
)

// Apply applies one entry of the log. An error means that this node cannot follow the log and must stop; the state is then
// as it was before. data is not kept.
func (m *Machine) Apply(index, term uint64, data []byte) (*Applied, error) {
	s := m.state
	if index <= s.index {
		return nil, fmt.Errorf("apply entry %d: the state already stands at %d", index, s.index)
	}
	entry, commands, err := decodeEntry(data, s.level)
	if err != nil {
		return nil, fmt.Errorf("apply entry %d: %w", index, err)
	}
	if entry.Epoch != term {
		m.locked(func() { s.index = index })
		return &Applied{Index: index, ClockMS: s.clock, Ignored: true}, nil
	}
	m.begin(index, entry.ClockMs)
	out := &Applied{Index: index, ClockMS: s.clock, Ended: m.end(int(entry.Ends))}
	out.Batches = m.applyBatches(term, entry.Batches, commands)
	out.Events = s.events.take()
	out.Ended = append(out.Ended, s.endedByCommands...)
	out.Emptied = s.emptied
	return out, nil
}

func (m *Machine) locked(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// begin moves index and clock. From here on the entry cannot fail.
func (m *Machine) begin(index uint64, clock int64) {
	s := m.state
	oldest, newest := s.sharing.bounds()
	m.locked(func() {
		s.shared = newest
		s.index = index
		s.clock = max(s.clock, clock)
		s.arena.settle(oldest)
		s.forgetOutdated()
		s.forgetDryAttempts()
		s.forgetChallenges()
		if s.open() {
			s.endGraces()
		}
		s.endedByCommands, s.emptied = nil, false
	})
}

// end removes what is due, then what is condemned, and then users whom an import brought without a session, within one budget: that of
// the entry, if it has one.
func (m *Machine) end(budget int) []Ended {
	s := m.state
	var ended []Ended
	if !s.open() {
		s.room = newRoomWork(true, m.endsPerEntry)
		return nil
	}
	dead, more := true, true
	if budget == 0 {
		budget = m.endsPerEntry
	}
	for budget > 0 {
		m.locked(func() {
			for range min(budget, endsPerLock) {
				if ended, dead = s.endDue(ended); !dead {
					ended, dead = s.reap(ended)
				}
				if more = dead || s.dropBare(); !more {
					return
				}
				budget--
			}
		})
		if !more {
			break
		}
		runtime.Gosched() // a removal is never urgent: who waits for this processor goes first
	}
	s.room = newRoomWork(dead, m.endsPerEntry)
	return ended
}

func (m *Machine) applyBatches(term uint64, batches []*fsmpb.Batch, commands int) []AppliedBatch {
	results := make([]fsmpb.Result, commands)
	pointers := make([]*fsmpb.Result, commands)
	for i := range results {
		pointers[i] = &results[i]
	}
	out := make([]AppliedBatch, len(batches))
	for i, b := range batches {
		n := len(b.Commands)
		out[i] = AppliedBatch{Origin: b.OriginNode, Incarnation: b.Incarnation, Number: b.Number, Results: pointers[:n:n]}
		m.state.awaited = m.events != nil || m.awaited(term, b.OriginNode, b.Incarnation)
		m.applyCommands(b.Commands, pointers[:n])
		pointers = pointers[n:]
	}
	return out
}

func (m *Machine) applyCommands(commands []*fsmpb.Command, results []*fsmpb.Result) {
	for len(commands) > 0 {
		n := underOneLock(commands)
		m.locked(func() {
			for i, c := range commands[:n] {
				m.state.apply(c, results[i])
			}
			m.phase.Store(uint32(m.state.moving.phase))
		})
		commands, results = commands[n:], results[n:]
	}
}

// underOneLock tells how many of the commands, of which there are some, apply under one lock: an import is worth as many as any.
func underOneLock(commands []*fsmpb.Command) int {
	work := 0
	for n, c := range commands {
		switch c.Kind.(type) {
		case *fsmpb.Command_BeginImport, *fsmpb.Command_ImportPast, *fsmpb.Command_ImportUsers, *fsmpb.Command_ImportSessions:
			work += commandsPerLock
		default:
			work++
		}
		if work > commandsPerLock {
			return max(n, 1)
		}
	}
	return len(commands)
}

// apply applies one command. A command that fails changes nothing, except that a spent key ends its session; one that succeeds is
// a use of the key behind its authority.
func (s *state) apply(c *fsmpb.Command, r *fsmpb.Result) {
	s.by = authorized{}
	s.events.nobody()
	if s.closedTo(c) {
		fail(r, fsmpb.Code_CODE_CLOSED, "")
		return
	}
	s.dispatch(c, r)
	if r.Code == fsmpb.Code_CODE_OK {
		s.useOfAuthority()
	}
}

func (s *state) dispatch(c *fsmpb.Command, r *fsmpb.Result) {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_CreateSession:
		s.createSession(k.CreateSession, r)
		s.reportLogin(k.CreateSession, r)
	case *fsmpb.Command_TouchSession:
		s.touchSession(k.TouchSession, r)
	case *fsmpb.Command_PatchAttributes:
		s.patchAttributes(k.PatchAttributes, r)
	case *fsmpb.Command_AlterSession:
		s.alterSession(k.AlterSession, r)
	case *fsmpb.Command_PatchPreferences:
		s.patchPreferences(k.PatchPreferences, r)
	case *fsmpb.Command_RotateSession:
		s.rotateSession(k.RotateSession, r)
	case *fsmpb.Command_RevokeSession:
		s.revokeSession(k.RevokeSession, r)
	case *fsmpb.Command_RevokeSessions:
		s.revokeSessions(k.RevokeSessions, r)
	case *fsmpb.Command_RevokeUserSessions:
		s.revokeUserSessions(k.RevokeUserSessions, r)
	case *fsmpb.Command_PutUser:
		s.putUser(k.PutUser, r)
	case *fsmpb.Command_UpgradePassword:
		s.upgradePassword(k.UpgradePassword, r)
	case *fsmpb.Command_DeleteUser:
		s.deleteUser(k.DeleteUser, r)
	case *fsmpb.Command_PutPolicy:
		s.putPolicy(k.PutPolicy, r)
	case *fsmpb.Command_DeletePolicy:
		s.deletePolicy(k.DeletePolicy, r)
	case *fsmpb.Command_TakeAttempt:
		s.takeAttempt(k.TakeAttempt, r)
	case *fsmpb.Command_GiveBackAttempt:
		s.giveBackAttempt(k.GiveBackAttempt, r)
	case *fsmpb.Command_PutSealKey:
		s.putSealKey(k.PutSealKey, r)
	case *fsmpb.Command_HoldSealKeys:
		s.holdSealKeys(k.HoldSealKeys, r)
	case *fsmpb.Command_ReplaceSealed:
		s.replaceSealed(k.ReplaceSealed, r)
	case *fsmpb.Command_PutLimits:
		s.putLimits(k.PutLimits, r)
	case *fsmpb.Command_PutChallengeSecret:
		s.putChallengeSecret(k.PutChallengeSecret, r)
	case *fsmpb.Command_UseChallenge:
		s.useChallenge(k.UseChallenge, r)
	case *fsmpb.Command_SetSessionHome:
		s.setSessionHome(k.SetSessionHome, r)
	case *fsmpb.Command_SetFormatLevel:
		s.raiseLevel(k.SetFormatLevel.Level)
	case *fsmpb.Command_BeginImport:
		s.beginImport(k.BeginImport, r)
	case *fsmpb.Command_ImportPast:
		s.importPast(k.ImportPast, r)
	case *fsmpb.Command_ImportUsers:
		s.importUsers(k.ImportUsers, r)
	case *fsmpb.Command_ImportSessions:
		s.importSessions(k.ImportSessions, r)
	case *fsmpb.Command_FinishImport:
		s.finishImport(k.FinishImport, r)
	case *fsmpb.Command_CloseCluster:
		s.closeCluster(r)
	case *fsmpb.Command_OpenCluster:
		s.openCluster(k.OpenCluster, r)
	case *fsmpb.Command_LoginFailed:
		s.loginFailed(k.LoginFailed, r)
	}
}

func (s *state) raiseLevel(level uint32) {
	if level <= s.level {
		return
	}
	s.level = level
	if s.events != nil {
		s.events.add(Event{Kind: EventFormatLevel, Version: uint64(level)})
	}
}

// fail records why a command did nothing.
func fail(r *fsmpb.Result, code fsmpb.Code, field string) {
	r.Code, r.Field = code, field
}

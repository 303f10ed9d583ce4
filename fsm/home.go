package fsm

import (
	"encoding/binary"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Home is where sessions live.
type Home struct {
	// Node: each at the node that made it. Here are none then, and what would have ended them is kept as endings of their users.
	Node bool
	// Version of the change that made it so; 0 = it was never changed.
	Version uint64
}

// Home tells where sessions live.
func (m *Machine) Home() Home { return reading(m, func(s *state) Home { return s.home }) }

// homeField is the field of refusals of sessions that are to live elsewhere.
const homeField = "session_home"

func (s *state) setSessionHome(c *fsmpb.SetSessionHome, r *fsmpb.Result) {
	node := c.Home == fsmpb.SessionHome_SESSION_HOME_NODE
	switch {
	case !node && c.Home != fsmpb.SessionHome_SESSION_HOME_CLUSTER:
		fail(r, fsmpb.Code_CODE_INVALID, homeField)
		return
	case node == s.home.Node:
		setVersion(r, s.home.Version)
		return
	case s.sessions.n > 0:
		fail(r, fsmpb.Code_CODE_CONFLICT, "sessions")
		return
	}
	s.home = Home{Node: node, Version: s.nextVersion()}
	setVersion(r, s.home.Version)
	if s.events != nil {
		s.events.add(Event{Kind: EventSessionHome, Version: s.home.Version, Reason: homeName(node)})
	}
}

// homeNumber is how snapshots spell it.
func homeNumber(node bool) uint64 {
	if node {
		return 1
	}
	return 0
}

func homeName(node bool) string {
	if node {
		return "node"
	}
	return "cluster"
}

// Endings say which of a user's sessions at nodes still live: those that were made under the version at which its sessions were last ended. Each kind
// of session has its own.
type Endings struct {
	Sessions, Permanent Ending
	// Spared is a session that the last ending has left alive: it was made under Before, or was alive then.
	Spared session.ID
}

// Ending is the version of the change that last ended sessions, and that of the one before it; 0 = there was none.
type Ending struct{ At, Before uint64 }

// Of gives the ending that counts for permanent sessions, or for the others.
func (e Endings) Of(permanent bool) Ending {
	if permanent {
		return e.Permanent
	}
	return e.Sessions
}

// Holds tells whether a session lives that was made, or is known to have lived, under a version.
func (e Endings) Holds(id session.ID, permanent bool, under uint64) bool {
	last := e.Of(permanent)
	return under == last.At || under == last.Before && id == e.Spared && !id.IsZero()
}

// UserAtNodes is what says which of a user's sessions at nodes live, and what they may do. It is one look at the state: endings from before a change would let
// the sessions that it ends act for the account that it makes.
type UserAtNodes struct {
	Home    Home
	Endings Endings
	Account UserRecord // a shell where there is none
}

// UserAtNodes tells of a user, whether there is a record of it or not.
func (m *Machine) UserAtNodes(name string) UserAtNodes {
	return reading(m, func(s *state) UserAtNodes {
		slot := s.findUser(name)
		if slot == 0 {
			return UserAtNodes{s.home, s.users.forgotten(), UserRecord{Shell: true}}
		}
		return UserAtNodes{s.home, s.endingsOf(s.users.recs.at(slot)), s.userRecord(slot)}
	})
}

// Past is what a policy's changes mean for sessions at nodes that were last used, or made, before them.
type Past struct {
	Uses, Activities Lapse
	// Lifetimes are the shorter absolute lifetimes of sessions made earlier, oldest first: the first that reaches as far counts.
	Lifetimes []PastLifetime
}

// Lapse says that what was recorded at or before ThroughMS was due, after a span of at least SpanMS, when a change made the span longer: it stays
// dead. The zero Lapse speaks of nothing.
type Lapse struct{ ThroughMS, SpanMS int64 }

// PastLifetime says that what was made at or before ThroughMS lives no longer than LifetimeMS.
type PastLifetime struct{ ThroughMS, LifetimeMS int64 }

// PolicyWithPast is a stored policy.
type PolicyWithPast struct {
	session.Policy
	Past
}

// PoliciesWithPast are all stored policies in the order of their names.
func (m *Machine) PoliciesWithPast() []PolicyWithPast {
	return reading(m, func(s *state) (out []PolicyWithPast) {
		for _, i := range s.policies.sorted() {
			p := s.policies.byIndex[i]
			if p.Version == 0 {
				continue
			}
			past := Past{Uses: p.uses.past(), Activities: p.activities.past()}
			for _, step := range p.steps {
				past.Lifetimes = append(past.Lifetimes, PastLifetime{step.throughMS, step.lifetime})
			}
			out = append(out, PolicyWithPast{p.Policy, past})
		}
		return out
	})
}

func (t *timer) past() Lapse {
	if t.lapsed == noLapse {
		return Lapse{}
	}
	return Lapse{ThroughMS: t.lapsed, SpanMS: min(t.lapsedSpan, t.span)}
}

// PoliciesVersion rises with every change of a policy, and of a user.
func (m *Machine) PoliciesVersion() uint64 {
	return reading(m, func(s *state) uint64 { return s.version })
}

const endingsBytes = 4*8 + len(session.ID{})

func parseEndings(b []byte) (e Endings) {
	if len(b) != endingsBytes {
		return e
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	e = Endings{Sessions: Ending{at(0), at(1)}, Permanent: Ending{at(2), at(3)}}
	copy(e.Spared[:], b[4*8:])
	return e
}

func (e Endings) append(out []byte) []byte {
	return append(appendUints(out, e.Sessions.At, e.Sessions.Before, e.Permanent.At, e.Permanent.Before), e.Spared[:]...)
}

func (s *state) endingsOf(u *userRec) Endings { return parseEndings(s.arena.get(u.endings)) }

func (s *state) setEndings(u *userRec, e Endings) {
	s.arena.drop(u.endings, s.shared)
	u.endings = 0
	if e != (Endings{}) {
		u.endings = s.arena.put(e.append(nil))
	}
}

// forgotten are the endings of users without record: none, or those of the last deleted user that no record was kept of.
func (u *users) forgotten() Endings {
	all := Ending{At: u.endingFloor}
	return Endings{Sessions: all, Permanent: all}
}

// endAtNodes ends a user's sessions at nodes, and with permanent those too, in the change of that version, except one (zero = none).
func (s *state) endAtNodes(u *userRec, version uint64, permanent bool, spared session.ID) {
	if !s.home.Node {
		return
	}
	e := s.endingsOf(u)
	e.Sessions = Ending{At: version, Before: e.Sessions.At}
	if permanent {
		e.Permanent = Ending{At: version, Before: e.Permanent.At}
	}
	e.Spared = spared
	s.setEndings(u, e)
}

// maxForgotten bounds the deleted users whose endings are remembered. Beyond it a deletion ends the sessions at nodes of all users without record.
const maxForgotten = 100_000

// remembers tells whether the record of a user without account stays, for sessions at nodes that its deletion has ended.
func (s *state) remembers(u *userRec) bool { return s.home.Node && u.endings != 0 && !u.stored() }

// forgetIfTooMany raises the floor over the endings of a user whose record is one too many, and tells that it was.
func (s *state) forgetIfTooMany(u *userRec) bool {
	if s.users.shells <= maxForgotten {
		return false
	}
	e := s.endingsOf(u)
	s.users.endingFloor = max(s.users.endingFloor, e.Sessions.At, e.Permanent.At)
	return true
}

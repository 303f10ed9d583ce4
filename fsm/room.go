package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// sparePerEnd gives the endings that the log-ins of one entry share beyond the first of each limit, as a multiple of what
	// the entry ends by itself. They are needed where a limit was lowered below what lives.
	sparePerEnd = 4
	// looksPerEntry bounds how many sessions the log-ins of one entry look at in search of dead ones: a few milliseconds. It
	// suffices for the largest owner that is within its limit.
	looksPerEntry = 4 * session.MaxSessionsPerOwner
)

// roomWork is what making room may still cost in the present entry, and what it has ended.
type roomWork struct {
	backlog bool // there may be sessions that are due
	spare   int  // endings
	looks   int
}

func newRoomWork(backlog bool, endsPerEntry int) roomWork {
	return roomWork{backlog: backlog, spare: sparePerEnd * endsPerEntry, looks: looksPerEntry}
}

// spend allows the first ending for a limit, and further ones as long as the entry has some to spare.
func (w *roomWork) spend(done int) bool {
	if done == 0 {
		return true
	}
	if w.spare == 0 {
		return false
	}
	w.spare--
	return true
}

// sessionLimit is one limit as a log-in meets it.
type sessionLimit struct {
	field   string
	most    int
	onLimit session.OnLimit
	cause   Cause // of what it evicts
	counts  counted
	leaving int // 1 = the session that the log-in replaces is one of them
	freed   int // 1 = and it is permanent
}

// over is how many sessions are too many for one more to fit, those of them that are going left out; 0 or less = it fits.
func (l sessionLimit) over() int { return l.counts.count() - l.leaving - l.most + 1 }

// stuck tells whether permanent sessions alone leave no room. Nothing evicts those.
func (l sessionLimit) stuck() bool { return l.counts.lasting()-l.freed >= l.most }

// counted is a set of sessions that a limit counts: an owner's under one policy, or all of some policies.
type counted interface {
	has(r *sessionRec) bool
	count() int   // those not ended and not condemned; of an address, the condemned too
	lasting() int // the permanent ones among them
	// dead finds a session of the set that is dead but not removed yet; 0 = none. It is not known when looking would take too long.
	// For a log-in that may not evict it is enough to find those that count.
	dead(o session.OnLimit) (slot uint32, known bool)
	victim(o session.OnLimit) uint32 // the next to be evicted; 0 = there is none, all are permanent
}

// makeRoom lets one more session under the limits that l meets: dead sessions go first, then the one that l replaces and those that a limit evicts. It answers with
// the limit that refuses, after having ended nothing but dead sessions. Rules and proofs are in DESIGN.md.
func (s *state) makeRoom(c *fsmpb.CreateSession, l *login) (fsmpb.Code, string) {
	limits := s.limitsOf(l)
	if len(limits) == 0 && l.old == 0 {
		return fsmpb.Code_CODE_OK, ""
	}
	s.pinned = l.user // its numbers go on, though its last session may go here
	code, field := s.judgeLimits(limits, l)
	if code == fsmpb.Code_CODE_OK {
		s.actsByLogin(c, l.id)
		if l.old != 0 {
			s.endByCommand(l.old, CauseReplaced)
		}
		for _, limit := range limits {
			s.evict(limit)
		}
	}
	s.pinned = 0
	if code != fsmpb.Code_CODE_OK && l.user != 0 {
		s.dropIfForgotten(l.user)
	}
	return code, field
}

// limitsOf lists the limits that a log-in meets, from the smallest set of sessions to the largest.
func (s *state) limitsOf(l *login) (limits []sessionLimit) {
	p := s.policies.byIndex[l.policy]
	permanent := l.flags&sessionPermanent != 0
	if permanent && !p.PermanentCounted {
		return nil
	}
	add := func(field string, most int, o session.OnLimit, c Cause, of counted) {
		if most > 0 {
			leaving, freed := s.leaving(l, of)
			limits = append(limits, sessionLimit{field, most, o, c, of, leaving, freed})
		}
	}
	user := ownerSessions{s: s, kind: ofUser, user: l.user, policy: l.policy}
	single := l.user != 0 && p.SingleSession && !permanent
	if single { // which permanent sessions are outside of, counted or not
		add("single_session", 1, session.OnLimitOldest, CauseReplaced, user)
	}
	if user.permanents = p.PermanentCounted; l.user != 0 && (!single || user.permanents) {
		add("max_sessions_per_user", p.MaxSessionsPerUser, p.OnLimit, CauseEvicted, user)
	}
	if l.address != ([16]byte{}) {
		address := ownerSessions{s: s, kind: ofAddress, address: l.address, policy: l.policy, permanents: p.PermanentCounted}
		add("max_sessions_per_address", p.MaxSessionsPerAddress, p.OnLimit, CauseEvicted, address)
	}
	add("max_sessions", p.MaxSessions, p.OnLimit, CauseEvicted, policySessions{s: s, policy: l.policy, permanents: p.PermanentCounted})
	if !permanent {
		add("cluster", s.limits.MaxSessions, s.limits.OnLimit, CauseEvicted, allSessions{s: s})
	}
	return limits
}

// leaving tells whether a set counts the session that a log-in replaces, 1 or 0, and whether that is a permanent one.
func (s *state) leaving(l *login, of counted) (leaving, permanent int) {
	if l.old == 0 || !of.has(s.sessions.recs.at(l.old)) {
		return 0, 0
	}
	return 1, ring(s.sessions.recs.at(l.old).permanent())
}

// judgeLimits removes what is dead where a limit is reached, and tells whether all of them will let the log-in pass.
func (s *state) judgeLimits(limits []sessionLimit, l *login) (fsmpb.Code, string) {
	for _, limit := range limits {
		if !s.clear(limit) {
			return fsmpb.Code_CODE_BUSY, limit.field
		}
	}
	freed := 0 // what is certain to be evicted, and is counted by the limits that follow
	for _, limit := range limits {
		over := limit.over() - freed
		if o, ok := limit.counts.(ownerSessions); ok && o.kind == ofAddress {
			over = limit.over() - s.freedAt(limits[0], freed, l)
		}
		if over <= 0 {
			continue
		}
		if !limit.onLimit.Evicts() || limit.stuck() {
			return fsmpb.Code_CODE_SESSION_LIMIT, limit.field
		}
		freed = max(freed, min(over, 1+s.room.spare))
	}
	return fsmpb.Code_CODE_OK, ""
}

// freedAt tells how many of the sessions that a user's limit evicts came from the log-in's address. That matters where an address refuses and its
// user's limit evicts, which is where a user may have one session: so all of them go, unless they are more than an entry can end.
func (s *state) freedAt(limit sessionLimit, freed int, l *login) (n int) {
	user, ok := limit.counts.(ownerSessions)
	if !ok || freed == 0 || freed != user.count()-limit.leaving {
		return 0
	}
	tree, root := user.tree(false)
	tree.each(root, kinOf(user.policy, false), func(slot uint32) bool {
		if slot != l.old && s.sessions.recs.at(slot).address == l.address {
			n++
		}
		return true
	})
	return n
}

// clear removes dead sessions until the limit has room or none is left. False: that takes more than this entry can spare.
func (s *state) clear(limit sessionLimit) bool {
	for n := 0; limit.over() > 0; n++ {
		slot, known := limit.counts.dead(limit.onLimit)
		if slot == 0 || !known {
			return known
		}
		if !s.room.spend(n) {
			return false
		}
		s.endDead(slot)
	}
	return true
}

// evict ends living sessions until one more fits. Where the limit was lowered below what lives that may take several log-ins; none of
// them adds to the excess.
func (s *state) evict(limit sessionLimit) {
	for n := 0; limit.counts.count() >= limit.most && s.room.spend(n); n++ {
		slot := limit.counts.victim(limit.onLimit)
		if slot == 0 {
			return
		}
		if !s.alive(slot) {
			s.endDead(slot)
			continue
		}
		s.endByCommand(slot, limit.cause)
	}
}

// endDead removes a session that is due or condemned, before its turn.
func (s *state) endDead(slot uint32) {
	cause := CauseUser
	if ends := s.endsOf(s.sessions.recs.at(slot)); ends.first() <= s.clock {
		cause = ends.cause()
	}
	s.byTime(func() { s.endByCommand(slot, cause) })
}

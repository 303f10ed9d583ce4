package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// ExportedCluster is what all sessions share, as a move takes it elsewhere. It is the caller's.
type ExportedCluster struct {
	Policies []session.Policy // in the order of their names; one of version 0 is "default" before anybody stored it
	Past     []PastPolicy     // oldest first for each policy
	Seals    []SealKey        // in the order of their ids, which are this cluster's: see Moving.SealOffset
	LastSeal uint32
	Limits   session.ClusterLimits
	Floor    uint64 // a new user's sessions get numbers above it
	Version  uint64 // no user, policy or limits ever had a higher one
}

// PastPolicy is a policy as it still holds for sessions that were created at UntilMS or before: as it is, but with a shorter absolute lifetime.
type PastPolicy struct {
	session.Policy
	UntilMS int64
}

// ExportedSession is a session in the form in which ImportSessions takes it, and what else is known of it. It is the caller's.
type ExportedSession struct {
	*fsmpb.MovedSession
	Seq           uint64
	DeadlineMS    int64 // if nobody uses it; 0 = never
	IdleMS        int64 // its own or its policy's; 0 = none
	InactivityMS  int64 // 0 = none
	WindowMS      int64 // the effective touch window
	AbsoluteEndMS int64 // 0 = never
	PolicyVersion uint64
}

// ExportCluster tells what all sessions share.
func (m *Machine) ExportCluster() ExportedCluster {
	return reading(m, func(s *state) ExportedCluster {
		out := ExportedCluster{LastSeal: s.seals.last, Limits: s.limits, Floor: s.users.floor, Version: s.version}
		out.Seals = append(out.Seals, s.seals.keys...)
		for _, i := range s.policies.sorted() {
			p := s.policies.byIndex[i]
			out.Policies = append(out.Policies, p.Policy)
			for _, step := range p.steps {
				past := PastPolicy{Policy: p.Policy, UntilMS: step.throughMS}
				past.AbsoluteLifetime = time.Duration(step.lifetime) * time.Millisecond
				out.Past = append(out.Past, past)
			}
		}
		return out
	})
}

// ErrExportOver says that an export cannot go on: the places of users are others by now.
var ErrExportOver = errors.New("the places of users have changed since the list was begun")

// ExportUsers returns up to n users (at most MaxScan) in the form in which ImportUsers takes them: accounts, and users without account. cursor is "" or
// the next of the call before, which is "" after the last; it means nothing after the cluster was open. On another node, and after a restore, which gives
// users other places, it is ErrExportOver.
func (m *Machine) ExportUsers(cursor string, n int) (page []*fsmpb.MovedUser, next string, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	places := m.places()
	at := uint64(1)
	if cursor != "" {
		if at, err = cutPlace(cursor, places); err != nil {
			return nil, "", fmt.Errorf("export users: %w", err)
		}
	}
	s := m.state
	end := uint64(s.users.recs.n)
	for looks := 0; at < end && looks < MaxScan && len(page) < n; looks++ {
		if s.users.recs.at(uint32(at)).serial != 0 {
			page = append(page, s.movedUser(uint32(at)))
		}
		at++
	}
	if at < end {
		next = places + placeMark + strconv.FormatUint(at, 10)
	}
	return page, next, nil
}

// placeMark stands in a cursor between what Machine.places tells and a place.
const placeMark = "-"

// places changes whenever users may have been given other places in memory.
func (m *Machine) places() string {
	return strconv.FormatUint(hasher(m.seed).bytes(strconv.AppendUint([]byte("places "), m.restores, 10)), 16)
}

// cutPlace takes the place out of a cursor.
func cutPlace(cursor, places string) (at uint64, err error) {
	of, place, marked := strings.Cut(cursor, placeMark)
	at, err = strconv.ParseUint(place, 10, 32)
	switch {
	case !marked || err != nil || at == 0:
		return 0, fmt.Errorf("%q is no cursor", cursor)
	case of != places:
		return 0, ErrExportOver
	}
	return at, nil
}

// ExportSessions returns up to n sessions (at most MaxScan) with afterSeq < Seq, in the order of their creation. It shows those that live, in a closed
// cluster those that lived when it was closed, and in one that is being filled all. done tells that there are no more; otherwise the
// export goes on after nextSeq, and sessions may be empty.
func (m *Machine) ExportSessions(afterSeq uint64, n int) (page []ExportedSession, nextSeq uint64, done bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.state
	c := s.sessions.order.seek(afterSeq + 1)
	for looks := 0; looks < MaxScan && len(page) < n; looks++ {
		seq, slot, ok := s.sessions.order.get(c)
		if !ok {
			return page, afterSeq, true
		}
		if afterSeq = seq; s.moves(slot) {
			page = append(page, s.exportedSession(slot))
		}
		c = s.sessions.order.next(c)
	}
	return page, afterSeq, false
}

// moves tells whether a session is one of those that can be moved.
func (s *state) moves(slot uint32) bool {
	at := s.clock
	switch s.moving.phase {
	case PhaseFilling:
		return true
	case PhaseClosed:
		at = s.moving.atMS
	}
	r := s.sessions.recs.at(slot)
	u := s.users.recs.at(r.user)
	return !u.disabled() && !s.condemned(u, r) && at < s.deadline(r)
}

func (s *state) movedUser(slot uint32) *fsmpb.MovedUser {
	u := s.users.recs.at(slot)
	out := &fsmpb.MovedUser{Name: string(s.userName(slot)), LastNumber: u.lastNumber, Preferences: protoAttributes(s.arena.get(u.preferences))}
	if !u.stored() {
		return out
	}
	out.Account = &fsmpb.MovedAccount{
		PasswordHash: string(s.arena.get(u.password)), Md5Verifier: bytes.Clone(s.arena.get(u.verifier)), Md5Login: u.md5(),
		Roles: s.roles.proto[u.roles], Disabled: u.disabled(), CreatedMs: u.createdMS, Version: u.version,
	}
	for _, index := range s.arena.get(u.policies) {
		out.Account.Policies = append(out.Account.Policies, s.policies.byIndex[index].Name)
	}
	return out
}

func (s *state) exportedSession(slot uint32) ExportedSession {
	r := s.sessions.recs.at(slot)
	e := s.endsOf(r)
	return ExportedSession{
		MovedSession: s.movedSession(slot), Seq: r.seq, DeadlineMS: orZero(e.first()), IdleMS: s.idleMS(r), InactivityMS: s.inactivityMS(r), WindowMS: s.windowMS(r),
		AbsoluteEndMS: orZero(e.absolute), PolicyVersion: s.policies.byIndex[r.policy].Version,
	}
}

func (s *state) movedSession(slot uint32) *fsmpb.MovedSession {
	r := s.sessions.recs.at(slot)
	x := s.extrasOf(r)
	out := &fsmpb.MovedSession{
		KeyHash: bytes.Clone(r.key[:]), Id: bytes.Clone(r.id[:]), User: string(s.userName(r.user)), Policy: s.policies.byIndex[r.policy].Name, Number: r.number,
		CreatedMs: r.createdMS, LastUseMs: r.lastUseMS, LastActivityMs: r.lastActivity(x), AuthMs: s.authMS(slot),
		Permanent: r.permanent(), BindAddress: r.flags&sessionBound != 0, Roles: s.roles.proto[r.roles], Methods: s.methods.proto[r.methods],
		UserAgent: string(s.arena.get(r.agent)), Attributes: protoAttributes(s.arena.get(r.attributes)), AttributesVersion: r.attributesVersion,
	}
	if r.ownIdle() {
		out.IdleMs, out.WindowMs = &x.idleMS, x.windowMS
	}
	if r.address != ([16]byte{}) {
		out.Address = bytes.Clone(r.address[:])
	}
	p := s.pastOf(slot)
	for i := range p.retired {
		k := &p.retired[i]
		moved := &fsmpb.MovedKey{Hash: bytes.Clone(k.hash[:]), GraceMs: k.graceMS}
		if k.graceMS != 0 {
			moved.Sealed = bytes.Clone(k.sealed[:])
		}
		out.Retired = append(out.Retired, moved)
	}
	return out
}

// protoAttributes copies a blob out.
func protoAttributes(blob []byte) (out []*fsmpb.Attribute) {
	for _, a := range attributesOf(blob) {
		out = append(out, &fsmpb.Attribute{Name: a.Name, Value: a.Value})
	}
	return out
}

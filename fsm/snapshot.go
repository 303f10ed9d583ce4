package fsm

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/session"
)

// Snapshot is the state at one point of the log. It is written in an order that the log alone decides, so that its bytes are
// the same on every node.
type Snapshot struct {
	meta     meta
	policies []frozenPolicy // in the order of their names
	users    frozen[userRec]
	sessions frozen[sessionRec]
	idem     frozen[idempotencyRec]
	attempts frozen[attemptRec]
	seals    seals
	secrets  []challengeSecret
	used     frozen[usedChallenge]
	arena    frozenArena

	generation uint64
	sharing    *sharing
	released   atomic.Bool
}

// meta is the part of the state that is no table.
type meta struct {
	index, clock, level, history, version uint64
	lastSeq, userSerial, floor            uint64
	reapTurn, idempotencySerial           uint64
	attemptSerial, challengeSerial        uint64
	lastSealKey                           uint64
	maxSessions, onLimit, limitsVersion   uint64
	home, homeVersion, endingFloor        uint64
	moving                                moving
}

type frozenPolicy struct {
	index uint8
	session.Policy
	uses, activities timer
	bornMS           int64
	steps            []lifetimeStep
}

// Snapshot freezes the state for writing without stopping later applies: it copies directories of chunks, no sessions.
// The caller must Release it.
func (m *Machine) Snapshot() *Snapshot {
	s := m.state
	snap := &Snapshot{
		meta: meta{
			index: s.index, clock: uint64(s.clock), level: uint64(s.level), history: s.history, version: s.version,
			lastSeq: s.sessions.lastSeq, userSerial: s.users.serial, floor: s.users.floor,
			reapTurn: s.users.reapTurn, idempotencySerial: s.idem.serial,
			attemptSerial: s.attempts.serial, challengeSerial: s.challenges.serial, lastSealKey: uint64(s.seals.last),
			maxSessions: uint64(s.limits.MaxSessions), onLimit: uint64(onLimitByte(s.limits.OnLimit)), limitsVersion: s.limits.Version,
			home: homeNumber(s.home.Node), homeVersion: s.home.Version, endingFloor: s.users.endingFloor,
			moving: s.moving,
		},
		users: s.users.recs.freeze(), sessions: s.sessions.recs.freeze(), idem: s.idem.recs.freeze(), attempts: s.attempts.recs.freeze(), arena: s.arena.freeze(),
		seals:   seals{keys: slices.Clone(s.seals.keys), holders: s.seals.holders},
		secrets: s.challenges.secrets, used: s.challenges.used.freeze(),
		sharing: &s.sharing, generation: s.sharing.begin(),
	}
	for _, i := range s.policies.sorted() {
		p := s.policies.byIndex[i]
		snap.policies = append(snap.policies, frozenPolicy{i, p.Policy, p.uses, p.activities, p.bornMS, p.steps})
	}
	return snap
}

// Release lets the state use again what the snapshot has kept from change. It may be called more than once, on any
// goroutine, but not while WriteTo runs.
func (s *Snapshot) Release() {
	s.released.Store(true)
	s.sharing.end(s.generation)
}

// Index is the log index of the last entry that the snapshot holds.
func (s *Snapshot) Index() uint64 { return s.meta.index }

// WriteTo streams the snapshot. It runs concurrently with Apply and never blocks it. It needs 16 bytes of memory a session
// for their order.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	if s.released.Load() {
		return 0, errors.New("write snapshot: it has been released")
	}
	b := newBlockWriter(w)
	b.record(blockMeta, s.meta.append)
	s.writeSeals(b)
	var ordinals [session.MaxPolicies]uint8
	for i, p := range s.policies {
		ordinals[p.index] = uint8(i)
		b.record(blockPolicies, p.append)
	}
	users := s.writeUsers(b, &ordinals)
	s.writeSessions(b, users, &ordinals)
	s.writeIdempotency(b)
	s.writeAttempts(b)
	s.writeChallenges(b)
	return b.trailer()
}

// place is a record's position in the order of the snapshot.
type place struct {
	order uint64
	slot  uint32
}

// inOrder lists the records in use, in the order that the log gave them.
func inOrder[T any](f frozen[T], order func(*T) uint64) []place {
	places := make([]place, 0, f.n) // at once: growing would cost the applies beside it more than what stays unused
	for i := uint32(1); i < f.n; i++ {
		if o := order(f.at(i)); o != 0 {
			places = append(places, place{o, i})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.order, b.order) })
	return places
}

// writeUsers returns the ordinal in the snapshot of each user's slot.
func (s *Snapshot) writeUsers(b *blockWriter, policies *[session.MaxPolicies]uint8) []uint32 {
	ordinals := make([]uint32, s.users.n)
	for i, p := range inOrder(s.users, func(u *userRec) uint64 { return u.serial }) {
		ordinals[p.slot] = uint32(i)
		u := s.users.at(p.slot)
		b.record(blockUsers, func(out []byte) []byte { return s.appendUser(out, u, policies) })
	}
	return ordinals
}

func (s *Snapshot) writeSessions(b *blockWriter, users []uint32, policies *[session.MaxPolicies]uint8) {
	for _, p := range inOrder(s.sessions, func(r *sessionRec) uint64 { return r.seq }) {
		r := s.sessions.at(p.slot)
		if !b.record(blockSessions, func(out []byte) []byte {
			out = appendSession(out, r, users[r.user], policies[r.policy])
			out = appendShort(out, s.arena.get(r.agent))
			out = appendShort(out, s.arena.get(r.attributes))
			out = appendShort(out, s.arena.get(r.past))
			return append(out, s.arena.get(r.extras)...)
		}) {
			return
		}
	}
}

func (s *Snapshot) writeIdempotency(b *blockWriter) {
	for _, p := range inOrder(s.idem, func(r *idempotencyRec) uint64 { return r.serial }) {
		r := s.idem.at(p.slot)
		if !b.record(blockIdempotency, func(out []byte) []byte {
			out = append(append(out, r.scope[:]...), r.body[:]...)
			return appendUints(out, r.serial, r.seq, uint64(r.createdMS))
		}) {
			return
		}
	}
}

func (s *Snapshot) writeSeals(b *blockWriter) {
	for _, k := range s.seals.keys {
		b.record(blockSealKeys, func(out []byte) []byte {
			out = appendUints(out, uint64(k.ID), uint64(k.MemoryKiB), uint64(k.Iterations), uint64(k.Parallelism))
			return append(append(out, k.Salt[:]...), k.Check[:]...)
		})
	}
	for _, h := range s.seals.holders {
		b.record(blockSealHolders, func(out []byte) []byte {
			out = append(appendShort(out, []byte(h.Node)), byte(len(h.IDs)))
			for _, id := range h.IDs {
				out = appendUints(out, uint64(id))
			}
			return out
		})
	}
}

func (s *Snapshot) writeAttempts(b *blockWriter) {
	for _, p := range inOrder(s.attempts, func(r *attemptRec) uint64 { return r.serial }) {
		r := s.attempts.at(p.slot)
		if !b.record(blockAttempts, func(out []byte) []byte {
			out = binary.LittleEndian.AppendUint32(append(out, r.network[:]...), r.user)
			return appendUints(out, r.serial, r.run, uint64(r.dryMS))
		}) {
			return
		}
	}
}

func (s *Snapshot) writeChallenges(b *blockWriter) {
	for _, c := range s.secrets {
		b.record(blockChallengeSecrets, func(out []byte) []byte { return appendShort(appendUints(out, uint64(c.hourMS)), c.sealed) })
	}
	for _, p := range inOrder(s.used, func(u *usedChallenge) uint64 { return u.serial }) {
		u := s.used.at(p.slot)
		if !b.record(blockUsedChallenges, func(out []byte) []byte { return appendUints(append(out, u.hash[:]...), u.serial, uint64(u.endMS)) }) {
			return
		}
	}
}

func appendUints(out []byte, values ...uint64) []byte {
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	return out
}

// appendShort appends at most 64 KiB with their length.
func appendShort(out, b []byte) []byte {
	return append(binary.LittleEndian.AppendUint16(out, uint16(len(b))), b...)
}

func (m meta) append(out []byte) []byte {
	out = appendUints(out, m.index, m.clock, m.level, m.history, m.version, m.lastSeq, m.userSerial, m.floor, m.reapTurn, m.idempotencySerial,
		m.attemptSerial, m.challengeSerial, m.lastSealKey, m.maxSessions, m.onLimit, m.limitsVersion, m.home, m.homeVersion, m.endingFloor,
		uint64(m.moving.phase), m.moving.closing, uint64(m.moving.atMS), uint64(m.moving.sealOffset), uint64(m.moving.sealLast))
	return appendShort(out, []byte(m.moving.origin))
}

func (p frozenPolicy) append(out []byte) []byte {
	out = appendShort(out, []byte(p.Name))
	window := p.TouchWindow.Milliseconds()
	if p.TouchWindow == session.TouchWindowAuto {
		window = -1
	}
	write := byte(0)
	if p.AttributesWrite == session.WriteByBearer {
		write = 1
	}
	out = appendUints(out, p.Version, uint64(p.IdleTimeout.Milliseconds()), uint64(p.AbsoluteLifetime.Milliseconds()), uint64(window))
	out = appendUints(append(out, write, p.rules(), keyFormatByte(p.KeyFormat)), uint64(p.InactivityTimeout.Milliseconds()), uint64(p.RotateGrace.Milliseconds()))
	out = appendPolicyLimits(out, p.PolicyLimits)
	out = appendUints(out, uint64(p.uses.lapsed), uint64(p.uses.lapsedSpan), uint64(p.activities.lapsed), uint64(p.activities.lapsedSpan), uint64(p.bornMS))
	out = append(out, byte(len(p.steps)))
	for _, step := range p.steps {
		out = appendUints(out, uint64(step.throughMS), uint64(step.lifetime))
	}
	return out
}

// What a policy's byte of rules holds, beside the address binding in its lower bits.
const (
	ruleBinding           = 3
	ruleBindLog           = 1
	ruleBindStrict        = 2
	ruleNoTickle          = 4
	rulePermanentAllowed  = 8
	ruleLongerIdleAllowed = 16
	ruleAttributesLocal   = 32
)

func (p frozenPolicy) rules() (rules byte) {
	switch p.BindAddress {
	case session.BindLog:
		rules = ruleBindLog
	case session.BindStrict:
		rules = ruleBindStrict
	}
	if p.NoTickle {
		rules |= ruleNoTickle
	}
	if p.PermanentAllowed {
		rules |= rulePermanentAllowed
	}
	if p.LongerIdleAllowed {
		rules |= ruleLongerIdleAllowed
	}
	if p.Attributes == session.AttributesLocal {
		rules |= ruleAttributesLocal
	}
	return rules
}

func (s *Snapshot) appendUser(out []byte, u *userRec, policies *[session.MaxPolicies]uint8) []byte {
	c := parseCondemnations(s.arena.get(u.condemned))
	out = appendUints(out, u.serial, u.version, u.lastNumber, c.sessions.notBefore, c.sessions.exempt, c.reapTurn, uint64(u.createdMS))
	out = append(out, u.roles, u.flags)
	out = appendUints(out, c.permanents.notBefore, c.permanents.exempt)
	out = appendShort(out, s.arena.get(u.name))
	out = appendShort(out, s.arena.get(u.password))
	out = appendShort(out, s.arena.get(u.verifier))
	own := s.arena.get(u.policies)
	out = append(out, byte(len(own)))
	for _, index := range own {
		out = append(out, policies[index])
	}
	out = appendShort(out, s.arena.get(u.preferences))
	return appendShort(out, s.arena.get(u.endings))
}

func appendSession(out []byte, r *sessionRec, user uint32, policy uint8) []byte {
	out = append(append(append(out, r.key[:]...), r.id[:]...), r.address[:]...)
	out = appendUints(out, r.seq, r.number, uint64(r.createdMS), uint64(r.lastUseMS), r.attributesVersion)
	return append(binary.LittleEndian.AppendUint32(out, user), policy, r.flags, r.roles, r.methods)
}

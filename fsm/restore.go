package fsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/hydrastore/hydrastore/session"
)

// Restore replaces the state by that of a snapshot, which it reads up to its end and no further. It builds the new state
// first, with bounded memory beside it: on an error the old state stays.
func (m *Machine) Restore(r io.Reader) error {
	b := &builder{s: emptyState(m.seed)}
	if err := b.read(r); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	b.s.events, b.s.removed = m.events, m.state.removed
	m.locked(func() {
		m.state = b.s
		m.phase.Store(uint32(b.s.moving.phase))
		m.restores++
	})
	return nil
}

// builder makes a state of a snapshot. It trusts checksums for damage and nothing for meaning: a record that no log could
// have made is an error.
type builder struct {
	s     *state
	users uint32 // their slots are 1 to this, in the order of the snapshot

	userSerial, idempotencySerial, attemptSerial, challengeSerial uint64 // the last one read
	lastSeq                                                       uint64 // of meta
	lastPolicy                                                    string
	reaps                                                         []uint32
}

var errImpossible = errors.New("a record is not possible")

func (b *builder) read(r io.Reader) error {
	blocks, err := newBlockReader(r)
	if err != nil {
		return err
	}
	for {
		kind, payload, err := blocks.next()
		if err != nil {
			return err
		}
		if kind == blockTrailer {
			return b.finish()
		}
		if kind > blockMeta && blocks.counts[blockMeta-1] != 1 {
			return errors.New("snapshot is damaged: it has no beginning")
		}
		f := fields{b: payload}
		for len(f.b) > 0 {
			if !b.record(kind, &f) || f.bad {
				return fmt.Errorf("snapshot is damaged: record %d of kind %d: %w", blocks.counts[kind-1]+1, kind, errImpossible)
			}
			blocks.counts[kind-1]++
		}
	}
}

func (b *builder) record(kind blockKind, f *fields) bool {
	switch kind {
	case blockMeta:
		return b.meta(f)
	case blockSealKeys:
		return b.sealKey(f)
	case blockSealHolders:
		return b.sealHolder(f)
	case blockPolicies:
		return b.policy(f)
	case blockUsers:
		return b.user(f)
	case blockSessions:
		return b.session(f)
	case blockIdempotency:
		return b.idempotency(f)
	case blockAttempts:
		return b.attempts(f)
	case blockChallengeSecrets:
		return b.challengeSecret(f)
	case blockUsedChallenges:
		return b.usedChallenge(f)
	}
	return false
}

func (b *builder) meta(f *fields) bool {
	s := b.s
	if s.level != 0 {
		return false // a second one
	}
	s.index, s.clock = f.uint(), f.instant()
	level := f.uint()
	s.history, s.version = f.uint(), f.uint()
	b.lastSeq, s.users.serial, s.users.floor = f.uint(), f.uint(), f.uint()
	s.users.reapTurn, s.idem.serial, s.attempts.serial = f.uint(), f.uint(), f.uint()
	s.challenges.serial = f.uint()
	last := f.uint()
	s.seals.last = uint32(last)
	s.limits.MaxSessions, s.limits.OnLimit, s.limits.Version = int(f.uint()), onLimitFrom(f.uint()), f.uint()
	home := f.uint()
	s.home = Home{Node: home == homeNumber(true), Version: f.uint()}
	s.users.endingFloor = f.uint()
	if home > homeNumber(true) || s.home.Version > s.version || s.users.endingFloor > s.version || s.home.Node && s.home.Version == 0 {
		return false
	}
	s.level = uint32(level)
	if !b.moving(f) {
		return false
	}
	return last <= math.MaxUint32 && s.limits.Validate() == nil && s.limits.Version <= s.version && level >= 1 && level <= SupportedFormatLevel && s.history > 0 && s.clock <= MaxClockMS
}

// moving takes what meta says of moves, and tells whether any log can have made it.
func (b *builder) moving(f *fields) bool {
	s := b.s
	phase, closing, at, offset, last, origin := f.uint(), f.uint(), f.instant(), f.uint(), f.uint(), f.bytes(MaxOriginBytes)
	s.moving = moving{phase: Phase(phase), closing: closing, atMS: at, sealOffset: uint32(offset), sealLast: uint32(last), origin: string(origin)}
	switch {
	case phase > uint64(PhaseClosed) || at > s.clock || !utf8.Valid(origin),
		offset > last || last > uint64(s.seals.last) || len(origin) == 0 && last > 0:
		return false
	case s.moving.phase == PhaseOpen:
		return at == 0
	case s.moving.phase == PhaseFilling:
		return len(origin) > 0
	}
	return closing > 0
}

func (b *builder) policy(f *fields) bool {
	p := session.Policy{Name: string(f.bytes(session.MaxPolicyNameBytes)), Version: f.uint(), AttributesWrite: session.WriteByService}
	p.IdleTimeout, p.AbsoluteLifetime, p.TouchWindow = f.duration(), f.duration(), f.duration()
	if p.TouchWindow < 0 {
		p.TouchWindow = session.TouchWindowAuto
	}
	write := f.byte()
	if write == 1 {
		p.AttributesWrite = session.WriteByBearer
	}
	rules := f.byte()
	p.KeyFormat = keyFormatFrom(uint64(f.byte()))
	p.InactivityTimeout, p.RotateGrace = f.duration(), f.duration()
	p.PolicyLimits = f.policyLimits()
	if f.bad || write > 1 || !setRules(&p, rules) || p.Validate() != nil || p.Version > b.s.version || p.Name <= b.lastPolicy || b.s.policies.n == session.MaxPolicies {
		return false
	}
	b.lastPolicy = p.Name
	n := newPolicy(p, &b.s.sessions)
	if !f.lapse(&n.uses, b.s.clock) || !f.lapse(&n.activities, b.s.clock) {
		return false
	}
	n.bornMS = f.instant()
	b.s.policies.add(n)
	return b.steps(n, f)
}

// setRules is the way back from frozenPolicy.rules.
func setRules(p *session.Policy, rules byte) bool {
	p.NoTickle, p.PermanentAllowed = rules&ruleNoTickle != 0, rules&rulePermanentAllowed != 0
	p.LongerIdleAllowed, p.Attributes = rules&ruleLongerIdleAllowed != 0, attributesPlace(rules&ruleAttributesLocal != 0)
	switch rules & ruleBinding {
	case 0:
		p.BindAddress = session.BindOff
	case ruleBindLog:
		p.BindAddress = session.BindLog
	case ruleBindStrict:
		p.BindAddress = session.BindStrict
	}
	const all = ruleBinding | ruleNoTickle | rulePermanentAllowed | ruleLongerIdleAllowed | ruleAttributesLocal
	return rules <= all && rules&ruleBinding != ruleBinding
}

// lapse takes what a change has left due, and tells whether a change can have left it: whatever it speaks of was due then.
func (f *fields) lapse(t *timer, clock int64) bool {
	t.lapsed, t.lapsedSpan = int64(f.fixed(8)), int64(f.uint())
	if t.lapsed == noLapse {
		return !f.bad && t.lapsedSpan == 0
	}
	most := 2*session.MaxTimeout.Milliseconds() + session.PromptPeriod.Milliseconds()
	return !f.bad && t.lapsed >= 0 && t.lapsedSpan > 0 && t.lapsedSpan <= most && t.lapsed+t.lapsedSpan <= clock
}

func (b *builder) steps(p *policy, f *fields) bool {
	count := int(f.byte())
	if count > maxLifetimeSteps {
		return false
	}
	last := lifetimeStep{throughMS: -1}
	for range count {
		step := lifetimeStep{throughMS: f.instant(), lifetime: int64(f.uint())}
		if step.throughMS <= last.throughMS || step.lifetime <= last.lifetime || step.lifetime >= p.lifetime ||
			step.lifetime > session.MaxTimeout.Milliseconds() {
			return false
		}
		p.steps = append(p.steps, step)
		last = step
	}
	return true
}

func (b *builder) user(f *fields) bool {
	var u userRec
	u.serial, u.version, u.lastNumber = f.uint(), f.uint(), f.uint()
	c := condemnations{sessions: condemnation{f.uint(), f.uint()}, reapTurn: f.uint()}
	u.createdMS = f.instant()
	u.roles, u.flags = f.byte(), f.byte()
	c.permanents = condemnation{f.uint(), f.uint()}
	name, password, verifier, own := f.bytes(session.MaxUserNameBytes), f.bytes(MaxPasswordHashBytes), f.bytes(MaxVerifierBytes), f.take(int(f.byte()))
	preferences, endings := f.bytes(maxBlobBytes), f.bytes(endingsBytes)
	switch {
	case f.bad || len(name) == 0 || !utf8.Valid(name) || b.s.findUser(string(name)) != 0,
		u.serial <= b.userSerial || u.serial > b.s.users.serial || u.version > b.s.version,
		u.roles == 0 || u.roles > roleUser|roleService|roleAdmin || u.flags > userStored|userDisabled|userMD5,
		len(verifier) > 0 && (!u.md5() || len(password) == 0 || !b.s.validVerifier(verifier)),
		!u.stored() && (u.roles != roleUser || u.flags != 0 || len(password)+len(own) > 0),
		!b.possible(c.sessions) || !b.possible(c.permanents) || c.reapTurn > b.s.users.reapTurn,
		!validPreferences(preferences), !b.possibleEndings(endings),
		len(own) > session.MaxPoliciesPerUser || b.users == maxSessions:
		return false
	}
	for i, ordinal := range own {
		if int(ordinal) >= b.s.policies.n || slices.Contains(own[:i], ordinal) {
			return false
		}
	}
	b.userSerial = u.serial
	u.password, u.policies, u.verifier = b.s.arena.put(password), b.s.arena.put(own), b.s.arena.put(verifier)
	u.preferences = b.s.arena.put(preferences)
	b.s.countVerifier(verifier, 1)
	b.s.setCondemnations(&u, c)
	u.endings = b.s.arena.put(endings)
	slot := b.s.placeUser(u, name)
	b.users++
	if c.reapTurn != 0 {
		b.reaps = append(b.reaps, slot)
	}
	return slot == b.users
}

// possibleEndings judges what a user's record says of its sessions at nodes.
func (b *builder) possibleEndings(blob []byte) bool {
	e := parseEndings(blob)
	rising := func(e Ending) bool { return e.Before < e.At || e == (Ending{}) }
	return len(blob) == 0 || e != (Endings{}) && rising(e.Sessions) && rising(e.Permanent) && max(e.Sessions.At, e.Permanent.At) <= b.s.version
}

func (b *builder) possible(c condemnation) bool {
	return c.notBefore <= b.lastSeq+1 && c.exempt <= b.lastSeq
}

func (b *builder) session(f *fields) bool {
	s := b.s
	var r sessionRec
	copy(r.key[:], f.take(len(r.key)))
	copy(r.id[:], f.take(len(r.id)))
	copy(r.address[:], f.take(len(r.address)))
	r.seq, r.number, r.createdMS, r.lastUseMS, r.attributesVersion = f.uint(), f.uint(), f.instant(), f.instant(), f.uint()
	r.user, r.policy, r.flags, r.roles, r.methods = uint32(f.fixed(4)), f.byte(), f.byte(), f.byte(), f.byte()
	agent, attributes, before := f.bytes(session.MaxUserAgentBytes), f.bytes(maxBlobBytes), f.bytes(maxPastBytes)
	own, possible := f.extras(&r)
	switch {
	case f.bad || r.user >= b.users || int(r.policy) >= s.policies.n || !s.validAttributes(attributes) || !possible,
		r.seq <= s.sessions.lastSeq || r.seq > b.lastSeq || s.sessions.n == maxSessions || s.home.Node,
		r.createdMS > s.policies.byIndex[r.policy].bornMS || r.lastUseMS > s.clock,
		r.roles == 0 || r.roles > roleUser|roleService|roleAdmin || r.methods == 0 || r.methods > allMethods,
		s.keyTaken(r.key) || s.findID(r.id) != 0 || !b.possiblePast(r.key, before):
		return false
	}
	r.user++ // ordinal to slot
	if u := s.users.recs.at(r.user); r.number == 0 || r.number > u.lastNumber || s.condemned(u, &r) && !s.waits(u) ||
		u.disabled() && !s.condemned(u, &r) || r.number <= s.lastNumberOf(r.user) {
		return false
	}
	s.countSealed(attributes, 1)
	r.agent, r.attributes, r.past = s.arena.put(agent), s.arena.put(attributes), s.arena.put(before)
	s.setExtras(&r, own)
	s.placeSession(r)
	return true
}

// lastNumberOf is the highest number of a user's sessions that are recorded: each next one has a higher one.
func (s *state) lastNumberOf(user uint32) (highest uint64) {
	for _, head := range s.users.links.at(user).heads {
		if head != 0 {
			newest := s.sessions.links.at(head).userPrev
			highest = max(highest, s.sessions.recs.at(newest).number)
		}
	}
	return highest
}

// extras takes what the record's flags say that it has, and tells whether any log can have made that.
func (f *fields) extras(r *sessionRec) (x extras, possible bool) {
	if r.flags > allSessionFlags || r.permanent() && r.flags&^sessionBound != sessionPermanent || r.flags&sessionBound != 0 && r.address == ([16]byte{}) {
		return x, false
	}
	if r.flags&(sessionOwnIdle|sessionTickled) == 0 {
		return x, true
	}
	x.idleMS, x.windowMS, x.activityMS = int64(f.uint()), int64(f.uint()), f.instant()
	_, valid := ownIdle(x.idleMS)
	switch {
	case !r.ownIdle() && (x.idleMS != 0 || x.windowMS != 0), !r.tickled() && x.activityMS != 0,
		!valid || x.windowMS > x.idleMS,
		r.tickled() && x.activityMS >= r.lastUseMS:
		return x, false
	}
	return x, true
}

// possiblePast judges the past of a session with that key: no key of it may be another one's.
func (b *builder) possiblePast(key session.KeyHash, blob []byte) bool {
	p, ok := decodePast(blob)
	if !ok || !p.possible(b.s.clock) || p.find(key) >= 0 {
		return false
	}
	for i := range p.retired {
		if h := p.retired[i].hash; p.find(h) != i || b.s.keyTaken(h) {
			return false
		}
	}
	return true
}

func (b *builder) idempotency(f *fields) bool {
	var r idempotencyRec
	copy(r.scope[:], f.take(len(r.scope)))
	copy(r.body[:], f.take(len(r.body)))
	r.serial, r.seq, r.createdMS = f.uint(), f.uint(), f.instant()
	switch {
	case f.bad || r.serial <= b.idempotencySerial || r.serial > b.s.idem.serial,
		r.seq > b.lastSeq || r.createdMS > b.s.clock || b.s.idem.n == session.MaxIdempotencyRecords,
		r.seq != 0 && b.s.findScope(r.scope) != 0:
		return false
	}
	b.idempotencySerial = r.serial
	b.s.placeIdempotency(r)
	return true
}

func (b *builder) sealKey(f *fields) bool {
	var k SealKey
	id, memory, iterations, parallelism := f.uint(), f.uint(), f.uint(), f.uint()
	copy(k.Salt[:], f.take(len(k.Salt)))
	copy(k.Check[:], f.take(len(k.Check)))
	k.ID, k.MemoryKiB, k.Iterations, k.Parallelism = uint32(id), uint32(memory), uint32(iterations), uint8(parallelism)
	seals := &b.s.seals
	switch n := len(seals.keys); {
	case f.bad || id == 0 || id > uint64(seals.last) || n == session.MaxSealKeys || n > 0 && k.ID <= seals.keys[n-1].ID,
		memory == 0 || memory > math.MaxUint32 || iterations == 0 || iterations > math.MaxUint32 || parallelism == 0 || parallelism > math.MaxUint8:
		return false
	}
	seals.keys = append(seals.keys, k)
	return true
}

func (b *builder) sealHolder(f *fields) bool {
	h := SealHolder{Node: string(f.bytes(maxHolderBytes))}
	for range min(int(f.byte()), session.MaxSealKeys+1) {
		id := f.uint()
		if id > math.MaxUint32 {
			return false
		}
		h.IDs = append(h.IDs, uint32(id))
	}
	seals := &b.s.seals
	again := slices.ContainsFunc(seals.holders, func(o SealHolder) bool { return o.Node == h.Node })
	if f.bad || again || h.Node == "" || !utf8.ValidString(h.Node) || len(h.IDs) > session.MaxSealKeys || !ascending(h.IDs) || len(seals.holders) == session.MaxSealHolders {
		return false
	}
	seals.holders = append(seals.holders, h)
	return true
}

func (b *builder) attempts(f *fields) bool {
	var r attemptRec
	copy(r.network[:], f.take(len(r.network)))
	r.user = uint32(f.fixed(4))
	r.serial, r.run, r.dryMS = f.uint(), f.uint(), f.instant()
	s := b.s
	switch {
	case f.bad || r.serial <= b.attemptSerial || r.serial > s.attempts.serial || r.run == 0 || r.run > r.serial,
		r.user != 0 && r.user>>16 != 1 || attemptNetwork(r.network[:]) != r.network,
		r.dryMS > s.clock+session.MaxAttemptWindow.Milliseconds(),
		s.attempts.n == session.MaxAttemptCounters || s.findAttempts(r.attemptKey) != 0:
		return false
	}
	b.attemptSerial = r.serial
	s.placeAttempts(r)
	return true
}

func (b *builder) challengeSecret(f *fields) bool {
	c := challengeSecret{hourMS: f.instant(), sealed: bytes.Clone(f.bytes(MaxChallengeSecretBytes))}
	s := b.s
	if n := len(s.challenges.secrets); f.bad || !validHour(c.hourMS) || len(c.sealed) == 0 || c.hourMS > s.clock || c.endMS() <= s.clock ||
		n > 0 && c.hourMS <= s.challenges.secrets[n-1].hourMS {
		return false
	}
	s.addChallengeSecret(c)
	return true
}

func (b *builder) usedChallenge(f *fields) bool {
	var u usedChallenge
	copy(u.hash[:], f.take(len(u.hash)))
	u.serial, u.endMS = f.uint(), f.instant()
	s := b.s
	if f.bad || u.serial <= b.challengeSerial || u.serial > s.challenges.serial || u.endMS > s.clock+challengeHourMS+challengeLifeMS ||
		s.challenges.n == session.MaxUsedChallenges || s.findUsed(u.hash) != 0 {
		return false
	}
	b.challengeSerial = u.serial
	s.placeUsed(u)
	return true
}

// finish judges what only the whole can tell, and queues the users whose sessions wait for their removal, and those that an import brought without any.
func (b *builder) finish() error {
	s := b.s
	if _, p := s.policies.find(session.DefaultPolicyName); p == nil {
		return errors.New("snapshot is damaged: it has no policy " + session.DefaultPolicyName)
	}
	turn := func(slot uint32) uint64 { return s.condemnationsOf(s.users.recs.at(slot)).reapTurn }
	slices.SortFunc(b.reaps, func(x, y uint32) int { return cmp.Compare(turn(x), turn(y)) })
	for i, slot := range b.reaps {
		if i > 0 && turn(slot) == turn(b.reaps[i-1]) {
			return errors.New("snapshot is damaged: two users wait at the same place")
		}
		s.queueReap(slot)
	}
	for slot := uint32(1); slot <= b.users; slot++ {
		u := s.users.recs.at(slot)
		if u.stored() || s.waits(u) || s.users.links.at(slot).recorded > 0 || u.endings != 0 {
			continue
		}
		if s.moving.origin == "" {
			return errors.New("snapshot is damaged: a user without account has no session")
		}
		s.addBare(slot)
	}
	s.sessions.lastSeq = b.lastSeq
	return nil
}

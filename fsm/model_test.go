package fsm_test

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// model is the state machine as one would write it without a care for speed: slices that are walked, ends that are written into
// each session when something changes them. The machine must not be told from it.
type model struct {
	by        *modelSession // behind the authority of the present command
	ends      int           // sessions ended per entry
	entryEnds int           // what the next entries say of that; 0 = nothing
	clock     int64
	index     uint64
	lastSeq   uint64
	floor     uint64
	version   uint64
	users     map[string]*modelUser
	sessions  []*modelSession // recorded, in the order of creation
	policies  map[string]*modelPolicy
	repeats   []*modelRepeat
	reaps     []*modelUser
	counters  []*modelCounter // of attempts
	attempts  uint64          // counted so far
	limits    modelLimits     // of the cluster; only total and onLimit
	version2  uint64          // of these
	home      fsm.Home
	moving    fsm.Moving // but its figures
	history   uint64
	bare      []*modelUser // users whom an import brought, and who have no session yet

	gracesUntil int64 // whose successors have been forgotten

	spare  int // endings that the present entry's log-ins share
	pinned *modelUser

	byCommands []fsm.Ended // what the commands of the present entry ended beside their purpose

	sealKeys    []uint32
	lastSealKey uint32
	holders     []fsm.SealHolder
	secrets     []modelSecret
	used        []modelUsed
}

type modelUser struct {
	name        string
	stored      bool
	disabled    bool
	password    string
	md5         bool
	verifier    string
	roles       []fsmpb.Role
	policies    []string
	version     uint64
	lastNumber  uint64
	preferences map[string]string
	moved       *fsmpb.MovedUser // what it came as
	endings     fsm.Endings
}

type modelSession struct {
	key         session.KeyHash
	id          session.ID
	seq, number uint64
	user        *modelUser
	policy      *modelPolicy
	created     int64
	lastUse     int64
	activity    int64 // the last use that was no tickle
	absoluteEnd int64
	permanent   bool
	bound       bool   // to its address, whatever its policy says
	own         *int64 // idle timeout of its own, with its window
	ownWindow   int64
	condemned   bool // by a change of its user
	lapsed      bool // was due when its policy's idle timeout got longer
	lapsedQuiet bool // the same of the inactivity timeout
	attributes  map[string]string
	version     uint64
	roles       []fsmpb.Role // that it was given
	methods     []fsmpb.Method
	auth        int64
	retired     []*modelKey
	address     string
	agent       string
	moved       *fsmpb.MovedSession // what it came as
}

// modelKey is a key that was rotated.
type modelKey struct {
	key    session.KeyHash
	until  int64 // the end of its grace
	sealed string
}

type modelPolicy struct {
	name                   string
	idle, absolute, window int64 // window -1 = automatic
	inactivity             int64
	grace                  int64
	bearer, local          bool
	noTickle, mayPermanent bool
	mayLonger              bool // idle timeouts
	bind                   fsmpb.AddressBinding
	keys                   fsmpb.KeyFormat
	version                uint64
	lapsedSpan             int64
	lapsedQuietSpan        int64
	raises                 []modelRaise
	born                   int64
	limits                 modelLimits
}

type modelRaise struct{ through, lifetime int64 }

type modelRepeat struct {
	scope, body string
	seq         uint64
	made        int64
}

const never = int64(math.MaxInt64)

func newModel(ends int) *model {
	day := int64(12 * 3600 * 1000)
	return &model{
		ends: ends, users: map[string]*modelUser{},
		policies: map[string]*modelPolicy{"default": {name: "default", idle: 30 * 60 * 1000, absolute: day, window: -1, grace: 30_000,
			bind: fsmpb.AddressBinding_ADDRESS_BINDING_OFF, keys: fsmpb.KeyFormat_KEY_FORMAT_NATIVE, limits: modelLimits{onLimit: refuse}}},
		limits: modelLimits{onLimit: refuse}, history: 1,
	}
}

func (p *modelPolicy) effectiveWindow() int64 {
	if p.window >= 0 {
		return p.window
	}
	return min(p.shortest()/32, 60_000)
}

// shortest is the shorter of the timers that use moves, 0 when there is none.
func (p *modelPolicy) shortest() int64 {
	switch {
	case p.idle == 0:
		return p.inactivity
	case p.inactivity == 0:
		return p.idle
	}
	return min(p.idle, p.inactivity)
}

func (p *modelPolicy) quietSpan() int64 {
	if p.inactivity == 0 {
		return never
	}
	return p.inactivity + 60_000 + p.effectiveWindow()
}

func (p *modelPolicy) span() int64 {
	if p.idle == 0 {
		return never
	}
	return p.idle + p.effectiveWindow()
}

func (p *modelPolicy) lifetime() int64 {
	if p.absolute == 0 {
		return never
	}
	return p.absolute
}

func plus(instant, duration int64) int64 {
	if duration == never {
		return never
	}
	return instant + duration
}

// window is the session's touch window.
func (s *modelSession) window() int64 {
	if s.own != nil && *s.own != 0 {
		return min(s.ownWindow, s.policy.effectiveWindow())
	}
	return s.policy.effectiveWindow()
}

func (s *modelSession) idle() int64 {
	switch {
	case s.permanent:
		return 0
	case s.own != nil:
		return *s.own
	}
	return s.policy.idle
}

func (s *modelSession) inactivity() int64 {
	if s.permanent {
		return 0
	}
	return s.policy.inactivity
}

func (s *modelSession) quietEnd() int64 {
	switch {
	case s.permanent:
		return never
	case s.lapsedQuiet:
		return plus(s.activity, min(s.policy.lapsedQuietSpan, s.policy.quietSpan()))
	}
	return plus(s.activity, s.policy.quietSpan())
}

func (s *modelSession) idleEnd() int64 {
	switch {
	case s.permanent, s.own != nil && *s.own == 0:
		return never
	case s.own != nil:
		return s.lastUse + *s.own + s.ownWindow
	}
	if s.lapsed {
		return plus(s.lastUse, min(s.policy.lapsedSpan, s.policy.span()))
	}
	return plus(s.lastUse, s.policy.span())
}

func (s *modelSession) deadline() int64 { return min(s.idleEnd(), s.quietEnd(), s.absoluteEnd) }

func (m *model) alive(s *modelSession) bool {
	return s != nil && !s.condemned && !s.lapsed && !s.lapsedQuiet && !s.user.disabled && m.clock < s.deadline()
}

func (m *model) find(match func(*modelSession) bool) *modelSession {
	if i := slices.IndexFunc(m.sessions, match); i >= 0 {
		return m.sessions[i]
	}
	return nil
}

func (m *model) byKey(key []byte) *modelSession {
	return m.find(func(s *modelSession) bool { return string(s.key[:]) == string(key) })
}

func (m *model) byID(id []byte) *modelSession {
	return m.find(func(s *modelSession) bool { return string(s.id[:]) == string(id) })
}

// opened is the session that a key opens at an address.
func (m *model) opened(key, address []byte) *modelSession {
	s := m.liveByKey(key)
	if s != nil && s.binding() == fsmpb.AddressBinding_ADDRESS_BINDING_STRICT && s.address != "" && s.address != string(address) {
		return nil
	}
	return s
}

func (s *modelSession) binding() fsmpb.AddressBinding {
	if s.bound {
		return fsmpb.AddressBinding_ADDRESS_BINDING_STRICT
	}
	return s.policy.bind
}

// byRetired finds a rotated key and its session.
func (m *model) byRetired(key []byte) (*modelSession, *modelKey) {
	for _, s := range m.sessions {
		for _, k := range s.retired {
			if string(k.key[:]) == string(key) {
				return s, k
			}
		}
	}
	return nil, nil
}

// liveByKey finds the living session that a key opens.
func (m *model) liveByKey(key []byte) *modelSession {
	if s := m.byKey(key); m.alive(s) {
		return s
	}
	if s, k := m.byRetired(key); k != nil && m.alive(s) && m.clock < k.until {
		return s
	}
	return nil
}

// spentBy finds the living session that a key, whose grace is over, once opened.
func (m *model) spentBy(key []byte) *modelSession {
	if s, k := m.byRetired(key); k != nil && m.alive(s) && m.clock >= k.until {
		return s
	}
	return nil
}

// present is opened for a command: a spent key ends its session.
func (m *model) present(key, address []byte, judged bool) *modelSession {
	if m.presentAnywhere(key, judged) == nil {
		return nil
	}
	return m.opened(key, address)
}

func (m *model) presentAnywhere(key []byte, judged bool) *modelSession {
	if s := m.spentBy(key); s != nil && !judged {
		m.endNow(s, fsm.CauseReused)
	}
	return m.liveByKey(key)
}

func (m *model) endNow(s *modelSession, cause fsm.Cause) {
	m.byCommands = append(m.byCommands, *m.end(s, cause))
}

// of returns the recorded sessions that match.
func (m *model) of(match func(*modelSession) bool) (out []*modelSession) {
	for _, s := range m.sessions {
		if match(s) {
			out = append(out, s)
		}
	}
	return out
}

func (m *model) remove(s *modelSession) {
	m.sessions = slices.DeleteFunc(m.sessions, func(o *modelSession) bool { return o == s })
	m.forget(s.user)
}

// forget drops a user that is known only through sessions that it does not have any more.
func (m *model) forget(u *modelUser) {
	if !u.stored && !(m.home.Node && u.endings != (fsm.Endings{})) && u != m.pinned && !slices.Contains(m.reaps, u) && m.find(func(s *modelSession) bool { return s.user == u }) == nil {
		m.floor = max(m.floor, u.lastNumber)
		delete(m.users, u.name)
		m.clothe(u)
	}
}

// apply applies an entry and returns the results of its commands and what it ended.
func (m *model) apply(index uint64, clock int64, commands []*fsmpb.Command) (results []*fsmpb.Result, ended []fsm.Ended) {
	m.index, m.clock, m.spare, m.byCommands = index, max(m.clock, clock), 4*m.ends, nil
	m.repeats = slices.DeleteFunc(m.repeats, func(r *modelRepeat) bool { return m.clock >= r.made+600_000 })
	m.forgetDry()
	m.forgetChallenges()
	if m.open() {
		m.gracesUntil = m.clock
	}
	budget := m.ends
	if m.entryEnds > 0 {
		budget = m.entryEnds
	}
	for ; budget > 0 && m.open(); budget-- {
		e, more := m.endOne()
		if !more {
			break
		}
		if e != nil {
			ended = append(ended, *e)
		}
	}
	for _, c := range commands {
		r := &fsmpb.Result{}
		m.do(c, r)
		results = append(results, r)
	}
	return results, append(ended, m.byCommands...)
}

// endOne takes one step of ending; nothing may be ended in it.
func (m *model) endOne() (*fsm.Ended, bool) {
	due := m.of(func(s *modelSession) bool { return s.deadline() <= m.clock })
	if len(due) > 0 {
		s := slices.MinFunc(due, func(a, b *modelSession) int {
			return cmp.Or(cmp.Compare(a.deadline(), b.deadline()), bytes.Compare(a.id[:], b.id[:]))
		})
		return m.end(s, m.deathOf(s)), true
	}
	if len(m.reaps) == 0 && len(m.bare) > 0 {
		m.forget(m.bare[0])
		return nil, true
	}
	if len(m.reaps) == 0 {
		return nil, false
	}
	u := m.reaps[0]
	for _, permanent := range []bool{false, true} {
		s := m.find(func(s *modelSession) bool { return s.user == u && s.condemned && s.permanent == permanent })
		if s != nil {
			return m.end(s, fsm.CauseUser), true
		}
	}
	m.reaps = m.reaps[1:]
	m.forget(u)
	return nil, true
}

// deathOf is why a dead session is dead.
func (m *model) deathOf(s *modelSession) fsm.Cause {
	if s.deadline() > m.clock {
		return fsm.CauseUser
	}
	switch s.deadline() {
	case s.absoluteEnd:
		return fsm.CauseAbsolute
	case s.idleEnd():
		return fsm.CauseIdle
	}
	return fsm.CauseInactive
}

func (m *model) end(s *modelSession, cause fsm.Cause) *fsm.Ended {
	e := fsm.Ended{ID: s.id, Number: s.number, User: s.user.name, Cause: cause, DeadlineMS: zeroIfNever(s.deadline())}
	m.remove(s)
	return &e
}

func zeroIfNever(instant int64) int64 {
	if instant == never {
		return 0
	}
	return instant
}

// condemn kills a user's permanent sessions or its others, except one.
func (m *model) condemn(u *modelUser, permanent bool, except *modelSession) (killed uint64) {
	for _, s := range m.sessions {
		if s.user == u && s.permanent == permanent && s != except && !s.condemned {
			s.condemned = true
			killed++
		}
	}
	if killed > 0 && !slices.Contains(m.reaps, u) {
		m.reaps = append(m.reaps, u)
	}
	return killed
}

func (m *model) nextVersion() uint64 {
	m.version = max(m.version+1, m.index)
	return m.version
}

// nextDeadline is what NextDeadlineMS must say.
func (m *model) nextDeadline() (int64, bool) {
	if m.open() && len(m.reaps)+len(m.bare) > 0 {
		return m.clock, true
	}
	first := never
	for _, s := range m.sessions {
		if !m.open() {
			break
		}
		first = min(first, s.deadline())
		for _, k := range s.retired {
			if k.until > m.gracesUntil { // few in a test: all that are over are forgotten at once
				first = min(first, k.until)
			}
		}
	}
	for _, s := range m.secrets {
		first = min(first, s.end())
	}
	return first, first != never
}

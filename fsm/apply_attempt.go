package fsm

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// AttemptLimit is how many attempts a counter of the login throttle lets through at once; they come back evenly over the
// window. The zero limit is none.
type AttemptLimit struct {
	Attempts int
	Window   time.Duration
}

// attemptLimit is an AttemptLimit as counters see it; the zero limit is none.
type attemptLimit struct{ shareMS, windowMS int64 }

// newAttemptLimit judges a limit; nil is none.
func newAttemptLimit(l *fsmpb.AttemptLimit) (attemptLimit, bool) {
	if l == nil {
		return attemptLimit{}, true
	}
	ok := l.Attempts >= 1 && l.Attempts <= session.MaxAttempts && l.WindowMs >= int64(l.Attempts) && l.WindowMs <= session.MaxAttemptWindow.Milliseconds()
	if !ok {
		return attemptLimit{}, false
	}
	return attemptLimit{shareMS: l.WindowMs / int64(l.Attempts), windowMS: l.WindowMs}, true
}

// attemptKeys says which counters an attempt is counted by. An unknown address has none of its own.
type attemptKeys struct{ user, address attemptKey }

func newAttemptKeys(address []byte, userHash uint32) (k attemptKeys, ok bool) {
	if !validAddress(address) || userHash >= attemptByUser {
		return k, false
	}
	network := attemptNetwork(address)
	return attemptKeys{user: attemptKey{network, attemptByUser | userHash}, address: attemptKey{network: network}}, true
}

// attemptNetwork is session.Network in the log's form: 16 bytes, all zero for an unknown address.
func attemptNetwork(address []byte) (n [16]byte) {
	if len(address) == len(n) {
		n = session.Network(netip.AddrFrom16([16]byte(address))).As16()
	}
	return n
}

func (s *state) takeAttempt(c *fsmpb.TakeAttempt, r *fsmpb.Result) {
	keys, ok := newAttemptKeys(c.Address, c.UserHash)
	perUser, okUser := newAttemptLimit(c.PerUser)
	perAddress, okAddress := newAttemptLimit(c.PerAddress)
	if !ok || !okUser || !okAddress {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if len(c.Address) == 0 {
		perAddress = attemptLimit{}
	}
	if wait, field := s.attemptsWait(keys, perUser, perAddress, s.clock); wait > 0 {
		fail(r, fsmpb.Code_CODE_THROTTLED, field)
		r.Payload = &fsmpb.Result_RetryAfterMs{RetryAfterMs: wait}
		return
	}
	taken := &fsmpb.Attempt{Address: bytes.Clone(c.Address), UserHash: c.UserHash, UserShareMs: perUser.shareMS, AddressShareMs: perAddress.shareMS}
	if perUser.shareMS != 0 {
		taken.UserRun = s.countAttempt(keys.user, perUser)
	}
	if perAddress.shareMS != 0 {
		taken.AddressRun = s.countAttempt(keys.address, perAddress)
	}
	r.Payload = &fsmpb.Result_Attempt{Attempt: taken}
}

// attemptsWait tells how long it is until both counters have room, and which one is the later.
func (s *state) attemptsWait(k attemptKeys, perUser, perAddress attemptLimit, clock int64) (ms int64, field string) {
	ms, field = s.attemptWait(k.user, perUser, clock), "user"
	if byAddress := s.attemptWait(k.address, perAddress, clock); byAddress > ms {
		return byAddress, "address"
	}
	return ms, field
}

func (s *state) giveBackAttempt(c *fsmpb.GiveBackAttempt, r *fsmpb.Result) {
	if c.Attempt == nil || !s.validAttempt(c.Attempt) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	s.uncount(c.Attempt)
}

// validAttempt tells whether a taken attempt is possible.
func (s *state) validAttempt(a *fsmpb.Attempt) bool {
	_, ok := newAttemptKeys(a.Address, a.UserHash)
	share := func(run uint64, ms int64) bool {
		return run <= s.attempts.serial && ms >= 0 && ms <= session.MaxAttemptWindow.Milliseconds() && (run != 0) == (ms != 0)
	}
	return ok && share(a.UserRun, a.UserShareMs) && share(a.AddressRun, a.AddressShareMs)
}

// uncount takes a valid attempt out of its counters.
func (s *state) uncount(a *fsmpb.Attempt) {
	if a == nil {
		return
	}
	keys, _ := newAttemptKeys(a.Address, a.UserHash)
	s.uncountAttempt(keys.user, a.UserRun, a.UserShareMs)
	s.uncountAttempt(keys.address, a.AddressRun, a.AddressShareMs)
}

// AttemptWait tells how long an attempt would have to wait at the given replicated time, as far as this node knows: 0 = it may
// be taken. The address may be invalid, which is unknown. It counts nothing.
func (m *Machine) AttemptWait(address netip.Addr, userHash uint16, perUser, perAddress AttemptLimit, clockMS int64) (wait time.Duration, field string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var raw []byte
	if address.IsValid() {
		a := address.As16()
		raw = a[:]
	} else {
		perAddress = AttemptLimit{}
	}
	keys, _ := newAttemptKeys(raw, uint32(userHash))
	user, _ := newAttemptLimit(perUser.Proto())
	byAddress, _ := newAttemptLimit(perAddress.Proto())
	ms, field := m.state.attemptsWait(keys, user, byAddress, max(clockMS, m.state.clock))
	return time.Duration(ms) * time.Millisecond, field
}

// Proto is the limit as commands carry it; nil for none.
func (l AttemptLimit) Proto() *fsmpb.AttemptLimit {
	if l.Attempts == 0 {
		return nil
	}
	return &fsmpb.AttemptLimit{Attempts: uint32(l.Attempts), WindowMs: l.Window.Milliseconds()}
}

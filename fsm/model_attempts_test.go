package fsm_test

import (
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// modelCounter counts attempts by what it names: a network, or a network and a user. The list of them is in the order of
// their last attempts.
type modelCounter struct {
	name string
	run  uint64
	dry  int64
}

const maxModelWindow = 24 * 3600 * 1000

// countersOf names the counters of an attempt.
func countersOf(address []byte, user uint32) (byUser, byAddress string, ok bool) {
	network := string(address)
	if len(address) == 16 && string(address[:12]) != "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff" {
		network = string(address[:8]) + "\x00\x00\x00\x00\x00\x00\x00\x00"
	}
	if network == "" {
		network = string(make([]byte, 16))
	}
	return network + "/" + string(rune(user)), network, goodAddress(address) && user < 1<<16
}

// share is what one attempt adds; 0 = no limit.
func share(l *fsmpb.AttemptLimit) (share, window int64, ok bool) {
	if l == nil {
		return 0, 0, true
	}
	if l.Attempts < 1 || l.Attempts > 1_000_000 || l.WindowMs < int64(l.Attempts) || l.WindowMs > maxModelWindow {
		return 0, 0, false
	}
	return l.WindowMs / int64(l.Attempts), l.WindowMs, true
}

func (m *model) counter(name string) *modelCounter {
	if i := slices.IndexFunc(m.counters, func(c *modelCounter) bool { return c.name == name }); i >= 0 {
		return m.counters[i]
	}
	return nil
}

func (m *model) wait(name string, share, window int64) int64 {
	c := m.counter(name)
	if c == nil || share == 0 {
		return 0
	}
	return max(0, max(0, c.dry-m.clock)+share-window)
}

func (m *model) takeAttempt(c *fsmpb.TakeAttempt, r *fsmpb.Result) {
	user, address, ok := countersOf(c.Address, c.UserHash)
	userShare, userWindow, ok1 := share(c.PerUser)
	addressShare, addressWindow, ok2 := share(c.PerAddress)
	if !ok || !ok1 || !ok2 {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if len(c.Address) == 0 {
		addressShare = 0
	}
	byUser, byAddress := m.wait(user, userShare, userWindow), m.wait(address, addressShare, addressWindow)
	if byUser > 0 || byAddress > 0 {
		set(r, fsmpb.Code_CODE_THROTTLED, "user")
		if byAddress > byUser {
			r.Field = "address"
		}
		r.Payload = &fsmpb.Result_RetryAfterMs{RetryAfterMs: max(byUser, byAddress)}
		return
	}
	r.Payload = &fsmpb.Result_Attempt{Attempt: &fsmpb.Attempt{
		Address: c.Address, UserHash: c.UserHash,
		UserRun: m.pour(user, userShare), UserShareMs: userShare, AddressRun: m.pour(address, addressShare), AddressShareMs: addressShare,
	}}
}

// pour counts an attempt and returns the counter's run.
func (m *model) pour(name string, share int64) uint64 {
	if share == 0 {
		return 0
	}
	m.attempts++
	c := m.counter(name)
	if c == nil || c.dry <= m.clock {
		c = &modelCounter{name, m.attempts, m.clock}
	}
	c.dry += share
	m.counters = append(slices.DeleteFunc(m.counters, func(o *modelCounter) bool { return o.name == name }), c)
	return c.run
}

// possible tells whether an attempt may have been taken.
func (m *model) possible(a *fsmpb.Attempt) bool {
	_, _, ok := countersOf(a.GetAddress(), a.GetUserHash())
	for _, one := range []struct {
		run   uint64
		share int64
	}{{a.GetUserRun(), a.GetUserShareMs()}, {a.GetAddressRun(), a.GetAddressShareMs()}} {
		ok = ok && one.run <= m.attempts && one.share >= 0 && one.share <= maxModelWindow && (one.run == 0) == (one.share == 0)
	}
	return ok
}

func (m *model) giveBack(a *fsmpb.Attempt) {
	user, address, _ := countersOf(a.GetAddress(), a.GetUserHash())
	if c := m.counter(user); c != nil && c.run == a.GetUserRun() {
		c.dry = max(0, c.dry-a.GetUserShareMs())
	}
	if c := m.counter(address); c != nil && c.run == a.GetAddressRun() {
		c.dry = max(0, c.dry-a.GetAddressShareMs())
	}
}

// forgetDry drops counters that count nothing, those with the oldest attempts first, up to one that counts.
func (m *model) forgetDry() {
	for len(m.counters) > 0 && m.counters[0].dry <= m.clock {
		m.counters = m.counters[1:]
	}
}

package fsm_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// The time lines of the systems that presets mirror, on the replicated clock. Instants are told as those systems tell them: since the
// log-in, in minutes or seconds.

// moment is one step of a time line: session 1 is presented, or looked at, and must be alive or not.
type moment struct {
	at   time.Duration
	do   string // "use", "tickle" or "look"; the latter moves nothing
	from byte   // the client's address; 0 = the log-in's
	dead bool   // what it must find

	expires time.Duration // what the answer must promise; 0 = not judged
}

const loginAddress = 1

// timeline logs in under a preset at 0 and goes through the moments, restoring the state from a snapshot between them.
type timeline struct {
	name    string
	preset  string
	change  func(*session.Policy)
	login   func(*fsmpb.CreateSession)
	moments []moment
}

func (l timeline) run(t *testing.T) {
	t.Parallel()
	p, found := session.Preset(l.preset)
	if !found {
		t.Fatalf("there is no preset %s", l.preset)
	}
	if l.change != nil {
		l.change(&p)
	}
	m := newLog(t, fsm.Options{})
	m.must(putPolicy(policyCommand(p)))
	c := vouched(1, "ann")
	c.Policy, c.Address, c.KeyFormat, c.AttributesLocal = p.Name, goldenAddress(loginAddress), keyFormat(p), p.Attributes == session.AttributesLocal
	if l.login != nil {
		l.login(c)
	}
	m.must(create(c))
	for _, now := range l.moments {
		m.clock = start + now.at.Milliseconds()
		m.at(t, now)
		m.m = restored(t, snapshotOf(t, m.m), fsm.Options{})
	}
}

func (l *log) at(t *testing.T, now moment) {
	t.Helper()
	l.apply()
	_, alive := l.m.SessionByKey(keyOf(1))
	address := goldenAddress(max(now.from, loginAddress))
	if now.do == "look" {
		if alive == now.dead {
			t.Fatalf("at %v: alive %v", now.at, alive)
		}
		return
	}
	c := touch(1)
	c.GetTouchSession().Tickle, c.GetTouchSession().Address = now.do == "tickle", address
	r := l.do(c)
	if (r.Code == codeUnauthenticated) != now.dead || !now.dead && r.Code != codeOK {
		t.Fatalf("%s at %v from %d: %v", now.do, now.at, now.from, r)
	}
	if st := r.GetSession(); now.expires != 0 && st.LastUseMs+st.IdleMs != start+now.expires.Milliseconds() {
		t.Fatalf("%s at %v: expires at %d ms, want %v", now.do, now.at, st.LastUseMs+st.IdleMs-start, now.expires)
	}
}

// policyCommand puts a whole policy.
func policyCommand(p session.Policy) *fsmpb.PutPolicy {
	c := timers(p.Name, p.IdleTimeout.Milliseconds(), p.AbsoluteLifetime.Milliseconds(), p.TouchWindow.Milliseconds())
	c.InactivityMs, c.NoTickle, c.PermanentAllowed = ptr(p.InactivityTimeout.Milliseconds()), &p.NoTickle, &p.PermanentAllowed
	c.LongerIdleAllowed = &p.LongerIdleAllowed
	c.BindAddress = map[session.AddressBinding]fsmpb.AddressBinding{session.BindOff: 1, session.BindLog: 2, session.BindStrict: 3}[p.BindAddress]
	c.KeyFormat, c.AttributesLocal = keyFormat(p), ptr(p.Attributes == session.AttributesLocal)
	return c
}

func keyFormat(p session.Policy) fsmpb.KeyFormat {
	return map[session.KeyFormat]fsmpb.KeyFormat{
		session.KeyNative: 1, session.KeyHex32: 2, session.KeyHex64: 3, session.KeyAlnum25: 4, session.KeyWS: 5,
	}[p.KeyFormat]
}

// every repeats one thing, at each multiple of interval up to until.
func every(interval, until time.Duration, do string, more ...moment) (all []moment) {
	for at := interval; at <= until; at += interval {
		all = append(all, moment{at: at, do: do})
	}
	return append(all, more...)
}

const (
	second = time.Second
	minute = time.Minute
)

func TestTimeLines(t *testing.T) {
	t.Parallel()
	for _, l := range []timeline{
		{"netx: no calls", "netx", nil, nil, []moment{{at: 30 * minute, do: "look"}, {at: 30*minute + second, do: "look", dead: true}, {at: 31 * minute, do: "use", dead: true}}},
		{"netx: each call extends", "netx", nil, nil, []moment{
			{at: 29 * minute, do: "use", expires: 59 * minute}, {at: 58 * minute, do: "use"}, {at: 87 * minute, do: "use", expires: 117 * minute},
			{at: 117 * minute, do: "look"}, {at: 117*minute + second, do: "look", dead: true}}},
		{"netx: only tickles", "netx", nil, nil, every(10*minute, 60*minute, "tickle",
			moment{at: 61 * minute, do: "look"}, moment{at: 61*minute + second, do: "look", dead: true})},
		{"netx: a call in the last minute", "netx", nil, nil, every(10*minute, 60*minute, "tickle",
			moment{at: 60*minute + 59*second, do: "use"}, moment{at: 61*minute + second, do: "look"}, moment{at: 90 * minute, do: "tickle"},
			moment{at: 115 * minute, do: "tickle"}, moment{at: 121*minute + 59*second, do: "look"}, moment{at: 122 * minute, do: "look", dead: true})},
		{"netx: no inactivity timeout", "netx", func(p *session.Policy) { p.InactivityTimeout = 0 }, nil, every(10*minute, 48*time.Hour, "tickle")},
		{"netx: no tickle", "netx", func(p *session.Policy) { p.NoTickle = true }, nil, every(10*minute, 30*minute, "tickle",
			moment{at: 30*minute + second, do: "look", dead: true})},
		{"netx: no tickle, calls", "netx", func(p *session.Policy) { p.NoTickle = true }, nil, every(29*minute, 29*20*minute, "use")},

		{"flowtraq: each use resets the timer", "flowtraq", nil, nil, []moment{
			{at: 119 * second, do: "use"}, {at: 238 * second, do: "use"}, {at: 359 * second, do: "use", dead: true}}},
		{"flowtraq: the second itself is accepted", "flowtraq", nil, nil, []moment{{at: 120 * second, do: "use"}, {at: 240 * second, do: "use"}}},
		{"flowtraq: elsewhere", "flowtraq", nil, nil, []moment{
			{at: 10 * second, do: "use", from: 2, dead: true}, {at: 119 * second, do: "use"}, {at: 200 * second, do: "use", from: 2, dead: true}, {at: 239 * second, do: "use"}}},
		{"flowtraq: elsewhere extends nothing", "flowtraq", nil, nil, []moment{
			{at: 10 * second, do: "use", from: 2, dead: true}, {at: 119 * second, do: "use", from: 2, dead: true}, {at: 121 * second, do: "use", dead: true}}},

		{"faircom: an hour", "faircom", nil, nil, []moment{{at: 3599 * second, do: "use"}, {at: 7198 * second, do: "use"}, {at: 10798 * second, do: "use", dead: true}}},
		{"faircom: two seconds, three waited", "faircom", nil, ownIdle(2000), []moment{{at: 3 * second, do: "use", dead: true}}},
		{"faircom: two seconds, pinged", "faircom", nil, ownIdle(2000), every(second, 60*second, "tickle", moment{at: 62 * second, do: "look", dead: true})},
		{"faircom: zero never ends", "faircom", nil, ownIdle(0), []moment{{at: 10 * 365 * 24 * time.Hour, do: "use"}}},
		{"faircom: permanent", "faircom", func(p *session.Policy) { p.PermanentAllowed = true }, func(c *fsmpb.CreateSession) { c.Permanent = true },
			[]moment{{at: 365 * 24 * time.Hour, do: "use"}, {at: 20 * 365 * 24 * time.Hour, do: "look"}}},

		{"tokenizer", "tokenizer", nil, nil, []moment{
			{at: 19 * minute, do: "use", expires: 39 * minute}, {at: 38 * minute, do: "use", expires: 58 * minute}, {at: 57 * minute, do: "look"},
			{at: 58 * minute, do: "look"}, {at: 58*minute + second, do: "use", dead: true}}},
		{"tokenizer: the last moment extends", "tokenizer", nil, nil, []moment{
			{at: 20 * minute, do: "use", expires: 40 * minute}, {at: 40 * minute, do: "use", expires: 60 * minute}}},

		{"livejournal: short", "livejournal-short", nil, nil, []moment{{at: 24 * time.Hour, do: "use"}, {at: 48*time.Hour + second, do: "look", dead: true}}},
		{"livejournal: long", "livejournal-long", nil, nil, []moment{{at: 30 * 24 * time.Hour, do: "use"}, {at: 60*24*time.Hour + second, do: "look", dead: true}}},
	} {
		t.Run(l.name, l.run)
	}
}

func ownIdle(ms int64) func(*fsmpb.CreateSession) {
	return func(c *fsmpb.CreateSession) { c.IdleMs = &ms }
}

// FairCom refuses permanent sessions while they are not enabled.
func TestFairComsPermanentSessionsAreOffAtFirst(t *testing.T) {
	t.Parallel()
	p, _ := session.Preset(session.PresetFairCom)
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(policyCommand(p)))
	c := vouched(1, "ann")
	c.Policy, c.Permanent, c.KeyFormat = p.Name, true, keyFormat(p)
	l.wantCode(create(c), codeForbidden)
}

// NetX's inactivity timeout is the one of its properties that needs no restart: it holds for living sessions at once.
func TestNetXsInactivityTimeoutChangesLive(t *testing.T) {
	t.Parallel()
	p, _ := session.Preset(session.PresetNetX)
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(policyCommand(p)))
	c := vouched(1, "ann")
	c.Policy, c.KeyFormat, c.AttributesLocal = p.Name, keyFormat(p), p.Attributes == session.AttributesLocal
	l.must(create(c))
	for range 3 {
		l.clock += (10 * minute).Milliseconds()
		l.must(tickle(1))
	}
	p.InactivityTimeout = 40 * minute
	l.must(putPolicy(policyCommand(p)))
	l.endsAt(1, start+(41*minute+second).Milliseconds(), fsm.CauseInactive)
}

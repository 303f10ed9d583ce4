package e2e_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// step is one question of a time line, since the log-in. The times leave room for a busy machine: the exact ones are
// tested on the replicated clock (fsm: TestTimeLines).
type step struct {
	at     time.Duration
	ask    func(key string) request
	status int
	prompt bool
	from   string // the client's address; "" = the log-in's
}

const (
	home = "198.51.100.4"
	away = "203.0.113.9"
)

// No step comes nearer than this to a time that would change its answer.
const mostLate = 900 * time.Millisecond

// walk logs a user in and asks, at one node after the other. A walk in which the machine was late shows nothing, and begins again.
func (c *cluster) walk(t *testing.T, service, name string, login fields, steps ...step) {
	t.Helper()
	const walks = 5
	login["client_ip"] = home
	for range walks {
		if c.walkOnce(t, service, name, login, steps) {
			return
		}
		t.Logf("%s: begun again, since the machine was late", name)
	}
	t.Errorf("%s: the machine was late %d times", name, walks)
}

// walkOnce tells whether it was a walk in time. Only such a one may fail the test.
func (c *cluster) walkOnce(t *testing.T, service, name string, login fields, steps []step) (inTime bool) {
	t.Helper()
	began := time.Now()
	key := c.must(0, http.StatusCreated, vouch(service, "walker", login)).body.Key
	if time.Since(began) > mostLate {
		return false
	}
	lines := c.lines()
	defer closeAll(lines)
	for i, s := range steps {
		time.Sleep(time.Until(began.Add(s.at)))
		r := s.ask(key)
		r.headers = map[string]string{"X-Forwarded-For": home}
		if s.from != "" {
			r.headers["X-Forwarded-For"] = s.from
		}
		a, err := lines[i%len(lines)].do(r)
		switch {
		case time.Since(began) > s.at+mostLate:
			return false
		case err != nil:
			t.Errorf("%s, at %v: %v", name, s.at, err)
			return true
		case a.status != s.status || a.status == http.StatusOK && a.body.Prompt != s.prompt:
			t.Errorf("%s, at %v (%v): %d, prompt %v; want %d, prompt %v: %s", name, s.at, time.Since(began), a.status, a.body.Prompt, s.status, s.prompt, a.text)
			return true
		}
	}
	return true
}

// repeat asks the same at each multiple of interval up to until.
func repeat(interval, until time.Duration, s step, more ...step) (all []step) {
	for s.at = interval; s.at <= until; s.at += interval {
		all = append(all, s)
	}
	return append(all, more...)
}

// TestTimeLinesInRealTime walks the time lines of the systems that presets mirror, shortened, in real time: the policies' first values
// come from the configuration, in those systems' words where their units allow seconds.
func TestTimeLinesInRealTime(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(_ int, settings fields) {
		settings["policies"] = fields{
			"netx":      fields{"preset": "netx", "idle_timeout_s": 8, "inactivity_timeout_s": 3},
			"tokenizer": fields{"preset": "tokenizer", "idle_timeout_s": 5},
		}
		settings["userdata"] = fields{"maxsessionkeyage": 5}
		settings["jsonActionApiDefaults"] = fields{"enablePermanentJsonApiSessions": true}
	})
	service := c.service(c.admin())
	const s, good, gone = time.Second, http.StatusOK, http.StatusUnauthorized
	permanent := c.must(1, http.StatusCreated, vouch(service, "robot", fields{"policy": "faircom", "permanent": true})).body
	var wg sync.WaitGroup
	for name, walk := range map[string]func(name string){
		"netx, only tickles": func(name string) {
			c.walk(t, service, name, fields{"policy": "netx"}, slices.Concat(
				[]step{{at: s, ask: touch, status: good}},
				repeat(6*s, 60*s, step{ask: touch, status: good, prompt: true}),
				[]step{{at: 61 * s, ask: look, status: good, prompt: true}, {at: 67 * s, ask: touch, status: gone}})...)
		},
		"netx, the answer to the prompt": func(name string) {
			c.walk(t, service, name, fields{"policy": "netx"}, slices.Concat(
				repeat(6*s, 54*s, step{ask: touch, status: good, prompt: true}),
				[]step{{at: 59 * s, ask: check, status: good}, {at: 60 * s, ask: touch, status: good}, {at: 67 * s, ask: touch, status: good, prompt: true}})...)
		},
		"netx, no calls": func(name string) {
			c.walk(t, service, name, fields{"policy": "netx"}, step{at: 2 * s, ask: look, status: good}, step{at: 12 * s, ask: check, status: gone})
		},
		"flowtraq, each use resets the timer": func(name string) {
			c.walk(t, service, name, fields{"policy": "flowtraq"}, step{at: 3 * s, ask: check, status: good}, step{at: 6 * s, ask: check, status: good},
				step{at: 9 * s, ask: check, status: good}, step{at: 17 * s, ask: check, status: gone})
		},
		"flowtraq, elsewhere": func(name string) {
			c.walk(t, service, name, fields{"policy": "flowtraq"}, step{at: s, ask: check, status: gone, from: away}, step{at: 2 * s, ask: check, status: good},
				step{at: 5 * s, ask: check, status: gone, from: away}, step{at: 10 * s, ask: check, status: gone})
		},
		"faircom, pinged": func(name string) {
			c.walk(t, service, name, fields{"policy": "faircom", "idle_timeout_s": 3}, repeat(s, 10*s, step{ask: touch, status: good},
				step{at: 15 * s, ask: touch, status: gone})...)
		},
		"faircom, two seconds": func(name string) {
			c.walk(t, service, name, fields{"policy": "faircom", "idle_timeout_s": 2}, step{at: 3500 * time.Millisecond, ask: touch, status: gone})
		},
		"tokenizer": func(name string) {
			c.walk(t, service, name, fields{"policy": "tokenizer"}, step{at: 3 * s, ask: check, status: good}, step{at: 6 * s, ask: check, status: good},
				step{at: 8 * s, ask: look, status: good}, step{at: 14 * s, ask: check, status: gone})
		},
	} {
		wg.Go(func() { walk(name) })
	}
	wg.Wait()
	for _, n := range c.nodes {
		n.kill9()
	}
	for _, n := range c.nodes {
		n.awaitExit()
		n.start()
	}
	c.awaitReady()
	a := c.must(2, http.StatusOK, check(permanent.Key))
	if !a.body.Permanent || a.body.Idle != -1 || !a.body.ExpiresAt.IsZero() {
		t.Errorf("faircom, permanent, after the death of all nodes: %s", a.text)
	}
}

package ownsessions_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// TestTimeAfterAllHaveStopped: all nodes stop, and the log knows nothing of when sessions at nodes were used last. They live as long as their last use says, be the time of day right
// after that or behind.
func TestTimeAfterAllHaveStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := []*member{w.a, w.b, w.c}
	restart := func(pause, wrong time.Duration) {
		t.Helper()
		stopTogether(all)
		w.clock.advance(pause)
		w.clock.wrong.Add(int64(wrong))
		for _, m := range all {
			m.start()
		}
		for _, m := range all {
			m.awaitReady()
		}
	}
	idle := 10 * time.Minute
	if _, err := w.a.PutPolicy(t.Context(), operator, "web", session.PolicyChange{IdleTimeout: &idle, TouchWindow: ptr(time.Duration(0))}); err != nil {
		t.Fatal(err)
	}
	vouch := func(user string) session.Issued { return w.vouch(w.a, session.Login{User: user, Policy: "web"}) }

	first := vouch("first")
	w.clock.advance(3 * time.Hour) // of which the log hears nothing
	w.bad("unused for three hours", w.a, first)
	early, late := vouch("early"), vouch("late")
	restart(5*time.Minute, 0)
	w.good("five minutes after its last use", w.a, early)
	w.clock.advance(6 * time.Minute)
	w.bad("eleven minutes after its last use, five of them without a node", w.a, late)
	w.good("used since", w.a, early)
	restart(11*time.Minute, 0)
	w.bad("eleven minutes after its last use, all of them without a node", w.a, early)

	// With the time of day two hours behind, time goes on from the last use.
	w.clock.advance(3 * time.Hour)
	early, late = vouch("early"), vouch("late")
	restart(0, -2*time.Hour)
	w.clock.advance(7 * time.Minute)
	w.good("seven minutes after its last use", w.a, early)
	w.clock.advance(4 * time.Minute)
	w.bad("eleven minutes after its last use, by a time of day that is behind", w.a, late)
	if made := vouch("late"); made.CreatedAt.Before(late.CreatedAt) {
		t.Errorf("made at %v, after one that was made at %v", made.CreatedAt, late.CreatedAt)
	}
	w.a.stop()
	w.a.start()
	w.a.awaitReady()
	w.good("after its node was started again", w.a, early)
	w.clock.advance(11 * time.Minute)
	w.bad("eleven minutes after that", w.a, early)
}

// TestRestartKeepsSessions: sessions are there after a restart of their node, with their time, which the cluster's continues, and go with it where it has passed.
func TestRestartKeepsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, idle := range map[string]time.Duration{"long": time.Hour, "short": time.Minute} {
		if _, err := w.a.PutPolicy(t.Context(), operator, name, session.PolicyChange{IdleTimeout: &idle, TouchWindow: ptr(time.Duration(0))}); err != nil {
			t.Fatal(err)
		}
	}
	long, short := w.vouch(w.a, session.Login{User: "zoe", Policy: "long"}), w.vouch(w.a, session.Login{User: "zoe", Policy: "short"})
	w.a.stop()
	w.clock.advance(2 * time.Minute)
	w.a.start()
	w.a.awaitReady()
	w.good("after the restart", w.a, long)
	w.bad("whose time was over", w.a, short)
	if n := w.vouch(w.a, session.Login{User: "zoe"}).Number; n != 3 {
		t.Errorf("the next session has the number %d, want 3", n)
	}
}

// TestWhatWasDeadStaysDead: a policy that is extended brings back no session whose time was over, though nobody looked at it and its node was down.
func TestWhatWasDeadStaysDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(idle, lifetime time.Duration) {
		t.Helper()
		if _, err := w.b.PutPolicy(t.Context(), operator, "web", session.PolicyChange{IdleTimeout: &idle, AbsoluteLifetime: &lifetime, TouchWindow: ptr(time.Duration(0))}); err != nil {
			t.Fatal(err)
		}
	}
	put(time.Hour, 10*time.Hour)
	old := w.vouch(w.a, session.Login{User: "old", Policy: "web"})
	w.a.stop()
	put(10*time.Minute, 10*time.Hour)
	w.clock.advance(20 * time.Minute)
	put(time.Hour, 10*time.Hour)
	w.a.start()
	w.a.awaitReady()
	w.bad("unused for longer than the policy allowed meanwhile", w.a, old)

	used := w.vouch(w.a, session.Login{User: "used", Policy: "web"})
	put(time.Hour, 30*time.Minute)
	put(time.Hour, 10*time.Hour)
	w.clock.advance(20 * time.Minute)
	w.good("within the shorter lifetime", w.a, used)
	w.clock.advance(20 * time.Minute)
	w.bad("beyond the shortest lifetime that it had", w.a, used)
}

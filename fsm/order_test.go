package fsm_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Thousands of sessions of three policies, used and revoked at random, restored in between, end in the order (deadline, id).
func TestSessionsEndInTheOrderOfDeadlineAndID(t *testing.T) {
	t.Parallel()
	const sessions = 12_000
	random := rand.New(rand.NewPCG(7, 8))
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 60_000, 0, 0)))
	l.must(putPolicy(timers("both", 50_000, 70_000, 1000)))
	l.must(putPolicy(timers("age", 0, 65_000, 0)))
	policies := []string{"default", "both", "age"}
	for i := 0; i < sessions; i += 100 {
		var commands []*fsmpb.Command
		for j := range 100 {
			c := vouched(i+j, "user")
			c.Policy = policies[random.IntN(3)]
			commands = append(commands, create(c))
		}
		for range 60 {
			commands = append(commands, touch(random.IntN(i+100)))
		}
		for range 20 {
			commands = append(commands, revokeKey(random.IntN(i+100)))
		}
		l.apply(commands...)
		l.clock += int64(random.IntN(3)) * 100
	}
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{HashSeed: 5})
	// Longer for all: what was not due stays in order.
	l.must(putPolicy(timers("both", 55_000, 80_000, 2000)))
	type end struct {
		id       session.ID
		deadline int64
	}
	var want, got []end
	for i := range sessions {
		if r, ok := l.m.SessionByKey(keyOf(i)); ok {
			want = append(want, end{r.ID, r.DeadlineMS})
		}
	}
	slices.SortFunc(want, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), bytes.Compare(a.id[:], b.id[:]))
	})
	for len(got) < len(want) {
		l.clock += int64(random.IntN(4000))
		applied := l.apply()
		if len(applied.Ended) > fsm.DefaultEndsPerEntry {
			t.Fatalf("one entry ended %d", len(applied.Ended))
		}
		for _, e := range applied.Ended {
			got = append(got, end{e.ID, e.DeadlineMS})
		}
		if next, ok := l.m.NextDeadlineMS(); ok != (len(got) < len(want)) || ok && next != want[len(got)].deadline {
			t.Fatalf("next deadline is %d", next)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatal("the sessions ended in another order")
	}
	if st := l.m.Stats(); st.Sessions != 0 || st.ShellUsers != 0 || st.Addresses != 0 || st.BlobBytes != 0 {
		t.Fatalf("something is left: %+v", st)
	}
}

// An entry ends as many sessions as it says, up to the limit of that; others as many as all nodes agree on.
func TestAnEntrySaysHowManyItEnds(t *testing.T) {
	t.Parallel()
	const sessions = fsm.MaxEndsOfEntry + 500
	l := newLog(t, fsm.Options{EndsPerEntry: 7})
	for first := 0; first < sessions; first += 500 {
		var commands []*fsmpb.Command
		for n := first; n < min(first+500, sessions); n++ {
			commands = append(commands, create(vouched(n, fmt.Sprintf("user%d", n/100))))
		}
		l.apply(commands...)
	}
	l.clock += 24 * 3600_000
	for _, c := range []struct {
		says uint32
		want int
	}{{0, 7}, {1, 1}, {300, 300}, {fsm.MaxEndsOfEntry, fsm.MaxEndsOfEntry}, {300, sessions - 7 - 1 - 300 - fsm.MaxEndsOfEntry}, {300, 0}} {
		if l.ends = c.says; len(l.apply().Ended) != c.want {
			t.Errorf("an entry that says %d left %d sessions, want it to end %d", c.says, l.m.Stats().Sessions, c.want)
		}
	}
}

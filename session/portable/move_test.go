package portable_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

var errBroken = errors.New("broken")

// home keeps records in memory.
type home struct {
	records  []portable.Record
	each     func(n int) error // before the n-th record is shown; nil = nothing
	at       time.Time
	pages    []int // of records taken at once
	refuses  error
	loses    bool                    // the last record that it takes
	keeps    func(*portable.Cluster) // changes the cluster that it keeps; nil = it does not
	begun    *portable.Cluster
	done     *portable.Tally
	verified bool
}

func (h *home) Each(_ context.Context, f func(portable.Record) error) error {
	for i, r := range h.records {
		if h.each != nil {
			if err := h.each(i); err != nil {
				return err
			}
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (h *home) Begin(_ context.Context, c *portable.Cluster) (time.Time, error) {
	if h.keeps != nil {
		h.keeps(c)
	}
	h.records, h.begun = c.Records(), c
	return h.at, nil
}

func (h *home) Take(_ context.Context, page []portable.Record) error {
	h.records, h.pages = append(h.records, page...), append(h.pages, len(page))
	for _, r := range page {
		if (r.User == nil) != (page[0].User == nil) || r.Cluster != nil {
			return errors.New("a page holds records of two kinds")
		}
	}
	return h.refuses
}

func (h *home) Done(_ context.Context, t *portable.Tally) error {
	copied := *t
	h.done = &copied
	if h.loses {
		h.records = h.records[:len(h.records)-1]
	}
	return nil
}

func (h *home) Verified(context.Context) error {
	h.verified = h.done != nil
	return nil
}

func TestMove(t *testing.T) {
	t.Parallel()
	from, to := &home{records: many(2*portable.Page + 1)}, &home{}
	var told []int
	moved, err := portable.Move(t.Context(), from, to, func(sum *portable.Tally) { told = append(told, sum.Sessions) })
	if err != nil || !to.verified || moved.Sessions != 2*portable.Page+1 || moved.Users != 1 || moved.Ended != 0 {
		t.Errorf("moved %+v, verified %v, %v", moved, to.verified, err)
	}
	if !reflect.DeepEqual(to.records, from.records) {
		t.Errorf("%d records arrived of %d", len(to.records), len(from.records))
	}
	if want := []int{1, portable.Page, portable.Page, 1}; !slices.Equal(to.pages, want) {
		t.Errorf("got pages of %v, want %v", to.pages, want)
	}
	if want := []int{0, portable.Page, 2 * portable.Page, 2*portable.Page + 1}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// TestMoveOfWhatHasEnded: by the target's time, and at the very end.
func TestMoveOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1000)
	for _, c := range []struct {
		at    time.Time
		ended int
	}{{at, 2}, {time.Time{}, 0}} {
		records := many(4)
		for i, end := range []int64{0, 999, 1000, 1001} { // 0 = never
			records[3+i].Session.EndsMS = end
		}
		from, to := &home{records: records}, &home{at: c.at}
		moved, err := portable.Move(t.Context(), from, to, silent)
		if err != nil || moved.Ended != c.ended || moved.Sessions != 4-c.ended {
			t.Errorf("at %v: moved %d, %d had ended, %v", c.at, moved.Sessions, moved.Ended, err)
		}
		for _, r := range to.records {
			if c.ended > 0 && r.Session != nil && (r.Session.EndsMS == 999 || r.Session.EndsMS == 1000) {
				t.Errorf("what ended at %d was moved", r.Session.EndsMS)
			}
		}
	}
}

func TestMovesThatFail(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	swapped := many(2)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	invalid := many(2)
	invalid[4].Session.Number = 0
	for what, c := range map[string]struct {
		ctx  context.Context
		from *home
		to   *home
		want string
	}{
		"nothing":              {from: &home{}, want: "no record of a cluster"},
		"no cluster":           {from: &home{records: many(1)[1:]}, want: "not in order"},
		"two clusters":         {from: &home{records: append(many(1)[:1], many(1)...)}, want: "not in order"},
		"users after sessions": {from: &home{records: swapped}, want: "not in order"},
		"no record":            {from: &home{records: invalid}, want: "no id, number or key"},
		"a broken source":      {from: &home{records: many(3), each: func(n int) error { return map[bool]error{n == 3: errBroken}[true] }}, want: "broken"},
		"a broken target":      {from: &home{records: many(3)}, to: &home{refuses: errBroken}, want: "move: broken"},
		"a target that loses":  {from: &home{records: many(3)}, to: &home{loses: true}, want: "verify: 1 users and 3 sessions were moved"},
		"an end":               {ctx: cancelled, from: &home{records: many(3)}, want: "context canceled"},
	} {
		if c.to == nil {
			c.to = &home{}
		}
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		if _, err := portable.Move(c.ctx, c.from, c.to, silent); err == nil || !strings.Contains(err.Error(), c.want) || c.to.verified {
			t.Errorf("%s: got %v, verified %v; want %s", what, err, c.to.verified, c.want)
		}
	}
}

// clusterWithPast are records of two policies, one of which has two earlier forms.
func clusterWithPast() []portable.Record {
	all := many(3)
	c := *all[0].Cluster
	c.Policies = append(slices.Clone(c.Policies), portable.PolicyOf(session.DefaultPolicy()))
	c.Past = []portable.PastPolicy{
		{Policy: "web", PastForm: portable.PastForm{Version: 3, UntilMS: 10, IdleMS: 20, LifetimeMS: 30}},
		{Policy: "web", PastForm: portable.PastForm{Version: 4, UntilMS: 11, IdleMS: 21, LifetimeMS: 31}},
	}
	return append(c.Records(), all[2:]...)
}

// abridged is a home that keeps of the past what it means alone.
type abridged struct{ portable.Target }

func (*abridged) AbridgesPast() {}

// TestATargetThatKeepsAnotherClusterIsNotVerified: each policy, recipe of a seal key, limit and earlier form of a policy is compared.
func TestATargetThatKeepsAnotherClusterIsNotVerified(t *testing.T) {
	t.Parallel()
	type cluster = portable.Cluster
	for what, c := range map[string]struct {
		keeps    func(*cluster)
		abridged bool // where the target abridges what is past it is verified
	}{
		"all":                           {func(*cluster) {}, true},
		"no policy":                     {func(c *cluster) { c.Policies = c.Policies[:1] }, false},
		"a policy with another timer":   {func(c *cluster) { c.Policies[0].IdleMS++ }, false},
		"a policy of another version":   {func(c *cluster) { c.Policies[0].Version++ }, false},
		"no recipe":                     {func(c *cluster) { c.Seals = nil }, false},
		"a recipe with another salt":    {func(c *cluster) { c.Seals[0].Salt = []byte("another salt, 16") }, false},
		"other limits":                  {func(c *cluster) { c.Limits.MaxSessions++ }, false},
		"nothing past":                  {func(c *cluster) { c.Past = nil }, false},
		"one earlier form less":         {func(c *cluster) { c.Past = c.Past[:1] }, false},
		"another earlier lifetime":      {func(c *cluster) { c.Past[1].LifetimeMS++ }, false},
		"an earlier form that is later": {func(c *cluster) { c.Past[1].UntilMS++ }, false},
		"another earlier idle timeout":  {func(c *cluster) { c.Past[1].IdleMS++ }, true},
	} {
		for _, abridges := range []bool{false, true} {
			from, to := &home{records: clusterWithPast()}, &home{keeps: c.keeps}
			var target portable.Target = to
			if abridges {
				target = &abridged{target}
			}
			want := what == "all" || abridges && c.abridged
			if _, err := portable.Move(t.Context(), from, target, silent); (err == nil) != want || to.verified != want {
				t.Errorf("%s, abridges %v: verified %v, %v", what, abridges, to.verified, err)
			}
		}
	}
}

// watchedHome is in use again when it has been read, if it says so.
type watchedHome struct {
	home
	use error
	to  *home
}

func (h *watchedHome) Unused(context.Context) error {
	if h.to.done == nil || h.to.verified {
		return errors.New("asked too early, or too late")
	}
	return h.use
}

// TestASourceInUseIsNotMoved: when everything has arrived the source is asked once more, and before the target may be used.
func TestASourceInUseIsNotMoved(t *testing.T) {
	t.Parallel()
	for _, use := range []error{nil, errBroken} {
		to := &home{}
		from := &watchedHome{home: home{records: many(3)}, use: use, to: to}
		if _, err := portable.Move(t.Context(), from, to, silent); !errors.Is(err, use) || to.verified != (use == nil) {
			t.Errorf("in use: %v; got %v, verified %v", use, err, to.verified)
		}
	}
}

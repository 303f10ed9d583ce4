package backendtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// MoveThrough moves sessions into an empty store, again, and from there into another one: the sums agree, and all keys stay valid.
func MoveThrough(t T, between backend.Store) {
	t.Helper()
	first, last := memory.New(nil), memory.New(nil)
	s := Start(t, Config(t), first)
	var keys []session.Key
	for i := range 150 {
		issued, err := s.Login(t.Context(), session.Call{Operator: true}, session.Login{
			User: fmt.Sprint("user ", i%20), Vouched: true, Attributes: session.Attributes{"n": fmt.Append(nil, i)}, Sealed: session.Attributes{"s": fmt.Append(nil, i)},
		})
		if err != nil {
			t.Fatalf("log in: %v", err)
		}
		keys = append(keys, issued.Key)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatalf("shut down: %v", err)
	}
	move := func(from, to backend.Store) *portable.Tally {
		t.Helper()
		moved, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), func(*portable.Tally) {})
		if err != nil {
			t.Fatalf("move: %v", err)
		}
		return moved
	}
	there, again, on := move(first, between), move(first, between), move(between, last)
	if there.Sum() != again.Sum() || there.Sum() != on.Sum() || there.Sessions != len(keys) || there.Users != 1 {
		t.Errorf("moved %d sessions and %d accounts with %s, again with %s, and on with %s", there.Sessions, there.Users, there.Sum(), again.Sum(), on.Sum())
	}
	s = Start(t, Config(t), last)
	for i, key := range keys {
		got, err := s.Check(t.Context(), session.Call{Key: key}, true)
		if err != nil || string(got.Attributes["n"]) != fmt.Sprint(i) || string(got.Sealed["s"]) != fmt.Sprint(i) {
			t.Fatalf("session %d: %+v, %v", i, got, err)
		}
	}
}

// mostForms is how many earlier forms of one policy a home keeps.
const mostForms = 64

// MovePast moves as much past of policies into an empty store as there can be, lets a policy be changed there, and moves on: each earlier form is where it was, and what is past
// no more leaves nothing behind.
func MovePast(t T, between backend.Store) {
	t.Helper()
	last := session.MaxPolicies - 1
	whole := muchPast()
	whole.Past = whole.Past[:len(whole.Past)-1] // the last policy has room for one more
	move := func(from portable.Source, to portable.Target) {
		t.Helper()
		if _, err := portable.Move(t.Context(), from, to, func(*portable.Tally) {}); err != nil {
			t.Fatalf("move: %v", err)
		}
	}
	move(whole, backend.MoveStore(between))
	s := Start(t, Config(t), between)
	changed, err := s.PatchPolicy(t.Context(), session.Call{Operator: true}, whole.Policies[last].Name, session.PolicyChange{AbsoluteLifetime: new(time.Duration)})
	if err != nil {
		t.Fatalf("change a policy: %v", err)
	}
	if _, err := s.PatchPolicy(t.Context(), session.Call{Operator: true}, whole.Policies[0].Name, session.PolicyChange{AbsoluteLifetime: new(time.Duration)}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("one earlier form more than there can be: %v", err)
	}
	on := memory.New(nil)
	move(backend.MoveStore(between), backend.MoveStore(on))
	got := clusterIn(t, backend.MoveStore(on))
	if len(got.Past) != len(whole.Past)+1 || !slices.Equal(got.Past[:len(whole.Past)], whole.Past) {
		t.Errorf("%d earlier forms came through, want %d as they were and one more", len(got.Past), len(whole.Past))
	}
	if kept := got.Past[len(got.Past)-1]; kept.Policy != changed.Name || kept.Version != whole.Policies[last].Version || kept.LifetimeMS != whole.Policies[last].LifetimeMS {
		t.Errorf("the form that was changed is kept as %+v", kept)
	}
	page, err := between.Scan(t.Context(), backend.KindCluster, "", backend.MaxScan)
	if err != nil || len(page.Records) != 1+session.MaxPolicies {
		t.Errorf("there are %d records of the cluster and of what is past, %v, want %d", len(page.Records), err, 1+session.MaxPolicies)
	}
}

// pastOnly is a home that has policies, and nothing else.
type pastOnly struct{ portable.Cluster }

func (p *pastOnly) Each(_ context.Context, f func(portable.Record) error) error {
	for _, r := range p.Records() {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// muchPast has all policies and all earlier forms that there can be, with names as long as can be.
func muchPast() *pastOnly {
	out := &pastOnly{portable.Cluster{ID: "long-lived", Version: 1_000_000}}
	for i := range session.MaxPolicies {
		p := session.DefaultPolicy()
		p.Version = 1_000_000
		if i > 0 {
			p.Name = fmt.Sprintf("p.%0*d", session.MaxPolicyNameBytes-2, i)
		}
		out.Policies = append(out.Policies, portable.PolicyOf(p))
		for n := range int64(mostForms) {
			form := portable.PastForm{Version: 900_000 + uint64(n), UntilMS: 1_700_000_000_000 + n, IdleMS: 1_800_000, InactivityMS: 900_000, WindowMS: 60_000, LifetimeMS: 3_600_000 + 1000*n}
			out.Past = append(out.Past, portable.PastPolicy{Policy: p.Name, PastForm: form})
		}
	}
	return out
}

// clusterIn is the cluster's record of a home, with what is past.
func clusterIn(t T, home portable.Source) (out portable.Cluster) {
	t.Helper()
	err := home.Each(t.Context(), func(r portable.Record) error {
		switch {
		case r.Cluster != nil:
			out = *r.Cluster
		case r.Past != nil:
			for _, form := range r.Past.Forms {
				out.Past = append(out.Past, portable.PastPolicy{Policy: r.Past.Policy, PastForm: form})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read a home: %v", err)
	}
	return out
}

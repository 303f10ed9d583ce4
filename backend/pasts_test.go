package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// quietConfig sweeps when the test says so.
func quietConfig(t *testing.T) backend.Config {
	c := backendtest.Config(t)
	c.SweepInterval = time.Hour
	return c
}

// setLifetime changes a policy to another absolute lifetime, in hours; 0 = none.
func setLifetime(ctx context.Context, s *backend.Service, policy string, hours int) error {
	lifetime := time.Duration(hours) * time.Hour
	_, err := s.PutPolicy(ctx, operator, policy, session.PolicyChange{AbsoluteLifetime: &lifetime})
	return err
}

// agedHome is a home with two policies, "web" and "mail", of one hour each, and a session under each of them. Its time is that of the clock.
func agedHome(t *testing.T, store backend.Store) (web, mail session.Key) {
	t.Helper()
	s := backendtest.Start(t, quietConfig(t), store)
	keys := map[string]session.Key{}
	for _, policy := range []string{"web", "mail"} {
		if err := setLifetime(t.Context(), s, policy, 1); err != nil {
			t.Fatal(err)
		}
		issued, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		keys[policy] = issued.Key
	}
	return keys["web"], keys["mail"]
}

// pastsIn are the ids of the records of the past in a store, and those that the cluster's names.
func pastsIn(t *testing.T, store backend.Store) (there, named []string) {
	t.Helper()
	page, err := store.Scan(t.Context(), backend.KindCluster, "", backend.MaxScan)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Records {
		if id, is := strings.CutPrefix(r.ID, "past "); is {
			there = append(there, id)
		}
		for _, part := range strings.Split(string(r.Value), `"id":"`)[1:] {
			if id, _, _ := strings.Cut(part, `"`); r.ID == "cluster" && strings.Contains(string(r.Value), `,"id":"`+id+`"}`) {
				named = append(named, id)
			}
		}
	}
	slices.Sort(there)
	slices.Sort(named)
	return there, named
}

// TestAPolicyChangeIsOneWrite: a process dies at every write of a change that leaves something of the past. The policy and what is past of it are those before the
// change or those after it, never some of each; and a sweep takes away what nothing names.
func TestAPolicyChangeIsOneWrite(t *testing.T) {
	t.Parallel()
	deaths := int64(0)
	for done := false; !done; deaths++ {
		clock := newTurned()
		store := memory.New(clock.time)
		web, mail := agedHome(t, store)
		clock.pass(time.Minute)
		if err := setLifetime(t.Context(), backendtest.Start(t, quietConfig(t), store), "web", 2); err != nil {
			t.Fatal(err)
		}
		dying := &mortal{Store: store}
		s := backendtest.Start(t, quietConfig(t), &undying{dying, func() { dying.left.Store(1000) }})
		dying.left.Store(deaths)
		done = setLifetime(t.Context(), s, "web", 3) == nil
		dying.left.Store(1000)
		s = backendtest.Start(t, quietConfig(t), store)
		if err := setLifetime(t.Context(), s, "mail", 2); err != nil {
			t.Fatal(err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		policy, err := s.GetPolicy(t.Context(), operator, "web")
		if err != nil {
			t.Fatal(err)
		}
		there, named := pastsIn(t, store)
		if want := map[bool]time.Duration{false: 2 * time.Hour, true: 3 * time.Hour}[done]; policy.AbsoluteLifetime != want || !slices.Equal(there, named) || len(there) != 2 {
			t.Errorf("%d deaths: lifetime %v, want %v; records %v, named %v", deaths, policy.AbsoluteLifetime, want, there, named)
		}
		clock.pass(time.Hour)
		for policy, key := range map[string]session.Key{"web": web, "mail": mail} {
			if _, err := s.Check(t.Context(), session.Call{Key: key}, true); session.CodeOf(err) != session.CodeUnauthenticated {
				t.Errorf("%d deaths: a session of %s outlives its lifetime: %v", deaths, policy, err)
			}
		}
	}
	if deaths != 3 { // at the record of the past, and at the cluster's; then it is done
		t.Errorf("the change has %d writes", deaths-1)
	}
}

// undying lets the service above a mortal store stop without an error.
type undying struct {
	backend.Store
	revive func()
}

func (u *undying) Close() error { u.revive(); return nil }

// TestWhatIsPastGoesWhileItIsRead: a policy is changed between another process's reads of the cluster's record and of what that names.
func TestWhatIsPastGoesWhileItIsRead(t *testing.T) {
	t.Parallel()
	store := memory.New(newTurned().time)
	agedHome(t, store)
	changing := backendtest.Start(t, quietConfig(t), store)
	if err := setLifetime(t.Context(), changing, "web", 2); err != nil {
		t.Fatal(err)
	}
	slow := &meddled{Store: store}
	first := true
	slow.meddle = func(call string, name backend.Name) {
		if call == "get" && strings.HasPrefix(name.ID, "past ") && first {
			first = false
			for _, hours := range []int{3, 4} {
				if err := setLifetime(t.Context(), changing, "web", hours); err != nil {
					t.Error(err)
				}
			}
		}
	}
	var past []int64
	err := backend.MoveStore(slow).Each(t.Context(), func(r portable.Record) error {
		if r.Past != nil {
			for _, form := range r.Past.Forms {
				past = append(past, form.LifetimeMS/time.Hour.Milliseconds())
			}
		}
		return nil
	})
	if err != nil || first || !slices.Equal(past, []int64{1, 2, 3}) {
		t.Errorf("lifetimes of the past are %v, %v, want all three", past, err)
	}
}

// TestASweepAndAChangeThatIsUnderWay: what a change has made, and nothing names yet, may be swept. The change is made nevertheless, with another record.
func TestASweepAndAChangeThatIsUnderWay(t *testing.T) {
	t.Parallel()
	store := memory.New(newTurned().time)
	agedHome(t, store)
	sweeping := backendtest.Start(t, quietConfig(t), store)
	slow := &meddled{Store: store}
	s := backendtest.Start(t, quietConfig(t), slow)
	swept := false
	slow.meddle = func(call string, name backend.Name) {
		if call != "put" || name.ID != "cluster" || swept {
			return
		}
		swept = true
		if there, named := pastsIn(t, store); len(there) != 1 || len(named) != 0 {
			t.Errorf("before the sweep: records %v, named %v", there, named)
		}
		if err := sweeping.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if there, _ := pastsIn(t, store); len(there) != 0 {
			t.Errorf("after the sweep: records %v", there)
		}
	}
	if err := setLifetime(t.Context(), s, "web", 2); err != nil {
		t.Fatal(err)
	}
	if there, named := pastsIn(t, store); !swept || len(there) != 1 || !slices.Equal(there, named) {
		t.Errorf("records %v, named %v", there, named)
	}
}

// TestAChangeThatComesSecond leaves nothing of its first try behind.
func TestAChangeThatComesSecond(t *testing.T) {
	t.Parallel()
	store := memory.New(newTurned().time)
	agedHome(t, store)
	first := backendtest.Start(t, quietConfig(t), store)
	slow := &meddled{Store: store}
	s := backendtest.Start(t, quietConfig(t), slow)
	came := false
	slow.meddle = func(call string, name backend.Name) {
		if call != "put" || name.ID != "cluster" || came {
			return
		}
		came = true
		if err := setLifetime(t.Context(), first, "mail", 2); err != nil {
			t.Error(err)
		}
	}
	if err := setLifetime(t.Context(), s, "web", 2); err != nil {
		t.Fatal(err)
	}
	if there, named := pastsIn(t, store); !came || len(there) != 2 || !slices.Equal(there, named) {
		t.Errorf("records %v, named %v", there, named)
	}
}

// TestChangesOfPoliciesBesideEachOther lose nothing of what is past, and leave nothing behind.
func TestChangesOfPoliciesBesideEachOther(t *testing.T) {
	t.Parallel()
	const policies, changes = 4, 8
	store := memory.New(newTurned().time)
	done := make(chan error, policies)
	for n := range policies {
		s := backendtest.Start(t, quietConfig(t), store)
		go func() {
			for hours := 1; hours <= changes; hours++ {
				if err := setLifetime(t.Context(), s, fmt.Sprint("policy-", n), hours); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range policies {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	forms := map[string]int{}
	err := backend.MoveStore(store).Each(t.Context(), func(r portable.Record) error {
		if r.Past != nil {
			forms[r.Past.Policy] = len(r.Past.Forms)
		}
		return nil
	})
	there, named := pastsIn(t, store)
	if err != nil || !slices.Equal(there, named) || len(there) != policies {
		t.Errorf("records %v, named %v, %v", there, named, err)
	}
	for n := range policies {
		if got := forms[fmt.Sprint("policy-", n)]; got != changes-1 {
			t.Errorf("of policy-%d there are %d earlier forms, want %d", n, got, changes-1)
		}
	}
}

// TestAStoreThatLosesWhatIsPastIsNotVerified: each earlier form of a policy is compared.
func TestAStoreThatLosesWhatIsPastIsNotVerified(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(string) string{
		"another lifetime":     strings.NewReplacer(`"absolute_end_ms":14`, `"absolute_end_ms":15`).Replace,
		"another idle timeout": strings.NewReplacer(`"idle_ms":11`, `"idle_ms":10`).Replace,
		"another version":      strings.NewReplacer(`"version":9`, `"version":8`).Replace,
		"no form":              func(string) string { return `{"format":1,"policy":"web","forms":[]}` },
	} {
		to := &forging{Store: emptyStore(5), change: change}
		if _, err := portable.Move(t.Context(), someRecords(), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "verify: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// forging is a store that keeps other records of the past than it is given.
type forging struct {
	backend.Store
	change func(string) string
}

func (f *forging) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if strings.HasPrefix(name.ID, "past ") {
		value = []byte(f.change(string(value)))
	}
	return f.Store.Put(ctx, name, value, was, expires)
}

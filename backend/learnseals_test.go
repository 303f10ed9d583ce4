package backend_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// TestASafePasswordComesInServerByServer: one that all servers have as a previous one first is changed without a pause.
func TestASafePasswordComesInServerByServer(t *testing.T) {
	t.Parallel()
	const before, after = "a safe password before", "a safe password after it"
	store := memory.New(nil)
	start := func(passwords ...string) *backend.Service {
		c := backendtest.Config(t)
		c.Sealing = auth.Sealing{Password: passwords[0], Previous: passwords[1:], Params: c.Sealing.Params}
		return backendtest.Start(t, c, store)
	}
	seal := func(s *backend.Service) session.Issued {
		i, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Sealed: session.Attributes{"s": []byte("1")}})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	unprepared, prepared := start(before), start(before, after)
	old := seal(unprepared)
	changed := start(after, before)
	fresh := seal(changed)
	for range 2 {
		for _, s := range []*backend.Service{prepared, changed} {
			for _, i := range []session.Issued{old, fresh} {
				c, err := s.Check(t.Context(), with(i), true)
				if err != nil || string(c.Sealed["s"]) != "1" {
					t.Errorf("got %s, %v", c.Sealed, err)
				}
			}
		}
		if _, err := unprepared.Check(t.Context(), with(fresh), true); session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("a server without the new password: %v", err)
		}
	}
	if c, err := changed.Check(t.Context(), with(seal(prepared)), true); err != nil || string(c.Sealed["s"]) != "1" {
		t.Errorf("what a server seals that is yet to change: %s, %v", c.Sealed, err)
	}
}

// TestAServerThatCannotOpenWhatIsSealedChangesNothing: it answers that it is unavailable, and that means that nothing was done.
func TestAServerThatCannotOpenWhatIsSealedChangesNothing(t *testing.T) {
	t.Parallel()
	const before, after = "a safe password before", "a safe password after it"
	var passed atomic.Int64
	store := memory.New(func() time.Time { return time.UnixMilli(1_800_000_000_000 + passed.Load()) })
	start := func(passwords ...string) *backend.Service {
		c := backendtest.Config(t)
		c.Sealing = auth.Sealing{Password: passwords[0], Previous: passwords[1:], Params: c.Sealing.Params}
		return backendtest.Start(t, c, store)
	}
	unprepared, changed := start(before), start(after, before)
	bearer, idle, always := session.WriteByBearer, 10*time.Minute, time.Duration(0)
	if _, err := changed.PutPolicy(t.Context(), operator, "web", session.PolicyChange{AttributesWrite: &bearer, TouchWindow: &always}); err != nil {
		t.Fatal(err)
	}
	i, err := changed.Login(t.Context(), operator, session.Login{User: "ada", Policy: "web", Vouched: true, Attributes: session.Attributes{"a": []byte("1")}, Sealed: session.Attributes{"s": []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	passed.Add(5) // of which a use that is counted takes note
	for name, change := range map[string]func() (session.Checked, error){
		"check": func() (session.Checked, error) { return unprepared.Check(t.Context(), with(i), false) },
		"touch": func() (session.Checked, error) { return unprepared.Touch(t.Context(), with(i)) },
		"patch": func() (session.Checked, error) {
			return unprepared.PatchAttributes(t.Context(), with(i), session.AttributePatch{"a": []byte("2")}, nil)
		},
		"seal": func() (session.Checked, error) {
			return unprepared.SealAttributes(t.Context(), with(i), session.AttributePatch{"a": []byte("2")}, nil)
		},
		"alter": func() (session.Checked, error) {
			return unprepared.Alter(t.Context(), with(i), session.Alteration{IdleTimeout: &idle})
		},
		"prefer": func() (session.Checked, error) {
			return unprepared.PatchPreferences(t.Context(), with(i), session.AttributePatch{"colour": []byte(`"green"`)})
		},
	} {
		if _, err := change(); session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := changed.Check(t.Context(), with(i), true)
	if err != nil || c.AttributesVersion != i.AttributesVersion || string(c.Attributes["a"]) != "1" || c.IdleTimeout != i.IdleTimeout {
		t.Errorf("after that: version %d, %s, idle timeout %v, %v", c.AttributesVersion, c.Attributes, c.IdleTimeout, err)
	}
	if !c.LastUsedAt.Equal(i.LastUsedAt) {
		t.Errorf("after that: last used at %v, want %v: what failed is no use", c.LastUsedAt, i.LastUsedAt)
	}
	if p, err := changed.Preferences(t.Context(), with(i)); err != nil || len(p.Values) != 0 {
		t.Errorf("after that: preferences %s, %v", p.Values, err)
	}
	// What it replaces it need not open.
	sealed, err := unprepared.PatchAttributes(t.Context(), with(i), session.AttributePatch{"s": []byte("3")}, nil)
	if err != nil || string(sealed.Attributes["s"]) != "3" {
		t.Errorf("in its place: %s, %v", sealed.Attributes, err)
	}
}

// mute is a store that at last says nothing more to who asks for the cluster's record alone.
type mute struct {
	backend.Store
	from  atomic.Bool
	asked atomic.Int64
}

func (s *mute) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	if s.from.Load() && len(names) == 1 && names[0].Kind == backend.KindCluster {
		s.asked.Add(1)
		<-ctx.Done()
		return backend.Snapshot{}, ctx.Err()
	}
	return s.Store.Get(ctx, names...)
}

// TestRequestsWaitForOneSealKeyTogether: many requests need a seal key that is to be learned, and the store does not answer. Each waits for that once, and not as often as
// there are others before it.
func TestRequestsWaitForOneSealKeyTogether(t *testing.T) {
	t.Parallel()
	const before, after, requests = "a safe password before", "a safe password after it", 16
	store := memory.New(nil)
	shut := &mute{Store: store}
	c := backendtest.Config(t)
	c.RequestTimeout = time.Second
	c.Sealing = auth.Sealing{Password: before, Previous: []string{after}, Params: c.Sealing.Params}
	prepared := backendtest.Start(t, c, shut)
	c.Sealing.Password, c.Sealing.Previous = after, []string{before}
	fresh, err := backendtest.Start(t, c, store).Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Sealed: session.Attributes{"s": []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	shut.from.Store(true)
	var work sync.WaitGroup
	for range requests {
		work.Go(func() {
			if _, err := prepared.Check(t.Context(), with(fresh), true); session.CodeOf(err) != session.CodeUnavailable {
				t.Errorf("while the store is silent: %v", err)
			}
		})
	}
	work.Wait()
	if n := shut.asked.Load(); n > requests/4 { // one, where all of them come within its time
		t.Errorf("%d requests have waited %d times", requests, n)
	}
	shut.from.Store(false)
	got, err := prepared.Check(t.Context(), with(fresh), true)
	if err != nil || string(got.Sealed["s"]) != "1" {
		t.Errorf("when the store answers again: %s, %v", got.Sealed, err)
	}
}

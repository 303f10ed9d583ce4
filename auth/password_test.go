package auth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// cheap keeps the tests fast; the costs do not change what is tested.
var cheap = auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

func newHasher(t *testing.T, c auth.Config) *auth.Hasher {
	t.Helper()
	h, err := auth.NewHasher(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVerifyAcceptsOnlyTheRightPassword(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{Params: cheap})
	stored, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stored, password string
		want             bool
	}{
		{stored, "correct horse", true},
		{stored, "correct horsf", false},
		{stored, "", false},
		{"", "correct horse", false},
		{"", "", false}, // an unknown user's decoy never matches
	} {
		got, err := h.Verify(t.Context(), c.stored, c.password)
		if err != nil || got != c.want {
			t.Errorf("Verify(%q, %q) = %v, %v; want %v", c.stored, c.password, got, err, c.want)
		}
	}
}

func TestHashNamesItsCostsAndIsSalted(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{})
	a, _ := h.Hash(t.Context(), "same password")
	b, _ := h.Hash(t.Context(), "same password")
	if !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q does not name OWASP's costs", a)
	}
	if a == b {
		t.Error("two hashes of one password are the same: no salt")
	}
}

func TestHashKeepsItsOwnCosts(t *testing.T) {
	t.Parallel()
	old := newHasher(t, auth.Config{Params: cheap})
	stored, _ := old.Hash(t.Context(), "kept password")
	now := newHasher(t, auth.Config{Params: auth.Params{MemoryKiB: 128, Iterations: 2, Parallelism: 1}})
	if ok, err := now.Verify(t.Context(), stored, "kept password"); !ok || err != nil {
		t.Errorf("a hash with older costs: %v, %v; want true", ok, err)
	}
}

func TestVerifyRefusesBadHashes(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{Params: cheap})
	for _, stored := range []string{
		"x", "$argon2id$v=19$m=64,t=1,p=1$c2FsdA", "$argon2i$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA",
		"$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$aGFzaA", "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$aGFzaA",
	} {
		if ok, err := h.Verify(t.Context(), stored, "p"); ok || err == nil {
			t.Errorf("Verify(%q) = %v, %v; want an error", stored, ok, err)
		}
	}
}

func TestCostsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []auth.Params{{MemoryKiB: 64}, {MemoryKiB: 64, Iterations: 1}, {Iterations: 1, Parallelism: 1}, {MemoryKiB: 2 << 20, Iterations: 1, Parallelism: 1}} {
		if _, err := auth.NewHasher(auth.Config{Params: p}); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

func TestFloodIsRefusedNotQueuedForEver(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{Params: auth.Params{MemoryKiB: 32 << 10, Iterations: 4, Parallelism: 1}, Concurrent: 1, Waiting: 2})
	const callers = 40
	errs := make(chan error, callers)
	for range callers {
		go func() {
			_, err := h.Verify(context.Background(), "", "flood")
			errs <- err
		}()
	}
	refused := 0
	for range callers {
		if err := <-errs; session.CodeOf(err) == session.CodeOverloaded {
			refused++
		} else if err != nil {
			t.Errorf("unexpected error %v", err)
		}
	}
	if refused == 0 {
		t.Error("no caller was refused though 40 came for 3 places")
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{Params: cheap, Concurrent: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The only slot may be free, so ask often enough that select has seen both; an error must be the context's.
	for range 100 {
		if _, err := h.Verify(ctx, "", "p"); err != nil && err != context.Canceled {
			t.Fatalf("got %v, want context.Canceled", err)
		}
	}
}

package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// keeper is an authenticator that answers as it is told.
type keeper struct {
	name   string
	answer error
	asked  int
	closed bool
}

func (k *keeper) Name() string { return k.name }
func (k *keeper) Close()       { k.closed = true }
func (k *keeper) Authenticate(context.Context, string, string) (auth.Grant, error) {
	k.asked++
	return auth.Grant{Policies: []string{k.name}}, k.answer
}

func TestChain(t *testing.T) {
	t.Parallel()
	h := newHasher(t, auth.Config{Params: cheap})
	stored, err := h.Hash(t.Context(), "the cluster's own")
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("connection refused")
	for _, c := range []struct {
		name, stored, password string
		first, second          error
		want                   session.Code
		asked                  string
		from                   string // whose grant; "" = nobody's
	}{
		{"own password", stored, "the cluster's own", nil, nil, "", "local accepted", ""},
		{"an account's wrong password goes to nobody else", stored, "a directory's", nil, nil, session.CodeUnauthenticated, "local refused", ""},
		{"the first accepts", "", "p", nil, nil, "", "one accepted", "one"},
		{"the second accepts", "", "p", auth.ErrRefused, nil, "", "one refused, two accepted", "two"},
		{"the second accepts while the first is down", "", "p", down, nil, "", "one unavailable, two accepted", "two"},
		{"nobody accepts", "", "p", auth.ErrRefused, auth.ErrRefused, session.CodeUnauthenticated, "one refused, two refused", ""},
		{"the first may have accepted", "", "p", down, auth.ErrRefused, session.CodeUnavailable, "one unavailable, two refused", ""},
		{"nobody can be asked", "", "p", down, down, session.CodeUnavailable, "one unavailable, two unavailable", ""},
		{"an empty password goes nowhere", "", "", nil, nil, session.CodeUnauthenticated, "", ""},
	} {
		var asked []string
		one, two := &keeper{name: "one", answer: c.first}, &keeper{name: "two", answer: c.second}
		chain := auth.NewChain(h, []auth.Authenticator{one, two}, func(name string, o auth.Outcome, _ error) {
			asked = append(asked, fmt.Sprintf("%s %s", name, o))
		})
		v, err := chain.Authenticate(t.Context(), "ada", c.stored, c.password)
		if session.CodeOf(err) != c.want || strings.Join(asked, ", ") != c.asked {
			t.Errorf("%s: got %v after %q, want %q after %q", c.name, err, asked, c.want, c.asked)
		}
		if v.Outside != (c.from != "") || v.Outside && v.Policies[0] != c.from {
			t.Errorf("%s: got %+v, want the word of %q", c.name, v, c.from)
		}
		if judged := strings.Contains(c.asked, "refused") || strings.Contains(c.asked, "accepted"); v.Judged != judged {
			t.Errorf("%s: Judged is %v, want %v", c.name, v.Judged, judged)
		}
		if c.want == session.CodeUnavailable && (strings.Contains(errorMessage(err), "refused") || !errors.Is(err, down)) {
			t.Errorf("%s: got %v: the cause is for the log alone", c.name, err)
		}
		if chain.Close(); !one.closed || !two.closed {
			t.Errorf("%s: Close has left an authenticator open", c.name)
		}
	}
}

func errorMessage(err error) string {
	var e *session.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Message
}

// TestChainWithoutOthersCostsTheSame: an unknown user's password is hashed, too.
func TestChainWithoutOthersCostsTheSame(t *testing.T) {
	t.Parallel()
	asked := ""
	chain := auth.NewChain(newHasher(t, auth.Config{Params: cheap}), nil, func(name string, o auth.Outcome, _ error) { asked = name + " " + string(o) })
	if _, err := chain.Authenticate(t.Context(), "nobody", "", "p"); session.CodeOf(err) != session.CodeUnauthenticated || asked != "local refused" {
		t.Errorf("got %v after %q", err, asked)
	}
}

func TestOutdatedIsWhatCostsLess(t *testing.T) {
	t.Parallel()
	now := newHasher(t, auth.Config{Params: auth.Params{MemoryKiB: 128, Iterations: 2, Parallelism: 1}})
	for _, c := range []struct {
		memory, iterations uint32
		want               bool
	}{{64, 2, true}, {128, 1, true}, {128, 2, false}, {256, 1, false}, {64, 4, false}, {64, 3, true}, {512, 4, false}} {
		old := newHasher(t, auth.Config{Params: auth.Params{MemoryKiB: c.memory, Iterations: c.iterations, Parallelism: 1}})
		stored, err := old.Hash(t.Context(), "password")
		if err != nil {
			t.Fatal(err)
		}
		if got := now.Outdated(stored); got != c.want {
			t.Errorf("m=%d t=%d: got %v, want %v", c.memory, c.iterations, got, c.want)
		}
	}
}

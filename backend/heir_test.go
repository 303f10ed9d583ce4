package backend_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// presents is the operator with a user's key.
func presents(i session.Issued) session.Call {
	return session.Call{Operator: true, Subject: &session.Presented{Key: i.Key}}
}

func (p *pair) patch(s *backend.Service, i session.Issued, text string) error {
	_, err := s.PatchAttributes(p.Context(), presents(i), session.AttributePatch{"a": []byte(text)}, nil)
	return err
}

// again logs the user in at a, in the place of a session.
func (p *pair) again(i session.Issued) (session.Issued, error) {
	return p.a.Login(p.Context(), presents(i), session.Login{User: "ada", Policy: "web", Vouched: true})
}

func (p *pair) wantA(what string, i session.Issued, want string) {
	p.Helper()
	c, err := p.b.Check(p.Context(), with(i), true)
	p.ok(what, err)
	if got := string(c.Attributes["a"]) + string(c.Sealed["a"]); got != want {
		p.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestALogInTakesAlongWhatWasPatchedMeanwhile: a patch of the session in whose place a log-in comes is acknowledged before the log-in is decided.
func TestALogInTakesAlongWhatWasPatchedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *pair, i session.Issued) error{
		"patched": func(p *pair, i session.Issued) error { return p.patch(p.b, i, `"new"`) },
		"sealed": func(p *pair, i session.Issued) error {
			_, err := p.b.SealAttributes(p.Context(), presents(i), session.AttributePatch{"a": []byte(`"new"`)}, nil)
			return err
		},
		"patched again and again": func(p *pair, i session.Issued) error {
			for _, text := range []string{"1", "2", `"new"`} {
				if err := p.patch(p.b, i, text); err != nil {
					return err
				}
			}
			return nil
		},
		"used, then patched": func(p *pair, i session.Issued) error {
			if _, err := p.b.Touch(p.Context(), with(i)); err != nil {
				return err
			}
			return p.patch(p.b, i, `"new"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first := p.login(session.PolicyChange{}, session.Login{Attributes: session.Attributes{"a": []byte(`"old"`)}})
			p.store.onNext("put", backend.KindUser, func() { p.ok("change meanwhile", change(p, first)) })
			second, err := p.again(first)
			p.ok("log in", err)
			p.wantA("taken along", second, `"new"`)
			_, err = p.b.Check(p.Context(), with(first), true)
			p.wantCode("the session before", err, session.CodeUnauthenticated)
		})
	}
}

// TestALogInTakesNothingAlongFromAnEndedSession: the session in whose place it comes is ended before the log-in is decided.
func TestALogInTakesNothingAlongFromAnEndedSession(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *pair, i session.Issued) error{
		"logged out": func(p *pair, i session.Issued) error { _, err := p.b.Logout(p.Context(), with(i)); return err },
		"revoked": func(p *pair, i session.Issued) error {
			_, err := p.b.RevokeSession(p.Context(), operator, i.ID)
			return err
		},
		"revoked with all of its user": func(p *pair, i session.Issued) error {
			_, err := p.b.RevokeUserSessions(p.Context(), operator, "ada", session.UserSessions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first := p.login(session.PolicyChange{}, session.Login{Attributes: session.Attributes{"a": []byte(`"old"`)}})
			p.store.onNext("put", backend.KindUser, func() { p.ok("end it meanwhile", end(p, first)) })
			second, err := p.again(first)
			p.ok("log in", err)
			p.wantA("taken along", second, "")
		})
	}
}

// TestALatePatchOfAReplacedSessionIsRefused: a log-in is acknowledged between read and write of a patch, which would be nobody's.
func TestALatePatchOfAReplacedSessionIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *pair, i session.Issued) error{
		"patched": func(p *pair, i session.Issued) error { return p.patch(p.a, i, `"late"`) },
		"what a protocol keeps": func(p *pair, i session.Issued) error {
			_, err := p.a.Alter(p.Context(), with(i), session.Alteration{Reserved: session.AttributePatch{"x": []byte("1")}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first := p.login(session.PolicyChange{}, session.Login{Attributes: session.Attributes{"a": []byte(`"old"`)}})
			var second session.Issued
			p.store.onNext("put", backend.KindSession, func() {
				var err error
				second, err = p.b.Login(p.Context(), presents(first), session.Login{User: "ada", Policy: "web", Vouched: true})
				p.ok("log in meanwhile", err)
			})
			p.wantCode("the late patch", change(p, first), session.CodeUnauthenticated)
			p.wantA("taken along", second, `"old"`)
		})
	}
}

// TestALogInThatWasRefusedLeavesTheSessionAsItWas: an heir that never came is in nobody's way.
func TestALogInThatWasRefusedLeavesTheSessionAsItWas(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	most := 1
	first := p.login(session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessionsPerUser: &most}}, session.Login{Attributes: session.Attributes{"a": []byte(`"old"`)}})
	one := 1
	_, err := p.a.PutPolicy(p.Context(), operator, "full", session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessionsPerUser: &one}})
	p.ok("put policy", err)
	_, err = p.a.Login(p.Context(), operator, session.Login{User: "ada", Policy: "full", Vouched: true})
	p.ok("fill the policy", err)
	_, err = p.a.Login(p.Context(), presents(first), session.Login{User: "ada", Policy: "full", Vouched: true})
	p.wantCode("one more", err, session.CodeSessionLimit)
	p.wantA("after the refusal", first, `"old"`)
	p.ok("patch", p.patch(p.b, first, `"new"`))
	p.wantA("patched", first, `"new"`)
	_, err = p.b.Logout(p.Context(), with(first))
	p.ok("log out", err)
	_, err = p.a.Check(p.Context(), with(first), true)
	p.wantCode("after log-out", err, session.CodeUnauthenticated)
}

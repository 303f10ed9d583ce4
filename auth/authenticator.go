package auth

import (
	"context"
	"errors"

	"github.com/hydrastore/hydrastore/session"
)

// Grant is what an authenticator outside of the cluster says about a user beyond "it is really this one".
type Grant struct {
	// Policies that the user may log in under, the first by default; nil = it says nothing about policies.
	Policies []string
	// Roles of the session, sorted, if the user has no account; nil = role user.
	Roles []session.Role
}

// Authenticator is a keeper of passwords outside of the cluster. Its methods are safe for concurrent use.
type Authenticator interface {
	// Name is a word for logs and metrics.
	Name() string
	// Authenticate judges a folded user name and a password, which is not empty. It ends soon after ctx. Errors: ErrRefused when
	// the user is unknown or may not log in or the password is wrong; any other when that could not be found out.
	Authenticate(ctx context.Context, user, password string) (Grant, error)
	// Close gives up what is kept between calls. Calls under way go on to their end.
	Close()
}

// ErrRefused says that an authenticator does not know the user, does not let it in, or that the password is wrong.
var ErrRefused = errors.New("user or password refused")

// Verdict on a log-in that was accepted.
type Verdict struct {
	Grant
	// Judged tells, beside an error, that somebody has looked at the password, so that the answer may help to guess it.
	Judged bool
	// Outside tells that an authenticator outside of the cluster has judged.
	Outside bool
	// Outdated tells that the stored hash costs less to guess than a new one would.
	Outdated bool
}

// Outcome of asking one authenticator, for metrics.
type Outcome string

const (
	OutcomeAccepted    Outcome = "accepted"
	OutcomeRefused     Outcome = "refused"
	OutcomeUnavailable Outcome = "unavailable"
)

// localName stands in the chain for the cluster's own passwords.
const localName = "local"

// Chain asks who can judge a log-in. An account that has a password is judged by that password alone, so that nobody who may
// write to a directory becomes one of the cluster's own users. Everybody else is judged by the authenticators outside, one
// after the other, until one of them accepts.
type Chain struct {
	hasher  *Hasher
	outside []Authenticator
	observe func(authenticator string, o Outcome, err error)
}

// NewChain makes a chain, which closes the authenticators with itself. observe is told of every answer, with the reason when an
// authenticator could not judge; it must not block.
func NewChain(hasher *Hasher, outside []Authenticator, observe func(authenticator string, o Outcome, err error)) *Chain {
	return &Chain{hasher: hasher, outside: outside, observe: observe}
}

// Close closes the authenticators.
func (c *Chain) Close() {
	for _, a := range c.outside {
		a.Close()
	}
}

// Authenticate judges a log-in. stored is the hash of the user's account, "" for an unknown user and for one without a password. Of the Verdict
// only Judged counts beside an error. Errors: session.CodeUnauthenticated, session.CodeUnavailable when nobody accepted and somebody could not be asked,
// session.CodeOverloaded, ctx's error.
func (c *Chain) Authenticate(ctx context.Context, user, stored, password string) (Verdict, error) {
	if stored != "" || len(c.outside) == 0 {
		return c.local(ctx, stored, password)
	}
	if password == "" {
		return Verdict{}, session.ErrWrongCredentials() // a directory would take it for an anonymous visit and say yes
	}
	var unsure error
	judged := false
	for _, a := range c.outside {
		grant, err := a.Authenticate(ctx, user, password)
		switch {
		case err == nil:
			c.observe(a.Name(), OutcomeAccepted, nil)
			return Verdict{Grant: grant, Judged: true, Outside: true}, nil
		case errors.Is(err, ErrRefused):
			c.observe(a.Name(), OutcomeRefused, nil)
			judged = true
		default:
			c.observe(a.Name(), OutcomeUnavailable, err)
			unsure = errors.Join(unsure, err)
		}
	}
	if unsure != nil {
		return Verdict{Judged: judged}, errUnavailable(unsure)
	}
	return Verdict{Judged: judged}, session.ErrWrongCredentials()
}

func errUnavailable(cause error) error {
	var coded *session.Error
	if errors.As(cause, &coded) {
		return coded
	}
	return &session.Error{
		Code: session.CodeUnavailable, RetryAfter: retryPause, Err: cause,
		Message: "a directory that may know this user does not answer, so the password could not be checked; try again",
	}
}

func (c *Chain) local(ctx context.Context, stored, password string) (Verdict, error) {
	right, err := c.hasher.Verify(ctx, stored, password)
	switch {
	case err != nil:
		c.observe(localName, OutcomeUnavailable, err)
		return Verdict{}, err
	case !right:
		c.observe(localName, OutcomeRefused, nil)
		return Verdict{Judged: true}, session.ErrWrongCredentials()
	}
	c.observe(localName, OutcomeAccepted, nil)
	return Verdict{Judged: true, Outdated: c.hasher.Outdated(stored)}, nil
}

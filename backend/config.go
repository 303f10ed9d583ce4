package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// MaxSessionsOfUser is how many sessions a user may have at once, whatever the policies say: the user's record lists them.
const MaxSessionsOfUser = 1000

// MaxAdmins is how many users may be admins at once: the cluster's record lists them beside the policies.
const MaxAdmins = 500

// Config of a Service. Start from DefaultConfig; it is copied by New and not changed after.
type Config struct {
	// NodeName tells this process from others that use the same store, for operators.
	NodeName string
	// RequestTimeout bounds every request. Default 5 s.
	RequestTimeout time.Duration
	// SweepInterval is how often one of all processes looks through all users and sessions for what ended by time and was not taken away. Nothing
	// depends on it but space. Shorter: less is left over; longer: less is read. Default 10 min.
	SweepInterval time.Duration

	// Policies are the first values of policies that the store does not have yet. "default" is always among them.
	Policies []session.Policy
	// AdminPassword is the password of the user "admin", created if there is no admin yet; "" = none.
	AdminPassword string

	// Throttle bounds how often passwords may be tried.
	Throttle auth.Throttle
	// Sealing is what sealed attributes are sealed with.
	Sealing auth.Sealing
	// Hashing are the costs of new password hashes and how many are computed at once.
	Hashing auth.Config
	// Authenticators outside judge users that have no password here, in this order. Shutdown closes them. Default: none.
	Authenticators []auth.Authenticator

	// Directory keeps accounts, policies, the throttle and the time for a Service that keeps sessions alone, for one process. AdminPassword, Policies, Throttle
	// and Authenticators are its then, and so are the methods of session.Users, Policies and Cluster, but for Reseal. Default: none, the Service keeps all.
	Directory Directory

	// Figures are told what the service does. Default: nobody.
	Figures Figures
	// Events is told what was done to sessions, after the write that decides it and before the answer, for an audit trail. Only with a Directory: there the rest of
	// the trail comes from elsewhere. nil = nobody wants to know.
	Events func(ctx context.Context, e Event)

	// Random is the machine's by default; tests replace it.
	Random io.Reader
	// Logger receives what operators should know; default slog.Default().
	Logger *slog.Logger
	// Fatal is called at most once when the service cannot go on; the process must end. Required.
	Fatal func(error)
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{RequestTimeout: 5 * time.Second, SweepInterval: 10 * time.Minute, Throttle: auth.DefaultThrottle(), Policies: []session.Policy{session.DefaultPolicy()}}
}

// Validate tells the first setting that cannot work with a store of these features.
func (c Config) Validate(f Features) error {
	switch {
	case c.Fatal == nil:
		return errors.New("a handler for fatal errors is needed")
	case c.RequestTimeout < 100*time.Millisecond:
		return session.Invalid("limits.request_timeout", "%v is too short: at least 100ms", c.RequestTimeout)
	case c.Events != nil && c.Directory == nil:
		return errors.New("events are told only where a directory keeps the accounts")
	case c.SweepInterval <= 0:
		return session.Invalid("sweep_interval", "must be positive")
	}
	if err := c.Throttle.Validate(); err != nil {
		return err
	}
	if err := c.Sealing.Validate(); err != nil {
		return err
	}
	for _, p := range c.Policies {
		if err := p.Validate(); err != nil {
			return err
		}
		if err := f.supports(p); err != nil {
			return err
		}
	}
	if c.AdminPassword != "" {
		return session.ValidatePassword(c.AdminPassword)
	}
	return nil
}

// filled completes c with what absent fields mean.
func (c Config) filled() Config {
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Sealing.Params == (auth.Params{}) {
		c.Sealing.Params = auth.DefaultSealParams()
	}
	hasDefault := false
	for _, p := range c.Policies {
		hasDefault = hasDefault || p.Name == session.DefaultPolicyName
	}
	if !hasDefault {
		c.Policies = append([]session.Policy{session.DefaultPolicy()}, c.Policies...)
	}
	return c
}

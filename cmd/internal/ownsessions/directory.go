package ownsessions

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// directory is the cluster as the keeper of this node's sessions sees it.
type directory struct {
	accounts node.Accounts
	policies atomic.Pointer[backend.DirectoryPolicies] // as they were last made
}

var _ backend.Directory = (*directory)(nil)

// Read implements backend.Directory.
func (d *directory) Read(ctx context.Context, c session.Call) (session.Meta, error) {
	return d.accounts.Read(ctx, c)
}

// Now implements backend.Directory.
func (d *directory) Now() time.Time { return d.accounts.Now() }

// User implements backend.Directory.
func (d *directory) User(name string) backend.DirectoryUser {
	known := d.accounts.User(name)
	mark := func(e node.Ending) backend.DirectoryMark {
		return backend.DirectoryMark{Now: markOf(known.Epoch, e.At), Before: markOf(known.Epoch, e.Before)}
	}
	return backend.DirectoryUser{
		Account: account(known), Sessions: mark(known.Endings.Sessions), Permanent: mark(known.Endings.Permanent), Spared: known.Endings.Spared,
	}
}

// markOf names a change that ended sessions, in its time.
func markOf(epoch string, version uint64) string {
	return epoch + "." + strconv.FormatUint(version, 10)
}

func account(a node.Account) *backend.DirectoryAccount {
	if !a.Exists {
		return nil
	}
	return &backend.DirectoryAccount{
		Roles: a.Roles, Policies: a.Policies, Disabled: a.Disabled, HasPassword: a.HasPassword, CreatedAt: a.CreatedAt, Version: a.Version,
	}
}

// Policies implements backend.Directory. They are made anew when their version has changed: every request asks for them.
func (d *directory) Policies() backend.DirectoryPolicies {
	version := d.accounts.PoliciesVersion()
	if known := d.policies.Load(); known != nil && known.Version == version {
		return *known
	}
	made := backend.DirectoryPolicies{Version: version, MaxSessions: d.accounts.Limits().MaxSessions}
	for _, p := range d.accounts.Policies() {
		made.Items = append(made.Items, p.Policy)
		past := backend.PolicyPast{
			Name: p.Name, UsedMS: p.Uses.ThroughMS, UsedSpanMS: p.Uses.SpanMS, ActiveMS: p.Activities.ThroughMS, ActiveSpanMS: p.Activities.SpanMS,
		}
		for _, l := range p.Lifetimes {
			past.Lifetimes = append(past.Lifetimes, backend.PastLifetime(l))
		}
		if past.UsedMS != 0 || past.ActiveMS != 0 || len(past.Lifetimes) > 0 {
			made.Past = append(made.Past, past)
		}
	}
	d.policies.Store(&made)
	return made
}

// CheckPassword implements backend.Directory.
func (d *directory) CheckPassword(ctx context.Context, c backend.DirectoryCheck) (backend.DirectoryVerdict, error) {
	v, err := d.accounts.CheckPassword(ctx, node.PasswordCheck{User: c.User, Password: c.Password, Digest: c.Digest, Address: c.Address})
	if err != nil {
		return backend.DirectoryVerdict{}, err
	}
	return backend.DirectoryVerdict{Account: account(v.Account), Outside: v.Outside, Grant: v.Grant, GiveBack: v.GiveBack, KeepUp: v.KeepUp}, nil
}

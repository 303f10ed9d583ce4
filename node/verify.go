package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// proof is what makes a log-in believed.
type proof struct {
	subject  string // who asks
	outdated bool   // the password's hash should be made anew
}

// verify finds out whether the user may log in with its password, and fills in what the command needs of that: what it was verified
// against, which apply judges again.
func (n *Node) verify(ctx context.Context, c session.Call, l session.Login, create *fsmpb.CreateSession) (proof, error) {
	checked, err := n.checkPassword(ctx, passwordCheck{user: l.User, password: l.Password, address: triedFrom(c, l.ClientAddress)})
	if err != nil {
		return proof{}, err
	}
	create.UserVersion, create.Attempt = checked.account.Version, checked.attempt
	if checked.Outside {
		create.Outside = &fsmpb.OutsideLogin{Roles: grantedRoles(checked.Verdict)}
		grantPolicy(checked.Policies, create)
	}
	return proof{subject: "user " + l.User, outdated: checked.Outdated}, nil
}

// grantedRoles are what the user's groups give, for a user without account; nil = they say nothing.
func grantedRoles(v auth.Verdict) *fsmpb.RoleList {
	if !v.Outside || len(v.Roles) == 0 {
		return nil
	}
	return rolesTo(v.Roles)
}

// grantPolicy lets the user have one of the policies that its groups give: the one that it asks for, or the first. Without any, its
// account decides.
func grantPolicy(granted []string, create *fsmpb.CreateSession) {
	if create.Policy == "" && len(granted) > 0 {
		create.Policy = granted[0]
	}
	create.Outside.GrantsPolicy = slices.Contains(granted, create.Policy) // otherwise the account may allow it: apply knows
}

// upgradePassword stores the password that was just verified under a hash of today's costs. It is done when the log-in has succeeded, and a
// failure is left to the next log-in.
func (n *Node) upgradePassword(ctx context.Context, l session.Login, verified *fsmpb.CreateSession) {
	hash, err := n.hasher.Hash(ctx, l.Password)
	if err == nil {
		_, err = n.writeAt(ctx, "upgrade the password's hash", &fsmpb.Command{Kind: &fsmpb.Command_UpgradePassword{UpgradePassword: &fsmpb.UpgradePassword{
			User: l.User, ExpectedVersion: verified.UserVersion, PasswordHash: hash,
		}}})
	}
	if err != nil {
		n.log.Debug("a password's hash was not upgraded; the next log-in tries again", slog.Any("error", err))
	}
}

// authenticated counts what authenticators answer, and logs why one could not judge.
func (n *Node) authenticated(authenticator string, o auth.Outcome, err error) {
	n.metrics.authenticated.WithLabelValues(authenticator, string(o)).Inc()
	if o == auth.OutcomeUnavailable && session.CodeOf(err) != session.CodeOverloaded && !errors.Is(err, context.Canceled) {
		n.log.Warn("an authenticator could not judge a password", slog.String("authenticator", authenticator), slog.Any("error", err))
	}
}

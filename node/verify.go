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
	subject string          // who asks
	checked checkedPassword // zero for a service
}

// verify finds out whether the user may log in with its password, and fills in what the command needs of that: what it was verified
// against, which apply judges again.
func (n *Node) verify(ctx context.Context, c session.Call, l session.Login, create *fsmpb.CreateSession) (proof, error) {
	checked, err := n.checkPassword(ctx, passwordCheck{user: l.User, password: l.Password, digest: l.Digest, address: triedFrom(c, l.ClientAddress)})
	if err != nil {
		return proof{}, err
	}
	create.UserVersion, create.Attempt = checked.account.Version, checked.attempt
	if checked.Outside {
		create.Outside = &fsmpb.OutsideLogin{Roles: grantedRoles(checked.Verdict)}
		grantPolicy(checked.Policies, create)
	}
	return proof{subject: "user " + l.User, checked: checked}, nil
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

// authenticated counts what authenticators answer, and logs why one could not judge.
func (n *Node) authenticated(authenticator string, o auth.Outcome, err error) {
	n.metrics.authenticated.WithLabelValues(authenticator, string(o)).Inc()
	if o == auth.OutcomeUnavailable && session.CodeOf(err) != session.CodeOverloaded && !errors.Is(err, context.Canceled) {
		n.log.Warn("an authenticator could not judge a password", slog.String("authenticator", authenticator), slog.Any("error", err))
	}
}

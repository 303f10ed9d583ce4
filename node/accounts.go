package node

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Accounts is what the keeper of a node's own sessions (Config.SessionsAtNode) needs of the cluster: who its users are, which policies sessions
// follow, and what time it is. All but Read and CheckPassword answer from the node's memory, which holds at least what was acknowledged before the last
// linearizable Read began.
type Accounts struct{ node *Node }

// Accounts of the cluster, as this node knows them.
func (n *Node) Accounts() Accounts { return Accounts{n} }

// Ending is the change that last ended some of a user's sessions.
type Ending = fsm.Ending

// Account is a user, or what is left of one.
type Account struct {
	session.User      // without Sessions
	Exists       bool // it has an account; otherwise only the endings mean anything
	Endings      fsm.Endings
	// Epoch is the time at nodes to which the endings belong: what was made in another one is over, whatever they say.
	Epoch string
}

// Read waits until the node may answer c as it asks to, and tells what such an answer says of its age.
func (a Accounts) Read(ctx context.Context, c session.Call) (session.Meta, error) {
	ctx, cancel := a.node.limit(ctx)
	defer cancel()
	point, err := a.node.read(ctx, c)
	if err != nil {
		return session.Meta{}, asError("read", err)
	}
	if !a.node.atHome() {
		return session.Meta{}, a.node.errOtherHome()
	}
	return a.node.readMeta(c, point), nil
}

// Now is the cluster's time as this node continues it.
func (a Accounts) Now() time.Time { return instant(a.node.nowMS()) }

// User tells what is known of a user by its folded name.
func (a Accounts) User(name string) Account {
	known := a.node.fsm.UserAtNodes(name)
	out := Account{Endings: known.Endings, Epoch: a.node.epoch(known.Home)}
	if !known.Account.Shell {
		out.User, out.Exists = known.Account.User, true
	}
	return out
}

// Preferences are those of a user with account.
func (a Accounts) Preferences(name string) session.Attributes {
	return attributes(a.node.fsm.Preferences(name))
}

// Policies are those in force, with what their past means.
func (a Accounts) Policies() []fsm.PolicyWithPast { return a.node.fsm.PoliciesWithPast() }

// PoliciesVersion rises whenever policies or limits change, and not only then. Who asks for it first and for them then has them at least as new.
func (a Accounts) PoliciesVersion() uint64 { return a.node.fsm.PoliciesVersion() }

// Limits are those on the cluster's sessions.
func (a Accounts) Limits() session.ClusterLimits { return a.node.fsm.Limits() }

// PasswordCheck is one try of a password.
type PasswordCheck struct {
	User     string // folded
	Password string
	Digest   *session.Digest // in place of the password; nil = none
	Address  netip.Addr      // invalid = unknown
}

// Verified is a password that was right.
type Verified struct {
	Account  Account // that it was checked against
	Outside  bool    // a directory has verified it, and Grant is what its groups give
	Grant    auth.Grant
	GiveBack func(context.Context) // uncounts the attempt; to be called when the request ends, however it does
	KeepUp   func(context.Context) // keeps what should be kept of the password, when the request has succeeded
}

// CheckPassword counts an attempt in the cluster and judges it as log-ins are. ctx must end with the request. Errors: CodeUnauthenticated for a wrong
// one, CodeThrottled, CodeOverloaded.
func (a Accounts) CheckPassword(ctx context.Context, c PasswordCheck) (Verified, error) {
	n := a.node
	checked, err := n.checkPassword(ctx, passwordCheck{user: c.User, password: c.Password, digest: c.Digest, address: c.Address})
	if err != nil {
		return Verified{}, err
	}
	out := Verified{
		Account: Account{User: checked.account.User, Exists: checked.account.Name != ""}, Outside: checked.Outside,
		GiveBack: func(ctx context.Context) { n.giveBack(ctx, checked.attempt) },
		KeepUp: func(ctx context.Context) {
			if c.Digest == nil {
				n.keepUp(ctx, c.Password, checked)
			}
		},
	}
	if checked.Outside {
		out.Grant = checked.Grant
	}
	return out, nil
}

// Used is told to the node's metrics, as are the following: figures of its own sessions have the names that the cluster's have.
func (a Accounts) Used(touch string) { a.node.metrics.touches.WithLabelValues(touch).Inc() }

// Ended is told that sessions have ended, by a cause.
func (a Accounts) Ended(cause string, n int) {
	a.node.metrics.expired.WithLabelValues(cause).Add(float64(n))
}

// Elsewhere is told of a key at another address than that of its log-in.
func (a Accounts) Elsewhere(binding string) { a.node.metrics.elsewhere.WithLabelValues(binding).Inc() }

// Count lets the node's metrics ask how many sessions it keeps.
func (a Accounts) Count(sessions func() int) { a.node.ownSessions.Store(&sessions) }

// Judge lets the keeper say which policies and limits stand in the way of nodes' own sessions. It is asked before those that live in the cluster are ended for them.
func (a Accounts) Judge(may func([]session.Policy, session.ClusterLimits) error) {
	a.node.mayKeepOwn.Store(&may)
}

// Caller is somebody whom the keeper of this node's own sessions has authenticated.
type Caller struct {
	User    string // folded
	Roles   []session.Role
	Session session.ID
	Version uint64 // of the account that the session was judged by; 0 = there is none
	Address netip.Addr
}

type callerKey struct{}

// WithCaller lets the node take the calls that are made with ctx as the caller's, without key and credentials. What they change goes into the log
// as by somebody whose password was verified: apply judges the account again, and CodeUnauthenticated means that it has changed since.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// knownCaller is the principal that the keeper of the sessions vouches for; nil = none.
func (n *Node) knownCaller(ctx context.Context, c session.Call) (*principal, error) {
	known, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		return nil, nil
	}
	point, err := n.read(ctx, c)
	if err != nil {
		return nil, asError("read", err)
	}
	verified := &fsmpb.VerifiedUser{User: known.User, UserVersion: known.Version}
	if known.Version == 0 {
		verified.Outside, verified.Roles = true, rolesTo(known.Roles)
	}
	c.Key, c.Address = session.Key{}, known.Address
	record := fsm.Record{ID: known.Session, User: known.User, Roles: slices.Clone(known.Roles)}
	return &principal{call: c, point: point, record: record, verified: verified}, nil
}

// String keeps callers out of logs.
func (c Caller) String() string { return fmt.Sprintf("user %s", c.User) }

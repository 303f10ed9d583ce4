package cli_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/session"
)

// password opens every user of the fake.
const password = "correct-horse"

// fake is a cluster in memory that remembers what it was asked to change.
type fake struct {
	session.Service // nil: a method that the fake does not have must not be called

	mu      sync.Mutex
	alive   map[session.KeyHash]session.Session
	asked   []string // changes, in words
	failure error    // of every call, when set

	refuseLocal bool // local checks are too stale
	noKeys      bool // there is no policy flowtraq
	uncounted   bool // nobody counts what is left to be sealed anew
	resealed    bool // nothing is
}

func newFake() *fake { return &fake{alive: map[session.KeyHash]session.Session{}} }

func (f *fake) changed(format string, args ...any) session.Meta {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return session.Meta{Index: "1:7"}
}

func (f *fake) changes() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "; ")
}

// enter locks and answers who calls.
func (f *fake) enter(c session.Call) (session.Session, error) {
	f.mu.Lock()
	if f.failure != nil {
		return session.Session{}, f.failure
	}
	if c.Operator {
		return session.Session{User: "operator"}, nil
	}
	s, ok := f.alive[c.Key.Hash()]
	if !ok {
		return s, session.ErrUnauthenticated()
	}
	return s, nil
}

func someSession(n uint64, user string) session.Session {
	return session.Session{
		ID: session.ID{15: byte(n)}, Number: n, User: user, Policy: "default", CreatedAt: time.Unix(1_800_000_000, 0), LastUsedAt: time.Unix(1_800_000_060, 0),
		ExpiresAt: time.Unix(1_800_001_860, 0), IdleTimeout: 30 * time.Minute, ClientAddress: netip.MustParseAddr("192.0.2.7"), UserAgent: "curl",
		AuthTime: time.Unix(1_800_000_000, 0), Methods: []session.Method{session.MethodPassword},
	}
}

func (f *fake) Ready(bool) error { f.mu.Lock(); defer f.mu.Unlock(); return f.failure }

func timersText(l session.Login) (text string) {
	if l.Permanent {
		text = " permanent"
	}
	if l.IdleTimeout != nil {
		text += fmt.Sprintf(" idle=%v", *l.IdleTimeout)
	}
	return text
}

func (f *fake) Login(_ context.Context, _ session.Call, l session.Login) (session.Issued, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure != nil {
		return session.Issued{}, f.failure
	}
	if l.Password != password && !l.Vouched {
		return session.Issued{}, session.ErrWrongCredentials()
	}
	format := session.KeyNative
	if l.Policy == session.PresetFlowTraq {
		format = session.KeyHex32
		if f.noKeys {
			return session.Issued{}, session.ErrLoginPolicyUnknown()
		}
		if l.User == "eve" {
			return session.Issued{}, session.ErrLoginPolicyForbidden()
		}
	}
	key, err := session.NewKeyFor(l.User, format, rand.Reader)
	s := someSession(uint64(len(f.alive)+1), l.User)
	f.alive[key.Hash()] = s
	return session.Issued{Key: key, Session: s, Meta: f.changed("login %s %s", l.User, l.Policy+timersText(l))}, err
}

func (f *fake) Check(_ context.Context, c session.Call, _ bool) (session.Checked, error) {
	s, err := f.enter(c)
	defer f.mu.Unlock()
	if f.refuseLocal && c.Consistency == session.Local {
		return session.Checked{}, session.Errorf(session.CodeTooStale, "too old")
	}
	return session.Checked{Session: s, Roles: []session.Role{session.RoleAdmin}, Attributes: session.Attributes{"cart": []byte(`[1]`)}}, err
}

func (f *fake) Logout(_ context.Context, c session.Call) (session.Meta, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.alive, c.Key.Hash())
	return f.changed("logout"), f.failure
}

// Rotate ends the key before at once.
func (f *fake) Rotate(_ context.Context, c session.Call) (session.Issued, error) {
	s, err := f.enter(c)
	defer f.mu.Unlock()
	if err != nil {
		return session.Issued{}, err
	}
	key, err := session.NewKey(rand.Reader)
	delete(f.alive, c.Key.Hash())
	f.alive[key.Hash()] = s
	return session.Issued{Key: key, Session: s, Meta: f.changed("rotate")}, err
}

func (f *fake) Reauthenticate(ctx context.Context, c session.Call, p session.Proof) (session.Issued, error) {
	if p.Password != password {
		return session.Issued{}, session.ErrWrongCredentials()
	}
	return f.Rotate(ctx, c)
}

func (f *fake) ListSessions(_ context.Context, c session.Call, filter session.Filter, _ session.Page) (session.SessionList, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	f.changed("list %+v", filter)
	return session.SessionList{Items: []session.Session{someSession(1, "ada"), someSession(2, "ada"), someSession(3, "bob\x1b[2J")}}, err
}

func (f *fake) GetSession(_ context.Context, c session.Call, id session.ID) (session.Checked, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	if err == nil && id != (session.ID{15: 1}) {
		err = session.Errorf(session.CodeNotFound, "there is no such session")
	}
	return session.Checked{Session: someSession(1, "ada")}, err
}

func (f *fake) RevokeSession(_ context.Context, c session.Call, id session.ID) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("revoke %s", id), err
}

func (f *fake) RevokeSessions(_ context.Context, c session.Call, filter session.Filter) (session.Revoked, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.Revoked{Count: 3, Meta: f.changed("revoke where user=%s policy=%s", filter.User, filter.Policy)}, err
}

func (f *fake) CreateUser(_ context.Context, c session.Call, u session.NewUser) (session.UserResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	md5 := ""
	if u.MD5Login {
		md5 = " md5_login"
	}
	return session.UserResult{User: session.User{Name: u.Name, Roles: u.Roles}, Meta: f.changed("add %s %v %v password=%q%s", u.Name, u.Roles, u.Policies, u.Password, md5)}, err
}

func (f *fake) ListUsers(_ context.Context, c session.Call, _ session.Page) (session.UserList, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.UserList{Items: []session.User{{Name: "ada", Roles: []session.Role{"user"}, Policies: []string{"default"}, HasPassword: true, CreatedAt: time.Unix(1_800_000_000, 0)}}}, err
}

func (f *fake) GetUser(_ context.Context, c session.Call, name string) (session.UserResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.UserResult{User: session.User{Name: name, Roles: []session.Role{"user"}, Disabled: true}}, err
}

func (f *fake) UpdateUser(_ context.Context, c session.Call, name string, ch session.UserChange) (session.UserResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	what := ""
	if ch.Password != nil {
		what += " password=" + *ch.Password
	}
	if ch.CurrentPassword != nil {
		what += " in place of " + *ch.CurrentPassword
	}
	if ch.Roles != nil {
		what += fmt.Sprintf(" roles=%v", *ch.Roles)
	}
	if ch.Policies != nil {
		what += fmt.Sprintf(" policies=%v", *ch.Policies)
	}
	if ch.MD5Login != nil {
		what += fmt.Sprintf(" md5_login=%v", *ch.MD5Login)
	}
	if ch.Disabled != nil {
		what += fmt.Sprintf(" disabled=%v", *ch.Disabled)
	}
	if ch.EndPermanent {
		what += " end_permanent"
	}
	return session.UserResult{User: session.User{Name: name}, Meta: f.changed("update %s%s", name, what)}, err
}

func (f *fake) DeleteUser(_ context.Context, c session.Call, name string) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("delete %s", name), err
}

func (f *fake) ListPolicies(_ context.Context, c session.Call) (session.PolicyList, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.PolicyList{Items: []session.Policy{session.DefaultPolicy()}}, err
}

func (f *fake) GetPolicy(_ context.Context, c session.Call, name string) (session.PolicyResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	if name != session.DefaultPolicyName {
		return session.PolicyResult{}, firstError(err, session.Errorf(session.CodeNotFound, "no such policy"))
	}
	return session.PolicyResult{Policy: session.DefaultPolicy()}, err
}

func (f *fake) PatchPolicy(_ context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	if _, err := f.enter(c); err != nil || name != "default" {
		defer f.mu.Unlock()
		return session.PolicyResult{}, firstError(err, session.Errorf(session.CodeNotFound, "no such policy"))
	}
	defer f.mu.Unlock()
	return session.PolicyResult{Policy: session.DefaultPolicy(), Meta: f.changed("patch %s %s", name, describe(ch))}, nil
}

func (f *fake) PutPolicy(_ context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	policy := session.DefaultPolicy()
	policy.Name = name
	return session.PolicyResult{Policy: policy, Meta: f.changed("put %s %s", name, describe(ch))}, err
}

func (f *fake) DeletePolicy(_ context.Context, c session.Call, name string) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("delete policy %s", name), err
}

func (f *fake) GetLimits(_ context.Context, c session.Call) (session.ClusterLimitsResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.ClusterLimitsResult{ClusterLimits: session.ClusterLimits{OnLimit: session.OnLimitRefuse}}, err
}

func (f *fake) PatchLimits(_ context.Context, c session.Call, ch session.ClusterLimitsChange) (session.ClusterLimitsResult, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	limits := ch.Over(session.ClusterLimits{OnLimit: session.OnLimitRefuse, Version: 9})
	return session.ClusterLimitsResult{ClusterLimits: limits, Meta: f.changed("limits max=%d on_limit=%s", limits.MaxSessions, limits.OnLimit)}, err
}

func (f *fake) ClusterStatus(_ context.Context, c session.Call) (session.ClusterStatus, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return session.ClusterStatus{
		ClusterID: "c1", NodeID: "a1", LeaderID: "a1", Term: 3, CommitIndex: 40, Sessions: 2, Healthy: true, Failures: 1, Time: time.Unix(1_800_000_000, 0),
		Members: []session.Member{
			{ID: "a1", Name: "one", Role: "leader", Healthy: true, State: "alive", Applied: 40, LastContact: -1, PeerAddress: "one:8701", APIAddress: "one:8700"},
			{ID: "b2", Name: "two", Role: "follower", State: "suspect", LastContact: 20 * time.Millisecond, PeerAddress: "two:8701", APIAddress: "two:8700"},
		},
	}, err
}

func (f *fake) AddMember(_ context.Context, c session.Call, address string) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("add member %s", address), err
}

func (f *fake) RemoveMember(_ context.Context, c session.Call, id string) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("remove %s", id), err
}

func (f *fake) TransferLeadership(_ context.Context, c session.Call, id string) (session.Meta, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	return f.changed("transfer to %q", id), err
}

func (f *fake) Reseal(_ context.Context, c session.Call, cursor string) (session.Resealed, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	meta := f.changed("reseal from %q", cursor)
	if f.uncounted {
		count := 3
		if f.resealed {
			count = 0
		}
		return session.Resealed{Count: count, Left: session.LeftUnknown, Meta: meta}, err
	}
	if cursor == "" {
		return session.Resealed{Count: 3, Left: 2, NextCursor: "c1", Meta: meta}, err
	}
	return session.Resealed{Count: 2, Meta: meta}, err
}

func (f *fake) Move(_ context.Context, c session.Call, step session.MoveStep) (session.Moving, error) {
	_, err := f.enter(c)
	defer f.mu.Unlock()
	if err == nil && !c.Operator {
		err = session.ErrOperatorOnly()
	}
	return session.Moving{Phase: session.MoveOpen, Users: 3, Sessions: 4, Meta: f.changed("move: %s", step.Kind)}, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func describe(ch session.PolicyChange) string {
	var parts []string
	for _, field := range []struct {
		name  string
		value *time.Duration
	}{{"idle", ch.IdleTimeout}, {"absolute", ch.AbsoluteLifetime}, {"window", ch.TouchWindow}, {"inactivity", ch.InactivityTimeout}, {"grace", ch.RotateGrace}} {
		if field.value != nil {
			parts = append(parts, fmt.Sprintf("%s=%v", field.name, *field.value))
		}
	}
	if ch.NoTickle != nil {
		parts = append(parts, fmt.Sprintf("no_tickle=%v", *ch.NoTickle))
	}
	if ch.BindAddress != nil {
		parts = append(parts, fmt.Sprintf("bind=%v", *ch.BindAddress))
	}
	if ch.PermanentAllowed != nil {
		parts = append(parts, fmt.Sprintf("permanent=%v", *ch.PermanentAllowed))
	}
	if ch.LongerIdleAllowed != nil {
		parts = append(parts, fmt.Sprintf("longer_idle=%v", *ch.LongerIdleAllowed))
	}
	if ch.Attributes != nil {
		parts = append(parts, fmt.Sprintf("attributes=%v", *ch.Attributes))
	}
	if ch.KeyFormat != nil {
		parts = append(parts, fmt.Sprintf("keys=%v", *ch.KeyFormat))
	}
	for _, field := range []struct {
		name  string
		value *int
	}{{"per_user", ch.MaxSessionsPerUser}, {"per_address", ch.MaxSessionsPerAddress}, {"max", ch.MaxSessions}} {
		if field.value != nil {
			parts = append(parts, fmt.Sprintf("%s=%v", field.name, *field.value))
		}
	}
	if ch.OnLimit != nil {
		parts = append(parts, fmt.Sprintf("on_limit=%v", *ch.OnLimit))
	}
	if ch.SingleSession != nil {
		parts = append(parts, fmt.Sprintf("single=%v", *ch.SingleSession))
	}
	if ch.PermanentCounted != nil {
		parts = append(parts, fmt.Sprintf("permanent_counted=%v", *ch.PermanentCounted))
	}
	return strings.Join(parts, ",")
}

// terminal is a user at a shell: a home folder, an environment, a cluster.
type terminal struct {
	t       *testing.T
	fake    *fake
	environ []string
	stdin   string
	login   string // file of the saved log-in
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	f := newFake()
	config := api.DefaultConfig()
	config.DrainDelay = 0
	config.Logger = slog.New(slog.DiscardHandler)
	server, err := api.New(config, f)
	if err != nil {
		t.Fatal(err)
	}
	public := httptest.NewServer(server.Handler(false))
	t.Cleanup(public.Close)
	dir := t.TempDir()
	term := &terminal{t: t, fake: f, login: filepath.Join(dir, "config", "login.json")}
	term.environ = []string{
		"HYDRASTORE_ADDRESS=" + strings.TrimPrefix(public.URL, "http://"), "HYDRASTORE_LOGIN_FILE=" + term.login,
	}
	return term
}

// run runs one command line, split at spaces.
func (x *terminal) run(line string) (stdout, stderr string, code int) {
	x.t.Helper()
	var out, errs strings.Builder
	program := cli.Program{Args: strings.Fields(line), Environ: x.environ, Stdin: strings.NewReader(x.stdin), Stdout: &out, Stderr: &errs, Version: "v1.2.3"}
	code = program.Run(x.t.Context())
	return out.String(), errs.String(), code
}

// must runs a line that has to succeed.
func (x *terminal) must(line string) string {
	x.t.Helper()
	stdout, stderr, code := x.run(line)
	if code != cli.ExitOK {
		x.t.Fatalf("%s: got exit code %d, want 0\n%s", line, code, stderr)
	}
	return stdout
}

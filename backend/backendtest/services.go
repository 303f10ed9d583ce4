package backendtest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// AdminPassword is the password of the user "admin" that each service under test begins with.
const AdminPassword = "correct-horse-battery"

// SafePassword derives the seal key of each service under test.
const SafePassword = "an unsafe safe password"

// ServiceHarness gives a case empty sessions behind one or more services, which are ready.
type ServiceHarness struct {
	// Services stand before the same sessions: two where the home can be shared, otherwise one.
	Services []session.Service
	// Advance lets time pass for all of them; nil = it cannot be done, and cases about time are left out.
	Advance func(d time.Duration)
	// Cluster tells that there are limits by address and in total, and what else only a cluster has.
	Cluster bool
	// Counts tells that it is known how many values earlier safe passwords have sealed.
	Counts bool
}

// ServiceCase is one test of what session.Service promises, whatever stands behind it.
type ServiceCase struct {
	Name string
	Run  func(t T, h ServiceHarness)
}

// ServiceCases are the tests of session.Service.
func ServiceCases() []ServiceCase {
	cases := []struct {
		name string
		run  func(e *env)
	}{
		{"log in, check, log out", logInCheckLogOut},
		{"every wrong log-in gets one answer", wrongLogins},
		{"names are folded", namesAreFolded},
		{"services vouch for users", vouching},
		{"services present their users' keys", presenting},
		{"users choose among their policies", choosingPolicies},
		{"permanent sessions", permanentSessions},
		{"idle sessions end, used ones do not", idleEnds},
		{"uses within the window are covered", windowCovers},
		{"the absolute lifetime is never extended", absoluteEnds},
		{"tickles keep alive but are no activity", tickles},
		{"a session's own idle timeout", ownIdle},
		{"a policy's change holds for living sessions", policyChange},
		{"strict binding to the address", strictBinding},
		{"attributes merge", attributesMerge},
		{"attributes have limits", attributeLimits},
		{"who may write attributes", attributeWriters},
		{"sealed attributes", sealedAttributes},
		{"credentials under the policy tokenizer are sealed", credentialsAreSealed},
		{"credentials of others are as they are given", credentialsOfOthers},
		{"credentials that a log-in carries over", credentialsCarriedOver},
		{"the time line of the policy tokenizer", tokenizerTimeLine},
		{"what protocols keep of a session", alterations},
		{"users' preferences", preferences},
		{"rotation leads to one successor", rotation},
		{"a spent key ends its session", spentKey},
		{"rotation has a bound", rotationBound},
		{"re-authentication", reauthentication},
		{"the first proof by password", firstProof},
		{"losses of roles count at once, gains by rotation", roleChanges},
		{"disabling and deleting users ends their sessions", disabling},
		{"another password ends other sessions", passwordChange},
		{"somebody stays admin", lastAdmin},
		{"accounts have versions", accountVersions},
		{"policies have versions", policyVersions},
		{"policies in use stay", policiesInUse},
		{"lists show what filters select", listFilters},
		{"lists have pages", listPages},
		{"revocation by filter", revokeByFilter},
		{"revocation of a user's sessions", revokeUser},
		{"sessions of others do not exist", othersSessions},
		{"numbers go on", numbersGoOn},
		{"a log-in repeated under one Idempotency-Key is one session", idempotency},
		{"limits per user refuse", limitRefuses},
		{"limits per user evict", limitEvicts},
		{"one session a user", singleSession},
		{"permanent sessions that count", permanentCounted},
		{"a log-in takes the place of a session", replacing},
		{"wrong passwords are counted", throttle},
		{"local and min_index reads", consistency},
		{"bad requests are refused", badRequests},
		{"keys of every format", keyFormats},
		{"binding that a log-in asks for", boundLogin},
		{"log-in by MD5 and by challenge", digests},
		{"credentials for one call", credentials},
		{"revocation by numbers", revokeNumbers},
		{"resealing", resealing},
		{"limits hold under simultaneous log-ins", concurrentLimits},
		{"one session a user under simultaneous log-ins", concurrentSingle},
		{"log-out stays against uses in flight", logoutStays},
		{"revocation stays against uses in flight", revocationStays},
		{"callers that rotate at once share a successor", concurrentRotation},
		{"patches at once are all there", concurrentPatches},
		{"log-ins take along every acknowledged patch", carriedPatches},
		{"repetitions at once are one session", concurrentIdempotency},
		{"admins that resign at once leave one", concurrentAdmins},
	}
	out := make([]ServiceCase, len(cases))
	for i, c := range cases {
		out[i] = ServiceCase{c.name, func(t T, h ServiceHarness) { c.run(newEnv(t, h)) }}
	}
	return out
}

// env is a service under test with what cases need at hand.
type env struct {
	T
	ServiceHarness
	s     session.Service // the first one
	other session.Service // another one of them, if there is
	admin session.Call
}

var home, away = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

func newEnv(t T, h ServiceHarness) *env {
	t.Helper()
	e := &env{T: t, ServiceHarness: h, s: h.Services[0], other: h.Services[len(h.Services)-1]}
	issued, err := e.s.Login(t.Context(), session.Call{Address: home}, session.Login{User: "admin", Password: AdminPassword})
	if err != nil {
		t.Fatalf("log in as admin: %v", err)
	}
	e.admin = session.Call{Key: issued.Key, Address: home}
	return e
}

func (e *env) ok(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

func (e *env) code(what string, err error, want session.Code) {
	e.Helper()
	if got := session.CodeOf(err); got != want {
		e.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func password(user string) string { return "password of " + user }

// user makes an account.
func (e *env) user(name string, roles ...session.Role) session.User {
	e.Helper()
	return e.newUser(session.NewUser{Name: name, Password: password(name), Roles: roles})
}

func (e *env) newUser(u session.NewUser) session.User {
	e.Helper()
	made, err := e.s.CreateUser(e.Context(), e.admin, u)
	e.ok("create user "+u.Name, err)
	return made.User
}

func (e *env) policy(name string, ch session.PolicyChange) session.Policy {
	e.Helper()
	p, err := e.s.PutPolicy(e.Context(), e.admin, name, ch)
	e.ok("put policy "+name, err)
	return p.Policy
}

func ptr[T any](v T) *T { return &v }

// login logs a user in by password.
func (e *env) login(user string) session.Issued {
	e.Helper()
	issued, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: user, Password: password(user)})
	e.ok("log in as "+user, err)
	return issued
}

// vouched logs a user in on the admin's word.
func (e *env) vouched(l session.Login) session.Issued {
	e.Helper()
	l.Vouched = true
	issued, err := e.s.Login(e.Context(), e.admin, l)
	e.ok("log in for "+l.User, err)
	return issued
}

func (e *env) under(user, policy string) session.Issued {
	e.Helper()
	return e.vouched(session.Login{User: user, Policy: policy})
}

func with(i session.Issued) session.Call { return session.Call{Key: i.Key, Address: home} }

// check uses a session at the given service.
func (e *env) check(s session.Service, i session.Issued) (session.Checked, error) {
	return s.Check(e.Context(), with(i), false)
}

// alive wants the key to open a session, everywhere, without using it.
func (e *env) alive(what string, i session.Issued) session.Checked {
	e.Helper()
	var checked session.Checked
	for n, s := range e.Services {
		var err error
		if checked, err = s.Check(e.Context(), with(i), true); err != nil {
			e.Fatalf("%s: at service %d: %v", what, n, err)
		}
	}
	return checked
}

// dead wants the key to open nothing anywhere.
func (e *env) dead(what string, i session.Issued) {
	e.Helper()
	for n, s := range e.Services {
		if _, err := s.Check(e.Context(), with(i), true); session.CodeOf(err) != session.CodeUnauthenticated {
			e.Errorf("%s: at service %d: got %v, want unauthenticated", what, n, err)
		}
	}
}

// pass lets time pass, or leaves the case out.
func (e *env) pass(d time.Duration) {
	e.Helper()
	if e.Advance == nil {
		e.Skipf("time cannot be moved here")
	}
	e.Advance(d)
}

func values(pairs ...string) session.Attributes {
	out := session.Attributes{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

func patchOf(pairs ...string) session.AttributePatch { return session.AttributePatch(values(pairs...)) }

func text(a session.Attributes) string {
	b, _ := json.Marshal(a)
	return string(b)
}

func (e *env) wantAttributes(what string, got session.Attributes, want string) {
	e.Helper()
	if text(got) != want {
		e.Errorf("%s: got %s, want %s", what, text(got), want)
	}
}

func near(a, b time.Time, within time.Duration) bool { return a.Sub(b).Abs() <= within }

func numberedUser(i int) string { return fmt.Sprintf("user-%03d", i) }

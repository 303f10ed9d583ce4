package backendtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func (e *env) update(what, user string, ch session.UserChange) session.User {
	e.Helper()
	u, err := e.s.UpdateUser(e.Context(), e.admin, user, ch)
	e.ok(what, err)
	return u.User
}

func disabling(e *env) {
	e.policy("keys", session.PolicyChange{PermanentAllowed: ptr(true)})
	e.user("ada")
	e.user("bob")
	i, bob := e.login("ada"), e.login("bob")
	permanent := e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true})
	if u, err := e.s.GetUser(e.Context(), e.admin, "ada"); err != nil || u.Sessions != 2 {
		e.Errorf("the user has %d sessions, %v", u.Sessions, err)
	}
	e.update("disable", "ada", session.UserChange{Disabled: ptr(true)})
	e.dead("of a disabled user", i)
	e.dead("of a disabled user, permanent", permanent)
	_, err := e.other.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada")})
	e.code("log in disabled", err, session.CodeUnauthenticated)
	_, err = e.other.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true})
	e.code("vouch for a disabled user", err, session.CodeForbidden)
	e.update("enable", "ada", session.UserChange{Disabled: ptr(false)})
	e.dead("after it was enabled again", i)
	i = e.login("ada")
	_, err = e.s.DeleteUser(e.Context(), e.admin, "ada")
	e.ok("delete", err)
	e.dead("of a deleted user", i)
	_, err = e.s.GetUser(e.Context(), e.admin, "ada")
	e.code("get a deleted user", err, session.CodeNotFound)
	_, err = e.s.DeleteUser(e.Context(), e.admin, "ada")
	e.code("delete it again", err, session.CodeNotFound)
	e.alive("of another user", bob)
}

func passwordChange(e *env) {
	e.policy("keys", session.PolicyChange{PermanentAllowed: ptr(true)})
	e.user("ada")
	own, second := e.login("ada"), e.login("ada")
	permanent := e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true})
	change := func(ch session.UserChange) error {
		_, err := e.s.UpdateUser(e.Context(), with(own), "ada", ch)
		return err
	}
	e.code("without the present one", change(session.UserChange{Password: ptr("another password")}), session.CodeInvalid)
	e.code("with a wrong one", change(session.UserChange{Password: ptr("another password"), CurrentPassword: ptr("wrong")}), session.CodeForbidden)
	e.code("and a role", change(session.UserChange{Password: ptr("another password"), Roles: &[]session.Role{session.RoleAdmin}}), session.CodeForbidden)
	e.code("too short", change(session.UserChange{Password: ptr("short"), CurrentPassword: ptr(password("ada"))}), session.CodeInvalid)
	_, err := e.s.UpdateUser(e.Context(), with(own), "admin", session.UserChange{Password: ptr("another password")})
	e.code("another user's", err, session.CodeForbidden)
	e.alive("before", second)
	e.ok("change the own password", change(session.UserChange{Password: ptr("another password"), CurrentPassword: ptr(password("ada"))}))
	e.alive("the session that changed it", own)
	e.dead("the other one", second)
	e.alive("a permanent one", permanent)
	_, err = e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada")})
	e.code("with the old password", err, session.CodeUnauthenticated)
	_, err = e.other.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: "another password"})
	e.ok("with the new password", err)
	e.update("the admin changes it", "ada", session.UserChange{Password: ptr(password("ada")), EndPermanent: true})
	e.dead("after the admin's change", own)
	e.dead("permanent, after the admin's change", permanent)
}

func lastAdmin(e *env) {
	for what, ch := range map[string]session.UserChange{
		"disable": {Disabled: ptr(true)}, "demote": {Roles: &[]session.Role{session.RoleUser}},
	} {
		_, err := e.s.UpdateUser(e.Context(), e.admin, "admin", ch)
		e.code(what+" the last admin", err, session.CodeConflict)
	}
	_, err := e.s.DeleteUser(e.Context(), e.admin, "admin")
	e.code("delete the last admin", err, session.CodeConflict)
	e.newUser(session.NewUser{Name: "off", Roles: []session.Role{session.RoleAdmin}, Disabled: true})
	_, err = e.s.DeleteUser(e.Context(), e.admin, "admin")
	e.code("delete the last enabled admin", err, session.CodeConflict)
	e.user("root", session.RoleAdmin)
	e.update("demote with another one there", "admin", session.UserChange{Roles: &[]session.Role{session.RoleUser}})
	_, err = e.other.ListUsers(e.Context(), e.admin, session.Page{})
	e.code("the old admin", err, session.CodeForbidden)
	root := with(e.login("root"))
	_, err = e.s.UpdateUser(e.Context(), root, "root", session.UserChange{Disabled: ptr(true)})
	e.code("disable the last admin", err, session.CodeConflict)
}

func accountVersions(e *env) {
	made := e.newUser(session.NewUser{Name: "ada", Password: password("ada"), Roles: []session.Role{session.RoleService, session.RoleUser, session.RoleService}})
	if !slices.Equal(made.Roles, []session.Role{session.RoleService, session.RoleUser}) || !slices.Equal(made.Policies, []string{session.DefaultPolicyName}) || !made.HasPassword || made.Disabled || made.Sessions != 0 {
		e.Errorf("made %+v", made)
	}
	changed := e.update("change", "ada", session.UserChange{Roles: &[]session.Role{}, IfMatch: &made.Version})
	if changed.Version <= made.Version || !slices.Equal(changed.Roles, []session.Role{session.RoleUser}) || !changed.CreatedAt.Equal(made.CreatedAt) {
		e.Errorf("changed %+v", changed)
	}
	_, err := e.other.UpdateUser(e.Context(), e.admin, "ada", session.UserChange{Disabled: ptr(true), IfMatch: &made.Version})
	e.code("an old version", err, session.CodeVersionMismatch)
	_, err = e.s.UpdateUser(e.Context(), e.admin, "nobody", session.UserChange{Disabled: ptr(true)})
	e.code("an unknown user", err, session.CodeNotFound)
	got, err := e.other.GetUser(e.Context(), e.admin, "ADA")
	e.ok("get", err)
	if got.Version != changed.Version {
		e.Errorf("got %+v, want %+v", got.User, changed)
	}
	if _, err := e.s.DeleteUser(e.Context(), e.admin, "ada"); err != nil {
		e.Fatalf("delete: %v", err)
	}
	if again := e.user("ada"); again.Version <= changed.Version {
		e.Errorf("made again with version %d, after %d", again.Version, changed.Version)
	}
	names := map[string]int{}
	for i := range 7 {
		e.newUser(session.NewUser{Name: fmt.Sprintf("u%d", i)})
	}
	e.under("shell", "")
	for cursor := ""; ; {
		list, err := e.s.ListUsers(e.Context(), e.admin, session.Page{Limit: 3, Cursor: cursor})
		e.ok("list users", err)
		for _, u := range list.Items {
			names[u.Name]++
		}
		if cursor = list.NextCursor; cursor == "" {
			break
		}
	}
	if len(names) != 9 || names["admin"] != 1 || names["ada"] != 1 || names["u6"] != 1 {
		e.Errorf("the list shows %v", names)
	}
}

func policyVersions(e *env) {
	made := e.policy("web", session.PolicyChange{IdleTimeout: ptr(5 * time.Minute), BindAddress: ptr(session.BindLog)})
	if made.IdleTimeout != 5*time.Minute || made.AbsoluteLifetime != session.DefaultAbsoluteLifetime || made.BindAddress != session.BindLog {
		e.Errorf("made %+v", made)
	}
	patched, err := e.other.PatchPolicy(e.Context(), e.admin, "web", session.PolicyChange{AbsoluteLifetime: ptr(time.Hour), IfMatch: &made.Version})
	e.ok("patch", err)
	if patched.IdleTimeout != 5*time.Minute || patched.AbsoluteLifetime != time.Hour || patched.Version <= made.Version {
		e.Errorf("patched %+v", patched.Policy)
	}
	_, err = e.s.PatchPolicy(e.Context(), e.admin, "web", session.PolicyChange{AbsoluteLifetime: ptr(time.Hour), IfMatch: &made.Version})
	e.code("an old version", err, session.CodeVersionMismatch)
	_, err = e.s.PatchPolicy(e.Context(), e.admin, "missing", session.PolicyChange{})
	e.code("an unknown policy", err, session.CodeNotFound)
	replaced := e.policy("web", session.PolicyChange{})
	if replaced.IdleTimeout != session.DefaultIdleTimeout || replaced.AbsoluteLifetime != session.DefaultAbsoluteLifetime {
		e.Errorf("replaced %+v", replaced)
	}
	list, err := e.s.ListPolicies(e.Context(), e.admin)
	e.ok("list", err)
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, "web") || !slices.Contains(names, session.DefaultPolicyName) || !slices.IsSorted(names) {
		e.Errorf("the list shows %v", names)
	}
	got, err := e.other.GetPolicy(e.Context(), e.admin, "web")
	e.ok("get", err)
	if got.Policy != replaced {
		e.Errorf("got %+v, want %+v", got.Policy, replaced)
	}
	e.user("ada")
	_, err = e.s.PutPolicy(e.Context(), with(e.login("ada")), "web", session.PolicyChange{})
	e.code("a user changes policies", err, session.CodeForbidden)
}

func policiesInUse(e *env) {
	e.policy("web", session.PolicyChange{})
	e.policy("free", session.PolicyChange{})
	e.policy("named", session.PolicyChange{})
	e.newUser(session.NewUser{Name: "bob", Policies: []string{"named"}})
	i := e.under("ada", "web")
	for _, name := range []string{"web", "named", session.DefaultPolicyName} {
		_, err := e.s.DeletePolicy(e.Context(), e.admin, name)
		e.code("delete "+name, err, session.CodeConflict)
	}
	_, err := e.s.DeletePolicy(e.Context(), e.admin, "free")
	e.ok("delete what nobody has", err)
	_, err = e.s.DeletePolicy(e.Context(), e.admin, "free")
	e.code("delete it again", err, session.CodeNotFound)
	_, err = e.s.Logout(e.Context(), with(i))
	e.ok("log out", err)
	eventually(e, "deletion after the last session has ended", func() bool {
		_, err := e.s.DeletePolicy(e.Context(), e.admin, "web")
		return err == nil
	})
}

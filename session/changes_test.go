package session_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// TestAChangeHasEveryRule: a policy laid over another one as a change gives the first one's rules, whatever fields policies get.
func TestAChangeHasEveryRule(t *testing.T) {
	t.Parallel()
	for _, p := range session.Presets() {
		for _, base := range session.Presets() {
			got := p.AsChange().Over(base)
			if !got.SameRules(p) || got.Name != base.Name {
				t.Errorf("%s over %s gives %+v", p.Name, base.Name, got)
			}
			if same := (session.PolicyChange{}).Over(base); same != base {
				t.Errorf("no change of %s gives %+v", base.Name, same)
			}
		}
	}
	change := reflect.ValueOf(session.DefaultPolicy().AsChange())
	for i := range change.NumField() {
		if field := change.Type().Field(i); field.Name != "IfMatch" && change.Field(i).IsZero() {
			t.Errorf("AsChange leaves out %s", field.Name)
		}
	}
}

func TestRolesInForce(t *testing.T) {
	t.Parallel()
	const user, service, admin = session.RoleUser, session.RoleService, session.RoleAdmin
	for _, c := range []struct{ given, account, want []session.Role }{
		{[]session.Role{user}, []session.Role{user}, []session.Role{user}},
		{[]session.Role{admin}, []session.Role{admin}, []session.Role{admin}},
		{[]session.Role{admin}, []session.Role{user}, []session.Role{user}},
		{[]session.Role{user}, []session.Role{admin}, []session.Role{user}},
		{[]session.Role{admin}, []session.Role{service}, []session.Role{service}},
		{[]session.Role{service}, []session.Role{admin}, []session.Role{service}},
		{[]session.Role{admin, user}, []session.Role{user}, []session.Role{user}},
		{[]session.Role{admin, service}, []session.Role{service, user}, []session.Role{service, user}},
	} {
		if got := session.RolesInForce(c.given, c.account); !slices.Equal(got, c.want) {
			t.Errorf("given %v, account %v: got %v, want %v", c.given, c.account, got, c.want)
		}
	}
	if session.GainsRights([]session.Role{admin}, []session.Role{service}) || !session.GainsRights([]session.Role{user}, []session.Role{service}) {
		t.Error("gains are judged wrongly")
	}
}

func TestIDsAndHashesAsText(t *testing.T) {
	t.Parallel()
	id, hash := session.ID{1, 2, 15: 255}, session.KeyHash{0: 255, 31: 7}
	idText, _ := id.MarshalText()
	hashText, _ := hash.MarshalText()
	var gotID session.ID
	var gotHash session.KeyHash
	if err := gotID.UnmarshalText(idText); err != nil || gotID != id || string(idText) != id.String() {
		t.Errorf("%s gives %v, %v", idText, gotID, err)
	}
	if err := gotHash.UnmarshalText(hashText); err != nil || gotHash != hash {
		t.Errorf("%s gives %v, %v", hashText, gotHash, err)
	}
	for _, bad := range []string{"", "x", string(hashText[1:]), string(hashText) + "A", "!" + string(hashText[1:])} {
		if err := gotHash.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a hash", bad)
		}
		if err := gotID.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

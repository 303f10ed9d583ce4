package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

func TestSealedAttributes(t *testing.T) {
	t.Parallel()
	service, server, admin := newServer(t)
	ctx := context.Background()
	shop := newClient(t, client.Config{Addresses: []string{server.URL}, Key: service.AddUser("shop", password, session.RoleService)})
	issued, err := shop.Login(ctx, session.Login{User: "ada", Vouched: true, Sealed: session.Attributes{"token": json.RawMessage(`"t"`)}})
	if err != nil || string(issued.Sealed["token"]) != `"t"` || len(issued.Attributes) != 0 {
		t.Fatalf("got %s and %s, %v", issued.Sealed, issued.Attributes, err)
	}
	subject := client.For(session.Presented{Key: issued.Key})
	patched, err := shop.SealAttributes(ctx, session.AttributePatch{"token": json.RawMessage("null"), "n": json.RawMessage("1")}, subject)
	if err != nil || fmt.Sprintf("%s", patched.Sealed) != "map[n:1]" {
		t.Errorf("got %s, %v", patched.Sealed, err)
	}
	root := shop.With(admin)
	if seen, err := root.Check(ctx, subject); err != nil || seen.Sealed != nil {
		t.Errorf("an admin is shown %s, %v", seen.Sealed, err)
	}
	page, err := root.Reseal(ctx, "")
	if err != nil || page.Count != 1 || page.Left != 1 || page.NextCursor != "second" {
		t.Errorf("got %+v, %v", page, err)
	}
	if page, err = root.Reseal(ctx, page.NextCursor); err != nil || page.Count != 1 || page.Left != 0 || page.NextCursor != "" {
		t.Errorf("got %+v, %v", page, err)
	}
	if page, err = root.Reseal(ctx, apitest.Uncounted); err != nil || page.Count != 1 || page.Left != session.LeftUnknown {
		t.Errorf("where nobody counts: got %+v, %v", page, err)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	service, server, admin := newServer(t)
	ctx := context.Background()
	shop := newClient(t, client.Config{Addresses: []string{server.URL}, Key: service.AddUser("shop", password, session.RoleService)})

	issued, err := shop.Login(ctx, session.Login{User: "Ada/Ö", Vouched: true, ClientAddress: netip.MustParseAddr("203.0.113.7"), UserAgent: "browser",
		Attributes: session.Attributes{"cart": json.RawMessage(`[17,4]`), "big": json.RawMessage("12345678901234567890")}})
	if err != nil {
		t.Fatal(err)
	}
	want := session.Session{ID: issued.ID, Number: issued.Number, User: "ada/ö", Policy: "default", CreatedAt: apitest.Start(), LastUsedAt: apitest.Start(),
		ExpiresAt: apitest.Start().Add(30 * time.Minute), IdleTimeout: 30 * time.Minute, ClientAddress: netip.MustParseAddr("203.0.113.7"),
		UserAgent: "browser", AttributesVersion: issued.AttributesVersion, AuthTime: apitest.Start(), Methods: []session.Method{session.MethodService}}
	if !reflect.DeepEqual(issued.Session, want) || issued.Number == 0 || issued.Index == "" || issued.Age != -1 {
		t.Errorf("got  %+v\nwant %+v", issued.Session, want)
	}
	if string(issued.Attributes["big"]) != "12345678901234567890" {
		t.Errorf("got %s", issued.Attributes)
	}

	subject := client.For(session.Presented{Key: issued.Key, Address: netip.MustParseAddr("203.0.113.7"), UserAgent: "browser"})
	checked, err := shop.Check(ctx, subject)
	if err != nil || checked.ID != issued.ID || fmt.Sprint(checked.Roles) != "[user]" || service.Uses(issued.Key) != 1 {
		t.Errorf("got %+v, %v", checked, err)
	}
	if _, err := shop.Check(ctx, subject, client.Look()); err != nil || service.Uses(issued.Key) != 1 {
		t.Errorf("a look was a use: %v", err)
	}
	local, err := shop.With(issued.Key).Check(ctx, client.Local())
	if err != nil || local.Age != 1234*time.Millisecond {
		t.Errorf("got age %v, %v", local.Age, err)
	}
	if _, err := shop.Check(ctx, client.As(issued.Key), client.MinIndex(issued.Index)); err != nil {
		t.Error(err)
	}
	if _, err := shop.Touch(ctx, subject); err != nil || service.Uses(issued.Key) != 2 {
		t.Errorf("the touch was no use: %v", err)
	}
	patched, err := shop.PatchAttributes(ctx, session.AttributePatch{"cart": json.RawMessage("null"), "n": json.RawMessage("1")}, subject, client.IfMatch(issued.AttributesVersion))
	if err != nil || len(patched.Attributes) != 2 || string(patched.Attributes["n"]) != "1" {
		t.Errorf("got %s, %v", patched.Attributes, err)
	}
	_, err = shop.PatchAttributes(ctx, nil, subject, client.IfMatch(issued.AttributesVersion))
	if session.CodeOf(err) != session.CodeVersionMismatch {
		t.Errorf("got %v", err)
	}

	root := shop.With(admin)
	if got, err := root.GetSession(ctx, issued.ID); err != nil || got.ID != issued.ID {
		t.Errorf("got %v, %v", got.ID, err)
	}
	if _, err := shop.Logout(ctx, subject); err != nil || service.Uses(issued.Key) != -1 {
		t.Errorf("still alive: %v", err)
	}
	if _, err := root.GetSession(ctx, issued.ID); session.CodeOf(err) != session.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if _, err := shop.With(issued.Key).Check(ctx); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	service, server, _ := newServer(t)
	ctx := context.Background()
	ada := newClient(t, client.Config{Addresses: []string{server.URL}, Key: service.AddUser("ada", password)})
	issued, err := ada.Rotate(ctx)
	if err != nil || issued.User != "ada" {
		t.Fatalf("got %+v, %v", issued.Session, err)
	}
	again, err := ada.Rotate(ctx)
	if err != nil || again.Key != issued.Key {
		t.Errorf("the second answer has another key, or %v", err)
	}
	if checked, err := ada.Check(ctx); err != nil || !checked.Rotate {
		t.Errorf("who has the old key is not told: %+v, %v", checked, err)
	}
	next := ada.With(issued.Key)
	service.Advance(5000)
	if _, err := next.Check(ctx, client.MaxAuthAge(5*time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := next.Check(ctx, client.MaxAuthAge(4999*time.Millisecond)); session.CodeOf(err) != session.CodeReauthenticate {
		t.Errorf("got %v", err)
	}
	if _, err := next.Reauthenticate(ctx, session.Proof{Password: "wrong"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
	proved, err := next.Reauthenticate(ctx, session.Proof{Password: password})
	if err != nil || !proved.AuthTime.Equal(apitest.Start().Add(5*time.Second)) {
		t.Fatalf("got %+v, %v", proved.Session, err)
	}
	if _, err := next.Check(ctx); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
	shop := newClient(t, client.Config{Addresses: []string{server.URL}, Key: service.AddUser("shop", password, session.RoleService)})
	vouched, err := shop.Reauthenticate(ctx, session.Proof{Vouched: true}, client.For(session.Presented{Key: proved.Key}))
	if err != nil || vouched.ID != issued.ID {
		t.Errorf("got %+v, %v", vouched.Session, err)
	}
}

// TestSessionsOfOneNode: every list and count says whose sessions they are where each node keeps its own, and nothing where they are the cluster's.
func TestSessionsOfOneNode(t *testing.T) {
	t.Parallel()
	service, server, admin := newServer(t)
	ctx := context.Background()
	c := newClient(t, client.Config{Addresses: []string{strings.TrimPrefix(server.URL, "http://")}, Key: admin})
	nodes := func() map[string]string {
		t.Helper()
		list, err1 := c.ListSessions(ctx, session.Filter{}, session.Page{})
		users, err2 := c.ListUsers(ctx, session.Page{})
		user, err3 := c.GetUser(ctx, users.Items[0].Name)
		revoked, err4 := c.RevokeUserSessions(ctx, "nobody", session.UserSessions{})
		status, err5 := c.ClusterStatus(ctx)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		return map[string]string{"list": list.Node, "users": users.Node, "user": user.Node, "revoked": revoked.Node, "status": status.SessionsOf}
	}
	for what, node := range nodes() {
		if node != "" {
			t.Errorf("%s: of %q, want all of the cluster's", what, node)
		}
	}
	service.KeepOwn("n7")
	for what, node := range nodes() {
		if node != "n7" {
			t.Errorf("%s: of %q, want n7", what, node)
		}
	}
}

func TestListsAndRevocations(t *testing.T) {
	t.Parallel()
	_, server, admin := newServer(t)
	ctx := context.Background()
	c := newClient(t, client.Config{Addresses: []string{strings.TrimPrefix(server.URL, "http://")}, Key: admin})
	const many = session.MaxPageSize + 5 // more than a page
	var last session.Issued
	for range many {
		var err error
		if last, err = c.Login(ctx, session.Login{User: "carl", Vouched: true, ClientAddress: netip.MustParseAddr("10.0.0.1")}); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for s, err := range c.Sessions(ctx, session.Filter{User: "carl"}) {
		if err != nil || s.User != "carl" {
			t.Fatalf("got %+v, %v", s, err)
		}
		count++
	}
	if count != many {
		t.Errorf("got %d sessions, want %d", count, many)
	}
	for range c.Sessions(ctx, session.Filter{}) {
		break // a caller may stop
	}
	filter := session.Filter{User: "carl", ClientAddress: netip.MustParseAddr("10.0.0.1"), Policy: "default", IdleLongerThan: 1500 * time.Millisecond}
	if list, err := c.ListSessions(ctx, filter, session.Page{Limit: 1}); err != nil || len(list.Items) != 0 {
		t.Errorf("got %+v, %v", list, err)
	}
	if _, err := c.RevokeSession(ctx, last.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.RevokeSessions(ctx, session.Filter{}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a zero filter: got %v", err)
	}
	if got, err := c.RevokeSessions(ctx, session.Filter{ClientAddress: netip.MustParseAddr("10.0.0.1")}); err != nil || got.Count != many-1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.RevokeUserSessions(ctx, "root", session.UserSessions{ExceptCurrent: true}); err != nil || got.Count != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.RevokeAllSessions(ctx); err != nil || got.Count != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, err := range c.Sessions(ctx, session.Filter{}) {
		if session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("got %v", err)
		}
	}
}

func TestUsersAndPolicies(t *testing.T) {
	t.Parallel()
	_, server, admin := newServer(t)
	ctx := context.Background()
	c := newClient(t, client.Config{Addresses: []string{server.URL}, Key: admin})
	made, err := c.CreateUser(ctx, session.NewUser{Name: "bob/1 ?", Password: password, Roles: []session.Role{session.RoleService}, Policies: []string{"default", "web"}, Disabled: true, MD5Login: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetUser(ctx, "BOB/1 ?")
	if err != nil || !reflect.DeepEqual(got.User, made.User) || !got.Disabled || !got.HasPassword || !got.MD5Login || fmt.Sprint(got.Roles, got.Policies) != "[service] [default web]" {
		t.Errorf("got %+v, %v", got, err)
	}
	no, roles := false, []session.Role{session.RoleAdmin}
	changed, err := c.UpdateUser(ctx, "bob/1 ?", session.UserChange{Disabled: &no, MD5Login: &no, Roles: &roles, IfMatch: &made.Version})
	if err != nil || changed.Disabled || changed.MD5Login || fmt.Sprint(changed.Roles) != "[admin]" {
		t.Errorf("got %+v, %v", changed, err)
	}
	if _, err := c.UpdateUser(ctx, "bob/1 ?", session.UserChange{IfMatch: &made.Version}); session.CodeOf(err) != session.CodeVersionMismatch {
		t.Errorf("got %v", err)
	}
	var names []string
	for u, err := range c.Users(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, u.Name)
	}
	if fmt.Sprintf("%q", names) != `["bob/1 ?" "root"]` {
		t.Errorf("got %q", names)
	}
	if _, err := c.DeleteUser(ctx, "bob/1 ?"); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteUser(ctx, "bob/1 ?"); session.CodeOf(err) != session.CodeNotFound {
		t.Errorf("got %v", err)
	}

	idle, zero, auto, writer, grace := 90500*time.Millisecond, time.Duration(0), session.TouchWindowAuto, session.WriteByBearer, 1500*time.Millisecond
	inactive, yes, strict, hex32 := time.Hour, true, session.BindStrict, session.KeyHex32
	local := session.AttributesLocal
	policy, err := c.PutPolicy(ctx, "web", session.PolicyChange{
		IdleTimeout: &idle, TouchWindow: &zero, Attributes: &local, AttributesWrite: &writer, InactivityTimeout: &inactive, NoTickle: &yes, BindAddress: &strict,
		PermanentAllowed: &yes, LongerIdleAllowed: &yes, RotateGrace: &grace, KeyFormat: &hex32,
		LimitsChange: session.LimitsChange{PermanentCounted: &yes},
	})
	want := session.Policy{
		Name: "web", IdleTimeout: idle, AbsoluteLifetime: 12 * time.Hour, Attributes: local, AttributesWrite: writer, InactivityTimeout: time.Hour, NoTickle: true,
		BindAddress: session.BindStrict, PermanentAllowed: true, LongerIdleAllowed: true, RotateGrace: grace, KeyFormat: hex32, Version: policy.Version,
		PolicyLimits: session.PolicyLimits{OnLimit: session.OnLimitRefuse, PermanentCounted: true},
	}
	if err != nil || policy.Policy != want {
		t.Errorf("got %+v, %v", policy, err)
	}
	policy, err = c.PatchPolicy(ctx, "web", session.PolicyChange{TouchWindow: &auto, AbsoluteLifetime: &zero, IfMatch: &policy.Version})
	want.TouchWindow, want.AbsoluteLifetime, want.Version = auto, 0, policy.Version
	if err != nil || policy.Policy != want {
		t.Errorf("got %+v, %v", policy, err)
	}
	two, most, total, evict, single := 2, 50, 1024, session.OnLimitOldest, true
	want.PolicyLimits = session.PolicyLimits{MaxSessionsPerUser: 2, MaxSessionsPerAddress: 50, MaxSessions: 1024, OnLimit: evict, SingleSession: true, PermanentCounted: true}
	policy, err = c.PatchPolicy(ctx, "web", session.PolicyChange{LimitsChange: session.LimitsChange{
		MaxSessionsPerUser: &two, MaxSessionsPerAddress: &most, MaxSessions: &total, OnLimit: &evict, SingleSession: &single}})
	want.Version = policy.Version
	if err != nil || policy.Policy != want {
		t.Errorf("got %+v, %v", policy, err)
	}
	if got, err := c.GetPolicy(ctx, "web"); err != nil || got.Policy != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if made, err := c.Login(ctx, session.Login{User: "ada", Vouched: true, Policy: "web", Permanent: true}); err != nil || !made.Permanent || made.IdleTimeout != 0 || !made.ExpiresAt.IsZero() {
		t.Errorf("a permanent session: got %+v, %v", made.Session, err)
	}
	if list, err := c.ListSessions(ctx, session.Filter{Permanent: true}, session.Page{}); err != nil || len(list.Items) != 1 || !list.Items[0].Permanent {
		t.Errorf("permanent sessions: got %+v, %v", list, err)
	}
	if ended, err := c.RevokeUserSessions(ctx, "ada", session.UserSessions{Permanent: true}); err != nil || ended.Count != 1 {
		t.Errorf("got %+v, %v", ended, err)
	}
	if made, err := c.Login(ctx, session.Login{User: "ada", Vouched: true, IdleTimeout: &idle}); err != nil || made.IdleTimeout != idle || made.Permanent {
		t.Errorf("a session with its own idle timeout: got %+v, %v", made.Session, err)
	}
	if list, err := c.ListPolicies(ctx); err != nil || len(list.Items) != 2 || list.Items[1] != want {
		t.Errorf("got %+v, %v", list, err)
	}
	if _, err := c.DeletePolicy(ctx, "web"); err != nil {
		t.Error(err)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	service, server, admin := newServer(t)
	ctx := context.Background()
	c := newClient(t, client.Config{Addresses: []string{server.URL}, Key: admin})
	status, err := c.ClusterStatus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := service.ClusterStatus(ctx, session.Call{Operator: true})
	if err != nil || !reflect.DeepEqual(status, direct) {
		t.Errorf("got  %+v\nwant %+v, %v", status, direct, err)
	}
	_, addErr := c.AddMember(ctx, "127.0.0.1:1")
	_, transferErr := c.TransferLeadership(ctx, "n2")
	_, anyErr := c.TransferLeadership(ctx, "")
	_, removeErr := c.RemoveMember(ctx, "n2")
	if err := errors.Join(addErr, transferErr, anyErr, removeErr); err != nil {
		t.Error(err)
	}
	if err := c.Ready(ctx, true); err != nil {
		t.Error(err)
	}
	service.SetReady(session.Errorf(session.CodeNoQuorum, "no leader"))
	one := newClient(t, client.Config{Addresses: []string{server.URL}, Rounds: 1})
	if err := one.Ready(ctx, false); session.CodeOf(err) != session.CodeNoQuorum {
		t.Errorf("got %v", err)
	}
}

func TestOperatorSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hs") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: httptest.NewUnstartedServer(handler(t, apitest.New(), true)).Config}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, client.Config{Socket: path})
	if _, err := c.CreateUser(context.Background(), session.NewUser{Name: "boss", Password: password, Roles: []session.Role{session.RoleAdmin}}); err != nil {
		t.Error(err)
	}
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for _, config := range []client.Config{
		{}, {Addresses: []string{""}}, {Addresses: []string{":80"}}, {Addresses: []string{"ftp://a"}}, {Addresses: []string{"http://a/b"}},
		{Addresses: []string{"http://a?x"}}, {Addresses: []string{"http://u:p@a"}}, {Addresses: []string{"a"}, Socket: "s"},
		{Addresses: []string{"a"}, Timeout: -1}, {Addresses: []string{"a b"}},
	} {
		if _, err := client.New(config); err == nil {
			t.Errorf("%+v was taken", config)
		}
	}
}

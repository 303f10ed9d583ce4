package portable_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

func pointer[T any](v T) *T { return &v }

func hash(n byte) (h session.KeyHash) {
	for i := range h {
		h[i] = n + byte(i)
	}
	return h
}

func id(n byte) (id session.ID) {
	for i := range id {
		id[i] = n + byte(i)
	}
	return id
}

// wholePolicy has something in every field.
func wholePolicy() session.Policy {
	return session.Policy{
		Name: "web", IdleTimeout: 1001 * time.Millisecond, AbsoluteLifetime: 12 * time.Hour, TouchWindow: 17 * time.Millisecond,
		Attributes: session.AttributesLocal, AttributesWrite: session.WriteByBearer, InactivityTimeout: time.Hour, NoTickle: true,
		BindAddress: session.BindStrict, PermanentAllowed: true, LongerIdleAllowed: true, RotateGrace: 5 * time.Second, KeyFormat: session.KeyHex32,
		PolicyLimits: session.PolicyLimits{MaxSessionsPerUser: 3, MaxSessionsPerAddress: 4, MaxSessions: 5, OnLimit: session.OnLimitIdle, SingleSession: true, PermanentCounted: true},
		Version:      1234,
	}
}

// whole gives a record of each kind with something in every field.
func whole() []portable.Record {
	sealed := portable.Sealed{Key: 3, Data: []byte{0, 1, 254, 255}}
	return []portable.Record{
		{Cluster: &portable.Cluster{
			ID: "0123456789abcdef", Policies: []portable.Policy{portable.PolicyOf(wholePolicy())},
			Seals:    []portable.SealKey{{ID: 3, Salt: []byte("0123456789abcdef"), Check: []byte("fedcba9876543210"), MemoryKiB: 64, Iterations: 2, Parallelism: 1}},
			LastSeal: 4, Limits: portable.Limits{MaxSessions: 7, OnLimit: session.OnLimitOldest, Version: 8}, Floor: 15, Version: 16,
		}},
		{Past: &portable.Past{Policy: "web", Forms: []portable.PastForm{{Version: 9, UntilMS: 10, IdleMS: 11, InactivityMS: 12, WindowMS: 13, LifetimeMS: 14}}}},
		{User: &portable.User{
			Name: "ada <&> lovelace",
			Account: &portable.Account{
				PasswordHash: "$argon2id$", Roles: []session.Role{session.RoleAdmin, session.RoleUser}, Policies: []string{"web", "default"}, Disabled: true,
				CreatedMS: 17, Version: 18, MD5Login: true, Verifier: &sealed,
			},
			LastNumber: 19, Version: 20, Preferences: map[string]json.RawMessage{"colour": json.RawMessage(`"<green>"`)},
		}},
		{Session: &portable.Session{
			ID: id(1), Number: 2, User: "ada <&> lovelace", Policy: "web", Key: hash(3),
			Retired:   []portable.RetiredKey{{Hash: hash(4), GraceMS: 5, Sealed: []byte{6, 7}}},
			Permanent: true, CreatedMS: 8, LastUseMS: 10, LastActivityMS: 9, AuthMS: 11, OwnIdleMS: pointer(int64(12)),
			Timers:        portable.Timers{IdleMS: 13, InactivityMS: 14, WindowMS: 15, AbsoluteEndMS: 16},
			PolicyVersion: 17, EndsMS: 18, Roles: []session.Role{session.RoleService, session.RoleUser}, Methods: []session.Method{session.MethodPassword, session.MethodService},
			Address: netip.MustParseAddr("2001:db8::1"), Bound: true, UserAgent: "a \"browser\" <1.0>",
			Attributes: map[string]json.RawMessage{"a": json.RawMessage(`{"<&>":[1,null]}`), "b": json.RawMessage(`"\u2028"`)},
			Sealed:     map[string]portable.Sealed{"secret": sealed}, AttributesVersion: 19,
		}},
	}
}

// fields calls f for everything in v that has no fields of its own.
func fields(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		fields(path, v.Elem(), f)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[netip.Addr]():
		for i := range v.NumField() {
			fields(path+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0:
		fields(path, v.Index(0), f)
	default:
		f(path, v)
	}
}

func wantAllSet(t *testing.T, what string, v any) {
	t.Helper()
	fields(what, reflect.ValueOf(v), func(path string, v reflect.Value) {
		if v.IsZero() && path != "Cluster.Past" { // that is in records of its own
			t.Errorf("%s is not set, so nothing here shows that it travels", path)
		}
	})
}

// TestNoFieldIsLost: a record with something in every field is the same after it was text.
func TestNoFieldIsLost(t *testing.T) {
	t.Parallel()
	for _, want := range whole() {
		value := reflect.ValueOf(want)
		for i := range value.NumField() {
			if !value.Field(i).IsNil() {
				wantAllSet(t, value.Type().Field(i).Name, value.Field(i).Interface())
			}
		}
		text, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := portable.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestNoFieldOfAPolicyIsLost(t *testing.T) {
	t.Parallel()
	want := wholePolicy()
	wantAllSet(t, "session.Policy", want)
	wantAllSet(t, "portable.Policy", portable.PolicyOf(want))
	if got := portable.PolicyOf(want).Session(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, window := range []time.Duration{session.TouchWindowAuto, 0} { // neither is the other
		want.TouchWindow = window
		if got := portable.PolicyOf(want).Session(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", portable.MaxRecordBytes+1)
	text := func(change func(all []portable.Record)) string {
		all := whole()
		change(all)
		for _, r := range all {
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := portable.Parse(text); err != nil {
				return string(text)
			}
		}
		return "nothing is wrong"
	}
	for want, line := range map[string]string{
		"a cluster, the past of a policy, a user or a session": `{}`,
		"unexpected EOF":            `{"user":`,
		`unknown field "king"`:      `{"king":{}}`,
		"something follows it":      `{"user":{"name":"ada","last_number":1}}}`,
		"at most 262144 bytes":      long,
		`"Ada" is no user's name`:   `{"user":{"name":"Ada","last_number":1}}`,
		"no id of 1 to 64 bytes":    text(func(all []portable.Record) { all[0].Cluster.ID = "" }),
		`policy "web"`:              text(func(all []portable.Record) { all[0].Cluster.Policies[0].OnLimit = "shrug" }),
		`policy "Web"`:              text(func(all []portable.Record) { all[0].Cluster.Policies[0].Name = "Web" }),
		"has its name":              `{"past":{"forms":[{"version":1,"until_ms":2}]}}`,
		"one earlier form at least": text(func(all []portable.Record) { all[1].Past.Forms = nil }),
		"at most 256 can be moved":  text(func(all []portable.Record) { all[1].Past.Forms = make([]portable.PastForm, 257) }),
		"no id, number or key":      text(func(all []portable.Record) { all[3].Session.Number = 0 }),
		"has no policy":             text(func(all []portable.Record) { all[3].Session.Policy = "" }),
		"after its last use":        text(func(all []portable.Record) { all[3].Session.LastActivityMS = 11 }),
		"at most 16 earlier keys":   text(func(all []portable.Record) { all[3].Session.Retired = make([]portable.RetiredKey, 17) }),
		"no user's name":            text(func(all []portable.Record) { all[3].Session.User = "a\nb" }),
	} {
		if _, err := portable.Parse([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s: got %v, want %s", line, err, want)
		}
	}
}

func TestALargeRecordIsNotWritten(t *testing.T) {
	t.Parallel()
	for bytes, ok := range map[int]bool{portable.MaxRecordBytes: true, portable.MaxRecordBytes + 1: false} {
		r := portable.Record{User: &portable.User{Name: "ada", Preferences: map[string]json.RawMessage{"x": nil}}}
		r.User.Preferences["x"] = json.RawMessage(`""`)
		empty, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		r.User.Preferences["x"] = json.RawMessage(fmt.Sprintf(`"%s"`, strings.Repeat("x", bytes-len(empty))))
		text, err := r.Encode()
		if (err == nil) != ok || ok && len(text) != bytes {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
}

// TestThePastTravelsByItself: policy by policy, and comes back to the cluster in one piece.
func TestThePastTravelsByItself(t *testing.T) {
	t.Parallel()
	form := func(n int64) portable.PastForm {
		return portable.PastForm{Version: uint64(n), UntilMS: n, LifetimeMS: 1000 + n}
	}
	whole, mail := *whole()[0].Cluster, wholePolicy()
	mail.Name = "mail"
	whole.Policies = append(whole.Policies, portable.PolicyOf(mail))
	whole.Past = []portable.PastPolicy{{Policy: "web", PastForm: form(1)}, {Policy: "mail", PastForm: form(2)}, {Policy: "web", PastForm: form(3)}}
	records := whole.Records()
	want := []*portable.Past{{Policy: "web", Forms: []portable.PastForm{form(1), form(3)}}, {Policy: "mail", Forms: []portable.PastForm{form(2)}}}
	if len(records) != 3 || records[0].Cluster.Past != nil || !reflect.DeepEqual([]*portable.Past{records[1].Past, records[2].Past}, want) {
		t.Fatalf("got %+v", records)
	}
	from, to := &home{records: records}, &home{}
	if _, err := portable.Move(t.Context(), from, to, silent); err != nil || len(to.begun.Past) != 3 || !reflect.DeepEqual(to.begun.Records(), records) {
		t.Errorf("begun with %+v, %v", to.begun, err)
	}
	nameless := *records[0].Cluster
	nameless.Policies = nil
	for what, wrong := range map[string][]portable.Record{
		"comes first": {records[1], records[0]}, "comes twice": append(slices.Clone(records), records[1]), "is of no policy": {{Cluster: &nameless}, records[1]},
	} {
		to := &home{}
		if _, err := portable.Move(t.Context(), &home{records: wrong}, to, silent); err == nil || to.begun != nil {
			t.Errorf("the past %s: begun with %+v, %v", what, to.begun, err)
		}
	}
}

// TestAsMuchPastAsThereIs: all policies that a cluster can have, each with a name as long as can be and the most of a past that a record takes.
func TestAsMuchPastAsThereIs(t *testing.T) {
	t.Parallel()
	const most = int64(1) << 60
	c := *whole()[0].Cluster
	c.Policies = nil
	for i := range session.MaxPolicies {
		p := wholePolicy()
		p.Name = fmt.Sprintf("p.%0*d", session.MaxPolicyNameBytes-2, i)
		p.IdleTimeout, p.AbsoluteLifetime, p.InactivityTimeout, p.TouchWindow, p.RotateGrace = session.MaxTimeout, session.MaxTimeout, session.MaxTimeout, session.MaxTimeout, session.MaxRotateGrace
		p.MaxSessions, p.MaxSessionsPerAddress, p.MaxSessionsPerUser, p.Version = session.MaxSessions, 10_000, 10_000, uint64(most)
		c.Policies = append(c.Policies, portable.PolicyOf(p))
		for range portable.MaxForms {
			c.Past = append(c.Past, portable.PastPolicy{Policy: p.Name, PastForm: portable.PastForm{Version: uint64(most), UntilMS: most, IdleMS: most, InactivityMS: most, WindowMS: most, LifetimeMS: most}})
		}
	}
	for len(c.Seals) < session.MaxSealKeys {
		c.Seals = append(c.Seals, c.Seals[0])
	}
	for i, r := range c.Records() {
		if _, err := r.Encode(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

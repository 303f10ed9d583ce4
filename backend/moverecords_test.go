package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// records are a source.
type records []portable.Record

func (all records) Each(_ context.Context, f func(portable.Record) error) error {
	for _, r := range all.split() {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// recordsOf is all that a store shows of itself.
func recordsOf(t *testing.T, store backend.Store) (all records) {
	t.Helper()
	if err := backend.MoveStore(store).Each(t.Context(), func(r portable.Record) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// split are the records as a store gives them: what is past of policies by itself.
func (all records) split() (out records) {
	for _, one := range all {
		if one.Cluster == nil {
			out = append(out, one)
			continue
		}
		out = append(out, one.Cluster.Records()...)
	}
	return out
}

func move(t *testing.T, from portable.Source, to portable.Target) *portable.Tally {
	t.Helper()
	moved, err := portable.Move(t.Context(), from, to, silent)
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

func keyHash(n byte) (h session.KeyHash) {
	for i := range h {
		h[i] = n ^ byte(i)
	}
	return h
}

func sessionID(n byte) session.ID { return session.ID{n, 1, 2, 3} }

// someRecords has something in every field that a store can keep. Its user is Ada, its policy web, and its sessions end at 60 ms, or never.
func someRecords() records {
	sealed, own := portable.Sealed{Key: 3, Data: []byte{0, 1, 254, 255}}, int64(12)
	policy := session.Policy{
		Name: "web", IdleTimeout: 1001 * time.Millisecond, AbsoluteLifetime: 12 * time.Hour, TouchWindow: 17 * time.Millisecond,
		Attributes: session.AttributesShared, AttributesWrite: session.WriteByBearer, InactivityTimeout: time.Hour, NoTickle: true,
		BindAddress: session.BindStrict, PermanentAllowed: true, LongerIdleAllowed: true, RotateGrace: 5 * time.Second, KeyFormat: session.KeyHex32,
		PolicyLimits: session.PolicyLimits{MaxSessionsPerUser: 3, OnLimit: session.OnLimitIdle, SingleSession: true, PermanentCounted: true}, Version: 12,
	}
	one := portable.Session{
		ID: sessionID(2), Number: 2, User: "ada <&>", Policy: "web", Key: keyHash(3),
		Retired:   []portable.RetiredKey{{Hash: keyHash(4), GraceMS: 5, Sealed: []byte{6, 7}}},
		CreatedMS: 8, LastUseMS: 10, LastActivityMS: 9, AuthMS: 11, OwnIdleMS: &own,
		Timers:        portable.Timers{IdleMS: 13, InactivityMS: 14, WindowMS: 37, AbsoluteEndMS: 62},
		PolicyVersion: 12, EndsMS: 60, Roles: []session.Role{session.RoleService, session.RoleUser}, Methods: []session.Method{session.MethodPassword, session.MethodService},
		Address: netip.MustParseAddr("2001:db8::1"), Bound: true, UserAgent: "a \"browser\" <1.0>",
		Attributes: map[string]json.RawMessage{"a": json.RawMessage(`{"<&>":[1,null]}`)},
		Sealed:     map[string]portable.Sealed{"secret": sealed}, AttributesVersion: 19,
	}
	forEver := one
	forEver.ID, forEver.Number, forEver.Key, forEver.Retired = sessionID(3), 1, keyHash(5), nil
	forEver.Permanent, forEver.EndsMS, forEver.Timers = true, 0, portable.Timers{}
	return records{
		{Cluster: &portable.Cluster{
			ID: "0123456789abcdef", Policies: []portable.Policy{portable.PolicyOf(policy)},
			Past:     []portable.PastPolicy{{Policy: "web", PastForm: portable.PastForm{Version: 9, UntilMS: 10, IdleMS: 11, InactivityMS: 12, WindowMS: 13, LifetimeMS: 14}}},
			Seals:    []portable.SealKey{{ID: 3, Salt: []byte("0123456789abcdef"), Check: []byte("fedcba9876543210"), MemoryKiB: 64, Iterations: 2, Parallelism: 1}},
			LastSeal: 4, Floor: 15, Version: 21,
		}},
		{User: &portable.User{
			Name: "ada <&>",
			Account: &portable.Account{
				PasswordHash: "$argon2id$", Roles: []session.Role{session.RoleAdmin, session.RoleUser}, Policies: []string{"web", "default"},
				CreatedMS: 17, Version: 18, MD5Login: true, Verifier: &sealed,
			},
			LastNumber: 19, Version: 20, Preferences: map[string]json.RawMessage{"colour": json.RawMessage(`"<green>"`)},
		}},
		{User: &portable.User{
			Name:    "bob",
			Account: &portable.Account{Roles: []session.Role{session.RoleUser}, Policies: []string{"default"}, Disabled: true, CreatedMS: 1, Version: 2}, Version: 2,
		}},
		{User: &portable.User{Name: "guest", LastNumber: 3, Preferences: map[string]json.RawMessage{"colour": json.RawMessage(`1`)}}},
		{Session: &one},
		{Session: &forEver},
	}
}

// emptyFields names the fields of v that hold nothing, each once.
func emptyFields(path string, v reflect.Value) (empty []string) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return emptyFields(path, v.Elem())
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct:
		return emptyFields(path, v.Index(0))
	case v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[netip.Addr]():
		if v.IsZero() {
			return []string{path}
		}
		return nil
	}
	for i := range v.NumField() {
		empty = append(empty, emptyFields(path+"."+v.Type().Field(i).Name, v.Field(i))...)
	}
	return empty
}

func emptyStore(at int64) *memory.Store {
	return memory.New(func() time.Time { return time.UnixMilli(at) })
}

// TestNoFieldIsLostInAStore: what a store is given it gives back.
func TestNoFieldIsLostInAStore(t *testing.T) {
	t.Parallel()
	want := someRecords()
	var empty []string
	for kind, v := range map[string]any{"cluster": want[0].Cluster, "user": want[1].User, "session": want[4].Session} {
		empty = append(empty, emptyFields(kind, reflect.ValueOf(v))...)
	}
	slices.Sort(empty)
	cannot := []string{
		"cluster.Limits.MaxSessions", "cluster.Limits.OnLimit", "cluster.Limits.Version", "cluster.Policies.MaxSessions", "cluster.Policies.MaxSessionsPerAddress",
		"session.Permanent", "user.Account.Disabled", // of the next ones
	}
	if !slices.Equal(empty, cannot) {
		t.Fatalf("nothing here shows that these travel: %v; want %v", empty, cannot)
	}
	want = want.split()
	first, second := emptyStore(5), emptyStore(5)
	move(t, want, backend.MoveStore(first))
	move(t, backend.MoveStore(first), backend.MoveStore(second))
	for _, store := range []backend.Store{first, second} {
		got := recordsOf(t, store)
		if len(got) != len(want) {
			t.Fatalf("got %d records, want %d", len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("record %d: got %s, want %s", i, text(t, got[i]), text(t, want[i]))
			}
		}
	}
	if got, want := comparable(t, second), comparable(t, first); got != want {
		t.Errorf("the records are\n%s\nand were\n%s", got, want)
	}
}

func text(t *testing.T, r portable.Record) []byte {
	t.Helper()
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// comparable is a store's records without what says when they were made, and without what a move leaves behind.
func comparable(t *testing.T, store backend.Store) string {
	t.Helper()
	var lines []string
	for _, kind := range []backend.Kind{backend.KindCluster, backend.KindUser, backend.KindSession, backend.KindKey} {
		page, err := store.Scan(t.Context(), kind, "", backend.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			var fields map[string]any
			if err := json.Unmarshal(r.Value, &fields); err != nil {
				t.Fatal(err)
			}
			drop := map[backend.Kind][]string{backend.KindCluster: {"version"}, backend.KindUser: {"requests", "prune_at"}, backend.KindSession: {"made_ms", "keys_until_ms"}, backend.KindKey: {"until_ms"}}
			for _, name := range drop[kind] {
				delete(fields, name)
			}
			value, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%c %s %s", r.Kind, r.ID, value))
		}
	}
	return pastIDs.ReplaceAllString(strings.Join(lines, "\n"), "$1")
}

// pastIDs are what records of the past are found by: random.
var pastIDs = regexp.MustCompile(`(past |"past_in":\[\{"id":")[0-9a-f]{32}`)

// TestNoRecordIsLost moves what a service has written: but for when it was made, and what is minutes old, every record is there with all of its fields.
func TestNoRecordIsLost(t *testing.T) {
	t.Parallel()
	from, to := formatStore(), formatStore()
	everyKind(t, from)
	move(t, backend.MoveStore(from), backend.MoveStore(to))
	if got, want := comparable(t, to), comparable(t, from); got != want {
		t.Errorf("the records are\n%s\nand were\n%s", got, want)
	}
}

// sessionsOf are n sessions of one user who has no account.
func sessionsOf(user string, n int) records {
	all := someRecords()[:1]
	all = append(all, portable.Record{User: &portable.User{Name: user, LastNumber: uint64(n)}})
	for i := range n {
		s := *someRecords()[4].Session
		s.ID[0], s.ID[1], s.Number, s.User = byte(i), byte(i>>8), uint64(i+1), user
		s.Key[0], s.Key[1], s.Retired = byte(i), byte(i>>8), nil
		all = append(all, portable.Record{Session: &s})
	}
	return all
}

// TestALongListTravels: a user may have as many sessions as its record lists, and not one more.
func TestALongListTravels(t *testing.T) {
	t.Parallel()
	want := sessionsOf("ada", backend.MaxSessionsOfUser).split()
	to := emptyStore(5)
	move(t, want, backend.MoveStore(to))
	got := recordsOf(t, to)
	numbers := map[uint64]bool{}
	for _, r := range got {
		if r.Session != nil {
			numbers[r.Session.Number] = true
		}
	}
	if len(got) != len(want) || len(numbers) != backend.MaxSessionsOfUser {
		t.Errorf("%d records, %d numbers", len(got), len(numbers))
	}
	to = emptyStore(5)
	_, err := portable.Move(t.Context(), sessionsOf("ada", backend.MaxSessionsOfUser+1), backend.MoveStore(to), silent)
	if err == nil || !strings.Contains(err.Error(), `user "ada" has 1001 sessions, and a user has at most 1000 where sessions are kept in memory`) {
		t.Errorf("one more: %v", err)
	}
	move(t, want, backend.MoveStore(to)) // after one has ended in the source
	if got := recordsOf(t, to); len(got) != len(want) {
		t.Errorf("after one has ended: %d records", len(got))
	}
}

// TestWhatAStoreCannotKeep is refused before anything is written.
func TestWhatAStoreCannotKeep(t *testing.T) {
	t.Parallel()
	web := func(change func(p *portable.Policy)) func(*portable.Cluster) {
		return func(c *portable.Cluster) { change(&c.Policies[0]) }
	}
	for want, change := range map[string]func(c *portable.Cluster){
		`policy "web" asks for a limit on the sessions of one address`: web(func(p *portable.Policy) { p.MaxSessionsPerAddress = 1 }),
		`policy "web" asks for a limit on all sessions of a policy`:    web(func(p *portable.Policy) { p.MaxSessions = 1 }),
		`policy "web" asks for attributes in one node's memory`:        web(func(p *portable.Policy) { p.Attributes = session.AttributesLocal }),
		`policy "web": at most 1000`:                                   web(func(p *portable.Policy) { p.MaxSessionsPerUser = 1001 }),
		"a limit on all sessions cannot be held exactly":               func(c *portable.Cluster) { c.Limits.MaxSessions = 1 },
		"257 policies":                        func(c *portable.Cluster) { c.Policies = slices.Repeat(c.Policies, session.MaxPolicies+1) },
		`the policy "web" twice`:              func(c *portable.Cluster) { c.Policies = slices.Repeat(c.Policies, 2) },
		"17 seal keys":                        func(c *portable.Cluster) { c.Seals = slices.Repeat(c.Seals, session.MaxSealKeys+1) },
		"seal key 3: its salt":                func(c *portable.Cluster) { c.Seals[0].Salt = []byte("short") },
		"seal key 3: its salt or its check":   func(c *portable.Cluster) { c.Seals[0].Check = make([]byte, 17) },
		"65 earlier forms of it are in force": func(c *portable.Cluster) { c.Past = slices.Repeat(c.Past, 65) },
	} {
		all, to := someRecords(), emptyStore(5)
		change(all[0].Cluster)
		if _, err := portable.Move(t.Context(), all, backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if there := dump(t, to); strings.TrimSpace(there) != "" {
			t.Errorf("%s: the target has %s", want, there)
		}
	}
	for what, change := range map[string]func(c *portable.Cluster){
		"no limit": func(c *portable.Cluster) { c.Limits = portable.Limits{OnLimit: session.OnLimitRefuse, Version: 7} },
		"as many":  web(func(p *portable.Policy) { p.MaxSessionsPerUser = 1000 }),
		"as old":   func(c *portable.Cluster) { c.Past = slices.Repeat(c.Past, 64) },
	} {
		all := someRecords()
		change(all[0].Cluster)
		if _, err := portable.Move(t.Context(), all, backend.MoveStore(emptyStore(5)), silent); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestMoveOfAdmins: as many as a store can list, and no more.
func TestMoveOfAdmins(t *testing.T) {
	t.Parallel()
	all := someRecords()[:1]
	for i := range backend.MaxAdmins + 1 {
		all = append(all, portable.Record{User: &portable.User{
			Name:    fmt.Sprintf("%03d", i) + strings.Repeat("a", session.MaxUserNameBytes-3),
			Account: &portable.Account{Roles: []session.Role{session.RoleAdmin}, Policies: []string{"web"}, CreatedMS: 1, Version: 2},
		}})
	}
	move(t, all[:backend.MaxAdmins+1], backend.MoveStore(emptyStore(5)))
	if _, err := portable.Move(t.Context(), all, backend.MoveStore(emptyStore(5)), silent); err == nil || !strings.Contains(err.Error(), "more than 500 admins") {
		t.Errorf("got %v", err)
	}
}

// TestSourcesThatAreDamaged: what no home can have written is told, and no server serves it.
func TestSourcesThatAreDamaged(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(all records) records{
		"of 2 sessions there is no record of their users": func(all records) records { return slices.Delete(all, 1, 2) },
		"two sessions with the number 1":                  func(all records) records { all[4].Session.Number = 1; return all },
		"with the number 20":                              func(all records) records { all[4].Session.Number = 20; return all },
		"a role that this release does not know":          func(all records) records { all[4].Session.Roles[0] = "king"; return all },
		`"king" is no role`:                               func(all records) records { all[1].User.Account.Roles[0] = "king"; return all },
		"name more than 1024 policies": func(records) records {
			all := sessionsOf("ada", 1000)
			all = append(all, sessionsOf("bob", 25)[1:]...)
			for i, r := range all {
				if r.Session != nil {
					r.Session.Policy = fmt.Sprint("policy-", i)
				}
			}
			return records(slices.SortedStableFunc(slices.Values(all), func(a, b portable.Record) int {
				return kindOf(a) - kindOf(b)
			}))
		},
		"and a record has at most 262144": func(all records) records {
			all[4].Session.Attributes["a"] = json.RawMessage(`"` + strings.Repeat("x", backend.MaxValueBytes) + `"`)
			return all
		},
	} {
		to := emptyStore(5)
		if _, err := portable.Move(t.Context(), change(someRecords()), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := portable.Move(t.Context(), backend.MoveStore(to), backend.MoveStore(emptyStore(5)), silent); err == nil || !strings.Contains(err.Error(), "not complete") {
			t.Errorf("%s: from what it left: %v", want, err)
		}
	}
}

// TestOneNodesOwnSessionsStay: their users and policies are elsewhere, and would be lost.
func TestOneNodesOwnSessionsStay(t *testing.T) {
	t.Parallel()
	store := emptyStore(5)
	move(t, sessionsOf("ada", 2), backend.MoveStore(store))
	name := backend.Name{Kind: backend.KindUser, ID: "ada"}
	got, err := store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	marked := strings.Replace(string(got.Records[0].Value), `"number":2`, `"number":2,"under":"7"`, 1)
	if _, err := store.Put(t.Context(), name, []byte(marked), got.Records[0].Version, time.Time{}); err != nil {
		t.Fatal(err)
	}
	to := emptyStore(5)
	if _, err := portable.Move(t.Context(), backend.MoveStore(store), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "one node's own sessions") {
		t.Errorf("got %v", err)
	}
	if there := dump(t, to); strings.TrimSpace(there) != "" {
		t.Errorf("the target has %s", there)
	}
}

func kindOf(r portable.Record) int {
	switch {
	case r.Cluster != nil:
		return 0
	case r.User != nil:
		return 1
	}
	return 2
}

// TestATargetThatIsUsed: somebody else writes into it meanwhile.
func TestATargetThatIsUsed(t *testing.T) {
	t.Parallel()
	for _, kind := range []backend.Kind{backend.KindCluster, backend.KindUser, backend.KindSession} {
		inner := emptyStore(5)
		to := &meddled{Store: inner}
		to.onNext("put", kind, func() {
			for _, name := range []backend.Name{{Kind: kind, ID: "moving"}, {Kind: kind, ID: "cluster"}, {Kind: kind, ID: "ada <&>"}, {Kind: kind, ID: sessionID(2).String()}} {
				if _, err := inner.Put(t.Context(), name, []byte(`{}`), "", time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
		if _, err := portable.Move(t.Context(), someRecords(), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "the target changes meanwhile") {
			t.Errorf("%c: got %v", kind, err)
		}
	}
	inner := emptyStore(5)
	losing := &meddled{Store: inner}
	losing.onNext("put", backend.KindSession, func() {
		losing.onNext("get", backend.KindKey, func() {
			page, err := inner.Scan(t.Context(), backend.KindKey, "", 1)
			if err == nil {
				err = inner.Delete(t.Context(), page.Records[0].Name, page.Records[0].Version)
			}
			if err != nil {
				t.Error(err)
			}
		})
	})
	if _, err := portable.Move(t.Context(), someRecords(), backend.MoveStore(losing), silent); err == nil || !strings.Contains(err.Error(), "key is missing") {
		t.Errorf("a key is lost: %v", err)
	}
}

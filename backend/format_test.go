package backend_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

var update = flag.Bool("update", false, "write testdata/records.golden")

const recordsGolden = "testdata/records.golden"

// formatStore is a store in memory on a clock that stands, and formatConfig a configuration that draws the same every time.
func formatStore() *memory.Store {
	return memory.New(func() time.Time { return time.UnixMilli(1_800_000_000_000) })
}

func formatConfig(t *testing.T) backend.Config {
	c := backendtest.Config(t)
	c.Random = rand.NewChaCha8(sha256.Sum256([]byte("records")))
	c.AdminPassword, c.SweepInterval = "", time.Hour
	return c
}

// dump is all of a store, a line a record.
func dump(t *testing.T, store backend.Store) string {
	t.Helper()
	var lines []string
	for _, kind := range backend.Kinds() {
		page, err := store.Scan(t.Context(), kind, "", backend.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			lines = append(lines, fmt.Sprintf("%c %s %s", r.Kind, strings.ReplaceAll(r.ID, " ", "_"), r.Value))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// everyKind writes records of every kind into a store, and returns the secrets that must not stand in them.
func everyKind(t *testing.T, store backend.Store) []string {
	t.Helper()
	s := backendtest.Start(t, formatConfig(t), store)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	allowed, short := true, 2*time.Minute
	_, err := s.PutPolicy(t.Context(), operator, "web", session.PolicyChange{PermanentAllowed: &allowed, RotateGrace: &short})
	must(err)
	_, err = s.PatchPolicy(t.Context(), operator, "web", session.PolicyChange{AbsoluteLifetime: new(time.Duration)})
	must(err)
	_, err = s.CreateUser(t.Context(), operator, session.NewUser{Name: "Ada <&>", Roles: []session.Role{session.RoleAdmin}, Policies: []string{"web"}})
	must(err)
	first, err := s.Login(t.Context(), operator, session.Login{
		User: "guest", Vouched: true, Policy: "web", IdempotencyKey: "k", UserAgent: "browser", IdleTimeout: &short, ClientAddress: netip.MustParseAddr("192.0.2.1"), BindAddress: true,
		Attributes: session.Attributes{"html": []byte(`"<&>"`)}, Sealed: session.Attributes{"secret": []byte(`1`)}, Reserved: session.Attributes{"x": []byte(`2`)},
	})
	must(err)
	second, err := s.Rotate(t.Context(), session.Call{Key: first.Key, Address: netip.MustParseAddr("192.0.2.1")})
	must(err)
	_, err = s.PatchPreferences(t.Context(), session.Call{Key: second.Key, Address: netip.MustParseAddr("192.0.2.1")}, session.AttributePatch{"colour": []byte(`"green"`)})
	must(err)
	_, err = s.Login(t.Context(), operator, session.Login{User: "guest", Vouched: true, Policy: "web", Permanent: true})
	must(err)
	return []string{first.Key.Reveal(), second.Key.Reveal(), backendtest.SafePassword}
}

// TestFormatOfRecords: what a release writes into a store, the next one must read. A record that has changed here needs another format number, or a field that
// may be missing.
func TestFormatOfRecords(t *testing.T) {
	t.Parallel()
	store := formatStore()
	secrets := everyKind(t, store)
	got := dump(t, store)
	if *update {
		if err := os.WriteFile(recordsGolden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(recordsGolden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the records are\n%s\nand were\n%s\nrun with -update if that is meant, and think of the stores that have the old ones", got, want)
	}
	for _, secret := range secrets {
		if strings.Contains(got, secret) {
			t.Error("a secret stands in the store")
		}
	}
}

// TestRecordsOfBefore puts the golden records into an empty store and serves from it.
func TestRecordsOfBefore(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(recordsGolden)
	if err != nil {
		t.Fatal(err)
	}
	store := formatStore()
	for line := range strings.Lines(string(text)) {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		id, value, _ := strings.Cut(rest, " ")
		if _, err := store.Put(t.Context(), backend.Name{Kind: backend.Kind(kind[0]), ID: strings.ReplaceAll(id, "_", " ")}, []byte(value), "", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	s := backendtest.Start(t, formatConfig(t), store)
	list, err := s.ListSessions(t.Context(), operator, session.Filter{User: "guest"}, session.Page{})
	if err != nil || len(list.Items) != 1 || list.Items[0].UserAgent != "browser" || list.Items[0].Number != 1 || string(list.Items[0].Reserved["x"]) != "2" {
		t.Errorf("listed %+v, %v", list.Items, err)
	}
	policy, err := s.GetPolicy(t.Context(), operator, "web")
	if err != nil || !policy.PermanentAllowed || policy.RotateGrace != 2*time.Minute || policy.AbsoluteLifetime != 0 {
		t.Errorf("policy %+v, %v", policy.Policy, err)
	}
	user, err := s.GetUser(t.Context(), operator, "ada <&>")
	if err != nil || !user.Has(session.RoleAdmin) || user.Policies[0] != "web" {
		t.Errorf("user %+v, %v", user.User, err)
	}
}

// TestRecordsOfLater: a record of a later release, or one with a field that this one does not know, is an error and is left as it is.
func TestRecordsOfLater(t *testing.T) {
	t.Parallel()
	for what, change := range map[string][2]string{"format": {`"format":1`, `"format":2`}, "field": {`"format":1`, `"format":1,"later":true`}} {
		store := formatStore()
		s := backendtest.Start(t, formatConfig(t), store)
		if _, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true}); err != nil {
			t.Fatal(err)
		}
		name := backend.Name{Kind: backend.KindUser, ID: "ada"}
		got, err := store.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		later := strings.Replace(string(got.Records[0].Value), change[0], change[1], 1)
		if _, err := store.Put(t.Context(), name, []byte(later), got.Records[0].Version, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true}); session.CodeOf(err) != session.CodeInternal {
			t.Errorf("another %s: got %v", what, err)
		}
		if got, err := store.Get(t.Context(), name); err != nil || string(got.Records[0].Value) != later {
			t.Errorf("another %s: the record was changed, %v", what, err)
		}
	}
}

package portable_test

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

func tally(t *testing.T, all ...portable.Record) *portable.Tally {
	t.Helper()
	sum := &portable.Tally{}
	for _, r := range all {
		if err := sum.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

// many are records of sessions, users and a cluster.
func many(sessions int) []portable.Record {
	all := whole()[:3]
	for i := range sessions {
		s := *whole()[3].Session
		s.ID[0], s.ID[1], s.Number, s.EndsMS = byte(i), byte(i>>8), uint64(i+1), 0
		all = append(all, portable.Record{Session: &s})
	}
	return all
}

func TestATallyDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	all := many(50)
	want := tally(t, all...)
	if want.Users != 1 || want.Sessions != 50 || len(want.Sum()) != 64 {
		t.Fatalf("%d users, %d sessions, %s", want.Users, want.Sessions, want.Sum())
	}
	rest := all[1:] // policies come before what is past of them
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(rest), func(i, k int) { rest[i], rest[k] = rest[k], rest[i] })
	if got := tally(t, all...); !got.Equal(want) || got.Sum() != want.Sum() {
		t.Errorf("seed %d: got %s, want %s", seed, got.Sum(), want.Sum())
	}
	if got := tally(t, all[:len(all)-1]...); got.Equal(want) {
		t.Errorf("seed %d: one less is the same", seed)
	}
	if got := tally(t, append([]portable.Record{all[0]}, all...)...); got.Equal(want) && got.Sum() == want.Sum() {
		t.Errorf("seed %d: one twice is the same", seed)
	}
}

// homesOwn are the fields that each home keeps in its own way: a tally leaves them out. All others count.
func homesOwn() []string {
	return []string{
		"Cluster.ID", "Cluster.Past", "Cluster.LastSeal", "Cluster.Floor", "Cluster.Version", "User.Version",
		"Past.Forms.Version", "Past.Forms.IdleMS", "Past.Forms.InactivityMS", "Past.Forms.WindowMS",
		"Session.Timers", "Session.PolicyVersion", "Session.EndsMS", "Session.Retired.GraceMS", "Session.Retired.Sealed",
	}
}

// TestEveryFieldCounts changes one field after the other.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range whole() {
		for n := 0; ; n++ {
			all := whole()
			all[3].Session.Permanent = false // a permanent one's activity is no field of its own
			before := tally(t, all...)
			path := changeField(all[i], n)
			if path == "" {
				break
			}
			own := slices.ContainsFunc(homesOwn(), func(own string) bool { return path == own || strings.HasPrefix(path, own+".") })
			seen[path] = true
			if strings.HasSuffix(path, "Policies.Name") || path == "Past.Policy" {
				if err := (&portable.Tally{}).Add(all[1]); err == nil {
					t.Errorf("%s: the past of no policy counts", path)
				}
				continue
			}
			after := tally(t, all...)
			if same := after.Sum() == before.Sum(); same != own || same != after.Means(before) {
				t.Errorf("%s: left out %v, want %v", path, same, own)
			}
			if same := after.Equal(before); same && strings.HasPrefix(path, "Past.") {
				t.Errorf("%s: the same to the letter", path)
			}
		}
	}
	if len(seen) < 60 {
		t.Errorf("looked at %d fields only", len(seen))
	}
}

// changeField changes the n-th field of a record, and names it; "" = there are not so many.
func changeField(r portable.Record, n int) (changed string) {
	value := reflect.ValueOf(&r).Elem()
	for i := range value.NumField() {
		if value.Field(i).IsNil() {
			continue
		}
		fields(value.Type().Field(i).Name, value.Field(i), func(path string, v reflect.Value) {
			if n--; n != -1 {
				return
			}
			changed = path
			switch v.Kind() {
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int() + 1)
			case reflect.Uint64, reflect.Uint32, reflect.Uint8:
				v.SetUint(v.Uint() + 1)
			case reflect.String:
				v.SetString(v.String() + "x")
			case reflect.Array:
				v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
			case reflect.Slice, reflect.Map:
				v.SetZero()
			default:
				v.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.7")))
			}
		})
	}
	return changed
}

// TestNormalForm: what says the same counts the same.
func TestNormalForm(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(c *portable.Cluster, u *portable.User, s *portable.Session){
		"order of roles": func(_ *portable.Cluster, u *portable.User, s *portable.Session) {
			slices.Reverse(s.Roles)
			slices.Reverse(s.Methods)
			slices.Reverse(u.Account.Roles)
		},
		"order of policies":           func(c *portable.Cluster, _ *portable.User, _ *portable.Session) { slices.Reverse(c.Policies) },
		"limits that limit nothing":   func(c *portable.Cluster, _ *portable.User, _ *portable.Session) { c.Limits = portable.Limits{} },
		"activity of a permanent one": func(_ *portable.Cluster, _ *portable.User, s *portable.Session) { s.LastActivityMS = s.LastUseMS },
		"an empty list": func(_ *portable.Cluster, u *portable.User, _ *portable.Session) {
			u.Account.Policies = []string{}
		},
	} {
		all := [2][]portable.Record{whole(), whole()}
		for _, records := range all {
			c := records[0].Cluster
			c.Limits.MaxSessions = 0
			c.Policies = append(c.Policies, portable.PolicyOf(session.DefaultPolicy()))
			if what == "an empty list" {
				records[2].User.Account.Policies = nil
			}
		}
		change(all[1][0].Cluster, all[1][2].User, all[1][3].Session)
		if got, want := tally(t, all[1]...).Sum(), tally(t, all[0]...).Sum(); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	guest := portable.Record{User: &portable.User{Name: "guest", LastNumber: 3}}
	if !tally(t, guest).Equal(&portable.Tally{}) {
		t.Error("a user without an account counts")
	}
}

// TestWhatThePastMeans: two forms of the past that mean the same for sessions that live count the same in the sum, and are told apart where each counts.
func TestWhatThePastMeans(t *testing.T) {
	t.Parallel()
	form := func(untilMS, lifetimeMS int64) portable.PastForm {
		return portable.PastForm{Version: 3, UntilMS: untilMS, IdleMS: 7, LifetimeMS: lifetimeMS}
	}
	of := func(lifetimeMS int64, forms ...portable.PastForm) *portable.Tally {
		all := []portable.Record{{Cluster: &portable.Cluster{Policies: []portable.Policy{{Name: "web", LifetimeMS: lifetimeMS}}}}}
		if len(forms) > 0 {
			all = append(all, portable.Record{Past: &portable.Past{Policy: "web", Forms: forms}})
		}
		return tally(t, all...)
	}
	for what, c := range map[string]struct {
		a, b *portable.Tally
		same bool
	}{
		"no shorter than the present one":       {of(100, form(10, 100), form(20, 0)), of(100), true},
		"any, where there is none now":          {of(0, form(10, 100)), of(0), false},
		"a longer one before a shorter one":     {of(100, form(10, 60), form(20, 50)), of(100, form(20, 50)), true},
		"a shorter one before a longer one":     {of(100, form(10, 40), form(20, 50)), of(100, form(20, 50)), false},
		"two that ended at once":                {of(100, form(10, 40), form(10, 50)), of(100, form(10, 40)), true},
		"in another order":                      {of(100, form(10, 40), form(20, 50)), of(100, form(20, 50), form(10, 40)), true},
		"later by a millisecond":                {of(100, form(10, 40)), of(100, form(11, 40)), false},
		"shorter by a millisecond":              {of(100, form(10, 40)), of(100, form(10, 39)), false},
		"the same one under another of its own": {of(100, form(10, 40)), of(99, form(10, 40)), false},
	} {
		if c.a.Means(c.b) != c.same || c.a.Equal(c.b) {
			t.Errorf("%s: means the same %v, want %v; equal %v", what, c.a.Means(c.b), c.same, c.a.Equal(c.b))
		}
	}
}

// TestATallyChangesNothing: records may be handed on after they were counted.
func TestATallyChangesNothing(t *testing.T) {
	t.Parallel()
	all := whole()
	slices.Reverse(all[3].Session.Roles)
	before := slices.Clone(all[3].Session.Roles)
	tally(t, all...)
	if !slices.Equal(all[3].Session.Roles, before) || all[3].Session.Retired[0].GraceMS == 0 || all[3].Session.EndsMS == 0 || all[2].User.Version == 0 {
		t.Errorf("a record was changed: %+v", all[3].Session)
	}
}

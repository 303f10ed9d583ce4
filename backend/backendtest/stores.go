package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/backend"
)

// StoreHarness gives a case an empty home.
type StoreHarness struct {
	// Open opens the same home, once more if the store's Features say Shared; otherwise each store is closed before the next one is
	// opened. The case closes what it opens.
	Open func() (backend.Store, error)
	// Keeps tells that the data are still there when the last store was closed and another one is opened.
	Keeps bool
	// Expired waits, or turns the store's clock, until records may be dropped that expire within d, and lets the store drop what it will. nil: the
	// store drops nothing.
	Expired func(d time.Duration)
}

// StoreCase is one test of the contract.
type StoreCase struct {
	Name string
	Run  func(t T, h StoreHarness)
}

// StoreCases are the tests of backend.Store's contract.
func StoreCases() []StoreCase {
	return []StoreCase{
		{"an absent record is absent", absentRecord},
		{"a record is changed under its present version only", changedUnderItsVersion},
		{"a record is deleted under its present version only", deletedUnderItsVersion},
		{"a version never comes twice", versionsNeverComeTwice},
		{"names are exact", namesAreExact},
		{"values are exact", valuesAreExact},
		{"what was read is the reader's own", readersOwnCopy},
		{"many records are read at once", manyAtOnce},
		{"one of many creators wins", oneCreatorWins},
		{"no increment is lost", noIncrementIsLost},
		{"a scan shows each record once", scanShowsEachOnce},
		{"a scan goes on while records come and go", scanWhileChanging},
		{"a scan's place outlives its record", scanPlaceOutlivesRecord},
		{"records may go after their expiry and not before", expiry},
		{"an ended context ends a call", endedContext},
		{"data are there after reopening", dataStay},
		{"the clock goes on", clockGoesOn},
	}
}

func (h StoreHarness) open(t T) backend.Store {
	t.Helper()
	s, err := h.Open()
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// two opens the home twice if it can be shared.
func (h StoreHarness) two(t T) []backend.Store {
	t.Helper()
	first := h.open(t)
	if !first.Features().Shared {
		return []backend.Store{first, first}
	}
	return []backend.Store{first, h.open(t)}
}

func user(id string) backend.Name { return backend.Name{Kind: backend.KindUser, ID: id} }

func get(t T, s backend.Store, name backend.Name) backend.Record {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if err != nil || len(got.Records) != 1 {
		t.Fatalf("get: %d records, %v", len(got.Records), err)
	}
	return got.Records[0]
}

func put(t T, s backend.Store, name backend.Name, value string, was backend.Version) backend.Version {
	t.Helper()
	version, err := s.Put(t.Context(), name, []byte(value), was, time.Time{})
	if err != nil || version == "" || len(version) > 64 || version == was {
		t.Fatalf("put %q after version %q: version %q, %v", name.ID, was, version, err)
	}
	return version
}

func wantChanged(t T, what string, err error) {
	t.Helper()
	if !errors.Is(err, backend.ErrChanged) {
		t.Errorf("%s: got %v, want ErrChanged", what, err)
	}
}

func wantRecord(t T, s backend.Store, name backend.Name, value string, version backend.Version) {
	t.Helper()
	if r := get(t, s, name); r.Name != name || string(r.Value) != value || r.Version != version {
		t.Errorf("%+v: got %q under version %q, want %q under %q", name, r.Value, r.Version, value, version)
	}
}

func absentRecord(t T, h StoreHarness) {
	s := h.open(t)
	if r := get(t, s, user("nobody")); r.Version != "" || r.Value != nil || r.Name != user("nobody") {
		t.Errorf("got %+v", r)
	}
	_, err := s.Put(t.Context(), user("nobody"), []byte("v"), "0", time.Time{})
	wantChanged(t, "replace", err)
	wantChanged(t, "delete", s.Delete(t.Context(), user("nobody"), "0"))
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 0 || page.Next != "" {
		t.Errorf("scan: %+v, %v", page, err)
	}
}

func changedUnderItsVersion(t T, h StoreHarness) {
	stores := h.two(t)
	first := put(t, stores[0], user("ada"), "one", "")
	wantRecord(t, stores[1], user("ada"), "one", first)
	_, err := stores[1].Put(t.Context(), user("ada"), []byte("two"), "", time.Time{})
	wantChanged(t, "create what is there", err)
	second := put(t, stores[1], user("ada"), "two", first)
	_, err = stores[0].Put(t.Context(), user("ada"), []byte("three"), first, time.Time{})
	wantChanged(t, "replace under an old version", err)
	wantRecord(t, stores[0], user("ada"), "two", second)
	if third := put(t, stores[0], user("ada"), "two", second); third == second {
		t.Errorf("the same value written again has the same version")
	}
}

func deletedUnderItsVersion(t T, h StoreHarness) {
	s := h.open(t)
	first := put(t, s, user("ada"), "one", "")
	second := put(t, s, user("ada"), "two", first)
	wantChanged(t, "delete under an old version", s.Delete(t.Context(), user("ada"), first))
	wantRecord(t, s, user("ada"), "two", second)
	if err := s.Delete(t.Context(), user("ada"), second); err != nil {
		t.Fatalf("delete: %v", err)
	}
	wantRecord(t, s, user("ada"), "", "")
	wantChanged(t, "delete again", s.Delete(t.Context(), user("ada"), second))
	_, err := s.Put(t.Context(), user("ada"), []byte("three"), second, time.Time{})
	wantChanged(t, "replace what was deleted", err)
	wantRecord(t, s, user("ada"), "", "")
}

func versionsNeverComeTwice(t T, h StoreHarness) {
	s := h.open(t)
	seen := map[backend.Version]bool{}
	for range 20 {
		version := put(t, s, user("ada"), "same", "")
		if seen[version] {
			t.Fatalf("version %q comes again after the record was deleted", version)
		}
		seen[version] = true
		if err := s.Delete(t.Context(), user("ada"), version); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
}

func namesAreExact(t T, h StoreHarness) {
	s := h.open(t)
	ids := []string{
		"a", "A", "a ", "a/b", "a:b", `a"b'c\d`, "a*", "a?", "[a]", "{a}", "a%00", "../a", "ä", "a\u0308", "日本", "😀",
		strings.Repeat("x", backend.MaxNameBytes), strings.Repeat("x", backend.MaxNameBytes-1),
	}
	versions := map[backend.Name]backend.Version{}
	for _, kind := range backend.Kinds() {
		for _, id := range ids {
			name := backend.Name{Kind: kind, ID: id}
			versions[name] = put(t, s, name, fmt.Sprintf("%c %s", kind, id), "")
		}
	}
	for name, version := range versions {
		wantRecord(t, s, name, fmt.Sprintf("%c %s", name.Kind, name.ID), version)
	}
	for _, kind := range backend.Kinds() {
		if got := scanIDs(t, s, kind, 5); !maps.Equal(got, counted(ids)) {
			t.Errorf("kind %c: a scan shows %v", kind, got)
		}
	}
}

func valuesAreExact(t T, h StoreHarness) {
	s := h.open(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, value := range [][]byte{{0}, []byte("\xff\xfe"), []byte("{}"), all, bytes.Repeat(all, backend.MaxValueBytes/len(all))} {
		name := user(strconv.Itoa(i))
		if _, err := s.Put(t.Context(), name, value, "", time.Time{}); err != nil {
			t.Fatalf("put %d bytes: %v", len(value), err)
		}
		if got := get(t, s, name).Value; !bytes.Equal(got, value) {
			t.Errorf("of %d bytes %d came back, or others", len(value), len(got))
		}
	}
}

func readersOwnCopy(t T, h StoreHarness) {
	s := h.open(t)
	value := []byte("one")
	version, err := s.Put(t.Context(), user("ada"), value, "", time.Time{})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	copy(value, "xxx")
	copy(get(t, s, user("ada")).Value, "yyy")
	page, err := s.Scan(t.Context(), backend.KindUser, "", 1)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("scan: %d records, %v", len(page.Records), err)
	}
	copy(page.Records[0].Value, "zzz")
	wantRecord(t, s, user("ada"), "one", version)
}

func manyAtOnce(t T, h StoreHarness) {
	s := h.open(t)
	names := make([]backend.Name, backend.MaxGet)
	for i := range names {
		names[i] = user(strconv.Itoa(i))
		if i%3 == 0 {
			put(t, s, names[i], names[i].ID, "")
		}
	}
	names[1] = names[0] // one may be asked for twice
	got, err := s.Get(t.Context(), names...)
	if err != nil || len(got.Records) != len(names) {
		t.Fatalf("got %d records, %v", len(got.Records), err)
	}
	for i, r := range got.Records {
		want := ""
		if i%3 == 0 || i == 1 {
			want = names[i].ID
		}
		if r.Name != names[i] || string(r.Value) != want || (r.Version == "") != (want == "") {
			t.Errorf("record %d: got %+v, want %q", i, r, want)
		}
	}
}

func oneCreatorWins(t T, h StoreHarness) {
	stores := h.two(t)
	const creators = 40
	var work sync.WaitGroup
	won := make(chan string, creators)
	for i := range creators {
		work.Go(func() {
			me := strconv.Itoa(i)
			_, err := stores[i%2].Put(t.Context(), user("ada"), []byte(me), "", time.Time{})
			switch {
			case err == nil:
				won <- me
			case !errors.Is(err, backend.ErrChanged):
				t.Errorf("creator %d: %v", i, err)
			}
		})
	}
	work.Wait()
	close(won)
	winners := slices.Collect(func(yield func(string) bool) {
		for w := range won {
			if !yield(w) {
				return
			}
		}
	})
	if len(winners) != 1 {
		t.Fatalf("creators that won: %v", winners)
	}
	if got := string(get(t, stores[0], user("ada")).Value); got != winners[0] {
		t.Errorf("%s won, and the record is %s's", winners[0], got)
	}
}

func noIncrementIsLost(t T, h StoreHarness) {
	stores := h.two(t)
	const workers, each = 8, 15
	put(t, stores[0], user("count"), "0", "")
	var work sync.WaitGroup
	for i := range workers {
		work.Go(func() {
			for range each {
				increment(t, stores[i%2])
			}
		})
	}
	work.Wait()
	if got := string(get(t, stores[0], user("count")).Value); got != strconv.Itoa(workers*each) {
		t.Errorf("%d increments gave %s", workers*each, got)
	}
}

func increment(t T, s backend.Store) {
	for {
		got, err := s.Get(t.Context(), user("count"))
		if err != nil {
			t.Errorf("get: %v", err)
			return
		}
		n, _ := strconv.Atoi(string(got.Records[0].Value))
		_, err = s.Put(t.Context(), user("count"), []byte(strconv.Itoa(n+1)), got.Records[0].Version, time.Time{})
		switch {
		case err == nil:
			return
		case !errors.Is(err, backend.ErrChanged):
			t.Errorf("put: %v", err)
			return
		}
	}
}

// scanIDs goes through all records of a kind and counts their ids.
func scanIDs(t T, s backend.Store, kind backend.Kind, limit int) map[string]int {
	t.Helper()
	seen := map[string]int{}
	last, after := "", ""
	for {
		page, err := s.Scan(t.Context(), kind, after, limit)
		if err != nil || len(page.Records) > limit {
			t.Fatalf("scan for %d: %d records, %v", limit, len(page.Records), err)
		}
		for _, r := range page.Records {
			if r.Kind != kind || r.Version == "" || len(r.Value) == 0 {
				t.Errorf("a scan of %c shows %+v", kind, r)
			}
			if s.Features().Ordered && r.ID <= last {
				t.Errorf("after %q comes %q", last, r.ID)
			}
			last = r.ID
			seen[r.ID]++
		}
		if after = page.Next; after == "" {
			return seen
		}
	}
}

func counted(ids []string) map[string]int {
	out := map[string]int{}
	for _, id := range ids {
		out[id]++
	}
	return out
}

func numbered(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return ids
}

func scanShowsEachOnce(t T, h StoreHarness) {
	s := h.open(t)
	ids := numbered("user ", 57)
	for _, id := range ids {
		put(t, s, user(id), "v", "")
		put(t, s, backend.Name{Kind: backend.KindKey, ID: id + "key"}, "v", "")
	}
	for _, limit := range []int{1, 7, 57, 58, backend.MaxScan} {
		if got := scanIDs(t, s, backend.KindUser, limit); !maps.Equal(got, counted(ids)) {
			t.Errorf("pages of %d: a scan shows %d records: %v", limit, len(got), got)
		}
	}
}

func scanWhileChanging(t T, h StoreHarness) {
	stores := h.two(t)
	steady := numbered("steady ", 60)
	for _, id := range steady {
		put(t, stores[0], user(id), "v", "")
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := user(fmt.Sprintf("passing %d", i%20))
			if version, err := stores[1].Put(ctx, name, []byte("v"), "", time.Time{}); err == nil {
				_ = stores[1].Delete(ctx, name, version)
			}
		}
	})
	for range 5 {
		seen := scanIDs(t, stores[0], backend.KindUser, 7)
		for _, id := range steady {
			if seen[id] != 1 {
				t.Errorf("%q, which was there all the time, came %d times", id, seen[id])
			}
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%q came %d times", id, n)
			}
		}
	}
	stop()
	work.Wait()
}

func scanPlaceOutlivesRecord(t T, h StoreHarness) {
	s := h.open(t)
	ids := numbered("user ", 20)
	for _, id := range ids {
		put(t, s, user(id), "v", "")
	}
	page, err := s.Scan(t.Context(), backend.KindUser, "", 10)
	if err != nil || page.Next == "" {
		t.Fatalf("scan: next %q, %v", page.Next, err)
	}
	gone := map[string]bool{}
	for _, r := range page.Records {
		gone[r.ID] = true
		if err := s.Delete(t.Context(), r.Name, r.Version); err != nil {
			t.Fatalf("delete: %v", err)
		}
	}
	for after := page.Next; after != ""; {
		rest, err := s.Scan(t.Context(), backend.KindUser, after, 10)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		for _, r := range rest.Records {
			if gone[r.ID] {
				t.Errorf("%q comes again", r.ID)
			}
			gone[r.ID] = true
		}
		after = rest.Next
	}
	if len(gone) != len(ids) {
		t.Errorf("the scan has shown %d of %d", len(gone), len(ids))
	}
}

func expiry(t T, h StoreHarness) {
	s := h.open(t)
	snapshot, err := s.Get(t.Context(), user("nobody"))
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	const soon = 5 * time.Second // long enough for a slow machine to change its mind about a record
	expires := func(id string, d time.Duration, was backend.Version) backend.Version {
		at := time.Time{}
		if d != 0 {
			at = snapshot.Now.Add(d)
		}
		version, err := s.Put(t.Context(), user(id), []byte("v"), was, at)
		if err != nil {
			t.Fatalf("put: %v", err)
		}
		return version
	}
	expires("long", time.Hour, "")
	expires("never", 0, "")
	expires("soon", soon, "")
	expires("later", time.Hour, expires("later", soon, ""))
	expires("not", 0, expires("not", soon, ""))
	if h.Expired != nil {
		h.Expired(soon)
	}
	for _, id := range []string{"long", "never", "later", "not"} {
		if get(t, s, user(id)).Version == "" {
			t.Errorf("%s is gone", id)
		}
	}
	// What may be gone can be made anew whether it is gone or not.
	was := get(t, s, user("soon")).Version
	wantRecord(t, s, user("soon"), "v", expires("soon", time.Hour, was))
}

func endedContext(t T, h StoreHarness) {
	s := h.open(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, getErr := s.Get(ctx, user("ada"))
	_, scanErr := s.Scan(ctx, backend.KindUser, "", 1)
	_, putErr := s.Put(ctx, user("ada"), []byte("v"), "", time.Time{})
	deleteErr := s.Delete(ctx, user("ada"), "1")
	for what, err := range map[string]error{"get": getErr, "scan": scanErr, "put": putErr, "delete": deleteErr} {
		if err == nil {
			t.Errorf("%s answered", what)
		}
	}
}

func dataStay(t T, h StoreHarness) {
	if !h.Keeps {
		t.Skipf("this store keeps nothing")
	}
	s, err := h.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	versions := map[string]backend.Version{}
	for _, id := range numbered("user ", 30) {
		versions[id] = put(t, s, user(id), "value of "+id, "")
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	again := h.open(t)
	for id, version := range versions {
		wantRecord(t, again, user(id), "value of "+id, version)
		put(t, again, user(id), "changed", version)
	}
}

func clockGoesOn(t T, h StoreHarness) {
	stores := h.two(t)
	last := time.Time{}
	for i := range 20 {
		got, err := stores[i%2].Get(t.Context(), user("ada"))
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		page, err := stores[i%2].Scan(t.Context(), backend.KindUser, "", 1)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		for _, now := range []time.Time{got.Now, page.Now} {
			if now.Before(last) || now.IsZero() {
				t.Errorf("after %v it is %v", last, now)
			}
			last = now
		}
	}
}

package backend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// TestAMoveIsKilledAtEveryWrite and is repeated after the source has changed: each time the target has in the end what one move would have
// brought, and nothing else.
func TestAMoveIsKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	before := append(someRecords(), sessionsOf("carl", 5)[1:]...)
	slices.SortStableFunc(before, func(a, b portable.Record) int { return kindOf(a) - kindOf(b) })
	var after records // one session has been used, one rotated, two have ended, one is new; one user has gone, one is new, one is no admin any more
	for _, r := range someRecords() {
		switch {
		case r.User != nil && r.User.Name == "bob":
			r.User.Name = "barbara"
		case r.User != nil && r.User.Account != nil:
			r.User.Account.Roles, r.User.Account.Version = []session.Role{session.RoleUser}, 19
		case r.Session != nil && r.Session.Permanent:
			r.Session.Retired = []portable.RetiredKey{{Hash: r.Session.Key}}
			r.Session.Key = keyHash(99)
		}
		after = append(after, r)
	}
	carl := sessionsOf("carl", 5)[1:]
	carl[0].User.LastNumber = 6
	carl[1].Session.LastUseMS, carl[1].Session.EndsMS = 12, 62
	carl[2].Session.ID, carl[2].Session.Number, carl[2].Session.Key = sessionID(200), 6, keyHash(100)
	after = append(after, carl[:4]...)
	slices.SortStableFunc(after, func(a, b portable.Record) int { return kindOf(a) - kindOf(b) })
	whole := emptyStore(5)
	move(t, after, backend.MoveStore(whole))
	want := comparable(t, whole)
	kills := int64(0)
	for ; ; kills++ {
		store := emptyStore(5)
		dying := &mortal{Store: store}
		dying.left.Store(kills)
		_, err := portable.Move(t.Context(), before, backend.MoveStore(dying), silent)
		if err == nil {
			break
		}
		if session.CodeOf(err) != session.CodeUnavailable {
			t.Fatal(err)
		}
		if kills%3 == 0 { // and once more
			dying.left.Store(kills / 2)
			if _, err := portable.Move(t.Context(), after, backend.MoveStore(dying), silent); err == nil {
				t.Fatalf("after %d writes: the move went on without them", kills)
			}
		}
		moved, err := portable.Move(t.Context(), after, backend.MoveStore(store), silent)
		if err != nil {
			t.Fatalf("after %d writes: %v", kills, err)
		}
		if got := comparable(t, store); got != want {
			t.Fatalf("after %d writes: the records are\n%s\nand should be\n%s", kills, got, want)
		}
		if moved.Sessions != 5 || moved.Users != 2 {
			t.Errorf("after %d writes: moved %d sessions, %d users", kills, moved.Sessions, moved.Users)
		}
	}
	if kills < 20 {
		t.Errorf("was killed at %d writes only", kills)
	}
}

// written counts the writes of a store.
type written struct {
	*memory.Store
	count atomic.Int64
}

func (w *written) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	w.count.Add(1)
	return w.Store.Put(ctx, name, value, was, expires)
}

// TestARepeatedMoveFindsWhatIsThere: it writes no user, session or key again.
func TestARepeatedMoveFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, fails := range []backend.Kind{backend.KindCluster, backend.KindSession} { // before the end, and at its first page
		store := emptyStore(5)
		to := &meddled{Store: store}
		first := true
		ctx, stop := context.WithCancel(t.Context())
		to.meddle = func(call string, name backend.Name) {
			if call == "put" && name.Kind == fails && (fails != backend.KindCluster || name.ID == "cluster") {
				if fails == backend.KindSession || !first {
					stop()
				}
				first = false
			}
		}
		if _, err := portable.Move(ctx, sessionsOf("ada", 1), backend.MoveStore(to), silent); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		again := &written{Store: store}
		move(t, sessionsOf("ada", 1), backend.MoveStore(again))
		want := map[backend.Kind]int64{backend.KindCluster: 3, backend.KindSession: 6}[fails] // that it is under way, the cluster's record twice; session, key and list
		if got := again.count.Load(); got > want {
			t.Errorf("broken off at a record of kind %c, it wrote %d records, want at most %d", fails, got, want)
		}
	}
}

// TestALongMoveIsVerified: sessions end while it is under way, it breaks off and is repeated, and the store drops at once what may be dropped.
func TestALongMoveIsVerified(t *testing.T) {
	t.Parallel()
	// Where the first attempt was long ago, which sessions have ended is judged anew.
	for pause, want := range map[time.Duration]int{0: 1, time.Minute: 1, 2 * time.Hour: 1, 11 * time.Hour: 1, 13 * time.Hour: 2, 20 * time.Hour: 3, 100 * time.Hour: 4} {
		clock := newTurned()
		begun := clock.time().UnixMilli()
		all := sessionsOf("ada", 5)
		for i, r := range all[2:] {
			s, hours := r.Session, []int64{0, 1, 18, 22, 120}
			s.Timers = portable.Timers{AbsoluteEndMS: begun + hours[i]*time.Hour.Milliseconds()}
			s.EndsMS = s.Timers.AbsoluteEndMS
		}
		store := dropping{memory.New(clock.time)}
		dying := &mortal{Store: store}
		dying.left.Store(11) // all but the list
		if _, err := portable.Move(t.Context(), all, backend.MoveStore(dying), silent); session.CodeOf(err) != session.CodeUnavailable {
			t.Fatal(err)
		}
		clock.pass(pause)
		to := backend.MoveStore(store)
		moved, err := portable.Move(t.Context(), source(func(f func(portable.Record) error) error {
			for i, r := range all.split() {
				if err := f(r); err != nil {
					return err
				}
				if i == 3 {
					clock.pass(8 * time.Hour)
				}
			}
			return nil
		}), to, silent)
		if err != nil {
			t.Errorf("after %v: %v", pause, err)
			continue
		}
		if moved.Ended != want || moved.Sessions != 5-want {
			t.Errorf("after %v: moved %d, %d had ended, want %d", pause, moved.Sessions, moved.Ended, want)
		}
	}
}

type source func(f func(portable.Record) error) error

func (s source) Each(_ context.Context, f func(portable.Record) error) error { return s(f) }

// TestACompleteMoveIsOnlyCompared: it writes nothing, and tells what differs.
func TestACompleteMoveIsOnlyCompared(t *testing.T) {
	t.Parallel()
	store := &written{Store: emptyStore(5)}
	move(t, someRecords(), backend.MoveStore(store))
	store.count.Store(0)
	there := dump(t, store)
	move(t, someRecords(), backend.MoveStore(store))
	for what, change := range map[string]func(all records) records{
		"a session used":     func(all records) records { all[4].Session.LastUseMS++; return all },
		"another number":     func(all records) records { all[4].Session.Number++; return all },
		"a session gone":     func(all records) records { return all[:5] },
		"a password":         func(all records) records { all[1].User.Account.PasswordHash = "other"; return all },
		"a user gone":        func(all records) records { return slices.Delete(all, 2, 3) },
		"a policy":           func(all records) records { all[0].Cluster.Policies[0].IdleMS++; return all },
		"a seal key":         func(all records) records { all[0].Cluster.Seals = nil; return all },
		"a session's policy": func(all records) records { all[5].Session.Policy = "default"; return all },
	} {
		if _, err := portable.Move(t.Context(), change(someRecords()), backend.MoveStore(store), silent); err == nil || !strings.Contains(err.Error(), "moved into before, and one of the two has changed since: nothing was overwritten") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if store.count.Load() != 0 || dump(t, store) != there {
		t.Errorf("it wrote %d records", store.count.Load())
	}
	other := someRecords()
	other[0].Cluster.ID = "other"
	if _, err := portable.Move(t.Context(), other, backend.MoveStore(store), silent); err == nil || !strings.Contains(err.Error(), "into an empty one") {
		t.Errorf("another home: %v", err)
	}
}

// TestDeadSessionsStayBehind: those that no list names, and those that a policy has ended which is another one by now.
func TestDeadSessionsStayBehind(t *testing.T) {
	t.Parallel()
	store := emptyStore(5)
	move(t, sessionsOf("ada", 3), backend.MoveStore(store))
	user := backend.Name{Kind: backend.KindUser, ID: "ada"}
	got, err := store.Get(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(string(got.Records[0].Value), fmt.Sprintf(`{"id":"%s","number":2,"policy":"web"},`, sessionsOf("ada", 3)[3].Session.ID), "", 1)
	if _, err := store.Put(t.Context(), user, []byte(short), got.Records[0].Version, time.Time{}); err != nil {
		t.Fatal(err)
	}
	to := emptyStore(5)
	moved := move(t, backend.MoveStore(store), backend.MoveStore(to))
	if moved.Sessions != 2 || moved.Ended != 0 {
		t.Errorf("moved %d sessions, %d had ended", moved.Sessions, moved.Ended)
	}
	// From a cluster that knows no past of policies to one that does, everything is judged by what the source says.
	all := sessionsOf("ada", 3)
	all[2].Session.EndsMS, all[3].Session.EndsMS = 5, 6
	if moved := move(t, all, backend.MoveStore(emptyStore(5))); moved.Sessions != 2 || moved.Ended != 1 {
		t.Errorf("moved %d sessions, %d had ended", moved.Sessions, moved.Ended)
	}
}

package backendtest

import (
	"fmt"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// MoveThrough moves sessions into an empty store, again, and from there into another one: the sums agree, and all keys stay valid.
func MoveThrough(t T, between backend.Store) {
	t.Helper()
	first, last := memory.New(nil), memory.New(nil)
	s := Start(t, Config(t), first)
	var keys []session.Key
	for i := range 150 {
		issued, err := s.Login(t.Context(), session.Call{Operator: true}, session.Login{
			User: fmt.Sprint("user ", i%20), Vouched: true, Attributes: session.Attributes{"n": fmt.Append(nil, i)}, Sealed: session.Attributes{"s": fmt.Append(nil, i)},
		})
		if err != nil {
			t.Fatalf("log in: %v", err)
		}
		keys = append(keys, issued.Key)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatalf("shut down: %v", err)
	}
	move := func(from, to backend.Store) *portable.Tally {
		t.Helper()
		moved, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), func(*portable.Tally) {})
		if err != nil {
			t.Fatalf("move: %v", err)
		}
		return moved
	}
	there, again, on := move(first, between), move(first, between), move(between, last)
	if there.Sum() != again.Sum() || there.Sum() != on.Sum() || there.Sessions != len(keys) || there.Users != 1 {
		t.Errorf("moved %d sessions and %d accounts with %s, again with %s, and on with %s", there.Sessions, there.Users, there.Sum(), again.Sum(), on.Sum())
	}
	s = Start(t, Config(t), last)
	for i, key := range keys {
		got, err := s.Check(t.Context(), session.Call{Key: key}, true)
		if err != nil || string(got.Attributes["n"]) != fmt.Sprint(i) || string(got.Sealed["s"]) != fmt.Sprint(i) {
			t.Fatalf("session %d: %+v, %v", i, got, err)
		}
	}
}

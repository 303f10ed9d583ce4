package redis_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// TestMove moves sessions from a folder into Redis and from there into another folder: the sums agree, and all keys stay valid.
func TestMove(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	folder := func() *local.Store {
		s, err := local.Open(local.Config{Path: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, last := folder(), folder()
	s := backendtest.Start(t, backendtest.Config(t), first)
	var keys []session.Key
	for i := range 150 {
		issued, err := s.Login(t.Context(), session.Call{Operator: true}, session.Login{
			User: fmt.Sprint("user ", i%20), Vouched: true, Attributes: session.Attributes{"n": fmt.Append(nil, i)}, Sealed: session.Attributes{"s": fmt.Append(nil, i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, issued.Key)
	}
	between := open(t, redis.Config{Address: server.Address(), Prefix: "move"})
	quiet := func(*portable.Tally) {}
	there, err := portable.Move(t.Context(), backend.MoveStore(first), backend.MoveStore(between), quiet)
	if err != nil {
		t.Fatal(err)
	}
	back, err := portable.Move(t.Context(), backend.MoveStore(between), backend.MoveStore(last), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if there.Sum() != back.Sum() || there.Sessions != len(keys) {
		t.Errorf("moved %d sessions with %s, and %d with %s", there.Sessions, there.Sum(), back.Sessions, back.Sum())
	}
	s = backendtest.Start(t, backendtest.Config(t), last)
	for i, key := range keys {
		got, err := s.Check(t.Context(), session.Call{Key: key}, true)
		if err != nil || string(got.Attributes["n"]) != fmt.Sprint(i) || string(got.Sealed["s"]) != fmt.Sprint(i) {
			t.Fatalf("session %d: %+v, %v", i, got, err)
		}
	}
}

package transport_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

func TestPartitionAndHeal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(time.Second)
		members := trio(t, guarded(network))
		defer stop(t, members...)
		old := leader(t, members...)
		rest := without(members, old)

		network.Partition([]raft.ServerAddress{old.addr}, []raft.ServerAddress{rest[0].addr, rest[1].addr})
		lost := old.Apply([]byte("lost"), time.Second)
		now := leader(t, rest...)
		if err := now.Apply([]byte("kept"), time.Second).Error(); err != nil {
			t.Fatalf("the majority takes no write: %v", err)
		}
		if err := lost.Error(); err == nil {
			t.Error("the minority took a write")
		}
		network.Heal()
		eventually(t, "the old leader catches up", func() bool { return old.state.last() == "kept" })
	})
}

func TestNodeComesBackUnderItsAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(time.Second)
		members := trio(t, guarded(network))
		first := leader(t, members...)
		gone := without(members, first)[0]
		stop(t, gone)
		if err := first.Apply([]byte("meanwhile"), time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		back := start(t, network.Join(gone.addr), nil)
		defer stop(t, append(without(members, gone), back)...)
		eventually(t, "the node catches up", func() bool { return back.state.last() == "meanwhile" })
	})
}

// vote sends a message and answers it on the other side; it reports whether the other side saw it.
func vote(t *testing.T, from, to *transport.Transport) (seen bool, err error) {
	t.Helper()
	var got atomic.Bool
	done := make(chan struct{})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		select {
		case rpc := <-to.Consumer():
			got.Store(true)
			rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
		case <-done:
		}
	}()
	err = from.RequestVote("id", to.LocalAddr(), &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
	close(done)
	<-answered
	return got.Load(), err
}

func TestCutsAreOneWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(time.Second)
		a, b := network.Join("a"), network.Join("b")
		for name, c := range map[string]struct {
			fault      func()
			seen, lost bool
		}{
			"healthy":        {func() {}, true, false},
			"request lost":   {func() { network.Cut("a", "b") }, false, true},
			"answer lost":    {func() { network.Cut("b", "a") }, true, true},
			"isolated":       {func() { network.Isolate("b") }, false, true},
			"of another way": {func() { network.Cut("a", "c") }, true, false},
			"kind lost": {func() {
				network.Drop(func(m transport.Message) bool { return m.Kind == transport.KindVote && m.ToID == "id" })
			}, false, true},
			"other kind lost": {func() {
				network.Drop(func(m transport.Message) bool { return m.Kind == transport.KindHeartbeat })
			}, true, false},
		} {
			c.fault()
			seen, err := vote(t, a, b)
			if seen != c.seen || errors.Is(err, transport.ErrCut) != c.lost {
				t.Errorf("%s: seen %v, error %v", name, seen, err)
			}
			network.Heal()
			network.Drop(nil)
		}
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(10 * time.Second)
		a, b := network.Join("a"), network.Join("b")
		network.Delay("a", "b", 3*time.Second)
		network.Delay("b", "a", time.Second)
		begin := time.Now()
		if _, err := vote(t, a, b); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("a vote there and back took %v, want 4s", took)
		}
	})
}

func TestCloseReachesTheInnerTransport(t *testing.T) {
	t.Parallel()
	inner := bareTCP(t)
	if err := transport.New(inner, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if !inner.IsShutdown() {
		t.Error("the inner transport is still open")
	}
}

package transport_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestPipelineIsNeverOpened(t *testing.T) {
	t.Parallel()
	peer := bareTCP(t)
	bare, err := bareTCP(t).AppendEntriesPipeline("id", peer.LocalAddr())
	if err != nil {
		t.Fatalf("without the guard: %v", err)
	}
	defer bare.Close()
	if _, err := overTCP(t).AppendEntriesPipeline("id", peer.LocalAddr()); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("with the guard: %v", err)
	}
}

// hashicorp/raft#612: a follower that rejects an append now and then, as one with a bad disk does, is left behind for ever
// while it goes on receiving heartbeats.
func TestRejectedAppendsStopReplicationOnlyThroughAPipeline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make  func(*testing.T) raft.Transport
		stuck bool
	}{
		"guarded":   {func(t *testing.T) raft.Transport { return overTCP(t) }, false},
		"unguarded": {func(t *testing.T) raft.Transport { return &remembering{NetworkTransport: bareTCP(t)} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := c.make(t)
			lead := start(t, tr, func(cfg *raft.Config) { cfg.BatchApplyCh = true })
			defer stop(t, lead)
			if r, ok := tr.(*remembering); ok {
				defer r.release()
			}
			bootstrap(t, lead)
			leader(t, lead)
			follower := follow(t, overTCP(t))
			if err := lead.AddNonvoter(raft.ServerID(follower.addr), follower.addr, 0, 0).Error(); err != nil {
				t.Fatal(err)
			}
			if got := replicate(t, lead, follower); got != c.stuck {
				t.Errorf("replication stuck: %v, want %v", got, c.stuck)
			}
		})
	}
}

// remembering is a transport that can close its pipelines, so that the stuck node can be shut down.
type remembering struct {
	*raft.NetworkTransport
	mu        sync.Mutex
	pipelines []raft.AppendPipeline
}

func (r *remembering) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := r.NetworkTransport.AppendEntriesPipeline(id, addr)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pipelines = append(r.pipelines, p)
	}
	return p, err
}

func (r *remembering) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pipelines {
		_ = p.Close()
	}
}

// replicate keeps the leader busy until the follower has been left behind, or has rejected often and caught up.
func replicate(t *testing.T, lead *member, follower *pretender) (stuck bool) {
	t.Helper()
	const rejections, quietLooks, writers = 40, 600, 4
	var enough atomic.Bool
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for !enough.Load() {
				if err := lead.Apply([]byte("x"), time.Minute).Error(); err != nil {
					t.Errorf("apply: %v", err)
					return
				}
			}
		})
	}
	quiet, before := 0, 0
	eventually(t, "the follower rejects often or hears nothing any more", func() bool {
		rejected, _, appends := follower.progress()
		if quiet++; appends != before {
			quiet, before = 0, appends
		}
		stuck = quiet >= quietLooks // 3 s; looks are counted, since a process that stood still has not heard anything either
		return stuck || rejected >= rejections
	})
	enough.Store(true)
	writing.Wait()
	if stuck {
		return true
	}
	follower.agree.Store(true)
	eventually(t, "the follower catches up", func() bool {
		_, last, _ := follower.progress()
		return last == lead.LastIndex()
	})
	return false
}

// pretender answers as a follower would, but rejects every tenth append of entries.
type pretender struct {
	addr  raft.ServerAddress
	agree atomic.Bool // reject no more

	mu       sync.Mutex
	last     uint64
	appends  int
	rejected int
}

func follow(t *testing.T, tr raft.Transport) *pretender {
	p := &pretender{addr: tr.LocalAddr()}
	go func() {
		for {
			select {
			case rpc := <-tr.Consumer():
				rpc.Respond(p.answer(rpc.Command.(*raft.AppendEntriesRequest)), nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	return p
}

func (p *pretender) answer(req *raft.AppendEntriesRequest) *raft.AppendEntriesResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &raft.AppendEntriesResponse{Term: req.Term, LastLog: p.last, Success: true}
	if len(req.Entries) == 0 {
		return resp
	}
	p.appends++
	if req.PrevLogEntry > p.last || p.appends%10 == 0 && !p.agree.Load() {
		p.rejected++
		resp.Success, resp.NoRetryBackoff = false, true
		return resp
	}
	p.last = req.Entries[len(req.Entries)-1].Index
	return resp
}

func (p *pretender) progress() (rejected int, last uint64, appends int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rejected, p.last, p.appends
}

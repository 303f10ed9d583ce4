package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

// A node that is cut off must not raise its term: when it came back it would unseat the leader. Raft's pre-vote sees to that,
// unless a transport that wraps another does not offer it.
func TestPreVoteStaysOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrap  func(*transport.Transport) raft.Transport
		stays bool
	}{
		"forwarded": {func(tr *transport.Transport) raft.Transport { return tr }, true},
		"hidden":    {func(tr *transport.Transport) raft.Transport { return struct{ raft.Transport }{tr} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := transport.NewNetwork(time.Second)
				members := trio(t, func(addr raft.ServerAddress) raft.Transport { return c.wrap(network.Join(addr)) })
				defer stop(t, members...)
				first := leader(t, members...)
				lost := without(members, first)[0]
				term := first.CurrentTerm()
				eventually(t, "the term everywhere", func() bool { return lost.CurrentTerm() == term })

				network.Isolate(lost.addr)
				time.Sleep(time.Minute)
				if stays := lost.CurrentTerm() == term; stays != c.stays {
					t.Errorf("term of the lost node went from %d to %d", term, lost.CurrentTerm())
				}
			})
		})
	}
}

package node_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// Leadership moves again and again while all nodes create sessions: every create succeeds, and once.
func TestCreatesAreAppliedOnceWhileLeadershipMoves(t *testing.T) {
	t.Parallel()
	const clients, moves = 48, 8
	c := startTrio(t, 3, nil)
	app := c.service(0)
	var stop atomic.Bool
	var created [clients]int
	var total atomic.Int64
	var work sync.WaitGroup
	for client := range clients {
		work.Go(func() {
			for k := 0; !stop.Load(); k++ {
				_, err := c.nodes[(client+k)%3].Login(t.Context(), app, session.Login{User: fmt.Sprintf("user%d", client), Vouched: true})
				if err != nil {
					t.Errorf("client %d, create %d: %v", client, k, err)
					return
				}
				created[client]++
				total.Add(1)
			}
		})
	}
	for range moves {
		enough := total.Load() + 300
		eventually(t, "creates under this leader", func() error {
			if total.Load() < enough {
				return fmt.Errorf("%d of %d", total.Load(), enough)
			}
			return nil
		})
		c.moveLeader((c.leader() + 1) % 3)
	}
	stop.Store(true)
	work.Wait()
	admin := c.admin(0)
	for client, want := range created {
		got := 0
		for page := (session.Page{Limit: 1000}); ; {
			list, err := c.nodes[client%3].ListSessions(t.Context(), admin, session.Filter{User: fmt.Sprintf("user%d", client)}, page)
			if err != nil {
				t.Fatal(err)
			}
			got += len(list.Items)
			if page.Cursor = list.NextCursor; page.Cursor == "" {
				break
			}
		}
		if got != want {
			t.Errorf("client %d was told of %d creates, the cluster has %d", client, want, got)
		}
	}
	t.Logf("%d creates across %d changes of leader", total.Load(), moves)
}

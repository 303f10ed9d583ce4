package node_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestALateLeaderKnowsWhoIsDead: a session is made and answered while the leader, on a busy machine, does not come to applying it. When its time is over, the leader still knows
// neither the session nor its deadline; nobody may read that it lives.
func TestALateLeaderKnowsWhoIsDead(t *testing.T) {
	t.Parallel()
	var late [3]atomic.Pointer[chan struct{}]
	c := startTrio(t, 3, func(i int, config *node.Config) {
		config.Cluster.Faults.Apply = func() {
			if inTime := late[i].Load(); inTime != nil {
				<-*inTime
			}
		}
	})
	lead := c.leader()
	at := (lead + 1) % 3
	inTime := make(chan struct{})
	late[lead].Store(&inTime)
	// There is no other session, of whose deadline it would know.
	issued, err := c.nodes[at].Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour)
	answer := make(chan error, 1)
	go func() {
		_, err := c.nodes[at].Check(t.Context(), with(issued.Key), true)
		answer <- err
	}()
	time.AfterFunc(200*time.Millisecond, func() { close(inTime) }) // which is time enough to read too early
	if err := <-answer; session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("half an hour idle, an hour passed: %v, want unauthenticated", err)
	}
}

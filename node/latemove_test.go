package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// tripwire is what a node may still send before it is cut off, in the midst of what it sends then.
type tripwire struct {
	bytes atomic.Int64 // at most 0: it is not set
	cut   func()
}

func (w *tripwire) dialer(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return &wiredConn{conn, w}, nil
	}
}

type wiredConn struct {
	net.Conn
	wire *tripwire
}

func (c *wiredConn) Write(b []byte) (int, error) {
	if before := c.wire.bytes.Load(); before > 0 && c.wire.bytes.Add(-int64(len(b))) <= 0 {
		c.wire.cut()
		return 0, errors.New("the test has cut this connection")
	}
	return c.Conn.Write(b)
}

// clusterWith is the portable record of a home that has so many policies.
func clusterWith(t *testing.T, id string, policies int) json.RawMessage {
	t.Helper()
	c := &portable.Cluster{ID: id, Version: 1}
	for i := range policies {
		p := session.DefaultPolicy()
		if i > 0 {
			p.Name = fmt.Sprint("policy-", i)
		}
		c.Policies = append(c.Policies, portable.PolicyOf(p))
	}
	text, err := portable.Record{Cluster: c}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestABeginningOfACutOffNodeComesTooLate: a node is cut off with a step in its hands that would begin a move, and forget what the cluster holds. Meanwhile
// the others take another move to its end, and are in use. When the node is back its step is refused.
func TestABeginningOfACutOffNodeComesTooLate(t *testing.T) {
	t.Parallel()
	var wires [3]tripwire
	c := startTrio(t, 3, func(i int, config *node.Config) {
		config.Cluster.Faults.Dial = wires[i].dialer(config.Cluster.Faults.Dial)
	})
	late := (c.leader() + 1) % 3
	other := (late + 1) % 3
	cutOff := make(chan struct{})
	wires[late].cut = func() {
		c.isolate(late)
		close(cutOff)
	}
	const policies, size = 250, 6 << 10 // the step takes more than 10 KiB in the log, and nothing else that goes on comes near to that
	answer := make(chan error, 1)
	wires[late].bytes.Store(size)
	go func() {
		_, err := c.nodes[late].Move(t.Context(), byOperator, session.MoveStep{Kind: session.MoveBegin, Cluster: clusterWith(t, "late", policies), Restart: true})
		answer <- err
	}()
	select {
	case <-cutOff:
	case err := <-answer:
		t.Fatalf("the step was taken before the node was cut off: %v", err)
	}
	finish := c.filled(other, []json.RawMessage{clusterWith(t, "other", 1)})
	c.step(other, finish)
	c.awaitReady(other)
	issued, err := c.nodes[other].Login(t.Context(), byOperator, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answer:
		t.Fatalf("the node that is cut off has an answer: %v", err)
	default:
	}
	c.heal()
	if err := <-answer; session.CodeOf(err) != session.CodeConflict || !strings.Contains(err.Error(), "another move has begun meanwhile") {
		t.Errorf("the late step: %v", err)
	}
	for i, n := range c.nodes {
		c.awaitReady(i)
		if _, err := n.Check(t.Context(), with(issued.Key), false); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
	}
}

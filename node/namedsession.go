package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
)

// sessionOf finds the living session of a key, as this node knows it. A key that names another session than its own opens none.
func (n *Node) sessionOf(k session.Key) (fsm.Record, bool) {
	return named(k)(n.fsm.SessionByKey(k.Hash()))
}

// spentSessionOf finds the living session of a key that was rotated and whose grace is over.
func (n *Node) spentSessionOf(k session.Key) (fsm.Record, bool) {
	return named(k)(n.fsm.SessionOfSpentKey(k.Hash()))
}

func named(k session.Key) func(fsm.Record, bool) (fsm.Record, bool) {
	return func(r fsm.Record, found bool) (fsm.Record, bool) {
		if !found || !k.Names(r.Number) {
			return fsm.Record{}, false
		}
		return r, true
	}
}

// namesItsSession is asked before a key goes into the log without having been looked up: apply knows its hash, of which the number
// that some formats have is no part. A key that this node does not know may have been issued a moment ago at another one.
func (n *Node) namesItsSession(ctx context.Context, k session.Key) (bool, error) {
	if !k.NamesSession() {
		return true, nil
	}
	if n.knowsNamed(k) {
		return true, nil
	}
	if _, err := n.read(ctx, session.Call{}); err != nil {
		return false, asError("read", err)
	}
	return n.knowsNamed(k), nil
}

func (n *Node) knowsNamed(k session.Key) bool {
	_, living := n.sessionOf(k)
	_, spent := n.spentSessionOf(k)
	return living || spent
}

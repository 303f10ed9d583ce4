package link

import (
	"context"
	"errors"
	"fmt"
)

// Peer is where to call and who must answer there.
type Peer struct {
	Addr   string // host:port
	NodeID string // the identity that the remote must prove; "" = any
}

// Call sends payload to method at addr and waits for the answer, which the caller owns. It blocks until the answer, until
// ctx ends or until the connection is known to be dead; without a deadline in ctx, Config.CallTimeout applies. The remaining
// time travels with the request. payload is not kept. See ErrUnreachable for the errors.
func (l *Link) Call(ctx context.Context, addr string, p Purpose, method string, payload []byte) ([]byte, error) {
	return l.CallExpect(ctx, Peer{Addr: addr}, p, method, payload)
}

// CallExpect is Call that is sent only to the node that proved to be to.NodeID; else it fails with ErrWrongNode.
func (l *Link) CallExpect(ctx context.Context, to Peer, p Purpose, method string, payload []byte) ([]byte, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.cfg.CallTimeout)
		defer cancel()
	}
	l.counters.callsSent.Add(1)
	l.counters.callsInFlight.Add(1)
	answer, err := l.attemptCall(ctx, to, p, method, payload)
	l.counters.callsInFlight.Add(-1)
	if err != nil {
		err = l.callFailed(err, to, method)
	}
	return answer, err
}

// attemptCall sends the request, once more if the connection turned out to be dead before the request left.
func (l *Link) attemptCall(ctx context.Context, to Peer, p Purpose, method string, payload []byte) ([]byte, error) {
	if err := l.checkCall(p, method, payload); err != nil {
		return nil, &linkError{kind: ErrUnreachable, cause: err}
	}
	n := l.laneFor(laneKey{to: to, purpose: p, bulk: len(payload) > bulkBytes})
	for retried := false; ; retried = true {
		c, err := n.get(ctx)
		if err != nil {
			return nil, &linkError{kind: ErrUnreachable, cause: err}
		}
		answer, err := c.call(ctx, method, payload)
		if !errors.Is(err, errNotSent) {
			return answer, err
		}
		if retried {
			return nil, &linkError{kind: ErrUnreachable, cause: err}
		}
	}
}

// checkCall refuses what cannot be sent.
func (l *Link) checkCall(p Purpose, method string, payload []byte) error {
	if p != PurposeRPC && p != PurposeBirth {
		return fmt.Errorf("calls of purpose %s do not exist", p)
	}
	if method == "" || len(method) > maxMethodBytes {
		return fmt.Errorf("method name has %d bytes, want 1 to %d", len(method), maxMethodBytes)
	}
	size := frameHeaderBytes + requestHeadBytes + len(method) + len(payload)
	if size > l.cfg.MaxFrameBytes {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, l.cfg.MaxFrameBytes)
	}
	return nil
}

// callFailed counts a failure and adds what was attempted to an error of the link; a handler's error stays as it is.
func (l *Link) callFailed(err error, to Peer, method string) error {
	var failure *linkError
	if !errors.As(err, &failure) {
		return err
	}
	if errors.Is(failure.kind, ErrUnknownOutcome) {
		l.counters.callsUnknown.Add(1)
	} else {
		l.counters.callsUnreachable.Add(1)
	}
	failure.op = "call " + method + " at " + to.Addr
	return failure
}

// PeerIdentity returns what the node at addr proved about itself, dialling it when there is no connection of that purpose.
func (l *Link) PeerIdentity(ctx context.Context, addr string, p Purpose) (Identity, error) {
	if p != PurposeRPC && p != PurposeBirth {
		return Identity{}, fmt.Errorf("link: no connections of purpose %s are kept", p)
	}
	c, err := l.laneFor(laneKey{to: Peer{Addr: addr}, purpose: p}).get(ctx)
	if err != nil {
		return Identity{}, &linkError{op: "identify " + addr, kind: ErrUnreachable, cause: err}
	}
	return c.remote, nil
}

package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

const (
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
)

// do sends r to one node after the other, from the preferred one on, until one answers for good. Between rounds it pauses.
func (c *Client) do(ctx context.Context, r *request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	var met history
	for round := range c.config.Rounds {
		if round > 0 && !pause(ctx, round, met.last.RetryAfter) {
			break
		}
		asked := false
		for range c.nodes {
			at := c.preferred.Load()
			if !met.mayAnswer(ctx, at) {
				c.next(at)
				continue
			}
			asked = true
			started := time.Now()
			a, failed := c.attempt(ctx, c.nodes[at], r)
			switch {
			case failed == nil:
				return a, nil
			case met.maybeDone && r.gone && failed.Code == session.CodeNotFound:
				return answer{}, nil // an earlier attempt did it
			case ctx.Err() != nil, !failed.notDone && !(failed.unknown && r.idempotent):
				return answer{}, met.end(ctx, r, failed)
			}
			met.add(at, failed, time.Since(started))
			c.next(at)
		}
		if !asked {
			break
		}
	}
	return answer{}, met.end(ctx, r, met.last)
}

// next prefers the node behind at, unless another call has moved on already.
func (c *Client) next(at uint32) { c.preferred.CompareAndSwap(at, (at+1)%uint32(len(c.nodes))) }

// pause waits before a new round, at least as long as the last answer asked for; false when the context would not live to see it.
func pause(ctx context.Context, round int, asked time.Duration) bool {
	wait := maxPause
	const doublings = 10 // enough to reach maxPause, and far from what a Duration can hold
	if round <= doublings {
		wait = min(firstPause<<(round-1), maxPause)
	}
	wait = max(wait/2+rand.N(wait), asked) // jitter: clients that failed together must not come back together
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

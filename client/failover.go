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
	var last *failure
	maybeDone := false
	for round := range c.config.Rounds {
		if round > 0 && !pause(ctx, round, last.RetryAfter) {
			break
		}
		for range c.nodes {
			at := c.preferred.Load()
			a, failed := c.attempt(ctx, c.nodes[at], r)
			switch {
			case failed == nil:
				return a, nil
			case maybeDone && r.gone && failed.Code == session.CodeNotFound:
				return answer{}, nil // an earlier attempt did it
			case ctx.Err() != nil, !failed.notDone && !(failed.unknown && r.idempotent):
				return answer{}, final(ctx, failed, maybeDone)
			}
			maybeDone = maybeDone || failed.unknown
			last = failed
			c.preferred.CompareAndSwap(at, (at+1)%uint32(len(c.nodes)))
		}
	}
	return answer{}, final(ctx, last, maybeDone)
}

// final is the error of the whole call. Once a change may have been done, no later refusal makes that undone.
func final(ctx context.Context, last *failure, maybeDone bool) error {
	e := *last.Error
	if maybeDone && last.notDone {
		e.Code, e.Message = session.CodeOutcomeUnknown, "an attempt may have been done, and then "+e.Message
	}
	if err := context.Cause(ctx); err != nil {
		e.Err = &ended{cause: err, last: e.Err}
	}
	return &e
}

// ended lets errors.Is find the end of the context beside what the last attempt met.
type ended struct{ cause, last error }

func (e *ended) Error() string   { return e.cause.Error() + " (" + e.last.Error() + ")" }
func (e *ended) Unwrap() []error { return []error{e.cause, e.last} }

// pause waits before a new round, at least as long as the last answer asked for; false when the context would not live to see it.
func pause(ctx context.Context, round int, asked time.Duration) bool {
	wait := min(firstPause<<(round-1), maxPause)
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

package node

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/cluster/link"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

const (
	// submitTimeout bounds one question about a batch; then it is asked again under the same number.
	submitTimeout = 2 * time.Second
	// retryMin and retryMax bound the wait between two questions.
	retryMin = 2 * time.Millisecond
	retryMax = 50 * time.Millisecond
)

// courier sees the batches of this node through to their outcome: it brings each to the leader, asks again when an answer is
// lost, and brings it to the next leader when it is certain that the last one had no effect.
type courier struct {
	node    *Node
	tracker *tracker
}

// deliver returns when every command of b is answered, or withdrawn by its caller.
func (c *courier) deliver(b *batch) {
	pause := retryMin
	for {
		lead, changed := c.node.cluster.Leadership()
		if lead.NodeID != "" && c.tracker.begin(b, lead.Epoch) {
			if len(b.commands) == 0 {
				c.tracker.forget(b)
				return
			}
			if c.try(b, lead) {
				return
			}
			b.retract()
		}
		if !b.wanted() {
			return
		}
		select {
		case <-changed:
			pause = retryMin
		case <-time.After(pause):
			pause = min(2*pause, retryMax)
		case <-c.node.stopped:
			b.fail(errStopping())
			return
		}
	}
}

// wanted tells whether any caller still waits.
func (b *batch) wanted() bool {
	for _, p := range b.commands {
		if p.stage.Load() == stageQueued {
			return true
		}
	}
	return false
}

// try makes one attempt with one leader. It returns true when the commands are answered, false when the attempt
// certainly had no effect.
func (c *courier) try(b *batch, lead cluster.Leadership) (answered bool) {
	request := c.request(b)
	uncertain := false
	pause := retryMin
	for {
		verdict := c.ask(lead, b, request)
		switch {
		case verdict == verdictApplied:
			c.tracker.forget(b)
			return true
		case verdict == verdictRefused && !uncertain:
			c.tracker.forget(b)
			return false
		case verdict != verdictUnsent:
			uncertain = true // this attempt may be in the log: only the log can tell now
		case !uncertain:
			c.tracker.forget(b)
			return false
		}
		select {
		case <-b.resolved:
			c.tracker.forget(b)
			return true
		case <-b.superseded:
			return false
		case <-time.After(pause):
			pause = min(2*pause, retryMax)
		case <-c.node.stopped:
			c.tracker.forget(b)
			b.fail(errOutcomeUnknown())
			return true
		}
	}
}

type verdict int

const (
	verdictUnsent  verdict = iota // it did not reach the leader
	verdictRefused                // it reached the leader and is not in the log by this question
	verdictUnknown                // it may be in the log
	verdictApplied                // the commands are answered
)

// ask asks the leader once for the outcome of b.
func (c *courier) ask(lead cluster.Leadership, b *batch, request *nodepb.SubmitRequest) verdict {
	if lead.Self {
		return c.askSelf(b, request)
	}
	ctx, cancel := context.WithTimeout(context.Background(), submitTimeout)
	defer cancel()
	resolved, superseded := b.resolved, b.superseded
	go func() { // the own log may know first, or know that nobody will
		select {
		case <-resolved:
		case <-superseded:
		case <-c.node.stopped:
		case <-ctx.Done():
		}
		cancel()
	}()
	request.Oldest = c.tracker.oldest()
	payload, err := proto.Marshal(request)
	if err != nil {
		return verdictUnsent
	}
	answer, err := c.node.cluster.Call(ctx, lead.NodeID, methodSubmit, payload)
	switch {
	case errors.Is(err, link.ErrUnreachable), errors.Is(err, cluster.ErrUnknownNode):
		return verdictUnsent
	case err != nil:
		return verdictUnknown
	}
	var response nodepb.SubmitResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return verdictUnknown
	}
	return c.accept(b, &response)
}

func (c *courier) accept(b *batch, r *nodepb.SubmitResponse) verdict {
	switch r.Outcome {
	case nodepb.SubmitResponse_OUTCOME_REFUSED:
		return verdictRefused
	case nodepb.SubmitResponse_OUTCOME_APPLIED:
		results := make([]*fsmpb.Result, len(r.Results))
		for i, encoded := range r.Results {
			results[i] = new(fsmpb.Result)
			if err := proto.Unmarshal(encoded, results[i]); err != nil {
				return verdictUnknown
			}
		}
		if len(results) != len(b.commands) {
			return verdictUnknown
		}
		b.resolve(r.Index, results)
		return verdictApplied
	default:
		return verdictUnknown
	}
}

// askSelf is ask for the leader's own batches, without encoding.
func (c *courier) askSelf(b *batch, request *nodepb.SubmitRequest) verdict {
	request.Oldest = c.tracker.oldest()
	item := c.node.inbox.submit(c.node.cluster.NodeID(), request)
	select {
	case <-item.done:
	case <-b.resolved:
		return verdictApplied
	case <-b.superseded:
		return verdictUnknown
	case <-c.node.stopped:
		return verdictUnknown
	}
	switch item.outcome {
	case nodepb.SubmitResponse_OUTCOME_APPLIED:
		b.resolve(item.index, item.results)
		return verdictApplied
	case nodepb.SubmitResponse_OUTCOME_REFUSED:
		return verdictRefused
	default:
		return verdictUnknown
	}
}

// request encodes the present attempt of b.
func (c *courier) request(b *batch) *nodepb.SubmitRequest {
	encoded := make([][]byte, len(b.commands))
	for i, p := range b.commands {
		encoded[i] = p.encoded
	}
	return &nodepb.SubmitRequest{
		Epoch: b.epoch, Incarnation: c.node.cluster.Incarnation(), Number: b.number, Commands: uint32(len(b.commands)),
		Batch: appendBatch(nil, c.node.cluster.NodeID(), c.node.cluster.Incarnation(), b.number, encoded),
	}
}

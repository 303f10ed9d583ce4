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
		if lead.NodeID != "" {
			if a := c.tracker.begin(b, lead.Epoch); a != nil {
				if c.try(a, lead) == fateAnswered {
					return
				}
				b.retract()
			}
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
			fail(b.commands, errStopping())
			return
		}
	}
}

// try makes one attempt with one leader and returns its fate.
func (c *courier) try(a *attempt, lead cluster.Leadership) fate {
	request := c.request(a)
	uncertain := false
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		switch c.ask(lead, a, request) {
		case verdictUnknown:
			uncertain = true // it may be in the log: only the log, or the same leader, can tell now
		case verdictUnsent, verdictRefused:
			if !uncertain {
				decided, _ := c.tracker.decide(a, fateNothing)
				return decided
			}
		}
		select {
		case <-a.decided:
			return a.fate
		case <-time.After(pause):
		case <-c.node.stopped:
			c.tracker.fail(a, errOutcomeUnknown())
			return a.fate
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

// ask asks the leader once for the outcome of a.
func (c *courier) ask(lead cluster.Leadership, a *attempt, request *nodepb.SubmitRequest) verdict {
	request.Oldest = c.tracker.oldest()
	if lead.Self {
		return c.askSelf(a, request)
	}
	ctx, cancel := context.WithTimeout(context.Background(), submitTimeout)
	defer cancel()
	go func() { // the own log may know first, or know that nobody will
		select {
		case <-a.decided:
		case <-c.node.stopped:
		case <-ctx.Done():
		}
		cancel()
	}()
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
	return c.accept(a, &response)
}

func (c *courier) accept(a *attempt, r *nodepb.SubmitResponse) verdict {
	switch r.Outcome {
	case nodepb.SubmitResponse_OUTCOME_REFUSED:
		return verdictRefused
	case nodepb.SubmitResponse_OUTCOME_APPLIED:
		results := make([]*fsmpb.Result, len(r.Results))
		for i, encoded := range r.Results {
			results[i] = new(fsmpb.Result)
			if err := results[i].UnmarshalVT(encoded); err != nil {
				return verdictUnknown
			}
		}
		if len(results) != len(a.commands) {
			return verdictUnknown
		}
		c.tracker.resolve(a, r.Index, results)
		return verdictApplied
	default:
		return verdictUnknown
	}
}

// askSelf is ask for the leader's own batches, without encoding.
func (c *courier) askSelf(a *attempt, request *nodepb.SubmitRequest) verdict {
	item := c.node.inbox.submit(c.node.cluster.NodeID(), request)
	select {
	case <-item.done:
	case <-a.decided:
		return verdictUnknown
	case <-c.node.stopped:
		return verdictUnknown
	}
	switch item.outcome {
	case nodepb.SubmitResponse_OUTCOME_APPLIED:
		c.tracker.resolve(a, item.index, item.results)
		return verdictApplied
	case nodepb.SubmitResponse_OUTCOME_REFUSED:
		return verdictRefused
	default:
		return verdictUnknown
	}
}

// request encodes an attempt.
func (c *courier) request(a *attempt) *nodepb.SubmitRequest {
	encoded := make([][]byte, len(a.commands))
	for i, p := range a.commands {
		encoded[i] = p.encoded
	}
	self, incarnation := c.node.cluster.NodeID(), c.node.cluster.Incarnation()
	return &nodepb.SubmitRequest{
		Epoch: a.epoch, Incarnation: incarnation, Number: a.number, Commands: uint32(len(a.commands)),
		Batch: appendBatch(nil, self, incarnation, a.number, encoded),
	}
}

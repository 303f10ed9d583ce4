package node

import (
	"context"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// dueness says what a use costs.
type dueness int

const (
	touchNone  dueness = iota // the recorded use is young enough: the deadline holds without a write
	touchAsync                // past half the window: written without waiting, so that later uses need not wait
	touchSync                 // past the window: written before the answer
)

// judge tells what a use at leader time nowMS needs. The deadline is last recorded use + idle + window, so a use within the window
// is covered by what is recorded already: a session never ends early, and at most the window late.
func judge(r fsm.Record, nowMS int64) dueness {
	if r.IdleMS == 0 {
		return touchNone // no timer moves with use
	}
	since := nowMS - r.LastUseMS
	switch {
	case nowMS == 0 || r.WindowMS == 0 || since > r.WindowMS:
		return touchSync
	case since > r.WindowMS/2:
		return touchAsync
	default:
		return touchNone
	}
}

// touches sends the uses that nobody waits for: at most one for each session, and a bounded number in all.
type touches struct {
	node *Node
	most int

	mu       sync.Mutex
	inFlight map[session.ID]struct{}
}

func newTouches(n *Node, most int) *touches {
	return &touches{node: n, most: most, inFlight: map[session.ID]struct{}{}}
}

// send records a use without waiting. It may do nothing: the next use past the window is written before its answer.
func (t *touches) send(id session.ID, command *fsmpb.Command) {
	t.mu.Lock()
	_, busy := t.inFlight[id]
	full := len(t.inFlight) >= t.most
	if !busy && !full {
		t.inFlight[id] = struct{}{}
	}
	t.mu.Unlock()
	if busy || full {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), t.node.config.RequestTimeout)
		defer cancel()
		// A failure needs no care: nothing was promised, and the deadline covers the uses so far.
		_, _, _ = t.node.outbox.submit(ctx, command)
		t.mu.Lock()
		delete(t.inFlight, id)
		t.mu.Unlock()
	}()
}

func touchCommand(key session.Key, address []byte, authority *fsmpb.Authority) *fsmpb.Command {
	hash := key.Hash()
	return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{
		KeyHash: hash[:], Address: address, Authority: authority,
	}}}
}

// useCaller counts the use of the caller's own key when the request is about something else than its own session.
func (n *Node) useCaller(ctx context.Context, p *principal) error {
	if p.call.Operator {
		return nil
	}
	own := session.Presented{Key: p.call.Key, Address: p.call.Address, UserAgent: p.call.UserAgent}
	_, _, err := n.useTarget(ctx, &target{principal: p, record: p.record, presented: own})
	return err
}

// useTarget counts a use of the called session and returns its state after it.
func (n *Node) useTarget(ctx context.Context, t *target) (fsm.Record, uint64, error) {
	command := func() *fsmpb.Command {
		return touchCommand(t.presented.Key, addressBytes(t.presented.Address), t.authority())
	}
	switch judge(t.record, t.principal.point.timeMS) {
	case touchSync:
		n.metrics.touches.WithLabelValues("sync").Inc()
		result, index, err := n.outbox.submit(ctx, command())
		if err != nil {
			return fsm.Record{}, 0, err
		}
		if err := resultError(result, "use this session"); err != nil {
			return fsm.Record{}, 0, err
		}
		return recordFrom(result.GetSession(), t.record), index, nil
	case touchAsync:
		n.metrics.touches.WithLabelValues("async").Inc()
		n.touches.send(t.record.ID, command())
	default:
		n.metrics.touches.WithLabelValues("none").Inc()
	}
	r := t.record
	if r.IdleMS != 0 {
		r.LastUseMS = max(r.LastUseMS, t.principal.point.timeMS) // this use, which the deadline covers
	}
	return r, t.principal.point.index, nil
}

// recordFrom turns the state in a result into a record.
func recordFrom(s *fsmpb.SessionState, before fsm.Record) fsm.Record {
	r := before
	copy(r.ID[:], s.Id)
	r.Number, r.Seq, r.User, r.Policy = s.Number, s.Seq, s.User, s.Policy
	r.CreatedMS, r.LastUseMS, r.AbsoluteEndMS, r.DeadlineMS = s.CreatedMs, s.LastUseMs, s.AbsoluteEndMs, s.DeadlineMs
	r.IdleMS, r.WindowMS = s.IdleMs, s.WindowMs
	r.AttributesVersion, r.Address, r.UserAgent = s.AttributesVersion, addressFrom(s.Address), s.UserAgent
	r.Roles = make([]session.Role, len(s.Roles))
	for i, role := range s.Roles {
		r.Roles[i] = roleFrom(role)
	}
	r.Attributes = make([]fsm.Attribute, len(s.Attributes))
	for i, a := range s.Attributes {
		r.Attributes[i] = fsm.Attribute{Name: a.Name, Value: a.Value}
	}
	return r
}

// expiresAt is the earliest end that is promised after the last use in r: that use + idle, within the absolute end.
func expiresAt(r fsm.Record) time.Time {
	var end int64
	if r.IdleMS != 0 {
		end = r.LastUseMS + r.IdleMS
	}
	if r.AbsoluteEndMS != 0 && (end == 0 || r.AbsoluteEndMS < end) {
		end = r.AbsoluteEndMS
	}
	if end == 0 {
		return time.Time{}
	}
	return time.UnixMilli(end).UTC()
}

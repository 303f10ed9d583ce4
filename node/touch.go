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

// lastSeenWindow is how exact the last use of a session is recorded whose timers no use moves.
const lastSeenWindow = time.Minute

// judge tells what a use at leader time nowMS needs. Each deadline is the last recorded use, or activity, + timeout + window, so a use
// within the window is covered by what is recorded already: a session never ends early, and at most the window late.
func judge(r fsm.Record, nowMS int64, tickle bool) dueness {
	recorded := r.LastActivityMS // never later than the last use
	timed := r.IdleMS != 0 || r.InactivityMS != 0
	if tickle {
		recorded = r.LastUseMS
		timed = r.IdleMS != 0
		if r.NoTickle && !r.Permanent {
			return touchNone
		}
	}
	since := nowMS - recorded
	switch {
	case !timed && since > max(r.WindowMS, lastSeenWindow.Milliseconds()):
		return touchAsync // no promise hangs on it
	case !timed:
		return touchNone
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

// touchCommand records a use that a read has judged. Its key may be rotated before it is written, at another node even: that makes no
// thief of whoever used it.
func (t *target) touchCommand(tickle bool) *fsmpb.Command {
	hash := t.presented.Key.Hash()
	return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{
		KeyHash: hash[:], Address: addressBytes(t.presented.Address), Authority: t.authority(), Tickle: tickle, Judged: true,
	}}}
}

// useCaller counts the use of the caller's own key when the request is about something else than its own session.
func (n *Node) useCaller(ctx context.Context, p *principal) error {
	if p.call.Operator || p.verified != nil {
		return nil
	}
	own := session.Presented{Key: p.call.Key, Address: p.call.Address, UserAgent: p.call.UserAgent}
	_, _, err := n.useTarget(ctx, &target{principal: p, record: p.record, presented: own}, false)
	return err
}

// useTarget counts a use of the called session, or a tickle, and returns its state after it.
func (n *Node) useTarget(ctx context.Context, t *target, tickle bool) (fsm.Record, uint64, error) {
	switch judge(t.record, t.principal.point.timeMS, tickle) {
	case touchSync:
		n.metrics.touches.WithLabelValues("sync").Inc()
		result, index, err := n.outbox.submit(ctx, t.touchCommand(tickle))
		if err != nil {
			return fsm.Record{}, 0, err
		}
		if err := resultError(result, "use this session"); err != nil {
			return fsm.Record{}, 0, err
		}
		return recordFrom(result.GetSession(), t.record), index, nil
	case touchAsync:
		n.metrics.touches.WithLabelValues("async").Inc()
		n.touches.send(t.record.ID, t.touchCommand(tickle))
	default:
		n.metrics.touches.WithLabelValues("none").Inc()
	}
	return covered(t.record, t.principal.point.timeMS, tickle), t.principal.point.index, nil
}

// covered is r after a use whose deadlines what is recorded covers.
func covered(r fsm.Record, nowMS int64, tickle bool) fsm.Record {
	if r.IdleMS == 0 && r.InactivityMS == 0 || tickle && r.NoTickle {
		return r
	}
	r.LastUseMS = max(r.LastUseMS, nowMS)
	if !tickle || r.InactivityMS == 0 {
		r.LastActivityMS = max(r.LastActivityMS, nowMS)
	}
	return r
}

// recordFrom turns the state in a result into a record.
func recordFrom(s *fsmpb.SessionState, before fsm.Record) fsm.Record {
	r := before
	copy(r.ID[:], s.Id)
	r.Number, r.Seq, r.User, r.Policy = s.Number, s.Seq, s.User, s.Policy
	r.CreatedMS, r.LastUseMS, r.AbsoluteEndMS, r.DeadlineMS = s.CreatedMs, s.LastUseMs, s.AbsoluteEndMs, s.DeadlineMs
	r.IdleMS, r.WindowMS = s.IdleMs, s.WindowMs
	r.InactivityMS, r.LastActivityMS, r.NoTickle = s.InactivityMs, s.LastActivityMs, s.NoTickle
	r.AttributesLocal = s.AttributesLocal
	r.Permanent, r.BindAddress = s.Permanent, bindingFrom(s.BindAddress)
	r.AttributesVersion, r.Address, r.UserAgent = s.AttributesVersion, addressFrom(s.Address), s.UserAgent
	r.Roles = make([]session.Role, len(s.Roles))
	for i, role := range s.Roles {
		r.Roles[i] = roleFrom(role)
	}
	r.Rotate, r.AuthMS = s.Rotate, s.AuthMs
	r.Methods = make([]session.Method, len(s.Methods))
	for i, m := range s.Methods {
		r.Methods[i] = methodFrom(m)
	}
	r.Attributes = make([]fsm.Attribute, len(s.Attributes))
	for i, a := range s.Attributes {
		r.Attributes[i] = fsm.Attribute{Name: a.Name, Value: a.Value}
	}
	return r
}

// expiresAt is the earliest end that is promised after the last use and activity in r.
func expiresAt(r fsm.Record) time.Time {
	end := r.AbsoluteEndMS
	sooner := func(at int64) {
		if end == 0 || at < end {
			end = at
		}
	}
	if r.IdleMS != 0 {
		sooner(r.LastUseMS + r.IdleMS)
	}
	if r.InactivityMS != 0 {
		sooner(r.LastActivityMS + r.InactivityMS + session.PromptPeriod.Milliseconds())
	}
	if end == 0 {
		return time.Time{}
	}
	return time.UnixMilli(end).UTC()
}

// prompts tells whether a session is in the last PromptPeriod before it ends through inactivity.
func prompts(r fsm.Record, nowMS int64) bool {
	return r.InactivityMS != 0 && nowMS >= r.LastActivityMS+r.InactivityMS+r.WindowMS
}

// nowMS is the replicated time as this node knows it: it goes on where no entry carries the clock.
func (n *Node) nowMS() int64 {
	now := n.fsm.ClockMS()
	if us, _, ok := n.time.continuation(); ok {
		now = max(now, us/1000)
	}
	return now
}

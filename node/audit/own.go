package audit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
)

// Sessions that one node alone keeps are in no log: what happens to them is told to the trail when it is done, and nobody tells it again. So whoever tells it waits, before
// answering, until the line is written, where writing works: after that the end of the process costs no line. Where the process ended before, a gap line of the next start says that
// lines may be missing.

// own is something about such a session, or a gap of such lines.
type own struct {
	event fsm.Event
	gap   *gap
	done  chan struct{} // closed when it is written
}

// ownPatience is how long an answer waits for its line when the trail does not get on.
const ownPatience = time.Second

// Own writes the line of an event of a session that this node alone keeps. It returns when the line is written; when ctx ends, or after a moment in which nothing
// could be written, it is in the queue, or counted as lost.
func (t *Trail) Own(ctx context.Context, clockMS int64, e fsm.Event) {
	written := t.queue.addOwn(clockMS, e)
	if written == nil || t.stuck.Load() {
		return
	}
	patience := time.NewTimer(ownPatience)
	defer patience.Stop()
	select {
	case <-written:
	case <-patience.C:
	case <-ctx.Done():
	case <-t.done:
	}
}

// addOwn tells by the channel when the line is written; nil: it is lost, and a gap counts it.
func (q *queue) addOwn(clockMS int64, e fsm.Event) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.wakeLocked()
	if q.lost == nil && q.lines < q.most {
		o := &own{event: e, done: make(chan struct{})}
		q.items = append(q.items, item{clockMS: clockMS, own: o})
		q.lines++
		return o.done
	}
	if q.lost == nil {
		q.lost = &item{own: &own{gap: &gap{reason: gapFull}}}
	}
	q.lost.clockMS = clockMS
	q.lost.own.gap.lines++
	q.figures.lost.Add(1)
	return nil
}

// ownGap says that lines about sessions of this node alone may be missing; nobody knows how many.
func (q *queue) ownGap(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item{clockMS: time.Now().UnixMilli(), own: &own{gap: &gap{reason: reason}}})
	q.lines++
	q.wakeLocked()
}

// settle tells whoever waits that the line is written.
func (o *own) settle() {
	if o != nil && o.done != nil {
		close(o.done)
	}
}

func (o *own) line(node string, sequence uint64, clockMS int64) ownLine {
	l := ownLine{Time: instant(clockMS), Node: node, Sequence: sequence}
	if o.gap != nil {
		l.Event, l.said = gapEvent, said{Reason: o.gap.reason, Count: o.gap.lines}
		return l
	}
	l.Event, l.said = string(o.event.Kind), saidOf(o.event)
	return l
}

// sequenceOf reads the sequence of a line about a session of one node.
func sequenceOf(text []byte) (uint64, bool) {
	var l ownLine
	err := json.Unmarshal(text, &l)
	return l.Sequence, err == nil && l.Sequence != 0 && l.Event != ""
}

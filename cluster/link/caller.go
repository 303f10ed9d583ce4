package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errNotSent: the connection ended before the request left this node; sending it elsewhere is safe.
var errNotSent = errors.New("the connection ended before the request was sent")

// caller is the dialing side of a connection that carries calls.
type caller struct {
	*wire
	link   *Link
	remote Identity

	// Guarded by wire.mu.
	pending map[uint64]*pendingCall // by call id
	nextID  uint64
	lastID  uint64 // nextID an interval ago
	unused  int    // intervals without a call
	retired bool   // idle for too long: closing, takes no more calls
}

// pendingCall is a call that waits for its answer. They are used again: done is empty whenever one is in the pool.
type pendingCall struct {
	done   chan struct{} // receives once when answer and err are set
	end    uint64        // wire.queued after the request: once so many bytes are sent it may be executed
	answer []byte
	err    error
}

var pendingCalls = sync.Pool{New: func() any { return &pendingCall{done: make(chan struct{}, 1)} }}

func newCaller(l *Link, w *wire, remote Identity) *caller {
	return &caller{wire: w, link: l, remote: remote, pending: make(map[uint64]*pendingCall)}
}

// start runs the connection's goroutines; ended is called when the last of them is done.
func (c *caller) start(ended func()) {
	c.link.wg.Go(c.writeLoop)
	c.link.wg.Go(func() { c.watch(c.link.cfg.PingInterval, clientSilence, true, c.retire) })
	c.link.wg.Go(func() {
		c.fail(c.readLoop())
		ended()
		<-c.written // only now is it certain what was sent
		c.failPending()
	})
}

// readLoop hands out answers until the connection ends.
func (c *caller) readLoop() error {
	for {
		f, err := readFrame(c.reader, c.link.cfg.MaxFrameBytes)
		if err != nil {
			return err
		}
		switch f.kind {
		case frameAnswer:
			c.resolve(f.id, f.body, nil)
		case frameFailure, frameRefusal:
			coded, err := decodeError(f.body)
			if err != nil {
				return err
			}
			if f.kind == frameRefusal {
				c.resolve(f.id, nil, &linkError{kind: ErrUnreachable, cause: coded})
			} else {
				c.resolve(f.id, nil, coded)
			}
		case framePong:
		default:
			return fmt.Errorf("%w: kind %d from an acceptor", errFrame, f.kind)
		}
	}
}

// resolve gives call id its answer. An unknown id belongs to a caller that gave up.
func (c *caller) resolve(id uint64, answer []byte, err error) {
	c.mu.Lock()
	p := c.pending[id]
	if p != nil {
		delete(c.pending, id)
		c.freeRoom()
	}
	c.mu.Unlock()
	if p != nil {
		p.answer, p.err = answer, err
		p.done <- struct{}{}
	}
}

// failPending ends every waiting call: those whose last byte did not leave were certainly not executed. The writer has ended.
func (c *caller) failPending() {
	c.mu.Lock()
	pending, sent, cause := c.pending, c.sent, c.err
	c.pending = nil
	c.mu.Unlock()
	for _, p := range pending {
		if p.end > sent {
			p.err = errNotSent
		} else {
			p.err = &linkError{kind: ErrUnknownOutcome, cause: cause}
		}
		p.done <- struct{}{}
	}
}

// call sends one request and waits. errNotSent means that the caller may try another connection.
func (c *caller) call(ctx context.Context, method string, payload []byte) ([]byte, error) {
	p := pendingCalls.Get().(*pendingCall)
	id, err := c.send(ctx, p, method, payload)
	if err != nil {
		pendingCalls.Put(p)
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if c.abandon(id, ctx.Err()) {
			pendingCalls.Put(p)
			return nil, &linkError{kind: ErrUnknownOutcome, cause: ctx.Err()}
		}
		<-p.done // the answer is being handed over: take it
	}
	answer, err := p.answer, p.err
	p.answer, p.err = nil, nil
	pendingCalls.Put(p)
	return answer, err
}

// send queues the request once there is room for it.
func (c *caller) send(ctx context.Context, p *pendingCall, method string, payload []byte) (id uint64, err error) {
	c.mu.Lock()
	for !c.closed && !c.retired && (c.full() || len(c.pending) >= c.link.cfg.MaxInFlight) {
		room := c.waitRoom()
		c.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, &linkError{kind: ErrUnreachable, cause: ctx.Err()}
		}
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.closed || c.retired {
		return 0, errNotSent
	}
	remaining, err := timeLeft(ctx)
	if err != nil {
		return 0, err
	}
	c.nextID++
	before := len(c.buf)
	c.buf = appendRequest(c.buf, c.nextID, remaining, method, payload)
	c.appended(before)
	p.end = c.queued
	c.pending[c.nextID] = p
	return c.nextID, nil
}

// timeLeft returns what travels with the request; 0 = no deadline. An ended context sends nothing.
func timeLeft(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, &linkError{kind: ErrUnreachable, cause: err}
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	// Less than what the wire can say is sent as the least it can say: 0 would mean no deadline.
	return max(time.Until(deadline), time.Microsecond), nil
}

// abandon gives up call id; false = its answer is on the way to the caller. The peer is told unless the deadline passed, which it
// sees by itself.
func (c *caller) abandon(id uint64, cause error) bool {
	c.mu.Lock()
	_, waiting := c.pending[id]
	if waiting {
		delete(c.pending, id)
		c.freeRoom()
	}
	c.mu.Unlock()
	if waiting && !errors.Is(cause, context.DeadlineExceeded) {
		c.control(frameCancel, id)
	}
	return waiting
}

// idleIntervals is after how many ping intervals without a call a connection is closed: five minutes at the default, so that
// removed members are let go.
const idleIntervals = 300

// retire reports whether nobody has called for idleIntervals in a row, and then takes no further call. Called once an interval.
func (c *caller) retire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nextID != c.lastID || len(c.pending) > 0 {
		c.lastID, c.unused = c.nextID, 0
		return false
	}
	c.unused++
	c.retired = c.unused >= idleIntervals
	return c.retired
}

// alive reports whether calls may still be sent.
func (c *caller) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && !c.retired
}

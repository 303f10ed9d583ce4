package link

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// server is the accepting side of a connection that carries calls.
type server struct {
	*wire
	link    *Link
	from    Identity
	methods map[string]Handler // of the connection's purpose; read-only

	// Guarded by wire.mu.
	running map[uint64]*callContext // by call id
	closing bool                    // nothing more is executed
	idle    chan struct{}           // closed when closing and nothing runs
}

func newServer(l *Link, w *wire, from Identity, p Purpose) *server {
	return &server{
		wire:    w,
		link:    l,
		from:    from,
		methods: l.methods[p],
		running: make(map[uint64]*callContext),
		idle:    make(chan struct{}),
	}
}

// serve reads requests until the connection ends, then waits for its handlers, whose contexts have ended, but not longer
// than Close does.
func (s *server) serve() {
	s.link.wg.Go(s.writeLoop)
	s.link.wg.Go(func() {
		s.watch(s.link.cfg.PingInterval, serverSilence, false, func() bool { return false })
	})
	err := s.readLoop()
	s.fail(err)
	<-s.written
	s.endAll()
	select {
	case <-s.idle:
	case <-s.link.giveUp:
	}
}

// readLoop takes frames one by one; it never waits for a handler.
func (s *server) readLoop() error {
	for {
		f, err := readFrame(s.reader, s.link.cfg.MaxFrameBytes)
		if err != nil {
			return err
		}
		switch f.kind {
		case frameRequest:
			err = s.request(f)
		case frameCancel:
			s.cancel(f.id)
		case framePing:
			s.control(framePong, f.id)
		default:
			err = fmt.Errorf("%w: kind %d from a dialer", errFrame, f.kind)
		}
		if err != nil {
			return err
		}
	}
}

// request starts the handler of one call, or says that it was not executed.
func (s *server) request(f frame) error {
	remaining, method, payload, err := decodeRequest(f.body)
	if err != nil {
		return err
	}
	h := s.methods[string(method)]
	if h == nil {
		s.refuse(f.id, CodeNoMethod, "nothing is registered under the method: is the peer of another release?")
		return nil
	}
	call := &callContext{}
	if remaining > 0 {
		call.deadline = time.Now().Add(remaining)
	}
	code, err := s.admit(f.id, call)
	switch {
	case err != nil:
		return err
	case code != "":
		s.refuse(f.id, code, "")
		return nil
	}
	go s.run(f.id, call, h, payload)
	return nil
}

// admit registers a call; code says why it may not run.
func (s *server) admit(id uint64, call *callContext) (code string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return CodeClosing, nil
	case len(s.running) >= s.link.cfg.MaxInFlight:
		return CodeOverloaded, nil
	case s.running[id] != nil:
		return "", fmt.Errorf("%w: call id %d twice", errFrame, id)
	}
	s.running[id] = call
	return "", nil
}

// run executes one handler and queues its answer.
func (s *server) run(id uint64, call *callContext, h Handler, payload []byte) {
	n := &s.link.counters
	n.callsServed.Add(1)
	n.handlersActive.Add(1)
	answer, err := h(call, s.from, payload)
	n.handlersActive.Add(-1)
	call.end(context.Canceled)
	s.reply(id, answer, err)
}

// reply queues the answer of call id, waiting for room while the connection lives, and forgets the call.
func (s *server) reply(id uint64, answer []byte, err error) {
	if err == nil && frameHeaderBytes+len(answer) > s.link.cfg.MaxFrameBytes {
		err = Error(CodeReplyTooLarge, fmt.Sprintf("the answer has %d bytes", len(answer)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.forget(id)
	if !s.awaitRoom() {
		return
	}
	before := len(s.buf)
	if err != nil {
		s.buf = appendError(s.buf, frameFailure, id, codedError(err))
	} else {
		s.buf = append(appendHeader(s.buf, frameAnswer, id, len(answer)), answer...)
	}
	s.appended(before)
}

// forget drops a call that was answered. mu is held.
func (s *server) forget(id uint64) {
	delete(s.running, id)
	if s.closing && len(s.running) == 0 {
		s.noteIdle()
	}
}

// noteIdle closes idle once. mu is held.
func (s *server) noteIdle() {
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// awaitRoom waits until the buffer takes another frame; false = the connection is closed. mu is held, and let go while waiting.
func (s *server) awaitRoom() bool {
	for !s.closed && s.full() {
		room := s.waitRoom()
		s.mu.Unlock()
		<-room
		s.mu.Lock()
	}
	return !s.closed
}

// refuse answers a call that was not executed. A dialer that sends more than it may and reads no answers waits here, in the reader.
func (s *server) refuse(id uint64, code, message string) {
	s.link.counters.callsRefused.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaitRoom() {
		return
	}
	before := len(s.buf)
	s.buf = appendError(s.buf, frameRefusal, id, &CallError{Code: code, Message: message})
	s.appended(before)
}

// cancel ends the context of a call whose caller gave up. An unknown id was answered meanwhile.
func (s *server) cancel(id uint64) {
	s.mu.Lock()
	call := s.running[id]
	s.mu.Unlock()
	if call != nil {
		call.end(context.Canceled)
	}
}

// endAll ends the contexts of all running handlers and lets no further one start.
func (s *server) endAll() {
	s.mu.Lock()
	s.closing = true
	calls := make([]*callContext, 0, len(s.running))
	for _, call := range s.running {
		calls = append(calls, call)
	}
	if len(calls) == 0 {
		s.noteIdle()
	}
	s.mu.Unlock()
	for _, call := range calls {
		call.end(context.Canceled)
	}
}

// codedError makes of a handler's error what crosses the wire.
func codedError(err error) *CallError {
	var coded *CallError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.Is(err, context.DeadlineExceeded):
		return &CallError{Code: CodeDeadline, Message: err.Error()}
	case errors.Is(err, context.Canceled):
		return &CallError{Code: CodeCanceled, Message: err.Error()}
	}
	return &CallError{Code: CodeInternal, Message: err.Error()}
}

package backend

import (
	"context"
	"sync"

	"github.com/hydrastore/hydrastore/session"
)

// asyncTouches bounds the touches under way that nobody waits for.
const asyncTouches = 256

// touches sends the uses that nobody waits for: at most one for each session, and a bounded number in all.
type touches struct {
	mu       sync.Mutex
	inFlight map[session.ID]struct{}
}

func (t *touches) begin(id session.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, busy := t.inFlight[id]; busy || len(t.inFlight) >= asyncTouches {
		return false
	}
	if t.inFlight == nil {
		t.inFlight = map[session.ID]struct{}{}
	}
	t.inFlight[id] = struct{}{}
	return true
}

func (t *touches) end(id session.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.inFlight, id)
}

// useCaller counts the use of the caller's own key when the request is about something else than its own session.
func (s *Service) useCaller(ctx context.Context, p *principal) error {
	if p.found == nil {
		return nil
	}
	return s.use(ctx, p.found, session.Presented{Key: p.call.Key, Address: p.call.Address}, false)
}

// use counts a use of a session, or a tickle, and leaves f as it is after it.
func (s *Service) use(ctx context.Context, f *found, p session.Presented, tickle bool) error {
	return s.useIf(ctx, f, p, tickle, func(*sessionRecord) error { return nil })
}

// useShown counts a use of the called session, unless what is sealed in it, and will be shown, does not open here.
func (s *Service) useShown(ctx context.Context, t *target, tickle bool) error {
	return s.useIf(ctx, t.found, t.presented, tickle, func(r *sessionRecord) error { return s.mayShow(t, r) })
}

// useIf is use where may finds nothing wrong with the session's record, also with one that has been written meanwhile.
func (s *Service) useIf(ctx context.Context, f *found, p session.Presented, tickle bool, may func(*sessionRecord) error) error {
	if err := may(f.session); err != nil {
		return err
	}
	due := f.session.dueness(f.rules(), f.nowMS, tickle)
	s.figures.use(due)
	if due == touchSync {
		return s.touch(ctx, f, p, tickle, f.nowMS, may)
	}
	usedMS := f.nowMS
	if due == touchAsync && s.touches.begin(f.id) {
		s.background(func(ctx context.Context) {
			defer s.touches.end(f.id)
			// A failure needs no care: nothing was promised, and the deadline covers the uses so far.
			if anew, err := s.lookAgain(ctx, p); err == nil {
				_ = s.touch(ctx, anew, p, tickle, usedMS, func(*sessionRecord) error { return nil })
			}
		})
	}
	if policy := f.policy(); !tickle || policy == nil || !policy.NoTickle || f.session.Permanent {
		f.session.covered(f.nowMS, tickle)
	}
	return nil
}

// touch writes a use at that time.
func (s *Service) touch(ctx context.Context, f *found, p session.Presented, tickle bool, usedMS int64, may func(*sessionRecord) error) error {
	return s.changeSession(ctx, f, func() (*found, error) { return s.lookAgain(ctx, p) }, func(f *found) error {
		if err := may(f.session); err != nil {
			return err
		}
		f.session.use(f.rules(), usedMS, tickle)
		return nil
	})
}

// covered makes r look as after a use whose deadlines what is recorded covers.
func (r *sessionRecord) covered(nowMS int64, tickle bool) {
	if r.Permanent || r.Timers.IdleMS == 0 && r.Timers.InactivityMS == 0 {
		return
	}
	r.LastUseMS = max(r.LastUseMS, nowMS)
	if !tickle || r.Timers.InactivityMS == 0 {
		r.LastActivityMS = max(r.LastActivityMS, nowMS)
	}
}

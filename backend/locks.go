package backend

import (
	"context"
	"sync"
)

// locks lets the requests of this process that change the same record do so one after the other, for side by side all but one would be
// in vain. They decide nothing: other processes have locks of their own.
type locks struct {
	mu   sync.Mutex
	held map[Name]*lock
}

type lock struct {
	place chan struct{} // capacity 1
	users int
}

// take waits for the record's lock, at most until ctx ends. free must be called once after it.
func (l *locks) take(ctx context.Context, name Name) (free func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[Name]*lock{}
	}
	k := l.held[name]
	if k == nil {
		k = &lock{place: make(chan struct{}, 1)}
		l.held[name] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case k.place <- struct{}{}:
		return func() { <-k.place; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, errBusy()
	}
}

package redis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/session"
)

// fate is what clients were told of one session.
type fate struct {
	issued session.Issued
	ending bool // a log-out was asked for
	ended  bool // and acknowledged
}

// ledger logs users in and out, and knows what was acknowledged.
type ledger struct {
	service *backend.Service
	stop    func()

	mu    sync.Mutex
	fates []*fate

	logins, logouts, refused atomic.Int64
	unexpected               atomic.Pointer[error] // an error that is neither "not done" nor "unknown"
}

// operator may do everything.
var operator = session.Call{Operator: true}

// startLedger begins: every other session is logged out again.
func startLedger(t *testing.T, c redis.Config) *ledger {
	t.Helper()
	store, err := redis.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour
	l := &ledger{service: backendtest.Start(t, config, store)}
	l.start(t)
	return l
}

// workers at once: enough that calls are under way whenever something happens, and few enough for a busy machine.
const workers = 4

func (l *ledger) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for worker := range workers {
		work.Go(func() {
			var open []*fate
			for n := 0; ctx.Err() == nil; n++ {
				if f := l.login(ctx, fmt.Sprintf("user-%d-%d", worker, n%50)); f != nil && n%2 == 0 {
					open = append(open, f)
				}
				if len(open) > lives {
					l.logout(ctx, open[0])
					open = open[1:]
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); work.Wait() })
	t.Cleanup(l.stop)
}

// lives is how many more of the sessions that are logged out again are made before: what happens comes between their log-in and their log-out.
const lives = 3

// callTimeout is longer than a call takes, and shorter than Redis is away.
const callTimeout = 5 * time.Second

func (l *ledger) login(ctx context.Context, user string) *fate {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	issued, err := l.service.Login(call, operator, session.Login{User: user, Vouched: true})
	if err != nil {
		l.refuse(ctx, err)
		return nil
	}
	f := &fate{issued: issued}
	l.mu.Lock()
	l.fates = append(l.fates, f)
	l.mu.Unlock()
	l.logins.Add(1)
	return f
}

// logout asks again when nothing is known of a log-out, as clients do.
func (l *ledger) logout(ctx context.Context, f *fate) {
	f.ending = true
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		_, err := l.service.Logout(call, session.Call{Key: f.issued.Key})
		cancel()
		if err == nil {
			f.ended = true
			l.logouts.Add(1)
			return
		}
		l.refuse(ctx, err)
	}
}

func (l *ledger) refuse(ctx context.Context, err error) {
	switch session.CodeOf(err) {
	case session.CodeUnavailable, session.CodeOutcomeUnknown, session.CodeOverloaded:
	default:
		l.unexpected.Store(&err)
	}
	l.refused.Add(1)
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

// await waits until so many more were acknowledged, or refused.
func (l *ledger) await(t *testing.T, what string, count *atomic.Int64, more int64) {
	t.Helper()
	from := count.Load()
	eventually(t, what, func() bool { return count.Load() >= from+more })
}

// lost counts the acknowledged log-ins and log-outs that are not so. Call it when no call is under way.
func (l *ledger) lost(t *testing.T) (logins, logouts int) {
	t.Helper()
	for _, f := range l.fates {
		var err error
		eventually(t, "an answer", func() bool { // a replica may be away for a moment again
			_, err = l.service.Check(t.Context(), session.Call{Key: f.issued.Key}, false)
			return session.CodeOf(err) != session.CodeUnavailable
		})
		switch {
		case err != nil && session.CodeOf(err) != session.CodeUnauthenticated:
			t.Fatalf("check: %v", err)
		case err == nil && f.ended:
			logouts++
		case err != nil && !f.ending:
			logins++
		}
	}
	return logins, logouts
}

// wantOrder wants that nothing unexpected was answered, and all that was acknowledged is so.
func (l *ledger) wantOrder(t *testing.T) {
	t.Helper()
	l.stop()
	if err := l.unexpected.Load(); err != nil {
		t.Errorf("a call was answered with %v", *err)
	}
	if logins, logouts := l.lost(t); logins+logouts > 0 {
		t.Errorf("%d of %d log-ins and %d of %d log-outs that were acknowledged are lost", logins, l.logins.Load(), logouts, l.logouts.Load())
	}
	t.Logf("%d log-ins and %d log-outs were acknowledged, %d calls were not", l.logins.Load(), l.logouts.Load(), l.refused.Load())
}

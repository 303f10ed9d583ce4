package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// calls opens a served link with the methods and a client for it.
func calls(t *testing.T, server, client link.Config, methods map[string]link.Handler) (s, c *link.Link) {
	t.Helper()
	server.Identity, client.Identity = as("b", "c1"), as("a", "c1")
	s, c = open(t, server), open(t, client)
	for method, h := range methods {
		s.Handle(method, link.PurposeRPC, h)
	}
	s.Serve()
	return s, c
}

func TestCallsAreMultiplexed(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	files := ca.issue(t, t.TempDir(), "node.blue", ca)
	for name, cfg := range map[string]link.Config{
		"key": {GossipKey: keyA},
		"tls": {TLS: files, ClusterName: "blue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			multiplex(t, cfg)
		})
	}
}

// multiplex makes many calls of all sizes at once; each must get its own answer.
func multiplex(t *testing.T, cfg link.Config) {
	const callers, callsEach = 32, 25
	s, c := calls(t, cfg, cfg, map[string]link.Handler{"echo": echo})
	ctx := bounded(t)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range callsEach {
				// Sizes on both sides of the bulk limit, and of the read buffer.
				want := bytes.Repeat([]byte{byte(caller), byte(i)}, (caller*callsEach+i)%97*521)
				got, err := c.Call(ctx, s.Addr(), link.PurposeRPC, "echo", want)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("caller %d call %d: %d bytes, %v; want its own %d bytes", caller, i, len(got), err, len(want))
					return
				}
			}
		})
	}
	wg.Wait()
	stats := c.Stats()
	if stats.Dials != 2 || stats.CallsSent != callers*callsEach || stats.CallsInFlight != 0 {
		t.Errorf("stats = %+v, want 2 dials (small and bulk), %d calls, none in flight", stats, callers*callsEach)
	}
	if got := s.Stats().CallsServed; got != callers*callsEach {
		t.Errorf("served %d calls, want %d", got, callers*callsEach)
	}
}

func TestSlowHandlerDelaysNobody(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{
		"echo": echo,
		"slow": func(context.Context, link.Identity, []byte) ([]byte, error) { <-release; return []byte("slow"), nil },
	})
	slow := make(chan error, 1)
	go func() {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "slow", nil)
		slow <- err
	}()
	eventually(t, "the slow handler runs", func() bool { return s.Stats().HandlersRunning == 1 })
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call beside a slow one: %v", err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("slow call: %v", err)
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{
		"coded": func(context.Context, link.Identity, []byte) ([]byte, error) {
			return nil, link.Error("not_leader", "ask b")
		},
		"wrapped": func(context.Context, link.Identity, []byte) ([]byte, error) {
			return nil, fmt.Errorf("x: %w", link.Error("gone", ""))
		},
		"plain": func(context.Context, link.Identity, []byte) ([]byte, error) { return nil, errors.New("disk on fire") },
		"long": func(context.Context, link.Identity, []byte) ([]byte, error) {
			return nil, link.Error("long", strings.Repeat("x", 1<<20))
		},
	})
	for method, want := range map[string]link.CallError{
		"coded":   {Code: "not_leader", Message: "ask b"},
		"wrapped": {Code: "gone"},
		"plain":   {Code: link.CodeInternal, Message: "disk on fire"},
		"long":    {Code: "long", Message: strings.Repeat("x", 1<<10)},
	} {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, method, nil)
		var got *link.CallError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%s: error = %v, want %v", method, err, &want)
		}
		if errors.Is(err, link.ErrUnreachable) || errors.Is(err, link.ErrUnknownOutcome) {
			t.Errorf("%s: a handler's answer counts as a failure of the link: %v", method, err)
		}
	}
}

func TestNotExecuted(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{}, link.Config{MaxFrameBytes: 64 << 10}, map[string]link.Handler{"echo": echo})
	for _, tc := range []struct {
		name    string
		method  string
		purpose link.Purpose
		payload int
		want    error
	}{
		{"unknown method", "nonsense", link.PurposeRPC, 0, link.ErrUnreachable},
		{"method of another purpose", "echo", link.PurposeBirth, 0, link.ErrUnreachable},
		{"no calls over raft", "echo", link.PurposeRaft, 0, link.ErrUnreachable},
		{"too large", "echo", link.PurposeRPC, 64 << 10, link.ErrTooLarge},
		{"no name", "", link.PurposeRPC, 0, link.ErrUnreachable},
		{"name too long", strings.Repeat("m", 256), link.PurposeRPC, 0, link.ErrUnreachable},
	} {
		_, err := c.Call(bounded(t), s.Addr(), tc.purpose, tc.method, make([]byte, tc.payload))
		if !errors.Is(err, tc.want) || !errors.Is(err, link.ErrUnreachable) || errors.Is(err, link.ErrUnknownOutcome) {
			t.Errorf("%s: error = %v, want %v", tc.name, err, tc.want)
		}
	}
	if got := s.Stats().CallsServed; got != 0 {
		t.Errorf("%d handlers ran, want none", got)
	}
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call after refused ones: %v", err)
	}
}

func TestLargestFrames(t *testing.T) {
	t.Parallel()
	const limit, head = 64 << 10, 13
	s, c := calls(t, link.Config{MaxFrameBytes: limit}, link.Config{MaxFrameBytes: limit}, map[string]link.Handler{
		"grow": func(_ context.Context, _ link.Identity, p []byte) ([]byte, error) {
			return make([]byte, limit-head+len(p)), nil
		},
	})
	got, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "grow", nil)
	if err != nil || len(got) != limit-head {
		t.Errorf("answer at the limit: %d bytes, %v", len(got), err)
	}
	_, err = c.Call(bounded(t), s.Addr(), link.PurposeRPC, "grow", []byte{1})
	var coded *link.CallError
	if !errors.As(err, &coded) || coded.Code != link.CodeReplyTooLarge {
		t.Errorf("answer over the limit: %v, want code %s", err, link.CodeReplyTooLarge)
	}
}

func TestDeadlineTravels(t *testing.T) {
	t.Parallel()
	const longest = 4 * time.Second
	type seen struct {
		left time.Duration
		some bool
		end  error
	}
	handled := make(chan seen, 20)
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{
		"wait": func(ctx context.Context, _ link.Identity, _ []byte) ([]byte, error) {
			deadline, some := ctx.Deadline()
			left := time.Until(deadline)
			<-ctx.Done()
			handled <- seen{left, some, ctx.Err()}
			return nil, ctx.Err()
		},
	})
	for within := 50 * time.Millisecond; s.Stats().CallsServed == 0 && s.Stats().HandlersRunning == 0; within *= 2 { // the call must get there in time
		if within > longest {
			t.Fatalf("no call has reached the handler within %v", longest)
		}
		ctx, cancel := context.WithTimeout(bounded(t), within)
		_, err := c.Call(ctx, s.Addr(), link.PurposeRPC, "wait", nil)
		cancel()
		var coded *link.CallError
		byLink := errors.Is(err, link.ErrUnknownOutcome) || errors.Is(err, link.ErrUnreachable)
		byPeer := errors.As(err, &coded) && coded.Code == link.CodeDeadline
		if !(byLink && errors.Is(err, context.DeadlineExceeded)) && !byPeer {
			t.Errorf("error = %v, want an unknown outcome at the deadline", err)
		}
	}
	got := <-handled
	if !got.some || got.left > longest {
		t.Errorf("the handler saw a deadline: %v, in %v; want the caller's", got.some, got.left)
	}
	if !errors.Is(got.end, context.DeadlineExceeded) {
		t.Errorf("the handler's context ended with %v, want DeadlineExceeded", got.end)
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{
		"echo": echo,
		"wait": func(ctx context.Context, _ link.Identity, _ []byte) ([]byte, error) {
			child, cancel := context.WithCancel(ctx) // derived contexts follow
			defer cancel()
			<-child.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(bounded(t))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Call(ctx, s.Addr(), link.PurposeRPC, "wait", nil)
		failed <- err
	}()
	eventually(t, "the handler runs", func() bool { return s.Stats().HandlersRunning == 1 })
	cancel()
	if err := <-failed; !errors.Is(err, link.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want ErrUnknownOutcome and Canceled", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v, want Canceled", err)
	}
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call after a canceled one: %v", err)
	}
	if got := c.Stats().Dials; got != 1 {
		t.Errorf("%d dials, want 1: a canceled call must not cost the connection", got)
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{"echo": echo})
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	_, err := c.Call(ctx, s.Addr(), link.PurposeRPC, "echo", nil)
	if !errors.Is(err, link.ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want ErrUnreachable and Canceled", err)
	}
	if got := s.Stats().CallsServed; got != 1 {
		t.Errorf("served %d calls, want 1", got)
	}
}

func TestHandleMisuse(t *testing.T) {
	t.Parallel()
	l := open(t, link.Config{Identity: as("a", "c1")})
	l.Handle("m", link.PurposeRPC, echo)
	for name, f := range map[string]func(){
		"twice":      func() { l.Handle("m", link.PurposeRPC, echo) },
		"raft":       func() { l.Handle("m", link.PurposeRaft, echo) },
		"empty name": func() { l.Handle("", link.PurposeRPC, echo) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
	l.Serve()
	if !panics(func() { l.Handle("late", link.PurposeRPC, echo) }) {
		t.Error("after Serve: no panic")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

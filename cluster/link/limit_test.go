package link_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// blocking returns a handler that waits for release, whatever its context says.
func blocking() (h link.Handler, release func()) {
	gate := make(chan struct{})
	return func(context.Context, link.Identity, []byte) ([]byte, error) { <-gate; return nil, nil }, func() { close(gate) }
}

// occupy begins n calls and waits until their handlers run.
func occupy(t *testing.T, s, c *link.Link, n int) (results chan error) {
	t.Helper()
	results = make(chan error, n)
	for range n {
		go func() {
			_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "block", nil)
			results <- err
		}()
	}
	eventually(t, "the handlers run", func() bool { return s.Stats().HandlersRunning == int64(n) })
	return results
}

func TestServerRefusesMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	block, release := blocking()
	s, c := calls(t, link.Config{MaxInFlight: 2}, link.Config{}, map[string]link.Handler{"block": block})
	results := occupy(t, s, c, 2)
	_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "block", nil)
	var coded *link.CallError
	if !errors.Is(err, link.ErrUnreachable) || !errors.As(err, &coded) || coded.Code != link.CodeOverloaded {
		t.Errorf("third call: %v, want ErrUnreachable with code %s", err, link.CodeOverloaded)
	}
	if got := s.Stats().CallsRefused; got != 1 {
		t.Errorf("refused %d calls, want 1", got)
	}
	release()
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("call within the limit: %v", err)
		}
	}
}

func TestCallersWaitAtTheirLimit(t *testing.T) {
	t.Parallel()
	block, release := blocking()
	s, c := calls(t, link.Config{}, link.Config{MaxInFlight: 2}, map[string]link.Handler{"block": block})
	results := occupy(t, s, c, 2)
	ctx, cancel := context.WithTimeout(bounded(t), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, s.Addr(), link.PurposeRPC, "block", nil); !errors.Is(err, link.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("third call: %v, want ErrUnreachable at its deadline", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "block", nil)
		waiting <- err
	}()
	release()
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("call within the limit: %v", err)
		}
	}
	if err := <-waiting; err != nil {
		t.Errorf("call that waited: %v", err)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{MaxConns: 1}, link.Config{}, map[string]link.Handler{"echo": echo})
	stranger, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stranger is connected", func() bool { return s.Stats().Connections == 1 })
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); !errors.Is(err, link.ErrUnreachable) {
		t.Errorf("call over the limit: %v, want ErrUnreachable", err)
	}
	stranger.Close()
	eventually(t, "the place is free again", func() bool {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil)
		return err == nil
	})
}

func TestCloseLetsHandlersAnswer(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{
		"block": func(ctx context.Context, _ link.Identity, _ []byte) ([]byte, error) {
			<-ctx.Done()
			<-finish
			return nil, link.Error("stopped", "")
		},
	})
	results := occupy(t, s, c, 1)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	var err error
	eventually(t, "calls that come while closing are refused as not executed", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err = c.Call(ctx, s.Addr(), link.PurposeRPC, "block", nil)
		var coded *link.CallError
		return errors.As(err, &coded) && coded.Code == link.CodeClosing && errors.Is(err, link.ErrUnreachable)
	})
	close(finish)
	var coded *link.CallError
	if err := <-results; !errors.As(err, &coded) || coded.Code != "stopped" {
		t.Errorf("the running call got %v, want the handler's answer", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestCloseReportsHandlersThatIgnoreTheirContext(t *testing.T) {
	t.Parallel()
	block, release := blocking()
	s, err := link.Open(link.Config{Listen: "127.0.0.1:0", Identity: as("b", "c1")})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("block", link.PurposeRPC, block)
	s.Serve()
	c := open(t, link.Config{Identity: as("a", "c1")})
	results := occupy(t, s, c, 1)
	if err := s.Close(); err == nil {
		t.Error("close said nothing of a handler that still runs")
	}
	if err := <-results; !errors.Is(err, link.ErrUnknownOutcome) {
		t.Errorf("its caller got %v, want ErrUnknownOutcome", err)
	}
	release()
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestClosedLinkCallsNobody(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{"echo": echo})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); !errors.Is(err, link.ErrClosed) || !errors.Is(err, link.ErrUnreachable) {
		t.Errorf("error = %v, want ErrClosed and ErrUnreachable", err)
	}
}

func TestUnusedConnectionRetires(t *testing.T) {
	t.Parallel()
	if intervals, refuses := link.RetiresAfter(); intervals != 300 || !refuses {
		t.Errorf("retired after %d intervals, refuses calls: %v; want 300 and true", intervals, refuses)
	}
}

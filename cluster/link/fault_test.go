package link_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// pingInterval makes dead connections known in a second; a live one, whose pongs are held up by a busy machine, needs as long.
const pingInterval = 250 * time.Millisecond

// faults dials real connections and can harm them.
type faults struct {
	mu    sync.Mutex
	conns []*faultyConn
}

func (f *faults) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: conn, closed: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	return c, nil
}

// last returns the newest connection.
func (f *faults) last() *faultyConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[len(f.conns)-1]
}

// faultyConn loses or holds what is written once it is told to.
type faultyConn struct {
	net.Conn
	lose, hold atomic.Bool
	once       sync.Once
	closed     chan struct{}
}

func (c *faultyConn) Write(b []byte) (int, error) {
	switch {
	case c.lose.Load():
		return len(b), nil
	case c.hold.Load():
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{}, link.Config{}, map[string]link.Handler{"echo": echo})
	addr := s.Addr()
	if _, err := c.Call(bounded(t), addr, link.PurposeRPC, "echo", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead connection is noticed", func() bool { return c.Stats().Connections == 0 })
	if _, err := c.Call(bounded(t), addr, link.PurposeRPC, "echo", nil); !errors.Is(err, link.ErrUnreachable) {
		t.Errorf("error while the server is down = %v, want ErrUnreachable", err)
	}
	again := open(t, link.Config{Listen: addr, Identity: as("b", "c1")})
	again.Handle("echo", link.PurposeRPC, echo)
	again.Serve()
	eventually(t, "calls reach the restarted server", func() bool {
		_, err := c.Call(bounded(t), addr, link.PurposeRPC, "echo", nil)
		return err == nil
	})
}

func TestDeadPeerFailsFastWithoutDialStorm(t *testing.T) {
	t.Parallel()
	var dials, atOnce, most atomic.Int64
	refused := errors.New("connection refused")
	c := open(t, link.Config{Identity: as("a", "c1"), Dial: func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		if n := atOnce.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer atOnce.Add(-1)
		return nil, refused
	}})
	began := time.Now()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				_, err := c.Call(bounded(t), "dead:1", link.PurposeRPC, "echo", nil)
				if !errors.Is(err, link.ErrUnreachable) || !errors.Is(err, refused) {
					t.Errorf("error = %v, want ErrUnreachable with its cause", err)
				}
			}
		})
	}
	wg.Wait()
	if limit := int64(2 + time.Since(began)/(50*time.Millisecond)); dials.Load() > limit || most.Load() != 1 {
		t.Errorf("%d dials, %d at once, for 3200 calls; want at most %d, one at a time", dials.Load(), most.Load(), limit)
	}
}

func TestHangingDialEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	c := open(t, link.Config{Identity: as("a", "c1"), Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(bounded(t), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, "void:1", link.PurposeRPC, "echo", nil); !errors.Is(err, link.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want ErrUnreachable and DeadlineExceeded", err)
	}
}

func TestLostConnectionMidCallIsUnknown(t *testing.T) {
	t.Parallel()
	var f faults
	ended := make(chan error, 1)
	s, c := calls(t, link.Config{}, link.Config{Dial: f.dial}, map[string]link.Handler{
		"wait": func(ctx context.Context, _ link.Identity, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, nil
		},
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "wait", nil)
		failed <- err
	}()
	eventually(t, "the handler runs", func() bool { return s.Stats().HandlersRunning == 1 })
	f.last().Close()
	if err := <-failed; !errors.Is(err, link.ErrUnknownOutcome) || errors.Is(err, link.ErrUnreachable) {
		t.Errorf("error = %v, want ErrUnknownOutcome alone", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ended with %v, want Canceled", err)
	}
	if got := c.Stats().CallsUnknown; got != 1 {
		t.Errorf("unknown outcomes = %d, want 1", got)
	}
}

// What did not leave this node is sent again by itself, and runs once.
func TestUnsentCallMovesToANewConnection(t *testing.T) {
	t.Parallel()
	var f faults
	var runs atomic.Int64
	s, c := calls(t, link.Config{}, link.Config{Dial: f.dial, PingInterval: pingInterval}, map[string]link.Handler{
		"count": func(context.Context, link.Identity, []byte) ([]byte, error) { runs.Add(1); return nil, nil },
	})
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "count", nil); err != nil {
		t.Fatal(err)
	}
	f.last().hold.Store(true)
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "count", nil); err != nil {
		t.Errorf("call over a connection that takes no bytes: %v", err)
	}
	if got := runs.Load(); got != 2 {
		t.Errorf("the handler ran %d times for 2 calls", got)
	}
}

func TestBlackholeIsDroppedAndDialledAgain(t *testing.T) {
	t.Parallel()
	var f faults
	s, c := calls(t, link.Config{}, link.Config{Dial: f.dial, PingInterval: pingInterval}, map[string]link.Handler{"echo": echo})
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Fatal(err)
	}
	f.last().lose.Store(true)
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); !errors.Is(err, link.ErrUnknownOutcome) {
		t.Errorf("error = %v, want ErrUnknownOutcome", err)
	}
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call after the blackhole was noticed: %v", err)
	}
}

// A long handler is no dead connection: probes are answered meanwhile.
func TestProbesKeepASilentCallAlive(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s, c := calls(t, link.Config{}, link.Config{PingInterval: 100 * time.Millisecond}, map[string]link.Handler{
		"slow": func(context.Context, link.Identity, []byte) ([]byte, error) { <-release; return nil, nil },
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "slow", nil)
		failed <- err
	}()
	eventually(t, "the handler runs", func() bool { return s.Stats().HandlersRunning == 1 })
	before := s.Stats().BytesRead
	eventually(t, "as many probes arrived as a dead connection would have lost", func() bool { return s.Stats().BytesRead >= before+4*13 })
	close(release)
	if err := <-failed; err != nil {
		t.Errorf("slow call: %v", err)
	}
}

// A dialer that vanished without a word is let go by the acceptor, with its handlers.
func TestAcceptorDropsASilentDialer(t *testing.T) {
	t.Parallel()
	var f faults
	s, c := calls(t, link.Config{PingInterval: 20 * time.Millisecond}, link.Config{Dial: f.dial, PingInterval: time.Hour}, map[string]link.Handler{"echo": echo})
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent connection is closed", func() bool { return s.Stats().Connections == 0 })
}

func TestStrangersOnThePort(t *testing.T) {
	t.Parallel()
	s, c := calls(t, link.Config{HandshakeTimeout: time.Second}, link.Config{}, map[string]link.Handler{"echo": echo})
	for name, bytes := range map[string]string{
		"silence":        "",
		"http":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"tls":            "\x16\x03\x01\x02\x00\x01\x00",
		"zeros":          strings.Repeat("\x00", 4096),
		"endless hello":  "HYDR\xff\xff" + strings.Repeat("x", 4096),
		"broken hello":   "HYDR\x00\x03\x01\x00\x01",
		"other version":  "HYDR\x00\x03\x01\x00\x09",
		"half a message": "HYD",
	} {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(waitLimit))
		io.WriteString(conn, bytes) // the other side may have hung up already
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		conn.Close()
	}
	eventually(t, "all eight are counted", func() bool { return s.Stats().HandshakesRefused == 8 })
	if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
		t.Errorf("call after strangers: %v", err)
	}
}

// A peer that shook hands and then sends garbage loses its connection, not more.
func TestGarbageAfterTheHandshake(t *testing.T) {
	t.Parallel()
	for name, garbage := range map[string]string{
		"random":       "\x8f\x01\x02\x03 garbage garbage",
		"oversized":    "\x7f\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00\x01",
		"too short":    "\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01",
		"an answer":    "\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00\x00\x00\x01",
		"empty method": "\x00\x00\x00\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f faults
			s, c := calls(t, link.Config{}, link.Config{Dial: f.dial}, map[string]link.Handler{"echo": echo})
			if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(f.last(), garbage); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the connection is closed on both sides", func() bool {
				return s.Stats().Connections == 0 && c.Stats().Connections == 0
			})
			if _, err := c.Call(bounded(t), s.Addr(), link.PurposeRPC, "echo", nil); err != nil {
				t.Errorf("call over a new connection: %v", err)
			}
		})
	}
}

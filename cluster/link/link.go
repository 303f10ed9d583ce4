package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Handler answers one call. It runs in its own goroutine and owns payload; the returned bytes are copied before the
// goroutine ends. from is what the peer proved in the handshake. ctx ends at the caller's deadline, when the caller gives up,
// when its connection is lost and when the Link closes. Return an error made by Error to send a stable code. A panic ends the process.
type Handler func(ctx context.Context, from Identity, payload []byte) ([]byte, error)

// closeGrace is how long Close lets handlers answer after their contexts have ended.
const closeGrace = time.Second

// Link is one node's peer port: it accepts and dials. Its methods may be called from any goroutine.
type Link struct {
	cfg      Config
	listener net.Listener
	addr     string
	creds    *credentials // nil without TLS
	streams  *raftStreams
	methods  map[Purpose]map[string]Handler // read-only once serving
	counters counters
	quiet    throttle
	conns    connSet

	ctx    context.Context // ends with Close; dials run under it
	cancel context.CancelFunc
	giveUp chan struct{}  // closed when Close waits for handlers no longer
	wg     sync.WaitGroup // every goroutine but handlers; added to under mu while not closed

	lanesMu sync.Mutex // taken before a lane's, which is taken before mu
	lanes   map[laneKey]*lane

	mu      sync.Mutex
	serving bool
	closed  bool
	servers map[*server]struct{}
}

// Open listens. Nothing is accepted before Serve. It refuses to listen off loopback without TLS or key unless
// Config.InsecurePeers says so.
func Open(cfg Config) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Link{
		cfg:     cfg.withDefaults(),
		methods: map[Purpose]map[string]Handler{PurposeRPC: {}, PurposeBirth: {}},
		giveUp:  make(chan struct{}),
		lanes:   make(map[laneKey]*lane),
		servers: make(map[*server]struct{}),
	}
	l.conns = connSet{conns: make(map[*trackedConn]bool), max: l.cfg.MaxConns}
	l.streams = &raftStreams{link: l, arrived: make(chan net.Conn, raftBacklog), closed: newOnceChan()}
	if cfg.TLS != nil {
		var err error
		if l.creds, err = loadCredentials(*cfg.TLS, cfg.ClusterName, l.cfg.Logger); err != nil {
			return nil, fmt.Errorf("link: %w", err)
		}
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.listen(); err != nil {
		l.cancel()
		return nil, fmt.Errorf("link: %w", err)
	}
	return l, nil
}

// Addr returns the host:port that others dial.
func (l *Link) Addr() string { return l.addr }

// Handle registers h for calls of method on connections of purpose p. It must be called before Serve; a second registration of
// the same pair panics, as does PurposeRaft, which carries no calls.
func (l *Link) Handle(method string, p Purpose, h Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	methods := l.methods[p]
	switch {
	case l.serving:
		panic("link: Handle after Serve: " + method)
	case methods == nil:
		panic("link: no calls of purpose " + p.String() + ": " + method)
	case methods[method] != nil:
		panic("link: registered twice: " + method)
	case method == "" || len(method) > maxMethodBytes:
		panic("link: a method's name has 1 to 255 bytes: " + method)
	}
	methods[method] = h
}

// Serve starts accepting and returns at once. Further calls, and calls after Close, do nothing.
func (l *Link) Serve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving || l.closed {
		return
	}
	l.serving = true
	l.wg.Go(l.acceptLoop)
}

// spawn runs f as a goroutine that Close waits for.
func (l *Link) spawn(f func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.wg.Go(f)
	return nil
}

// gossipKeys returns the key ring of this moment; empty = none is proved.
func (l *Link) gossipKeys() [][]byte {
	switch {
	case l.cfg.GossipKeys != nil:
		return l.cfg.GossipKeys()
	case len(l.cfg.GossipKey) > 0:
		return [][]byte{l.cfg.GossipKey}
	}
	return nil
}

// errHandlersRun: Close gave up waiting.
var errHandlersRun = errors.New("link: handlers still run after their contexts ended")

// Close stops accepting, ends running handlers through their contexts, gives their answers a moment to leave, closes
// every connection, Raft's too, and waits for all goroutines of the Link. It returns an error when handlers ignored their
// contexts. Only the first call does anything.
func (l *Link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	servers := make([]*server, 0, len(l.servers))
	for s := range l.servers {
		servers = append(servers, s)
	}
	l.mu.Unlock()

	l.cancel()
	err := errors.Join(l.listener.Close(), l.streams.Close(), l.endServers(servers))
	l.conns.closeAll()
	l.wg.Wait()
	return err
}

// endServers lets running handlers answer within closeGrace.
func (l *Link) endServers(servers []*server) error {
	defer close(l.giveUp)
	for _, s := range servers {
		s.endAll()
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	for _, s := range servers {
		select {
		case <-s.idle:
		case <-grace.C:
			return errHandlersRun
		}
	}
	for _, s := range servers {
		s.flush()
	}
	for _, s := range servers {
		select {
		case <-s.written:
		case <-grace.C:
			return nil // a peer that does not read gets no answer
		}
	}
	return nil
}

// onceChan is a channel that may be closed more than once.
type onceChan struct {
	ch   chan struct{}
	once sync.Once
}

func newOnceChan() *onceChan { return &onceChan{ch: make(chan struct{})} }

func (c *onceChan) close() { c.once.Do(func() { close(c.ch) }) }

func (c *onceChan) isClosed() bool {
	select {
	case <-c.ch:
		return true
	default:
		return false
	}
}

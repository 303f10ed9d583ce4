package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// defaultWait bounds Leave and SetMeta when their context has no deadline.
const defaultWait = 5 * time.Second

// ErrShutdown: the pool was shut down.
var ErrShutdown = errors.New("gossip: the pool is shut down")

// Pool is this node's membership of a gossip pool. Its methods may be called from any goroutine.
type Pool struct {
	list     *memberlist.Memberlist
	table    *table
	delegate *delegate
	addr     string
	ringMu   sync.Mutex
	ring     *memberlist.Keyring // nil = not encrypted

	work sync.WaitGroup // Leave and SetMeta under way; added to under mu while not down
	mu   sync.Mutex
	down bool
}

// Start binds the sockets and begins to gossip, alone until Join or until somebody joins this node. ctx bounds the look-up of names.
func Start(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mc, err := cfg.memberlistConfig(ctx)
	if err != nil {
		return nil, err
	}
	p := &Pool{table: newTable()}
	if p.ring, err = newKeyring(cfg.Keyring); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	p.delegate = &delegate{table: p.table}
	p.delegate.setMeta(cfg.Meta)
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	mc.Logger = newLogger(logger, p.table.suspected)
	mc.Keyring, mc.Delegate, mc.Events, mc.Ping = p.ring, p.delegate, p.delegate, p.delegate
	if p.list, err = memberlist.Create(mc); err != nil {
		return nil, fmt.Errorf("gossip: start at %s: %w", cfg.BindAddr, err)
	}
	p.addr = p.list.LocalNode().Address()
	return p, nil
}

// Addr returns the host:port that others use.
func (p *Pool) Addr() string { return p.addr }

// Members returns every known member by name, this node and the recently gone ones among them. It never waits for the network.
func (p *Pool) Members() []Member { return p.table.list() }

// Events receives after one or more changes of Members. There is one channel for all readers.
func (p *Pool) Events() <-chan struct{} { return p.table.events }

// Join contacts the addresses (host:port, names are looked up) one after another and exchanges members with each. It returns how
// many were reached, and an error when none was. When ctx ends first, only the address under way is still tried, in the
// background, for as long as a TCP connect and an exchange may take (10 s each, 30 s with WAN).
func (p *Pool) Join(ctx context.Context, addrs []string) (reached int, err error) {
	var failures []error
	for _, addr := range addrs {
		n, err := p.joinOne(ctx, addr)
		reached += n
		if err != nil {
			failures = append(failures, fmt.Errorf("gossip: join %s: %w", addr, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if reached > 0 {
		return reached, nil
	}
	return 0, errors.Join(failures...)
}

// joinOne contacts one address; a name may stand for several.
func (p *Pool) joinOne(ctx context.Context, addr string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if p.isDown() {
		return 0, ErrShutdown
	}
	var (
		n       int
		joinErr error
		done    = make(chan struct{}) // closed when both are set
	)
	go func() {
		defer close(done)
		n, joinErr = p.list.Join([]string{addr})
	}()
	select {
	case <-done:
		return n, joinErr
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// SetMeta tells new meta data to the others and waits until the first of them has it, or until ctx ends.
func (p *Pool) SetMeta(ctx context.Context, meta []byte) error {
	if len(meta) > MaxMetaBytes {
		return fmt.Errorf("gossip: the node's meta data has %d bytes, at most %d are possible", len(meta), MaxMetaBytes)
	}
	if isLeaving(meta) {
		return errors.New("gossip: these meta data mean that the node leaves")
	}
	return p.do(func() error {
		p.delegate.setMeta(meta)
		return p.list.UpdateNode(waitOf(ctx))
	})
}

// Leave tells the others that this node goes on purpose, and waits until they have heard or ctx ends. It takes two rounds of gossip:
// about 2 s (LAN), 4 s (WAN). The pool is to be shut down after it.
func (p *Pool) Leave(ctx context.Context) error {
	return p.do(func() error {
		wait := waitOf(ctx)
		p.delegate.setMeta([]byte(leavingMeta))
		// Should this time out, the others will call the node dead instead of left.
		updateErr := p.list.UpdateNode(wait / 2)
		return errors.Join(updateErr, p.list.Leave(waitOf(ctx)))
	})
}

// Shutdown stops gossiping and closes the sockets. Without Leave the others will find this node dead. Only the first call does
// anything.
func (p *Pool) Shutdown() error {
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return nil
	}
	p.down = true
	p.mu.Unlock()
	p.work.Wait() // memberlist panics when it leaves after its shutdown
	if err := p.list.Shutdown(); err != nil {
		return fmt.Errorf("gossip: shut down: %w", err)
	}
	return nil
}

// Stats describe the pool as this node sees it.
type Stats struct {
	Alive int // this node and suspected ones included
	// Suspect counts alive members that answered this node's last probe neither directly nor through others. Suspicions of
	// other nodes are not counted.
	Suspect int
	Left    int // remembered ones
	Dead    int // remembered ones
	Health  int // memberlist's awareness of this node's own slowness: 0 = none, 8 = severe
}

// Stats returns the numbers of this moment.
func (p *Pool) Stats() Stats {
	s := p.table.count()
	s.Health = p.list.GetHealthScore()
	return s
}

// do runs f unless the pool is down, and keeps Shutdown waiting for it.
func (p *Pool) do(f func() error) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.work.Done()
	if err := f(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

func (p *Pool) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return ErrShutdown
	}
	p.work.Add(1)
	return nil
}

func (p *Pool) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

// waitOf returns the time that ctx leaves, never 0, which memberlist takes for no limit.
func waitOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultWait
	}
	return max(time.Until(deadline), time.Millisecond)
}

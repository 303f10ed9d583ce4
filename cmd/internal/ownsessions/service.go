package ownsessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// readyPause is how often the node is asked whether it is ready, before sessions can be.
const readyPause = 20 * time.Millisecond

// Counter is a store that knows how many records it has, and keeps the cluster's time.
type Counter interface {
	backend.TimeKeeper
	Count(kind backend.Kind) int
}

// Service implements session.Service by a node for what is the cluster's and by a folder for what is the node's. Its methods are safe for concurrent
// use.
type Service struct {
	node     *node.Node
	accounts node.Accounts
	own      *backend.Service
	store    Counter
	timeout  time.Duration // of a request
	log      *slog.Logger

	starting sync.WaitGroup
	cancel   context.CancelFunc
}

var _ session.Service = (*Service)(nil)

// New makes a Service of a node whose Config says SessionsAtNode and of a store, which is this node's alone. Shutdown ends both. Of c, Directory, Figures and Events are filled in.
func New(n *node.Node, c backend.Config, store Counter) (*Service, error) {
	accounts := n.Accounts()
	c.Directory = &directory{accounts: accounts}
	c.Figures = backend.Figures{Use: accounts.Used, Ended: accounts.Ended, Elsewhere: accounts.Elsewhere} // the node counts passwords itself
	c.Events = audited(accounts)
	accounts.Count(func() int { return store.Count(backend.KindSession) })
	accounts.Judge(mayKeep)
	own, err := backend.New(c, store)
	if err != nil {
		return nil, fmt.Errorf("keep this node's sessions: %w", err)
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	timeout := c.RequestTimeout
	if timeout == 0 {
		timeout = backend.DefaultConfig().RequestTimeout
	}
	return &Service{node: n, accounts: accounts, own: own, store: store, timeout: timeout, log: log, cancel: func() {}}, nil
}

// mayKeep tells why nodes cannot keep their own sessions under policies and limits.
func mayKeep(policies []session.Policy, limits session.ClusterLimits) error {
	for _, p := range policies {
		if err := backend.SupportsAtNode(p); err != nil {
			return err
		}
	}
	return backend.SupportsLimitAtNode(limits.MaxSessions)
}

// Start lets the node take part in the cluster. Sessions follow once it is ready: Ready tells.
func (s *Service) Start(ctx context.Context) error {
	if err := s.node.Start(ctx); err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.starting.Go(func() {
		ticker := time.NewTicker(readyPause)
		defer ticker.Stop()
		for s.node.Ready(false) != nil {
			select {
			case <-ticker.C:
			case <-running.Done():
				return
			}
		}
		s.own.Start()
	})
	return nil
}

// Drain makes Ready fail while requests are still served.
func (s *Service) Drain() {
	s.own.Drain()
	s.node.Drain()
}

// Shutdown ends sessions first, which need the node, and then the node. ctx bounds the graceful part.
func (s *Service) Shutdown(ctx context.Context) error {
	s.cancel()
	s.starting.Wait()
	return errors.Join(s.own.Shutdown(ctx), s.node.Shutdown(ctx))
}

// NodeID is the node's.
func (s *Service) NodeID() string { return s.node.NodeID() }

// Term is Raft's.
func (s *Service) Term() uint64 { return s.node.Term() }

// PeerAddress is where other nodes reach this one.
func (s *Service) PeerAddress() string { return s.node.PeerAddress() }

// ReopenAudit opens the node's audit file again.
func (s *Service) ReopenAudit(ctx context.Context) error { return s.node.ReopenAudit(ctx) }

// Ready implements session.Service.
func (s *Service) Ready(local bool) error {
	if err := s.node.Ready(local); err != nil {
		return err
	}
	return s.own.Ready(local)
}

// Sessions is how many this node keeps. Those whose time is over count until a sweep has taken them away.
func (s *Service) Sessions() int { return s.store.Count(backend.KindSession) }

// read waits until this node knows the cluster as freshly as the call asks for, and says what answers tell of that.
func (s *Service) read(ctx context.Context, c session.Call) (session.Meta, error) {
	meta, err := s.accounts.Read(ctx, c)
	meta.Node = s.node.NodeID()
	return meta, err
}

// limit bounds a request by the request timeout: all that is asked of the cluster and of the folder for it, together.
func (s *Service) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// now is read for what is a write, or as fresh as one.
func (s *Service) now(ctx context.Context) (session.Meta, error) { return s.read(ctx, session.Call{}) }

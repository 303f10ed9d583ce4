package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// Service implements session.Service over a Store. Its methods are safe for concurrent use, and any number of Services, in any number of
// processes, may use one store that is Shared.
type Service struct {
	config   Config
	features Features
	store    Store
	log      *slog.Logger
	hasher   *auth.Hasher
	chain    *auth.Chain
	turns    *auth.Turns // of password checks
	remote   *auth.Turns // of those that authenticators outside make
	figures  Figures

	locks      locks
	known      atomic.Pointer[knownCluster]
	seals      seals
	touches    touches
	mismatches mismatches

	settled  atomic.Bool
	draining atomic.Bool
	running  context.Context // of work in the background
	cancel   context.CancelFunc
	work     sync.WaitGroup
	workMu   sync.Mutex // lets no work begin once its end is waited for
}

var _ session.Service = (*Service)(nil)

// New makes a Service, which closes the store when it is shut down. Nothing is read or written before Start.
func New(c Config, store Store) (*Service, error) {
	f := store.Features()
	if err := c.Validate(f); err != nil {
		return nil, err
	}
	c = c.filled()
	if c.Directory != nil {
		o := newOverlay(store, c.Directory)
		if c.Events != nil {
			o.outlast = c.RequestTimeout
		}
		store = o
		f = store.Features()
	} else {
		store = newPasts(store, c.Random)
	}
	hasher, err := auth.NewHasher(c.Hashing)
	if err != nil {
		return nil, fmt.Errorf("prepare password hashing: %w", err)
	}
	s := &Service{config: c, features: f, store: store, log: c.Logger.With(slog.String("store", f.Name)), hasher: hasher, figures: c.Figures}
	s.turns, s.remote = c.Throttle.NewTurns(hasher)
	s.chain = auth.NewChain(hasher, c.Authenticators, s.authenticated)
	s.seals.keys = map[uint32]*auth.SealKey{}
	s.seals.learn = (&learnSeals{service: s, tried: map[uint32]bool{}}).learn
	s.running, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Start writes what the store should have and does not, in the background: Ready tells when requests are served.
func (s *Service) Start() {
	s.work.Go(func() {
		if s.settle(s.running) {
			s.sweepOnAndOn(s.running)
		}
	})
}

// Drain makes Ready fail, so that load balancers turn away, while requests are still served.
func (s *Service) Drain() { s.draining.Store(true) }

// Shutdown ends the work in the background and closes the store.
func (s *Service) Shutdown(context.Context) error {
	s.Drain()
	s.workMu.Lock()
	s.cancel()
	s.workMu.Unlock()
	s.work.Wait()
	s.chain.Close()
	return s.store.Close()
}

// Features are the store's.
func (s *Service) Features() Features { return s.features }

// Ready implements session.Service.
func (s *Service) Ready(bool) error {
	switch {
	case s.draining.Load():
		return &session.Error{Code: session.CodeUnavailable, Message: "this server is stopping; ask another one", RetryAfter: retryPause}
	case !s.settled.Load():
		return errStarting()
	}
	return asError("ask the store", s.store.Ready())
}

// limit bounds a request by the request timeout.
func (s *Service) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.config.RequestTimeout)
}

// background runs f beside the requests, bounded like one. After Shutdown it does nothing.
func (s *Service) background(f func(ctx context.Context)) {
	s.workMu.Lock()
	defer s.workMu.Unlock()
	if s.running.Err() != nil {
		return
	}
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.running, s.config.RequestTimeout)
		defer cancel()
		f(ctx)
	})
}

// authenticated counts what authenticators answer, and logs why one could not judge.
func (s *Service) authenticated(authenticator string, o auth.Outcome, err error) {
	s.figures.authenticated(authenticator, o)
	if o == auth.OutcomeUnavailable && session.CodeOf(err) != session.CodeOverloaded && !errors.Is(err, context.Canceled) {
		s.log.Warn("an authenticator could not judge a password", slog.String("authenticator", authenticator), slog.Any("error", err))
	}
}

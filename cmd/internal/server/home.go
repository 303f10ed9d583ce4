package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// home is where sessions live: a node of a cluster, or a server before a store.
type home interface {
	session.Service
	NodeID() string
	Term() uint64        // Raft's; 0 where there is none
	PeerAddress() string // "" where there are no peers
	Start(context.Context) error
	Drain()
	Shutdown(context.Context) error
	ReopenAudit(context.Context) error
}

// openHome opens what tokenizer.type names.
func (s *Server) openHome(ctx context.Context, o Options, registry *prometheus.Registry) (home, error) {
	if o.Config.Home == config.HomeRaft {
		settings, err := s.nodeConfig(o, registry)
		if err != nil {
			return nil, err
		}
		n, err := node.New(settings)
		if err != nil {
			return nil, explainStart(o.Config, err)
		}
		if o.Config.OwnSessions {
			return s.withOwnSessions(n, o)
		}
		return n, nil
	}
	if err := os.MkdirAll(o.Config.Node.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder (node.data_dir): %w", err)
	}
	store, err := OpenStore(ctx, o.Config, o.Logger)
	if err != nil {
		return nil, err
	}
	settings, err := backendConfig(o, registry, store.Features())
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	settings.Fatal = s.fail
	service, err := backend.New(settings, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &keeper{Service: service, name: o.Config.Node.Name}, nil
}

// OpenStore opens the store that a configuration names, which is none of raft's.
func OpenStore(ctx context.Context, c config.Config, log *slog.Logger) (backend.Store, error) {
	log = log.With("store", c.Home)
	var store backend.Store
	var err error
	switch c.Home {
	case config.HomeLocal:
		c.Local.Logger = log
		store, err = local.Open(c.Local)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("this user may not write to the folder of the sessions %s (tokenizer.path): %w", c.Local.Path, err)
		}
	case config.HomeRedis:
		c.Redis.Logger = log
		redis.LogTo(log)
		store, err = redis.Open(context.WithoutCancel(ctx), c.Redis)
	case config.HomeDynamoDB:
		c.DynamoDB.Logger = log
		store, err = dynamodb.Open(context.WithoutCancel(ctx), c.DynamoDB)
	default:
		return nil, fmt.Errorf("tokenizer.type %s keeps sessions in no store", c.Home)
	}
	if err != nil {
		return nil, fmt.Errorf("open the home of the sessions (tokenizer.type %s): %w", c.Home, err)
	}
	return store, nil
}

// backendConfig translates the settings for a server before a store.
func backendConfig(o Options, registry *prometheus.Registry, f backend.Features) (backend.Config, error) {
	c := backend.DefaultConfig()
	c.NodeName = o.Config.Node.Name
	c.RequestTimeout = o.Config.Limits.RequestTimeout
	c.Policies = o.Config.Policies
	c.AdminPassword = o.AdminPassword
	t := o.Config.Throttle
	c.Throttle = auth.Throttle{Window: t.Window, PerUser: t.PerUser, PerAddress: t.PerAddress, PerNode: t.PerNode}
	c.Sealing = sealing(o.Config)
	c.Hashing.Params = o.Config.Authenticator.Hashing
	c.Logger = o.Logger
	c.Figures = figures(registry)
	if o.Config.Home == config.HomeDynamoDB {
		c.SweepInterval = dynamodbSweep
	}
	var err error
	c.Authenticators, err = directories(o.Config.Authenticator)
	if !f.Clock {
		o.Logger.Warn("the store has no clock of its own: sessions end by the clocks of the servers, which must agree (NTP)", "store", f.Name)
	}
	return c, err
}

// dynamodbSweep is how often a table is read from its beginning to its end, which is paid for.
const dynamodbSweep = 24 * time.Hour

// keeper is a server before a store, as what a node is in a cluster.
type keeper struct {
	*backend.Service
	name string
}

// NodeID is the server's name: nothing but people asks.
func (k *keeper) NodeID() string      { return k.name }
func (k *keeper) Term() uint64        { return 0 }
func (k *keeper) PeerAddress() string { return "" }

// Start begins to look for the store; readiness tells when it was found.
func (k *keeper) Start(context.Context) error {
	k.Service.Start()
	return nil
}

// ReopenAudit has nothing to open: the trail is written from a cluster's log.
func (k *keeper) ReopenAudit(context.Context) error { return nil }

// figures are the metrics of a server before a store. docs/operations.md explains each.
func figures(registry *prometheus.Registry) backend.Figures {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	authenticated := counters("authentications_total", "Passwords judged by each authenticator, by outcome: accepted, refused, unavailable.", "authenticator", "outcome")
	passwords := counters("password_attempts_total", "Passwords tried at this server by outcome: right, wrong, throttled (not looked at), failed.", "outcome")
	uses := counters("uses_total", "Uses of sessions by what became of them: none (within the window), async, sync.", "touch")
	ended := counters("sessions_ended_total", "Sessions that this server has ended, by cause; time = it was found dead.", "cause")
	retries := counters("store_conflicts_total", "Writes that came second to another one of the same record, and were made again.")
	elsewhere := counters("address_mismatches_total", "Session keys presented at another address than that of their log-in, by what their policy says of that: log, strict (refused).", "bind_address")
	return backend.Figures{
		Authenticated: func(a string, o auth.Outcome) { authenticated.WithLabelValues(a, string(o)).Inc() },
		Password:      func(err error) { passwords.WithLabelValues(outcomeOf(err)).Inc() },
		Use:           func(touch string) { uses.WithLabelValues(touch).Inc() },
		Ended:         func(cause string, n int) { ended.WithLabelValues(cause).Add(float64(n)) },
		Retry:         func() { retries.WithLabelValues().Inc() },
		Elsewhere:     func(binding string) { elsewhere.WithLabelValues(binding).Inc() },
	}
}

func outcomeOf(err error) string {
	switch session.CodeOf(err) {
	case "":
		return "right"
	case session.CodeUnauthenticated:
		return "wrong"
	case session.CodeThrottled:
		return "throttled"
	}
	return "failed"
}

package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// client is what the store needs of go-redis, whichever kind of server stands behind it.
type client interface {
	goredis.Cmdable
	Process(ctx context.Context, cmd goredis.Cmder) error
	Close() error
}

// newClient makes a client that connects when it is used. Nothing is sent twice by it: attempt.go knows what may be. Pipelines have no connections of
// their own, which MaxConnections would not count.
func newClient(c Config) client {
	switch {
	case len(c.Cluster) > 0:
		return goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: c.Cluster, Username: c.User, Password: c.Password,
			Dialer: c.dial, DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: c.answerTimeout(), WriteTimeout: c.Timeout,
			ContextTimeoutEnabled: true, PoolSize: c.MaxConnections, MaxActiveConns: c.MaxConnections, PipelinePoolSize: -1, PoolTimeout: c.Timeout,
			MaxRetries: -1, DisableRoutingPolicies: true, DisableIdentity: true, MaintNotificationsConfig: quiet(),
		})
	case c.Sentinel.Master != "":
		return goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName: c.Sentinel.Master, SentinelAddrs: c.Sentinel.Addresses, SentinelUsername: c.Sentinel.User, SentinelPassword: c.Sentinel.Password,
			Username: c.User, Password: c.Password, DB: c.Database,
			Dialer: c.dial, DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: c.answerTimeout(), WriteTimeout: c.Timeout,
			ContextTimeoutEnabled: true, PoolSize: c.MaxConnections, MaxActiveConns: c.MaxConnections, PipelinePoolSize: -1, PoolTimeout: c.Timeout,
			MaxRetries: -1, DisableIdentity: true,
		})
	}
	return goredis.NewClient(&goredis.Options{
		Addr: c.Address, Username: c.User, Password: c.Password, DB: c.Database,
		Dialer: c.dial, DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: c.answerTimeout(), WriteTimeout: c.Timeout,
		ContextTimeoutEnabled: true, PoolSize: c.MaxConnections, MaxActiveConns: c.MaxConnections, PipelinePoolSize: -1, PoolTimeout: c.Timeout,
		MaxRetries: -1, DisableIdentity: true, MaintNotificationsConfig: quiet(),
	})
}

// answerTimeout bounds the wait for an answer: WAIT itself takes up to Timeout.
func (c Config) answerTimeout() time.Duration {
	if c.WaitReplicas > 0 {
		return 2 * c.Timeout
	}
	return c.Timeout
}

// quiet keeps the client from asking servers for notices that only one vendor's have.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// dialError is of a connection that never was: nothing was sent.
type dialError struct{ cause error }

func (e *dialError) Error() string { return fmt.Sprintf("connect to Redis: %v", e.cause) }

func (e *dialError) Unwrap() error { return e.cause }

func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()
	plain := &net.Dialer{}
	var conn net.Conn
	var err error
	if c.TLS == nil {
		conn, err = plain.DialContext(ctx, network, address)
	} else {
		conn, err = (&tls.Dialer{NetDialer: plain, Config: c.TLS}).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

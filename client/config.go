package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// DefaultTimeout bounds a call with everything that is repeated in it.
	DefaultTimeout = 20 * time.Second
	// DefaultAttemptTimeout bounds one request to one node. It exceeds the node's own request timeout of 5 s, so that only a
	// node that hangs is given up.
	DefaultAttemptTimeout = 7 * time.Second
	// DefaultRounds is how often each node is asked.
	DefaultRounds = 4
	// DefaultConnections are kept open to each node.
	DefaultConnections = 256
)

// Config is copied by New.
type Config struct {
	// Addresses of the nodes, the preferred one first: host:port, or http(s)://host:port. At least one, unless Socket is set.
	Addresses []string
	// Socket is the path of a node's Unix socket for operators, in place of Addresses: calls act as an admin without a key.
	Socket string
	// Key is the caller's own session key; As and With give another. The zero Key asks without one.
	Key session.Key
	// TLS makes addresses without a scheme https, and says whom to trust. nil = http, and for https the system's roots.
	TLS *tls.Config
	// HTTPClient replaces the transport built from TLS and Connections. Redirects are never followed.
	HTTPClient *http.Client
	// Timeout bounds a call, repetitions and pauses included. Default DefaultTimeout; a deadline of the context that is nearer wins.
	Timeout time.Duration
	// AttemptTimeout bounds one request. Default DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Rounds is how often each node is asked at most. Default DefaultRounds; 1 with one address repeats nothing.
	Rounds int
	// Connections kept open to each node. Default DefaultConnections.
	Connections int
	// NoIdempotencyKeys leaves out the Idempotency-Key of log-ins that do not name one. They cost the cluster less memory, and
	// are not repeated after an unknown outcome.
	NoIdempotencyKeys bool
	// UserAgent is sent with each request. Default "hydrastore-client".
	UserAgent string
}

func (c Config) withDefaults() Config {
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.AttemptTimeout, DefaultAttemptTimeout)
	setDefault(&c.Rounds, DefaultRounds)
	setDefault(&c.Connections, DefaultConnections)
	setDefault(&c.UserAgent, "hydrastore-client")
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	_, err := c.nodes()
	if c.Timeout < 0 || c.AttemptTimeout < 0 || c.Rounds < 0 || c.Connections < 0 {
		err = errors.Join(err, errors.New("client: timeouts, rounds and connections must not be negative"))
	}
	return err
}

// nodes gives the base URL of each node, without a slash at the end.
func (c Config) nodes() ([]string, error) {
	switch {
	case c.Socket != "" && len(c.Addresses) > 0:
		return nil, errors.New("client: give addresses or a socket, not both")
	case c.Socket != "":
		return []string{"http://operator"}, nil
	case len(c.Addresses) == 0:
		return nil, errors.New("client: give the address of at least one node")
	}
	nodes := make([]string, len(c.Addresses))
	for i, address := range c.Addresses {
		var err error
		if nodes[i], err = c.baseURL(address); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (c Config) baseURL(address string) (string, error) {
	if !strings.Contains(address, "://") {
		scheme := "http"
		if c.TLS != nil {
			scheme = "https"
		}
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("client: %q is no address of a node: write host:port or https://host:port", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

// slowly gives the answer after that time, or none when the caller goes first.
func slowly(after time.Duration, then step) step {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
			return then(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// TestWithoutQuorumTheReasonIsTold: nodes wait before they say that there is no quorum. The client asks none again that it
// could only cut off: the reason would be lost, and the outcome of a change unknown.
func TestWithoutQuorumTheReasonIsTold(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*client.Client) error{"a read": get, "a change": change} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				nodes := &script{steps: map[string][]step{"a": {slowly(5*time.Second, answers(503, session.CodeNoQuorum))}}}
				c := nodes.client(t, func(c *client.Config) { c.Addresses = []string{"a"} })
				if err := call(c); session.CodeOf(err) != session.CodeNoQuorum || nodes.order() != "aaa" {
					t.Errorf("got %v after %s, want no quorum after three times", err, nodes.order())
				}
			})
		})
	}
}

// TestACutOffAttemptHidesNoReason: a node that was never asked may be cut off; what another said before is still told.
func TestACutOffAttemptHidesNoReason(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call func(*client.Client) error
		code session.Code
	}{"a read": {get, session.CodeNoQuorum}, "a change": {change, session.CodeOutcomeUnknown}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				nodes := &script{steps: map[string][]step{"a": {slowly(2*time.Second, answers(503, session.CodeNoQuorum))}, "b": {silentOnceConnected}}}
				c := nodes.client(t, func(c *client.Config) { c.Addresses, c.Timeout = []string{"a", "b"}, 3*time.Second })
				err := test.call(c)
				if session.CodeOf(err) != test.code || !strings.Contains(err.Error(), "a sentence") || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want code %s and what the first node said", err, test.code)
				}
			})
		})
	}
}

// silentOnceConnected takes the request and never answers.
func silentOnceConnected(r *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
	return silent(r)
}

// TestManyRounds: the pauses stay what they are, however often is asked.
func TestManyRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes := &script{steps: map[string][]step{"a": {answers(503, session.CodeNoQuorum)}}}
		c := nodes.client(t, func(c *client.Config) { c.Addresses, c.Rounds, c.Timeout = []string{"a"}, 100, time.Hour })
		if err := get(c); session.CodeOf(err) != session.CodeNoQuorum || len(nodes.order()) != 100 {
			t.Errorf("got %v after %d times, want no quorum after 100", err, len(nodes.order()))
		}
	})
}

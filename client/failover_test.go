package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/session"
)

func unreachable(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// silent never answers.
func silent(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func get(c *client.Client) error {
	_, err := c.ListUsers(context.Background(), session.Page{})
	return err
}

// change is one that must not be repeated.
func change(c *client.Client) error {
	_, err := c.AddMember(context.Background(), "x:1")
	return err
}

func remove(c *client.Client) error {
	_, err := c.RemoveMember(context.Background(), "x")
	return err
}

// TestWhatIsRepeated plays answers of the nodes a, b and c and looks at who was asked and how the call ended.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	noQuorum, unknown := answers(503, session.CodeNoQuorum), answers(504, session.CodeOutcomeUnknown)
	tests := []struct {
		name  string
		call  func(*client.Client) error
		steps map[string][]step
		asked string
		code  session.Code // "" = success
	}{
		{"the first answers", get, map[string][]step{"a": {succeeds}}, "a", ""},
		{"nodes cannot be reached", change, map[string][]step{"a": {unreachable}, "b": {unreachable}, "c": {succeeds}}, "abc", ""},
		{"certainly not done", change, map[string][]step{"a": {noQuorum}, "b": {answers(503, session.CodeOverloaded)}, "c": {succeeds}}, "abc", ""},
		{"a load balancer without nodes", change, map[string][]step{"a": {answers(503, session.CodeUnavailable)}, "b": {succeeds}}, "ab", ""},
		{"a change through a proxy that lost the node", change, map[string][]step{"a": {answers(503, "")}}, "a", session.CodeOutcomeUnknown},
		{"a read through a proxy that lost the node", get, map[string][]step{"a": {answers(503, "")}, "b": {answers(502, "")}, "c": {succeeds}}, "abc", ""},
		{"a read through proxies that lost all nodes", get, map[string][]step{"a": {answers(503, "")}, "b": {answers(502, "")}, "c": {answers(504, "")}}, "abcabcabcabc", session.CodeUnavailable},
		{"a removal of which no key is left to ask", remove, map[string][]step{"a": {unknown}, "b": {answers(401, session.CodeUnauthenticated)}}, "ab", session.CodeOutcomeUnknown},
		{"a touch of a session that has ended", func(c *client.Client) error {
			_, err := c.Touch(context.Background())
			return err
		}, map[string][]step{"a": {unknown}, "b": {answers(401, session.CodeUnauthenticated)}}, "ab", session.CodeUnauthenticated},
		{"in the second round", change, map[string][]step{"a": {noQuorum, succeeds}, "b": {noQuorum}, "c": {noQuorum}}, "abca", ""},
		{"never", change, map[string][]step{"a": {noQuorum}, "b": {noQuorum}, "c": {noQuorum}}, "abcabcabcabc", session.CodeNoQuorum},
		{"two are down and the third has no quorum", change, map[string][]step{"a": {noQuorum}, "b": {unreachable}, "c": {unreachable}}, "abcabcabcabc", session.CodeNoQuorum},
		{"a change of unknown outcome", change, map[string][]step{"a": {unknown}}, "a", session.CodeOutcomeUnknown},
		{"a change through a broken proxy", change, map[string][]step{"a": {answers(502, "")}}, "a", session.CodeOutcomeUnknown},
		{"a change through a slow proxy", change, map[string][]step{"a": {answers(504, "")}}, "a", session.CodeOutcomeUnknown},
		{"a defect", get, map[string][]step{"a": {answers(500, session.CodeInternal)}}, "a", session.CodeInternal},
		{"a read of unknown outcome", get, map[string][]step{"a": {unknown}, "b": {succeeds}}, "ab", ""},
		{"an index that is not reached", get, map[string][]step{"a": {answers(504, session.CodeIndexTimeout)}, "b": {succeeds}}, "ab", ""},
		{"data too old", get, map[string][]step{"a": {answers(503, session.CodeTooStale)}, "b": {succeeds}}, "ab", ""},
		{"a removal of unknown outcome", remove, map[string][]step{"a": {unknown}, "b": {succeeds}}, "ab", ""},
		{"a removal that was done", remove, map[string][]step{"a": {unknown}, "b": {answers(404, session.CodeNotFound)}}, "ab", ""},
		{"a removal of nothing", remove, map[string][]step{"a": {answers(404, session.CodeNotFound)}}, "a", session.CodeNotFound},
		{"a removal of nothing, later", remove, map[string][]step{"a": {noQuorum}, "b": {answers(404, session.CodeNotFound)}}, "ab", session.CodeNotFound},
		{"once unknown, always unknown", remove, map[string][]step{"a": {unknown, noQuorum}, "b": {noQuorum}, "c": {noQuorum}}, "abcabcabcabc", session.CodeOutcomeUnknown},
		{"a bad key", get, map[string][]step{"a": {answers(401, session.CodeUnauthenticated)}}, "a", session.CodeUnauthenticated},
		{"a conflict", change, map[string][]step{"a": {answers(409, session.CodeConflict)}}, "a", session.CodeConflict},
		{"no problem document", get, map[string][]step{"a": {answers(418, "")}}, "a", session.CodeInvalid},
		{"a code of a newer server", get, map[string][]step{"a": {answers(503, "too_hot")}, "b": {succeeds}}, "ab", ""},
		{"no JSON", get, map[string][]step{"a": {answers(200, "")}}, "a", session.CodeInternal},
		{"a replacement", func(c *client.Client) error {
			_, err := c.PutPolicy(context.Background(), "p", session.PolicyChange{})
			return err
		}, map[string][]step{"a": {unknown}, "b": {succeeds}}, "ab", ""},
		{"a replacement of one version", func(c *client.Client) error {
			version := uint64(3)
			_, err := c.PutPolicy(context.Background(), "p", session.PolicyChange{IfMatch: &version})
			return err
		}, map[string][]step{"a": {unknown}}, "a", session.CodeOutcomeUnknown},
		{"a patch", func(c *client.Client) error {
			_, err := c.PatchAttributes(context.Background(), session.AttributePatch{})
			return err
		}, map[string][]step{"a": {unknown}}, "a", session.CodeOutcomeUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				nodes := &script{steps: test.steps}
				err := test.call(nodes.client(t))
				if session.CodeOf(err) != test.code {
					t.Errorf("got %v, want code %q", err, test.code)
				}
				if got := nodes.order(); got != test.asked {
					t.Errorf("asked %s, want %s", got, test.asked)
				}
			})
		})
	}
}

// TestErrorsAreTheServices: code, field, sentence and the time to wait come through; the request id is in the cause.
func TestErrorsAreTheServices(t *testing.T) {
	t.Parallel()
	nodes := &script{steps: map[string][]step{"a": {answers(403, session.CodeForbidden, "Retry-After", "3")}}}
	var e *session.Error
	if err := get(nodes.client(t)); !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if e.Code != session.CodeForbidden || e.Field != "f" || e.Message != "a sentence" || e.RetryAfter != 3*time.Second || !strings.Contains(e.Error(), "r1") {
		t.Errorf("got %+v", e)
	}
}

// TestAThrottledLoginIsToldAtOnce: other nodes count together with this one, so asking them helps nobody.
func TestAThrottledLoginIsToldAtOnce(t *testing.T) {
	t.Parallel()
	throttled := answers(429, session.CodeThrottled, "Retry-After", "30")
	nodes := &script{steps: map[string][]step{"a": {throttled}, "b": {succeeds}, "c": {succeeds}}}
	var e *session.Error
	if err := get(nodes.client(t)); !errors.As(err, &e) || e.Code != session.CodeThrottled || e.RetryAfter != 30*time.Second {
		t.Errorf("got %v", err)
	}
	if nodes.order() != "a" {
		t.Errorf("asked %q, want only a", nodes.order())
	}
}

// TestThePreferredNodeIsTheLastThatAnswered.
func TestThePreferredNodeIsTheLastThatAnswered(t *testing.T) {
	t.Parallel()
	nodes := &script{steps: map[string][]step{"a": {unreachable, succeeds}, "b": {succeeds, succeeds, unreachable}, "c": {succeeds}}}
	c := nodes.client(t)
	for range 4 {
		if err := get(c); err != nil {
			t.Fatal(err)
		}
	}
	if got := nodes.order(); got != "abbbcc" {
		t.Errorf("asked %s", got)
	}
}

// TestLoginIsRepeatedUnderOneKey, drawn by the client unless the caller names one or wants none.
func TestLoginIsRepeatedUnderOneKey(t *testing.T) {
	t.Parallel()
	unknown, refused := answers(504, session.CodeOutcomeUnknown), answers(401, session.CodeUnauthenticated)
	login := func(c *client.Client, named string) error {
		_, err := c.Login(context.Background(), session.Login{User: "ada", Password: password, IdempotencyKey: named})
		return err
	}
	nodes := &script{steps: map[string][]step{"a": {unknown}, "b": {refused}}}
	if err := login(nodes.client(t), ""); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
	if nodes.order() != "ab" || len(nodes.keys[0]) < 16 || nodes.keys[0] != nodes.keys[1] {
		t.Errorf("asked %s with %q", nodes.order(), nodes.keys)
	}
	named := &script{steps: map[string][]step{"a": {refused}}}
	if err := login(named.client(t), "mine"); session.CodeOf(err) != session.CodeUnauthenticated || named.keys[0] != "mine" {
		t.Errorf("got %v with %q", err, named.keys)
	}
	without := &script{steps: map[string][]step{"a": {unknown}}}
	err := login(without.client(t, func(c *client.Config) { c.NoIdempotencyKeys = true }), "")
	if session.CodeOf(err) != session.CodeOutcomeUnknown || without.keys[0] != "" || without.order() != "a" {
		t.Errorf("got %v with %q", err, without.keys)
	}
}

// TestPausesBetweenRounds grow, are bounded, and are never shorter than the nodes ask for.
func TestPausesBetweenRounds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers     []string
		least, most time.Duration
	}{
		"on its own": {nil, 175 * time.Millisecond, 525 * time.Millisecond},
		"as asked":   {[]string{"Retry-After", "2"}, 6 * time.Second, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				no := answers(503, session.CodeNoQuorum, test.headers...)
				begin := time.Now()
				err := get((&script{steps: map[string][]step{"a": {no}, "b": {no}, "c": {no}}}).client(t))
				if took := time.Since(begin); session.CodeOf(err) != session.CodeNoQuorum || took < test.least || took > test.most {
					t.Errorf("took %v, want between %v and %v: %v", took, test.least, test.most, err)
				}
			})
		})
	}
}

// TestItEndsWithItsContext, at once when the pause that is asked for would outlast it.
func TestItEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hanging := &script{steps: map[string][]step{"a": {silent}, "b": {silent}, "c": {silent}}}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := hanging.client(t).ListUsers(ctx, session.Page{})
		if took := time.Since(begin); took != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) || session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("after %v: got %v", took, err)
		}
		if got := hanging.order(); got != "ab" {
			t.Errorf("asked %s: a node that hangs must be given up before the call", got)
		}
		busy := answers(503, session.CodeOverloaded, "Retry-After", "3600")
		begin = time.Now()
		err = get((&script{steps: map[string][]step{"a": {busy}, "b": {busy}, "c": {busy}}}).client(t))
		if took := time.Since(begin); took != 0 || session.CodeOf(err) != session.CodeOverloaded {
			t.Errorf("after %v: got %v", took, err)
		}
	})
}

// TestLostConnections over real ones: a change whose connection breaks midway may have been done and is not repeated; a
// read is.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	breaking := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(breaking.Close)
	closed, err := freeport.New().Address() // which refuses, and is nobody's in the meantime
	if err != nil {
		t.Fatal(err)
	}
	_, good, admin := newServer(t)
	config := client.Config{Addresses: []string{closed, breaking.URL, good.URL}, Key: admin}
	if err := get(newClient(t, config)); err != nil || asked.Load() != 1 {
		t.Errorf("a read: got %v after %d", err, asked.Load())
	}
	err = change(newClient(t, config))
	if session.CodeOf(err) != session.CodeOutcomeUnknown || asked.Load() != 2 {
		t.Errorf("a change: got %v after %d", err, asked.Load())
	}
	if strings.Contains(err.Error(), admin.Reveal()) {
		t.Error("the error holds the key")
	}
}

// TestLoginThroughALostAnswer: the node has made the session, its answer is lost, and the repetition finds that session.
func TestLoginThroughALostAnswer(t *testing.T) {
	t.Parallel()
	service, good, admin := newServer(t)
	inner := handler(t, service, false)
	lossy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(lossy.Close)
	before := service.Live()
	issued, err := newClient(t, client.Config{Addresses: []string{lossy.URL, good.URL}, Key: admin}).Login(context.Background(), session.Login{User: "ada", Vouched: true})
	if err != nil || service.Live() != before+1 || service.Uses(issued.Key) != 0 {
		t.Errorf("got %v, %d sessions more", err, service.Live()-before)
	}
}

// TestRedirectsAreNotFollowed: a key goes to the nodes that were named.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(elsewhere.Close)
	node := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(node.Close)
	if err := get(newClient(t, client.Config{Addresses: []string{node.URL}})); err == nil || followed {
		t.Errorf("got %v, followed: %v", err, followed)
	}
}

// TestHugeAnswersAreCutOff.
func TestHugeAnswersAreCutOff(t *testing.T) {
	t.Parallel()
	endless := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(zeros{})}, nil
	}
	nodes := &script{steps: map[string][]step{"a": {endless}}}
	err := get(nodes.client(t, func(c *client.Config) { c.Addresses, c.Rounds = []string{"a"}, 1 }))
	if err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

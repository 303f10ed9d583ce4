package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// keys counts the records of keys.
func (p *pair) keys() int {
	p.Helper()
	n := 0
	for after := ""; ; {
		page, err := p.memory.Scan(p.Context(), backend.KindKey, after, 100)
		p.ok("scan", err)
		n += len(page.Records)
		if after = page.Next; after == "" {
			return n
		}
	}
}

// TestASessionHasAsManyKeysAsItRemembers: whoever rotates a session on and on, or logs in with the same Idempotency-Key, leaves no record behind for each key. In
// some homes they would stay as long as the session.
func TestASessionHasAsManyKeysAsItRemembers(t *testing.T) {
	t.Parallel()
	const times = 3 * session.MaxRetiredKeys
	grace, allowed := time.Duration(0), true
	repeated := session.Login{User: "ada", Policy: "web", Vouched: true, IdempotencyKey: "the same request"}
	for name, c := range map[string]struct {
		login session.Login
		again func(p *pair, i session.Issued) (session.Issued, error)
		most  int
	}{
		"rotated": {session.Login{}, func(p *pair, i session.Issued) (session.Issued, error) {
			return p.a.Rotate(p.Context(), with(i))
		}, 1 + session.MaxRetiredKeys},
		"rotated, permanent": {session.Login{Permanent: true}, func(p *pair, i session.Issued) (session.Issued, error) {
			return p.a.Rotate(p.Context(), with(i))
		}, 1 + session.MaxRetiredKeys},
		"log-in repeated": {repeated, func(p *pair, _ session.Issued) (session.Issued, error) {
			return p.a.Login(p.Context(), operator, repeated)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			i := p.login(session.PolicyChange{RotateGrace: &grace, PermanentAllowed: &allowed}, c.login)
			first := i.ID
			for n := range times {
				p.clock.pass(time.Second)
				next, err := c.again(p, i)
				p.ok(fmt.Sprint("key ", n), err)
				if i = next; i.ID != first {
					t.Fatalf("key %d is of session %s, want %s", n, i.ID, first)
				}
			}
			for end := time.Now().Add(time.Minute); p.keys() > c.most; <-time.After(time.Millisecond) { // they go beside the requests
				if time.Now().After(end) {
					t.Fatalf("got %d records of keys, want at most %d", p.keys(), c.most)
				}
			}
			_, err := p.a.Check(t.Context(), with(i), true)
			p.ok("the last key", err)
		})
	}
}

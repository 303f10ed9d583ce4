package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// folderSession is what a client was told of a session that a server keeps in a folder.
type folderSession struct {
	key     string
	patches int  // acknowledged: the attribute n has at least this value
	ended   bool // a log-out was acknowledged
	unsure  bool // a log-out was sent, and no answer came
}

// folderClient makes sessions, changes them and ends them, one request at a time, and remembers what was acknowledged.
type folderClient struct {
	user     string
	sessions []*folderSession
	random   *rand.Rand
}

// run works until the server is gone.
func (c *folderClient) run(ctx context.Context, address, service string) error {
	l := newLine(address)
	defer l.close()
	for ctx.Err() == nil {
		alive := c.sessions
		if len(alive) < 3 || c.random.IntN(3) == 0 {
			a, err := l.do(vouch(service, c.user, nil))
			if err != nil {
				return nil
			}
			if a.status != http.StatusCreated {
				return fmt.Errorf("log in: %d %s", a.status, a.text)
			}
			c.sessions = append(c.sessions, &folderSession{key: a.body.Key})
			continue
		}
		s := alive[c.random.IntN(len(alive))]
		if s.ended || s.unsure {
			continue
		}
		if err := c.change(l, service, s); err != nil {
			return err
		}
	}
	return nil
}

// change patches or ends a session.
func (c *folderClient) change(l *line, service string, s *folderSession) error {
	if c.random.IntN(8) == 0 {
		s.unsure = true
		a, err := l.do(logOut(s.key))
		if err == nil && a.status != http.StatusNoContent {
			return fmt.Errorf("log out: %d %s", a.status, a.text)
		}
		s.ended = err == nil
		return nil
	}
	a, err := l.do(patch(service, s.key, "", fields{"n": s.patches + 1}))
	if err == nil && a.status != http.StatusOK {
		return fmt.Errorf("patch: %d %s", a.status, a.text)
	}
	if err == nil {
		s.patches++
	}
	return nil
}

// verify compares what the server says with what it has said before.
func (c *folderClient) verify(t *testing.T, l *line, s *folderSession) {
	t.Helper()
	a, err := l.do(look(s.key))
	switch {
	case err != nil:
		t.Error(err)
	case s.ended && a.status != http.StatusUnauthorized:
		t.Errorf("a session of %s whose log-out was acknowledged: %d %s", c.user, a.status, a.text)
	case s.ended || s.unsure && a.status == http.StatusUnauthorized:
	case a.status != http.StatusOK:
		t.Errorf("an acknowledged session of %s is lost: %d %s", c.user, a.status, a.text)
	default:
		if n, _ := a.body.Attributes["n"].(float64); int(n) != s.patches && int(n) != s.patches+1 {
			t.Errorf("after %d acknowledged patches of a session of %s its attribute is %v", s.patches, c.user, n)
		}
		n, _ := a.body.Attributes["n"].(float64)
		s.patches = int(n) // one whose answer was lost may have been made
	}
}

// TestKillsOfAServerWithAFolder kills a server that keeps its sessions in a folder at random moments of its writes. Nothing that was acknowledged is
// lost, and nothing that was ended comes back. HYDRASTORE_E2E_KILLS says how often.
func TestKillsOfAServerWithAFolder(t *testing.T) {
	t.Parallel()
	kills := count(t, "HYDRASTORE_E2E_KILLS", 40)
	if testing.Short() {
		kills = min(kills, 10)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	s := folderServer(t)
	var clients []*folderClient
	for i := range 8 {
		clients = append(clients, &folderClient{user: fmt.Sprint("user-", i), random: rand.New(rand.NewPCG(seed, uint64(i)+2))})
	}
	s.start()
	s.awaitReady()
	service := folderService(t, s)
	for range kills {
		workUntilKilled(t, s, clients, service, time.Duration(1+random.IntN(120))*time.Millisecond)
		s.start()
		s.awaitReady()
		l := newLine(s.api)
		for _, c := range clients {
			for _, one := range c.sessions[max(0, len(c.sessions)-10):] {
				c.verify(t, l, one)
			}
		}
		l.close()
		if t.Failed() {
			return
		}
	}
	l, total := newLine(s.api), 0
	defer l.close()
	for _, c := range clients {
		for _, one := range c.sessions {
			c.verify(t, l, one)
			total++
		}
	}
	t.Logf("%d kills, %d sessions", kills, total)
	s.terminate()
}

// folderServer is a place for a server that keeps its sessions in a folder.
func folderServer(t *testing.T) *server {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), changes: func(_ int, settings fields) {
		for _, name := range []string{"peer", "gossip", "cluster"} {
			delete(settings, name)
		}
	}}
	s := c.place()
	changes := c.changes
	c.changes = func(i int, settings fields) {
		changes(i, settings)
		settings["tokenizer"] = fields{"type": "local", "path": filepath.Join(s.dir, "tokens"), "timeout": 20, "safe_password": "abc123456abcdef"}
		settings["policies"] = fields{"default": fields{"touch_window_s": 0}}
	}
	c.configure(0, nil, 1)
	return s
}

// folderService logs a new service in.
func folderService(t *testing.T, s *server) string {
	t.Helper()
	l := newLine(s.api)
	defer l.close()
	must := func(want int, r request) answer {
		t.Helper()
		a, err := l.expect(want, r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	admin := must(http.StatusCreated, logIn(adminName, adminPassword)).body.Key
	must(http.StatusCreated, newUser(admin, "app", servicePassword, "service"))
	return must(http.StatusCreated, logIn("app", servicePassword)).body.Key
}

// workUntilKilled lets the clients work and kills the server in the midst of it.
func workUntilKilled(t *testing.T, s *server, clients []*folderClient, service string, after time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var work sync.WaitGroup
	for _, c := range clients {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := c.run(ctx, s.api, service); err != nil {
					t.Error(err)
				}
				if s.hasExited() {
					return
				}
			}
		})
	}
	<-time.After(after)
	s.kill()
	stop()
	work.Wait()
}

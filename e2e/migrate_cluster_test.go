package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

// mover runs hydrastore migrate and kills it.
type mover struct {
	t      *testing.T
	dir    string
	bin    string
	random *rand.Rand
	moves  int
	kills  int

	secrets []string // that no output may hold
}

// move kills the command at random moments, as often as said, while other may do harm, and then lets it run to its end, which must find n sessions.
func (m *mover) move(from, to string, n, attempts int, harm func()) {
	m.t.Helper()
	m.moves++
	start := func() *process {
		return startProcess(m.t, m.dir, fmt.Sprint("migrate-", m.moves), environment(), m.bin, "migrate", "--from", from, "--to", to)
	}
	begun, finished := time.Now(), false
	for range attempts {
		p := start()
		if harm != nil {
			harm()
		}
		<-time.After(time.Duration(20+m.random.IntN(20+n/10)) * time.Millisecond)
		if !p.hasExited() {
			m.kills++
		}
		p.kill()
		finished = strings.Contains(p.log(), "moved and verified")
	}
	p := start()
	p.mu.Lock()
	p.told = true // it ends by itself
	p.mu.Unlock()
	<-p.exited
	log := p.log()
	// One of the attempts may have come to its end before it was killed.
	if !strings.Contains(log, fmt.Sprintf("moved and verified: %d sessions", n)) ||
		p.cmd.ProcessState.ExitCode() != 0 && !(finished && strings.Contains(log, "was moved into the cluster before")) {
		m.t.Fatalf("from %s to %s after %d kills: %v\n%s", from, to, m.kills, p.cmd.ProcessState, log)
	}
	m.t.Logf("%d sessions from %s to %s in %v, %d kills so far", n, filepath.Base(from), filepath.Base(to), time.Since(begun).Round(time.Millisecond), m.kills)
	for _, secret := range append(m.secrets, "hs_") {
		if strings.Contains(log, secret) {
			m.t.Errorf("the command's output holds %q", secret)
		}
	}
}

// tokens are the keys of sessions, and what has become of each.
type tokens struct {
	keys  []string
	ended map[string]bool
}

// verify looks at some keys at every address; those that were ended must be.
func (k *tokens) verify(t *testing.T, random *rand.Rand, most int, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		l := newLine(address)
		for _, i := range random.Perm(len(k.keys))[:min(most, len(k.keys))] {
			want := http.StatusOK
			if k.ended[k.keys[i]] {
				want = http.StatusUnauthorized
			}
			if _, err := l.expect(want, look(k.keys[i])); err != nil {
				t.Fatalf("at %s, key %d: %v", address, i, err)
			}
		}
		l.close()
	}
}

// endSome logs some out.
func (k *tokens) endSome(t *testing.T, random *rand.Rand, n int, address string) {
	t.Helper()
	l := newLine(address)
	defer l.close()
	for _, i := range random.Perm(len(k.keys))[:n] {
		if _, err := l.expect(http.StatusNoContent, logOut(k.keys[i])); err != nil {
			t.Fatal(err)
		}
		k.ended[k.keys[i]] = true
	}
}

func (k *tokens) alive() int { return len(k.keys) - len(k.ended) }

// sessionsAt asks a node of a cluster, as its operator, how many sessions there are.
func sessionsAt(t *testing.T, s *server) int {
	t.Helper()
	out := command{args: []string{"cluster", "members", "-o", "json", "--socket", filepath.Join(s.dir, "operator.sock")}}.run(t)
	var status struct{ Sessions int }
	if err := json.Unmarshal([]byte(out.stdout), &status); err != nil || out.code != 0 {
		t.Fatalf("cluster members: %+v: %v", out, err)
	}
	return status.Sessions
}

// TestMovesThroughHomes: sessions go from a folder into a cluster, into Redis and into another cluster. Each time the command is killed again and again, and
// a member of the cluster with it. In the end every key is as good as it was, none opens that was logged out on the way, and none is there twice.
// HYDRASTORE_E2E_MOVED says how many there are.
func TestMovesThroughHomes(t *testing.T) {
	t.Parallel()
	n := count(t, "HYDRASTORE_E2E_MOVED", 3_000)
	redis := startRedis(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	m := &mover{t: t, dir: t.TempDir(), bin: mustBinary(t), random: random, secrets: []string{redistest.Password}}
	config := func(name string, settings fields) string {
		file := filepath.Join(m.dir, name)
		text, err := json.Marshal(settings)
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	folder := filepath.Join(m.dir, "folder")
	k := &tokens{keys: fillFolder(t, folder, n), ended: map[string]bool{}}
	first := config("folder.yaml", fields{"tokenizer": fields{"type": "local", "path": folder}})

	one := (&cluster{t: t, dir: t.TempDir(), noAdmin: true}).found(3)
	m.move(first, one.nodes[0].config, k.alive(), 3, func() { one.killAndRestart(1 + random.IntN(2)) })
	one.awaitReady()
	k.verify(t, random, 500, one.apis()...)
	k.endSome(t, random, 50, one.nodes[1].api)
	if got := sessionsAt(t, one.nodes[2]); got != k.alive() {
		t.Errorf("in the cluster: got %d sessions, want %d", got, k.alive())
	}

	host, port, err := net.SplitHostPort(redis.Address())
	if err != nil {
		t.Fatal(err)
	}
	tokenizer := fields{"type": "redis", "host": host, "port": port, "user": redistest.User, "password": redistest.Password,
		"options": fields{"ssl": true, "ssl_ca_file": redis.CAFile()}}
	middle := config("redis.yaml", fields{"tokenizer": tokenizer})
	m.move(one.nodes[0].config, middle, k.alive(), 3, func() { one.killAndRestart(1 + random.IntN(2)) })
	for _, s := range one.nodes {
		if err := expectOnce(s.api, http.StatusServiceUnavailable, look(k.keys[0])); err != nil {
			t.Errorf("%s of the closed cluster: %v", s.name, err)
		}
		out := command{args: []string{"cluster", "members", "--socket", filepath.Join(s.dir, "operator.sock")}}.run(t)
		if !strings.Contains(out.stdout, "CLOSED since ") || !strings.Contains(out.stdout, "hydrastore cluster open") {
			t.Errorf("%s of the closed cluster: cluster members says %+v", s.name, out)
		}
	}
	for _, s := range one.nodes {
		s.kill() // it is closed for good
	}
	over := (&cluster{t: t, dir: t.TempDir(), noAdmin: true, changes: func(_ int, settings fields) { stateless(settings, tokenizer) }}).found(1)
	k.verify(t, random, 500, over.apis()...)
	k.endSome(t, random, 50, over.nodes[0].api)
	over.nodes[0].terminate()

	two := (&cluster{t: t, dir: t.TempDir(), noAdmin: true}).found(3)
	m.move(middle, two.nodes[0].config, k.alive(), 3, func() { two.killAndRestart(1 + random.IntN(2)) })
	two.awaitReady()
	k.verify(t, random, len(k.keys), two.nodes[0].api)
	k.verify(t, random, 500, two.apis()...)
	for _, s := range two.nodes {
		if got := sessionsAt(t, s); got != k.alive() {
			t.Errorf("in the last cluster at %s: got %d sessions, want %d", s.name, got, k.alive())
		}
	}
	if m.kills < 3 {
		t.Errorf("only %d of 9 attempts were killed before their end: move more sessions", m.kills)
	}
}

// killAndRestart kills a member without warning and starts it again.
func (c *cluster) killAndRestart(i int) {
	c.t.Helper()
	c.nodes[i].kill()
	c.nodes[i].start()
}

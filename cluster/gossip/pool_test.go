package gossip_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/gossip"
	"github.com/hydrastore/hydrastore/e2e/leftover"
)

// TestMain fails the package when a goroutine outlives the pools that the tests shut down.
func TestMain(m *testing.M) { os.Exit(leftover.Verify(m)) }

// waitLimit bounds every wait for a fact.
const waitLimit = time.Minute

var (
	key1 = []byte("gossip-key-1-of-32-bytes--------")
	key2 = []byte("gossip-key-2-of-32-bytes--------")
)

// start starts a pool on a free loopback port and shuts it down with the test.
func start(t *testing.T, cfg gossip.Config) *gossip.Pool {
	t.Helper()
	if cfg.BindAddr == "" {
		cfg.BindAddr = "127.0.0.1:0"
	}
	if cfg.Label == "" {
		cfg.Label = "cluster-1"
	}
	cfg.Profile = gossip.Loopback
	p, err := gossip.Start(bounded(t), cfg)
	if err != nil {
		t.Fatalf("start gossip: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	return p
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

// until waits for events of p until ok, and looks now and then besides.
func until(t *testing.T, p *gossip.Pool, what string, ok func() bool) {
	t.Helper()
	limit := time.After(waitLimit)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-p.Events():
		case <-look.C:
		case <-limit:
			t.Fatalf("did not happen within %v: %s; members %v", waitLimit, what, p.Members())
		}
	}
}

// states spells the members of p as "a alive, b dead".
func states(p *gossip.Pool) string {
	var s []string
	for _, m := range p.Members() {
		s = append(s, m.Name+" "+string(m.State))
	}
	return strings.Join(s, ", ")
}

// member returns the member of p with the name, or none.
func member(p *gossip.Pool, name string) gossip.Member {
	for _, m := range p.Members() {
		if m.Name == name {
			return m
		}
	}
	return gossip.Member{}
}

// join makes p and to know each other: Join itself waits for p's side only.
func join(t *testing.T, p, to *gossip.Pool) {
	t.Helper()
	if n, err := p.Join(bounded(t), []string{to.Addr()}); n != 1 || err != nil {
		t.Fatalf("join: reached %d, %v", n, err)
	}
	name := nameOf(p)
	until(t, to, "the joined side knows "+name, func() bool { return member(to, name).State == gossip.Alive })
}

// nameOf returns the name under which p gossips.
func nameOf(p *gossip.Pool) string {
	for _, m := range p.Members() {
		if m.Addr == p.Addr() {
			return m.Name
		}
	}
	return ""
}

func TestMembersFindEachOther(t *testing.T) {
	t.Parallel()
	a := start(t, gossip.Config{Name: "a", Meta: []byte("meta-a"), Keyring: [][]byte{key1}})
	b := start(t, gossip.Config{Name: "b", Meta: []byte("meta-b"), Keyring: [][]byte{key1}})
	c := start(t, gossip.Config{Name: "c", Keyring: [][]byte{key1}})
	join(t, b, a)
	join(t, c, a)
	for _, p := range []*gossip.Pool{a, b, c} {
		until(t, p, "all three are alive", func() bool { return states(p) == "a alive, b alive, c alive" })
	}
	got := member(a, "b")
	if got.Addr != b.Addr() || string(got.Meta) != "meta-b" || got.Since.IsZero() {
		t.Errorf("b as a sees it: %+v", got)
	}
	if err := b.SetMeta(bounded(t), []byte("meta-b2")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "c sees b's new meta data", func() bool { return string(member(c, "b").Meta) == "meta-b2" })
	until(t, a, "probes are answered", func() bool { return member(a, "b").RTT > 0 })
	until(t, a, "three alive are counted, and nobody else", func() bool { // a busy machine may raise a suspicion for a moment
		s := a.Stats()
		return s.Alive == 3 && s.Left+s.Dead+s.Suspect == 0
	})
}

func TestLeaveIsNotDeath(t *testing.T) {
	t.Parallel()
	a, b := start(t, gossip.Config{Name: "a"}), start(t, gossip.Config{Name: "b", Meta: []byte("meta-b")})
	join(t, b, a)
	if err := b.Leave(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	until(t, a, "b has left", func() bool { return states(a) == "a alive, b left" })
	if got := string(member(a, "b").Meta); got != "meta-b" {
		t.Errorf("meta data of the node that left = %q, want what it had", got)
	}
	again := start(t, gossip.Config{Name: "b"}) // at another port
	join(t, again, a)
	until(t, a, "b is back at its new address", func() bool {
		return states(a) == "a alive, b alive" && member(a, "b").Addr == again.Addr()
	})
}

func TestSilentMemberIsSuspectThenDead(t *testing.T) {
	t.Parallel()
	a, b := start(t, gossip.Config{Name: "a"}), start(t, gossip.Config{Name: "b"})
	join(t, b, a)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	until(t, a, "b is suspect", func() bool { return a.Stats().Suspect == 1 })
	if got := states(a); got != "a alive, b alive" {
		t.Errorf("members = %s, want b alive while only suspect", got)
	}
	until(t, a, "b is dead", func() bool { return states(a) == "a alive, b dead" })
	if s := a.Stats(); s.Alive != 1 || s.Dead != 1 || s.Suspect != 0 {
		t.Errorf("stats = %+v, want one alive, one dead", s)
	}
	again := start(t, gossip.Config{Name: "b", BindAddr: b.Addr()})
	join(t, again, a)
	until(t, a, "b is back", func() bool { return states(a) == "a alive, b alive" })
}

// Two clusters given each other's addresses by mistake stay two.
func TestLabelsNeverMerge(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{"encrypted": {key1}, "open": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, gossip.Config{Name: "a", Label: "cluster-1", Keyring: keys})
			b := start(t, gossip.Config{Name: "b", Label: "cluster-1", Keyring: keys})
			x := start(t, gossip.Config{Name: "x", Label: "cluster-2", Keyring: keys})
			join(t, b, a)
			for _, pair := range [][2]*gossip.Pool{{x, a}, {a, x}, {b, x}} {
				if n, err := pair[0].Join(bounded(t), []string{pair[1].Addr()}); n != 0 || err == nil {
					t.Errorf("joined another cluster: reached %d, %v", n, err)
				}
			}
			until(t, a, "a and b gossip", func() bool { return member(a, "b").RTT > 0 })
			until(t, a, "a and b alone, and x alone", func() bool { return states(a)+"; "+states(x) == "a alive, b alive; x alive" })
		})
	}
}

func TestWrongKeyIsLeftOutAndNeverLogged(t *testing.T) {
	t.Parallel()
	var book logBook
	a := start(t, gossip.Config{Name: "a", Keyring: [][]byte{key1}, Logger: book.logger()})
	for name, keys := range map[string][][]byte{"another": {key2}, "none": nil} {
		b := start(t, gossip.Config{Name: "b", Keyring: keys, Logger: book.logger()})
		_, err := b.Join(bounded(t), []string{a.Addr()})
		if err == nil {
			t.Errorf("%s key: joined", name)
			continue
		}
		noKeys(t, err.Error())
	}
	until(t, a, "the intruders are logged", func() bool { return strings.Contains(book.String(), `"part":"gossip"`) })
	if got := states(a); got != "a alive" {
		t.Errorf("members = %s, want a alone", got)
	}
	noKeys(t, book.String())
}

func noKeys(t *testing.T, text string) {
	t.Helper()
	for _, key := range [][]byte{key1, key2} {
		for _, secret := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), fmt.Sprint(key)} {
			if strings.Contains(text, secret) {
				t.Errorf("a gossip key shows in %q", text)
			}
		}
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	a := start(t, gossip.Config{Name: "a", Keyring: [][]byte{key1}})
	b := start(t, gossip.Config{Name: "b", Keyring: [][]byte{key1}})
	join(t, b, a)
	both := []*gossip.Pool{a, b}
	if err := a.UseKey(key2); !errors.Is(err, gossip.ErrUnknownKey) {
		t.Errorf("use before install: %v, want ErrUnknownKey", err)
	}
	for _, step := range []func(*gossip.Pool) error{
		func(p *gossip.Pool) error { return p.InstallKey(key2) },
		func(p *gossip.Pool) error { return p.UseKey(key2) },
		func(p *gossip.Pool) error { return p.RemoveKey(key1) },
	} {
		for _, p := range both {
			if err := step(p); err != nil {
				t.Fatal(err)
			}
			join(t, a, b) // works between the steps too
		}
	}
	if err := a.RemoveKey(key2); !errors.Is(err, gossip.ErrKeyInUse) {
		t.Errorf("remove the key in use: %v, want ErrKeyInUse", err)
	}
	if keys := a.Keys(); len(keys) != 1 || string(keys[0]) != string(key2) {
		t.Errorf("%d keys left, want the second alone", len(keys))
	}
	old := start(t, gossip.Config{Name: "old", Keyring: [][]byte{key1}})
	if _, err := old.Join(bounded(t), []string{a.Addr()}); err == nil {
		t.Error("the removed key still opens the door")
	}
}

func TestOpenPoolHasNoKeys(t *testing.T) {
	t.Parallel()
	p := start(t, gossip.Config{Name: "a"})
	if err := p.InstallKey(key1); !errors.Is(err, gossip.ErrNotEncrypted) {
		t.Errorf("install: %v, want ErrNotEncrypted", err)
	}
	if keys := p.Keys(); keys != nil {
		t.Errorf("%d keys, want none", len(keys))
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := start(t, gossip.Config{Name: "a"})
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	if _, err := p.Join(ctx, []string{p.Addr()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want Canceled", err)
	}
}

func TestAfterShutdown(t *testing.T) {
	t.Parallel()
	p := start(t, gossip.Config{Name: "a"})
	for range 2 {
		if err := p.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	_, joinErr := p.Join(bounded(t), []string{p.Addr()})
	for what, err := range map[string]error{
		"join": joinErr, "leave": p.Leave(bounded(t)), "set meta": p.SetMeta(bounded(t), nil),
	} {
		if !errors.Is(err, gossip.ErrShutdown) {
			t.Errorf("%s: %v, want ErrShutdown", what, err)
		}
	}
}

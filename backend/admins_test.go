package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// court is three servers before one store, of which the first two are meddled with.
type court struct {
	*testing.T
	memory  *memory.Store
	storeA  *meddled
	storeB  *meddled
	a, b, c *backend.Service
}

func newCourt(t *testing.T) *court {
	t.Helper()
	c := &court{T: t, memory: memory.New(nil)}
	c.storeA, c.storeB = &meddled{Store: c.memory}, &meddled{Store: c.memory}
	config := backendtest.Config(t)
	config.SweepInterval = 1 << 40
	c.c = backendtest.Start(t, config, c.memory)
	c.a, c.b = backendtest.Start(t, config, c.storeA), backendtest.Start(t, config, c.storeB)
	return c
}

func (c *court) make(s *backend.Service, name string) {
	c.Helper()
	if _, err := s.CreateUser(c.Context(), operator, session.NewUser{Name: name, Password: "a long password", Roles: []session.Role{session.RoleAdmin}}); err != nil {
		c.Errorf("create %s: %v", name, err)
	}
}

// admins counts those who are.
func (c *court) admins() (n int) {
	c.Helper()
	list, err := c.c.ListUsers(c.Context(), operator, session.Page{})
	if err != nil {
		c.Fatal(err)
	}
	for _, u := range list.Items {
		if !u.Disabled && len(u.Roles) > 0 && u.Roles[0] == session.RoleAdmin {
			n++
		}
	}
	return n
}

func ends() map[string]func(c *court, s *backend.Service, name string) error {
	roles, yes := []session.Role{session.RoleUser}, true
	return map[string]func(c *court, s *backend.Service, name string) error{
		"demoted": func(c *court, s *backend.Service, name string) error {
			_, err := s.UpdateUser(c.Context(), operator, name, session.UserChange{Roles: &roles})
			return err
		},
		"disabled": func(c *court, s *backend.Service, name string) error {
			_, err := s.UpdateUser(c.Context(), operator, name, session.UserChange{Disabled: &yes})
			return err
		},
		"deleted": func(c *court, s *backend.Service, name string) error {
			_, err := s.DeleteUser(c.Context(), operator, name)
			return err
		},
	}
}

// TestAnAdminThatIsEnlistedLateIsNoAdminForOthers: one server is about to enlist an admin that it has made, another one is about to end that admin, and a third one
// ends the only other one meanwhile.
func TestAnAdminThatIsEnlistedLateIsNoAdminForOthers(t *testing.T) {
	t.Parallel()
	for name, end := range ends() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(t)
			waits, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			c.storeB.onNext("put", backend.KindUser, func() { close(waits); <-goOn })
			c.storeA.onNext("put", backend.KindCluster, func() { // the new admin stands in its record, and not yet in the list
				go func() { ended <- end(c, c.b, "ann") }()
				<-waits
			})
			c.make(c.a, "ann")
			last := end(c, c.c, "admin")
			close(goOn)
			if first := <-ended; (first == nil) == (last == nil) {
				t.Errorf("ann was ended with %v, admin with %v", first, last)
			} else if err := first; first == nil {
				c.wantLast(last)
			} else {
				c.wantLast(err)
			}
			if n := c.admins(); n != 1 {
				t.Errorf("%d admins are left", n)
			}
		})
	}
}

func (c *court) wantLast(err error) {
	c.Helper()
	if session.CodeOf(err) != session.CodeOf(session.ErrLastAdmin()) {
		c.Errorf("got %v, want %v", err, session.ErrLastAdmin())
	}
}

// TestAWriteThatIsLateEndsNoAdmin: a server has given up a write whose answer it does not know, and has enlisted the admin again. The write arrives after that, when another
// server has ended the other admin.
func TestAWriteThatIsLateEndsNoAdmin(t *testing.T) {
	t.Parallel()
	for name, end := range ends() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(t)
			c.make(c.c, "ann")
			late := &delayed{Store: c.memory, kind: backend.KindUser}
			config := backendtest.Config(t)
			config.SweepInterval = 1 << 40
			slow := backendtest.Start(t, config, late)
			late.arm()
			if err := end(c, slow, "ann"); session.CodeOf(err) != session.CodeOutcomeUnknown {
				t.Fatalf("a write whose answer is lost: %v", err)
			}
			if err := end(c, c.c, "admin"); err != nil {
				c.wantLast(err)
			}
			late.deliver(t)
			if n := c.admins(); n < 1 {
				t.Errorf("%d admins are left", n)
			}
			// Whoever is one stands among them again after a sweep, and can be relied on.
			if err := c.c.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.make(c.c, "eve")
			for _, admin := range []string{"admin", "ann"} {
				if err := end(c, c.c, admin); err != nil && session.CodeOf(err) != session.CodeNotFound {
					t.Errorf("end %s: %v", admin, err)
				}
			}
			c.wantLast(end(c, c.c, "eve"))
		})
	}
}

// TestSomebodyStaysAdmin makes, promotes and ends admins at random, at servers whose stores lose answers, and counts them each time that nothing is under way.
func TestSomebodyStaysAdmin(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := newCourt(t)
	config := backendtest.Config(t)
	config.SweepInterval = 20 * time.Millisecond
	var servers []*backend.Service
	for n := range uint64(3) {
		servers = append(servers, backendtest.Start(t, config, &unreliable{Store: &slow{c.memory}, random: rand.New(rand.NewPCG(seed, n))}))
	}
	names := []string{"admin", "ann"}
	for round := range 40 {
		var work sync.WaitGroup
		for w := range 6 {
			work.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(round*6+w)+10))
				name, s := names[random.IntN(len(names))], servers[random.IntN(len(servers))]
				if random.IntN(2) == 0 {
					_, _ = s.CreateUser(t.Context(), operator, session.NewUser{Name: name, Roles: []session.Role{session.RoleAdmin}})
					enabled, roles := false, []session.Role{session.RoleAdmin}
					_, _ = s.UpdateUser(t.Context(), operator, name, session.UserChange{Disabled: &enabled, Roles: &roles})
					return
				}
				for _, end := range ends() {
					_ = end(c, s, name)
					return
				}
			})
		}
		work.Wait()
		if n := c.admins(); n == 0 {
			t.Fatalf("nobody is an admin after round %d", round)
		}
	}
}

// slow is a store whose calls take a moment, so that requests come between each other's.
type slow struct{ backend.Store }

func (s *slow) pause() { <-time.After(rand.N(300 * time.Microsecond)) }

func (s *slow) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	s.pause()
	return s.Store.Get(ctx, names...)
}

func (s *slow) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	s.pause()
	return s.Store.Put(ctx, name, value, was, expires)
}

// TestAdminsAreBounded: their names stand in one record with the policies, which must always have room.
func TestAdminsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	name := backend.Name{Kind: backend.KindCluster, ID: "cluster"}
	got, err := p.memory.Get(t.Context(), name)
	p.ok("read the cluster's record", err)
	r := map[string]any{}
	p.ok("decode it", json.Unmarshal(got.Records[0].Value, &r))
	long := strings.Repeat("a", session.MaxUserNameBytes-3)
	var admins []string
	for i := range backend.MaxAdmins - 1 {
		admins = append(admins, fmt.Sprintf("%03d", i)+long)
	}
	r["admins"] = admins
	value, err := json.Marshal(r)
	p.ok("encode it", err)
	_, err = p.memory.Put(t.Context(), name, value, got.Records[0].Version, time.Time{})
	p.ok("write it", err)

	admin := []session.Role{session.RoleAdmin}
	_, err = p.a.CreateUser(t.Context(), operator, session.NewUser{Name: "last", Roles: admin})
	p.ok("the last one that fits", err)
	_, err = p.a.CreateUser(t.Context(), operator, session.NewUser{Name: "more", Roles: admin})
	p.wantCode("one more", err, session.CodeTooLarge)
	_, err = p.a.CreateUser(t.Context(), operator, session.NewUser{Name: "user", Roles: []session.Role{session.RoleUser}})
	p.ok("a user", err)
	_, err = p.a.UpdateUser(t.Context(), operator, "user", session.UserChange{Roles: &admin})
	p.wantCode("a user that becomes one", err, session.CodeTooLarge)
	for _, disabled := range []bool{true, false} {
		_, err = p.a.UpdateUser(t.Context(), operator, "user", session.UserChange{Disabled: &disabled})
		p.ok("a user that is disabled and enabled", err)
	}
	_, err = p.a.UpdateUser(t.Context(), operator, "last", session.UserChange{Roles: &admin})
	p.ok("one that stays one", err)
	for i := range session.MaxPolicies - 1 {
		_, err := p.a.PutPolicy(t.Context(), operator, fmt.Sprintf("%03d", i)+strings.Repeat("p", 61), session.PolicyChange{})
		p.ok("put policy", err)
	}
}

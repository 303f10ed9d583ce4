package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLogoutHoldsEverywhere ends sessions in every way there is, while they are used and changed at all nodes. From the answer on no
// node accepts the key, and nothing that was under way brings it back.
func TestLogoutHoldsEverywhere(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	ways := map[string]func(s body) (request, int){
		"log out":              func(s body) (request, int) { return logOut(s.Key), http.StatusNoContent },
		"by a service":         func(s body) (request, int) { r := logOut(service); r.subject = s.Key; return r, http.StatusNoContent },
		"by id":                func(s body) (request, int) { return remove("/v1/sessions/"+s.ID, admin), http.StatusNoContent },
		"all of a user":        func(s body) (request, int) { return remove("/v1/users/"+s.User+"/sessions", admin), http.StatusOK },
		"by filter":            func(s body) (request, int) { return remove("/v1/sessions?user="+s.User, admin), http.StatusOK },
		"by deleting the user": func(s body) (request, int) { return remove("/v1/users/"+s.User, admin), http.StatusNoContent },
		"by disabling the user": func(s body) (request, int) {
			return request{method: http.MethodPatch, path: "/v1/users/" + s.User, key: admin, body: fields{"disabled": true}}, http.StatusOK
		},
	}
	const rounds = 12
	var wg sync.WaitGroup
	for place, way := range slices.Sorted(maps.Keys(ways)) {
		wg.Go(func() {
			for round := range rounds {
				user := "u" + strconv.Itoa(place) + "-" + strconv.Itoa(round)
				if err := c.endWhileUsed(service, admin, user, place+round, ways[way]); err != nil {
					t.Errorf("%s: %v", way, err)
				}
			}
		})
	}
	wg.Wait()
}

func remove(path, key string) request {
	return request{method: http.MethodDelete, path: path, key: key}
}

// endWhileUsed makes a session, has it used at all nodes, ends it, and asks every node before and after the uses have ceased.
func (c *cluster) endWhileUsed(service, admin, user string, at int, end func(body) (request, int)) error {
	lines := c.lines()
	defer closeAll(lines)
	if _, err := lines[at%3].expect(http.StatusCreated, newUser(admin, user, userPassword, "user")); err != nil {
		return err
	}
	issued, err := lines[(at+1)%3].expect(http.StatusCreated, vouch(service, user, nil))
	if err != nil {
		return err
	}
	uses := c.use(service, issued.body.Key)
	defer uses.stop()
	uses.await()
	r, want := end(issued.body)
	if _, err := lines[(at+2)%3].expect(want, r); err != nil {
		return err
	}
	uses.ended.Store(true)
	if err := refusedEverywhere(lines, issued.body.Key); err != nil {
		return err
	}
	if err := uses.stop(); err != nil {
		return err
	}
	return refusedEverywhere(lines, issued.body.Key)
}

func refusedEverywhere(lines []*line, key string) error {
	for _, l := range lines {
		if _, err := l.expect(http.StatusUnauthorized, check(key)); err != nil {
			return err
		}
	}
	return nil
}

// uses is a session being touched and changed at every node.
type uses struct {
	ended  atomic.Bool // its end was acknowledged
	good   atomic.Int64
	failed chan error
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (c *cluster) use(service, key string) *uses {
	ctx, cancel := context.WithCancel(c.t.Context())
	u := &uses{failed: make(chan error, 2*len(c.nodes)), cancel: cancel}
	for _, s := range c.nodes {
		for _, r := range []request{touch(key), patch(service, key, "", fields{"seen": true})} {
			u.wg.Go(func() {
				l := newLine(s.api)
				defer l.close()
				for ctx.Err() == nil {
					if err := u.once(l, r); err != nil {
						u.failed <- err
						return
					}
				}
			})
		}
	}
	return u
}

// once uses the session; one that was ended before may not be used.
func (u *uses) once(l *line, r request) error {
	ended := u.ended.Load()
	a, err := l.do(r)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusOK && ended:
		return fmt.Errorf("%s %s at %s succeeds after the end of the session", r.method, r.path, l.address)
	case a.status != http.StatusOK && a.status != http.StatusUnauthorized:
		return fmt.Errorf("%s %s at %s: %d %s", r.method, r.path, l.address, a.status, a.text)
	case a.status == http.StatusOK:
		u.good.Add(1)
	}
	return nil
}

// await waits until the session has been used a few times, or until something failed.
func (u *uses) await() {
	for u.good.Load() < 6 && len(u.failed) == 0 {
		time.Sleep(time.Millisecond)
	}
}

// stop ends the uses and returns what went wrong first. It may be called again.
func (u *uses) stop() error {
	u.cancel()
	u.wg.Wait()
	select {
	case err := <-u.failed:
		return err
	default:
		return nil
	}
}

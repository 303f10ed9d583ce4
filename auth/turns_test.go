package auth_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

func at(address string) netip.Addr { return netip.MustParseAddr(address) }

// order makes callers wait, one after the other, behind one that has the only place, and returns in which order they got it.
func order(t *testing.T, waiting int, addresses ...string) (served []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		turns := auth.NewTurns(1, waiting)
		first, err := turns.Wait(t.Context(), at("198.51.100.1"), "first")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		for i, a := range addresses {
			go func() {
				done, err := turns.Wait(t.Context(), at(a), fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					if session.CodeOf(err) != session.CodeOverloaded {
						t.Errorf("got %v, want overloaded", err)
					}
					served = append(served, fmt.Sprintf("refused %d", i))
					return
				}
				served = append(served, fmt.Sprint(i))
				go done()
			}()
			synctest.Wait()
		}
		first()
		synctest.Wait()
		if n := turns.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
	return served
}

func TestTurnsGoRoundTheNetworks(t *testing.T) {
	t.Parallel()
	const flood, good = "192.0.2.1", "192.0.2.2"
	for name, c := range map[string]struct {
		waiting   int
		addresses []string
		want      string
	}{
		"one network, in order":             {9, []string{flood, flood, flood}, "[0 1 2]"},
		"another one need not wait for all": {9, []string{flood, flood, flood, flood, good}, "[0 4 1 2 3]"},
		"a /64 of IPv6 is one":              {9, []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"}, "[0 3 1 2]"},
		"v4-mapped is v4":                   {9, []string{flood, flood, "::ffff:192.0.2.1", good}, "[0 3 1 2]"},
		"the longest line makes way":        {3, []string{flood, flood, flood, good}, "[refused 2 0 3 1]"},
		"but not for itself":                {3, []string{flood, flood, flood, flood}, "[refused 3 0 1 2]"},
		"nor for one that waits as long":    {3, []string{flood, flood, good, good}, "[refused 3 0 2 1]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fmt.Sprint(order(t, c.waiting, c.addresses...)); got != c.want {
				t.Errorf("served %s, want %s", got, c.want)
			}
		})
	}
}

func TestWhoLeavesTakesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := auth.NewTurns(1, 10)
		first, err := turns.Wait(t.Context(), netip.Addr{}, "ann")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.Wait(ctx, at("192.0.2.1"), "ann"); err != context.DeadlineExceeded {
			t.Fatalf("got %v", err)
		}
		first()
		first() // a second call is none
		second, err := turns.Wait(t.Context(), at("192.0.2.1"), "bob")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := turns.Wait(ctx, at("192.0.2.1"), "ann"); err == nil {
			t.Fatal("two have the only place")
		}
		second()
	})
}

// Whatever comes and goes, no more than the places are taken at once, and none is lost.
func TestPlacesAreNeitherLostNorMultiplied(t *testing.T) {
	t.Parallel()
	const places = 3
	turns := auth.NewTurns(places, 20)
	slots := make(chan struct{}, places)
	var work sync.WaitGroup
	for i := range 40 {
		work.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j%5)*time.Microsecond*50)
				done, err := turns.Wait(ctx, netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 7)}), fmt.Sprint(i%11))
				cancel()
				if err != nil {
					continue
				}
				select {
				case slots <- struct{}{}:
					<-slots
				default:
					t.Error("too many at once")
				}
				done()
			}
		})
	}
	work.Wait()
	for i := range places {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := turns.Wait(ctx, netip.Addr{}, fmt.Sprint(i)); err != nil {
			t.Fatalf("a place is lost: %v", err)
		}
		cancel()
	}
}

// Many right log-ins of one user at once must not use up what the throttle allows: they come one after the other.
func TestOneCheckAtATimeOfAUserFromANetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := auth.NewTurns(4, 10)
		wait := func(address, user string) func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			done, err := turns.Wait(ctx, at(address), user)
			if err != nil {
				return nil
			}
			return done
		}
		first := wait("2001:db8::1", "ann")
		if wait("2001:db8::2", "ann") != nil {
			t.Error("two checks of one user go on")
		}
		if wait("2001:db8::1", "bob") == nil || wait("192.0.2.1", "ann") == nil {
			t.Error("another user, or another network, waits")
		}
		next := make(chan func(), 1)
		go func() { next <- wait("2001:db8::2", "ann") }()
		synctest.Wait()
		first()
		if done := <-next; done == nil {
			t.Error("the next one was not let on")
		}
	})
}

// A user is busy from the beginning of a turn to its end, at its network and nowhere else.
func TestBusyTellsWhoseCheckGoesOn(t *testing.T) {
	t.Parallel()
	turns := auth.NewTurns(2, 2)
	here, near, away := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8:0:1::1")
	done, err := turns.Wait(t.Context(), here, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if !turns.Busy(near, "ada") || turns.Busy(away, "ada") || turns.Busy(here, "bob") {
		t.Error("another's check goes on, or not this one")
	}
	done()
	done()
	if turns.Busy(here, "ada") {
		t.Error("the check goes on after its end")
	}
}

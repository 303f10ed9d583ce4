package auth

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Turns lets a bounded number of password checks go on at once and a bounded number wait, fairly by where they come from: each
// network in turn gets the next place, however many wait behind it, and when all places to wait are taken a network with few
// takes one from the network with the most. So who floods a node with wrong passwords waits for himself. Of one user from one
// network only one check goes on at a time: what is under way is not known to be wrong, so it must not use up what
// the login throttle allows. Safe for concurrent use.
type Turns struct {
	mu      sync.Mutex
	free    int // places that nobody has
	waiting int
	most    int
	lines   []*line              // those with waiters; the first one's turn is next
	busy    map[subject]struct{} // whose checks are going on
}

// subject is whose password is checked, and from where.
type subject struct {
	network netip.Addr
	user    string
}

// line holds the callers of one network, in the order of their coming.
type line struct {
	network netip.Addr
	callers []*caller
}

type caller struct {
	subject
	turn chan bool // capacity 1: true = go on, false = gave way
}

// NewTurns makes Turns with so many places at once and so many to wait in; both are at least 1.
func NewTurns(atOnce, waiting int) *Turns {
	return &Turns{free: max(1, atOnce), most: max(1, waiting), busy: map[subject]struct{}{}}
}

// Wait waits for a turn to check user's password from address. done must be called once after it. Errors: session.CodeOverloaded
// when too many wait, ctx's error.
func (t *Turns) Wait(ctx context.Context, address netip.Addr, user string) (done func(), err error) {
	c := &caller{subject: subject{NetworkOf(address), user}, turn: make(chan bool, 1)}
	if err := t.enter(c); err != nil {
		return nil, err
	}
	select {
	case goOn := <-c.turn:
		if !goOn {
			return nil, errTooManyWait()
		}
		return sync.OnceFunc(func() { t.done(c) }), nil
	case <-ctx.Done():
		if !t.leave(c) && <-c.turn {
			t.done(c) // the turn came in the same moment
		}
		return nil, ctx.Err()
	}
}

// Busy tells whether a check of this user's password from the network of address is going on.
func (t *Turns) Busy(address netip.Addr, user string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, busy := t.busy[subject{NetworkOf(address), user}]
	return busy
}

// Waiting tells how many wait now.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}

func errTooManyWait() error {
	return &session.Error{Code: session.CodeOverloaded, Message: "too many log-ins are waiting for their password check", RetryAfter: time.Second}
}

// enter gives c a turn, or a place to wait.
func (t *Turns) enter(c *caller) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mayGoLocked(c) {
		t.goLocked(c)
		return nil
	}
	if t.waiting >= t.most && !t.makeWayLocked(c.network) {
		return errTooManyWait()
	}
	l := t.lineLocked(c.network)
	if l == nil {
		l = &line{network: c.network}
		t.lines = append(t.lines, l)
	}
	l.callers = append(l.callers, c)
	t.waiting++
	return nil
}

func (t *Turns) mayGoLocked(c *caller) bool {
	_, busy := t.busy[c.subject]
	return t.free > 0 && !busy
}

func (t *Turns) goLocked(c *caller) {
	t.free--
	t.busy[c.subject] = struct{}{}
	c.turn <- true
}

func (t *Turns) lineLocked(network netip.Addr) *line {
	i := slices.IndexFunc(t.lines, func(l *line) bool { return l.network == network })
	if i < 0 {
		return nil
	}
	return t.lines[i]
}

// makeWayLocked sends the last caller of the longest line away, if that line stays longer than the one of network even so.
func (t *Turns) makeWayLocked(network netip.Addr) bool {
	longest := slices.MaxFunc(t.lines, func(a, b *line) int { return len(a.callers) - len(b.callers) })
	own := 0
	if l := t.lineLocked(network); l != nil {
		own = len(l.callers)
	}
	if len(longest.callers) <= own+1 {
		return false
	}
	last := longest.callers[len(longest.callers)-1]
	t.removeLocked(last)
	last.turn <- false
	return true
}

// removeLocked takes a waiting caller out; false when it waits no more.
func (t *Turns) removeLocked(c *caller) bool {
	l := t.lineLocked(c.network)
	if l == nil {
		return false
	}
	i := slices.Index(l.callers, c)
	if i < 0 {
		return false
	}
	l.callers = slices.Delete(l.callers, i, i+1)
	t.waiting--
	if len(l.callers) == 0 {
		t.lines = slices.DeleteFunc(t.lines, func(o *line) bool { return o == l })
	}
	return true
}

func (t *Turns) leave(c *caller) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removeLocked(c)
}

// done hands c's place on to the network whose turn it is.
func (t *Turns) done(c *caller) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	delete(t.busy, c.subject)
	for t.nextLocked() {
	}
}

// nextLocked lets the first caller go on whose turn it is, if there is one.
func (t *Turns) nextLocked() bool {
	for i, l := range t.lines {
		for _, c := range l.callers {
			if t.mayGoLocked(c) {
				t.lines = append(slices.Delete(t.lines, i, i+1), l)
				t.removeLocked(c)
				t.goLocked(c)
				return true
			}
		}
	}
	return false
}

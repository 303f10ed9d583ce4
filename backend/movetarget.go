package backend

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// movedStay is how long a session's record stays at least that a move has written, so that it is there when the move is verified: some stores drop at once
// what has ended, and a move may take hours.
const movedStay = 24 * time.Hour

// MoveStore lets a store be moved from and to. A store into which a move is not complete serves nobody, and nothing is moved from it. Idempotency-Keys,
// challenges and the counters of wrong passwords, minutes old at most, are not moved.
func MoveStore(s Store) portable.Target { return &storeMove{store: newPasts(s, rand.Reader)} }

// storeMove is one side of one move.
type storeMove struct {
	store *pasts

	begun    bool    // it is the target
	complete bool    // an earlier move into it is: what is there may have been changed since, and is compared only
	repeated bool    // an earlier move into it is not
	moving   Version // of this move's own note that it is under way
	at       time.Time

	cluster   *clusterRecord
	clusterAt Version
	arrivals  arrivals
}

// Begun tells whether the store may hold what is moved, from this move or an earlier one.
func (m *storeMove) Begun() bool { return m.begun }

// Underway tells whether this move has begun to write, and is not verified.
func (m *storeMove) Underway() bool { return m.moving != "" }

// movingRecord says that a move into the store is not complete.
type movingRecord struct {
	header
	AtMS int64 `json:"at_ms"` // when it began; a repeated one judges by it as well which sessions have ended
}

var (
	errOtherHome   = errors.New("the target holds other sessions, users or policies already: move into an empty one")
	errMovedBefore = errors.New("the target was moved into before, and one of the two has changed since: nothing was overwritten; move into an empty one")
	errTargetUsed  = errors.New("the target changes meanwhile: stop its servers, and every other move into it, and move again")
)

// Begin implements portable.Target.
func (m *storeMove) Begin(ctx context.Context, c *portable.Cluster) (time.Time, error) {
	cluster, err := clusterOf(c)
	if err != nil {
		return time.Time{}, err
	}
	if err := mayHold(m.store.Features(), c.Limits, cluster); err != nil {
		return time.Time{}, err
	}
	got, err := m.store.Get(ctx, movingName(), clusterName())
	if err != nil {
		return time.Time{}, err
	}
	moving, there := got.Records[0], got.Records[1]
	if there.Version != "" {
		var before clusterRecord
		if err := decode(there.Value, &before); err != nil {
			return time.Time{}, err
		}
		if before.ID != c.ID {
			return time.Time{}, errOtherHome
		}
	}
	m.begun, m.at, m.cluster = true, got.Now, cluster
	if m.complete = moving.Version == "" && there.Version != ""; m.complete {
		return m.at, nil
	}
	if err := m.note(ctx, moving); err != nil {
		return time.Time{}, err
	}
	m.clusterAt, err = m.put(ctx, clusterName(), cluster, there.Version, time.Time{})
	return m.at, err
}

// note notes that a move into the store is under way, this one and from here on no other. One that is repeated keeps its time, unless that is so long ago that
// stores may have dropped what has ended since.
func (m *storeMove) note(ctx context.Context, moving Record) error {
	m.at = m.at.Truncate(time.Millisecond)
	if m.repeated = moving.Version != ""; m.repeated {
		var before movingRecord
		if err := decode(moving.Value, &before); err != nil {
			return err
		}
		if begun := instant(before.AtMS); m.at.Sub(begun) < movedStay/2 {
			m.at = begun
		}
	}
	value, err := encode(&movingRecord{AtMS: m.at.UnixMilli()})
	if err != nil {
		return err
	}
	if m.moving, err = m.store.Put(ctx, movingName(), value, moving.Version, time.Time{}); errors.Is(err, ErrChanged) {
		return errTargetUsed
	}
	return err
}

// isNoted refuses to go on where another move has begun since, which may be complete by now and its sessions in use.
func (m *storeMove) isNoted(moving Version) error {
	if moving != m.moving {
		return errTargetUsed
	}
	return nil
}

// stillNoted asks for it.
func (m *storeMove) stillNoted(ctx context.Context) error {
	moving, _, err := isMoving(ctx, m.store)
	if err != nil {
		return err
	}
	return m.isNoted(moving)
}

// mayHold tells what a home of these features cannot keep.
func mayHold(f Features, limits portable.Limits, c *clusterRecord) error {
	if err := f.supportsLimit(limits.MaxSessions); err != nil {
		return err
	}
	if len(c.Policies) > session.MaxPolicies || len(c.Seals) > session.MaxSealKeys {
		return fmt.Errorf("the source has %d policies and %d seal keys; there are at most %d and %d", len(c.Policies), len(c.Seals), session.MaxPolicies, session.MaxSealKeys)
	}
	past, names := map[string]int{}, map[string]bool{}
	for _, p := range c.Past {
		past[p.Name]++
	}
	for _, p := range c.Policies {
		if err := f.supports(p); err != nil {
			return err
		}
		if names[p.Name] {
			return fmt.Errorf("the source has the policy %q twice", p.Name)
		}
		if names[p.Name] = true; past[p.Name] > maxPast {
			return fmt.Errorf("policy %q was changed too often: %d earlier forms of it are in force, and where sessions are kept in %s there are at most %d; make another policy", p.Name, past[p.Name], f.Name, maxPast)
		}
	}
	return nil
}

// Take implements portable.Target.
func (m *storeMove) Take(ctx context.Context, page []portable.Record) error {
	if m.complete {
		return nil // Done compares
	}
	for part := range slices.Chunk(page, MaxGet-1) {
		names := make([]Name, len(part), len(part)+1)
		for i, r := range part {
			names[i] = nameOf(r)
		}
		there, err := m.store.Get(ctx, append(names, movingName())...)
		if err != nil {
			return err
		}
		if err := m.isNoted(there.Records[len(part)].Version); err != nil {
			return err
		}
		if err := m.takePart(ctx, part, there); err != nil {
			return err
		}
	}
	return nil
}

// nameOf is what a user or a session is found by here.
func nameOf(r portable.Record) Name {
	if r.User != nil {
		return userName(r.User.Name)
	}
	return sessionName(r.Session.ID)
}

// takePart writes records beside each other.
func (m *storeMove) takePart(ctx context.Context, part []portable.Record, there Snapshot) error {
	for _, r := range part {
		if err := m.arrivals.add(r); err != nil {
			return err
		}
	}
	return sideBySide(len(part), func(i int) error {
		if r := part[i]; r.User != nil {
			return m.takeUser(ctx, r.User, there.Records[i])
		}
		return m.takeSession(ctx, part[i].Session, there.Records[i], there.Now)
	})
}

// sideBySide calls f for 0 to n-1, at most MaxGet at once, and answers with the first error of the first that fail.
func sideBySide(n int, f func(i int) error) error {
	errs := make([]error, n)
	for from := 0; from < n; from += MaxGet {
		var work sync.WaitGroup
		for i := from; i < min(from+MaxGet, n); i++ {
			work.Go(func() { errs[i] = f(i) })
		}
		work.Wait()
		for _, err := range errs[from:min(from+MaxGet, n)] {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// takeUser writes a user. Its list, which an earlier move may have brought, is for Done.
func (m *storeMove) takeUser(ctx context.Context, p *portable.User, there Record) error {
	u, err := userOf(p)
	if err != nil {
		return err
	}
	if there.Version != "" {
		var before userRecord
		if err := decode(there.Value, &before); err != nil {
			return err
		}
		u.Sessions, u.PruneAt = before.Sessions, before.PruneAt
	}
	if value, err := encode(u); err != nil || bytes.Equal(value, there.Value) {
		return err
	}
	_, err = m.put(ctx, userName(p.Name), u, there.Version, time.Time{})
	return named(err, "user %q", p.Name)
}

// takeSession writes a session, unless this move, or the one that it repeats, has brought it. Its keys' records come first: so where a session is, they are.
func (m *storeMove) takeSession(ctx context.Context, p *portable.Session, there Record, now time.Time) error {
	rec, err := sessionOf(p)
	if err != nil {
		return named(err, "session %s", p.ID)
	}
	if same, err := m.brought(rec, there); err != nil || same {
		return err
	}
	expires := rec.expires()
	if earliest := now.Add(movedStay); !expires.IsZero() && expires.Before(earliest) {
		expires = earliest
	}
	rec.MadeMS, rec.KeysUntilMS = now.UnixMilli(), keysUntil(expires)
	for _, name := range rec.keyNames() {
		if err := m.putKey(ctx, name, rec, p.ID); err != nil {
			return err
		}
	}
	_, err = m.put(ctx, sessionName(p.ID), rec, there.Version, expires)
	return named(err, "session %s", p.ID)
}

// brought tells whether what is there is this very session, and stays long enough.
func (m *storeMove) brought(rec *sessionRecord, there Record) (bool, error) {
	if there.Version == "" {
		return false, nil
	}
	var before sessionRecord
	if err := decode(there.Value, &before); err != nil {
		return false, err
	}
	if before.MadeMS < m.at.UnixMilli() {
		return false, nil
	}
	wanted := *rec
	wanted.MadeMS, wanted.KeysUntilMS = before.MadeMS, before.KeysUntilMS
	value, err := encode(&wanted)
	return bytes.Equal(value, there.Value), err
}

// putKey writes where a key leads. Most often there is nothing yet.
func (m *storeMove) putKey(ctx context.Context, name Name, rec *sessionRecord, id session.ID) error {
	var until time.Time
	if rec.KeysUntilMS != 0 {
		until = instant(rec.KeysUntilMS)
	}
	value, err := encode(&keyRecord{User: rec.User, Session: id, UntilMS: rec.KeysUntilMS})
	if err != nil {
		return err
	}
	if _, err = m.store.Put(ctx, name, value, "", until); !errors.Is(err, ErrChanged) {
		return err
	}
	there, err := m.store.Get(ctx, name)
	if err != nil || bytes.Equal(there.Records[0].Value, value) {
		return err
	}
	_, err = m.replace(ctx, name, value, there.Records[0].Version, until)
	return err
}

// put writes a record over the one that was read.
func (m *storeMove) put(ctx context.Context, name Name, r formatted, was Version, expires time.Time) (Version, error) {
	value, err := encode(r)
	if err != nil {
		return "", err
	}
	if len(value) > MaxValueBytes && name != clusterName() { // which is written in parts
		return "", fmt.Errorf("it has %d bytes, and a record has at most %d where sessions are kept in %s", len(value), MaxValueBytes, m.store.Features().Name)
	}
	return m.replace(ctx, name, value, was, expires)
}

// replace writes a record over the one that was read, or over nothing if the store has dropped that one since.
func (m *storeMove) replace(ctx context.Context, name Name, value []byte, was Version, expires time.Time) (Version, error) {
	version, err := m.store.Put(ctx, name, value, was, expires)
	if errors.Is(err, ErrChanged) && was != "" {
		was = ""
		version, err = m.store.Put(ctx, name, value, was, expires)
	}
	for range mostLost {
		if was != "" || session.CodeOf(err) != session.CodeOutcomeUnknown {
			break
		}
		version, err = m.makeAgain(ctx, name, value, expires)
	}
	if errors.Is(err, ErrChanged) {
		return "", errTargetUsed
	}
	return version, err
}

// makeAgain makes a record of which nobody knows whether it was made: a store makes a session's once. Here that does no harm: nobody ends one while it is moved.
func (m *storeMove) makeAgain(ctx context.Context, name Name, value []byte, expires time.Time) (Version, error) {
	there, err := m.store.Get(ctx, name)
	if err != nil {
		return "", err
	}
	if r := there.Records[0]; bytes.Equal(r.Value, value) {
		return r.Version, nil
	}
	version, err := m.store.Put(ctx, name, value, "", expires)
	if !errors.Is(err, ErrChanged) {
		return version, err
	}
	if there, err = m.store.Get(ctx, name); err != nil { // the first may have come in between
		return "", err
	}
	if r := there.Records[0]; bytes.Equal(r.Value, value) {
		return r.Version, nil
	}
	return "", ErrChanged
}

// named says whose error it is.
func named(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// Done implements portable.Target: it brings the target to what the source has, or compares where an earlier move was complete.
func (m *storeMove) Done(ctx context.Context, t *portable.Tally) error {
	if m.complete {
		return m.compare(ctx, t)
	}
	if err := m.writeLists(ctx); err != nil {
		return err
	}
	if m.repeated {
		if err := m.dropOthers(ctx); err != nil {
			return err
		}
	}
	if err := m.stillNoted(ctx); err != nil {
		return err
	}
	m.cluster.Admins = m.arrivals.admins
	slices.Sort(m.cluster.Admins)
	m.arrivals = arrivals{}
	if _, err := m.put(ctx, clusterName(), m.cluster, m.clusterAt, time.Time{}); err != nil || !m.repeated {
		return err
	}
	return m.store.sweep(ctx)
}

func (m *storeMove) compare(ctx context.Context, moved *portable.Tally) error {
	there := &portable.Tally{}
	if err := m.Each(ctx, there.Add); err != nil {
		return err
	}
	if !there.Equal(moved) {
		return errMovedBefore
	}
	return nil
}

// Verified implements portable.Target: servers may use the store now.
func (m *storeMove) Verified(ctx context.Context) error {
	if m.complete {
		return nil
	}
	err := m.store.Delete(ctx, movingName(), m.moving)
	if errors.Is(err, ErrChanged) {
		return errTargetUsed
	}
	return err
}

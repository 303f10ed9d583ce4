package backend

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Tally is what a move has seen: how much, and a sum over all of it in which the order does not matter.
type Tally struct {
	Users    int // with or without an account
	Sessions int
	Ended    int // sessions that stayed behind, because their time was over
	sum      big.Int
}

// add counts a record.
func (t *Tally) add(r Record) {
	switch r.Kind {
	case KindUser:
		t.Users++
	case KindSession:
		t.Sessions++
	}
	h := sha256.New()
	session.WriteParts(h, string(rune(r.Kind)), r.ID, string(r.Value))
	t.sum.Add(&t.sum, new(big.Int).SetBytes(h.Sum(nil)))
	t.sum.Mod(&t.sum, new(big.Int).Lsh(big.NewInt(1), 8*sha256.Size))
}

// Sum is the sum over all records as text.
func (t *Tally) Sum() string { return fmt.Sprintf("%0*x", 2*sha256.Size, &t.sum) }

func (t *Tally) equal(o *Tally) bool {
	return t.Users == o.Users && t.Sessions == o.Sessions && t.sum.Cmp(&o.sum) == 0
}

// Source is what sessions are moved from. Nobody may change it meanwhile.
type Source interface {
	// Each calls f for all records of a kind, in any order.
	Each(ctx context.Context, kind Kind, f func(Record) error) error
}

// Target is what sessions are moved to. Nobody else may use it meanwhile.
type Target interface {
	Source
	// Take takes a page of records of one kind, which it may have already, and tells which: it leaves sessions behind that have ended, for a
	// store may drop them at any time. Each does not show those either from then on. Done is called after the last page.
	Take(ctx context.Context, records []Record) (taken []Record, err error)
	Done(ctx context.Context, t *Tally) error
	// Verified is called last, when what is there is what was moved.
	Verified(ctx context.Context) error
}

// movedKinds are the kinds in the order in which they are moved: a user's list comes after the sessions that it names. The records of keys are
// made from those of sessions. Idempotency-Keys, challenges and the counters of wrong passwords, minutes old at most, begin anew.
func movedKinds() []Kind { return []Kind{KindCluster, KindSession, KindUser} }

// movePage is how many records are taken at once.
const movePage = MaxGet

// Move moves everything from one home to another: accounts, policies, sessions and the hashes of their keys, which stay valid. It may be repeated after
// it broke off, and then finds most of it done. In the end it reads the target anew and compares.
func Move(ctx context.Context, from Source, to Target, progress func(t *Tally)) (*Tally, error) {
	moved := &Tally{}
	for _, kind := range movedKinds() {
		page := make([]Record, 0, movePage)
		flush := func() error {
			if len(page) == 0 {
				return nil
			}
			taken, err := to.Take(ctx, page)
			if err != nil {
				return err
			}
			for _, r := range taken {
				moved.add(r)
			}
			moved.Ended += len(page) - len(taken)
			page = page[:0]
			progress(moved)
			return ctx.Err()
		}
		err := from.Each(ctx, kind, func(r Record) error {
			if page = append(page, r); len(page) < movePage {
				return nil
			}
			return flush()
		})
		if err = errors.Join(err, flush()); err != nil {
			return moved, fmt.Errorf("move: %w", err)
		}
	}
	if err := to.Done(ctx, moved); err != nil {
		return moved, fmt.Errorf("move: %w", err)
	}
	arrived := &Tally{}
	for _, kind := range movedKinds() {
		if err := to.Each(ctx, kind, func(r Record) error { arrived.add(r); return nil }); err != nil {
			return moved, fmt.Errorf("verify: %w", err)
		}
	}
	if !arrived.equal(moved) {
		return moved, fmt.Errorf("verify: %d users and %d sessions were moved with the sum %s, and %d and %d are there with %s: was one of the two in use meanwhile? Stop its servers and move again",
			moved.Users, moved.Sessions, moved.Sum(), arrived.Users, arrived.Sessions, arrived.Sum())
	}
	return moved, to.Verified(ctx)
}

// MoveStore lets a store be moved from and to. A store into which a move is not complete serves nobody, and nothing is moved from it.
func MoveStore(s Store) Target { return &storeMove{store: s} }

type storeMove struct {
	store    Store
	at       time.Time // by the store's clock, when the first record came
	complete bool      // an earlier move is: what is there may have been changed since, and is compared only
}

// movingName is there while a move into the store is not complete.
func movingName() Name { return Name{KindCluster, "moving"} }

type movingRecord struct{ header }

// isMoving tells whether a move into the store is not complete, and the time.
func isMoving(ctx context.Context, s Store) (moving Version, now time.Time, err error) {
	got, err := s.Get(ctx, movingName())
	if err != nil {
		return "", time.Time{}, err
	}
	return got.Records[0].Version, got.Now, nil
}

// Each implements Source.
func (m *storeMove) Each(ctx context.Context, kind Kind, f func(Record) error) error {
	if m.at.IsZero() { // it is the source
		if moving, _, err := isMoving(ctx, m.store); err != nil || moving != "" {
			return cmp.Or(err, errHalfMoved)
		}
	}
	for next, more := "", true; more; more = next != "" {
		page, err := m.store.Scan(ctx, kind, next, MaxScan)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if r.Name == movingName() {
				continue
			}
			if ended, err := m.endedBefore(r); err != nil || ended {
				if err != nil {
					return err
				}
				continue
			}
			if err := f(r); err != nil {
				return err
			}
		}
		next = page.Next
	}
	return nil
}

var errHalfMoved = errors.New("a move into this home is not complete: repeat hydrastore migrate until it says that it is verified")

// endedBefore tells whether r is a session whose time was over when the move into this store began. All others are kept for an hour more.
func (m *storeMove) endedBefore(r Record) (bool, error) {
	if r.Kind != KindSession || m.at.IsZero() {
		return false, nil
	}
	var s sessionRecord
	if err := decode(r.Value, &s); err != nil {
		return false, err
	}
	end := s.expires()
	return !end.IsZero() && !end.Add(-expiryMargin).After(m.at), nil
}

// Take implements Target.
func (m *storeMove) Take(ctx context.Context, records []Record) ([]Record, error) {
	if records[0].Kind == KindCluster {
		if err := m.begin(ctx, records[0]); err != nil {
			return nil, err
		}
	}
	var taken []Record
	var names []Name
	for _, r := range records {
		ended, err := m.endedBefore(r)
		if err != nil {
			return nil, err
		}
		if !ended {
			taken, names = append(taken, r), append(names, r.Name)
		}
	}
	if len(taken) == 0 {
		return nil, nil
	}
	there, err := m.store.Get(ctx, names...)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(taken))
	var work sync.WaitGroup
	for i, r := range taken {
		work.Go(func() { errs[i] = m.takeOne(ctx, r, there.Records[i]) })
	}
	work.Wait()
	return taken, errors.Join(errs...)
}

// begin looks whether the store may be moved into, and notes that it is.
func (m *storeMove) begin(ctx context.Context, cluster Record) error {
	moving, now, err := isMoving(ctx, m.store)
	if err != nil {
		return err
	}
	m.at = now
	there, err := m.mayTake(ctx, cluster)
	if err != nil || moving != "" {
		return err
	}
	if there {
		m.complete = true
		return nil
	}
	value, err := encode(&movingRecord{})
	if err == nil {
		_, err = m.store.Put(ctx, movingName(), value, "", time.Time{})
	}
	return err
}

// Verified implements Target: servers may use the store now.
func (m *storeMove) Verified(ctx context.Context) error {
	moving, _, err := isMoving(ctx, m.store)
	if err != nil || moving == "" {
		return err
	}
	return m.store.Delete(ctx, movingName(), moving)
}

// takeOne writes a record, unless an earlier move has brought it.
func (m *storeMove) takeOne(ctx context.Context, r, there Record) error {
	if m.complete {
		if !bytes.Equal(there.Value, r.Value) {
			return errors.New("the target was moved into before, and one of the two has changed since: nothing was overwritten; move into an empty one")
		}
		return nil
	}
	expires, err := m.takeKeys(ctx, r)
	if err != nil || bytes.Equal(there.Value, r.Value) {
		return err
	}
	_, err = m.store.Put(ctx, r.Name, r.Value, there.Version, expires)
	return err
}

// mayTake refuses to lay one home over another, and tells whether this one is there.
func (m *storeMove) mayTake(ctx context.Context, r Record) (bool, error) {
	var from, to clusterRecord
	if err := decode(r.Value, &from); err != nil {
		return false, err
	}
	there, err := m.store.Get(ctx, clusterName())
	if err != nil || there.Records[0].Version == "" {
		return false, err
	}
	if err := decode(there.Records[0].Value, &to); err != nil {
		return false, err
	}
	if to.ID != from.ID {
		return false, errors.New("the target holds other sessions, users or policies already: move into an empty one")
	}
	return true, nil
}

// takeKeys writes the records of a session's keys, before the session's own, and tells when that expires.
func (m *storeMove) takeKeys(ctx context.Context, r Record) (expires time.Time, err error) {
	if r.Kind != KindSession {
		return time.Time{}, nil
	}
	var s sessionRecord
	if err := decode(r.Value, &s); err != nil {
		return expires, err
	}
	id, err := session.ParseID(r.ID)
	if err != nil {
		return expires, err
	}
	value, err := encode(&keyRecord{User: s.User, Session: id, UntilMS: s.KeysUntilMS})
	if err != nil {
		return expires, err
	}
	until := time.Time{}
	if s.KeysUntilMS != 0 {
		until = instant(s.KeysUntilMS)
	}
	names := s.keyNames()
	there, err := m.store.Get(ctx, names...)
	if err != nil {
		return expires, err
	}
	for i, name := range names {
		if string(there.Records[i].Value) == string(value) {
			continue
		}
		if _, err := m.store.Put(ctx, name, value, there.Records[i].Version, until); err != nil {
			return expires, err
		}
	}
	return s.expires(), nil
}

// Done implements Target: it makes sure that every session can be found by its keys. What an earlier, longer move has brought and the source has no more
// is for the verification to tell.
func (m *storeMove) Done(ctx context.Context, _ *Tally) error {
	return m.Each(ctx, KindSession, func(r Record) error {
		var s sessionRecord
		if err := decode(r.Value, &s); err != nil {
			return err
		}
		there, err := m.store.Get(ctx, s.keyNames()...)
		if err != nil {
			return err
		}
		if there.Records[0].Version == "" {
			return errors.New("a session's key is missing in the target: move again")
		}
		return nil
	})
}

// kindNames are the kinds as files name them.
func kindNames() map[Kind]string {
	return map[Kind]string{KindCluster: "cluster", KindUser: "user", KindSession: "session"}
}

func kindNamed(name string) (Kind, bool) {
	for _, kind := range movedKinds() {
		if kindNames()[kind] == name {
			return kind, true
		}
	}
	return 0, false
}

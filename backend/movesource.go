package backend

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

var errHalfMoved = errors.New("a move into this home is not complete: repeat hydrastore migrate until it says that it is verified")

// errOneNode: whether such a session lives is not said by its store alone.
var errOneNode = errors.New("this home holds one node's own sessions (user.sessionPersistence: false), of users whom its cluster keeps: they are not moved")

// movingName is there while a move into the store is not complete.
func movingName() Name { return Name{KindCluster, "moving"} }

// isMoving tells whether a move into the store is not complete, and the time.
func isMoving(ctx context.Context, s Store) (moving Version, now time.Time, err error) {
	got, err := s.Get(ctx, movingName())
	if err != nil {
		return "", time.Time{}, err
	}
	return got.Records[0].Version, got.Now, nil
}

// Each implements portable.Source. It looks at all users first, and remembers 24 bytes of each of their sessions: those that no list names are none.
func (m *storeMove) Each(ctx context.Context, f func(portable.Record) error) error {
	moving, now, err := isMoving(ctx, m.store)
	switch {
	case err != nil:
		return err
	case moving != "" && !m.begun:
		return errHalfMoved
	}
	cluster, err := m.readCluster(ctx)
	if err != nil || cluster == nil {
		return err
	}
	var known numbers
	version := max(cluster.Version, uint64(max(now.UnixMilli(), 0))) // the time, for users whose records were dropped
	err = m.eachUser(ctx, func(_ string, u *userRecord) error {
		version = max(version, u.Version)
		return known.add(u)
	})
	if err != nil {
		return err
	}
	known.sort()
	for _, r := range cluster.portable(version).Records() {
		if err := f(r); err != nil {
			return err
		}
	}
	err = m.eachUser(ctx, func(name string, u *userRecord) error { return f(portable.Record{User: u.portable(name)}) })
	if err != nil {
		return err
	}
	return m.eachSession(ctx, cluster, known, f)
}

// numbers are the numbers of listed sessions, by their ids.
type numbers []numbered

type numbered struct {
	id     session.ID
	number uint64
}

func (n *numbers) add(u *userRecord) error {
	if u.disabled() {
		return nil // its sessions are dead
	}
	for _, l := range u.Sessions {
		if l.Under != "" {
			return errOneNode
		}
		*n = append(*n, numbered{l.ID, l.Number})
	}
	return nil
}

func (n numbers) sort() {
	slices.SortFunc(n, func(a, b numbered) int { return bytes.Compare(a.id[:], b.id[:]) })
}

// of is a session's number, 0 when no list names it.
func (n numbers) of(id session.ID) uint64 {
	i, found := slices.BinarySearchFunc(n, id, func(a numbered, id session.ID) int { return bytes.Compare(a.id[:], id[:]) })
	if !found {
		return 0
	}
	return n[i].number
}

// readCluster gives the cluster's record, nil when there is none.
func (m *storeMove) readCluster(ctx context.Context) (*clusterRecord, error) {
	got, err := m.store.Get(ctx, clusterName())
	if err != nil || got.Records[0].Version == "" {
		return nil, err
	}
	record := &clusterRecord{}
	return record, decode(got.Records[0].Value, record)
}

// eachPage calls f for all records of a kind, a page at a time.
func (m *storeMove) eachPage(ctx context.Context, kind Kind, f func(records []Record) error) error {
	for next, more := "", true; more; more = next != "" {
		page, err := m.store.Scan(ctx, kind, next, MaxScan)
		if err != nil {
			return err
		}
		if err := f(page.Records); err != nil {
			return err
		}
		next = page.Next
	}
	return nil
}

func (m *storeMove) eachUser(ctx context.Context, f func(name string, u *userRecord) error) error {
	return m.eachPage(ctx, KindUser, func(page []Record) error {
		for _, r := range page {
			u := &userRecord{}
			if err := decode(r.Value, u); err != nil {
				return err
			}
			if err := f(r.ID, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachSession shows the sessions that lists name. Those that a move has brought must be found by their keys.
func (m *storeMove) eachSession(ctx context.Context, cluster *clusterRecord, known numbers, f func(portable.Record) error) error {
	return m.eachPage(ctx, KindSession, func(page []Record) error {
		var shown []*portable.Session
		for _, r := range page {
			s, err := listedSession(r, cluster, known)
			if err != nil {
				return err
			}
			if s != nil && !(m.complete && s.EndsMS != 0 && s.EndsMS <= m.at.UnixMilli()) {
				shown = append(shown, s)
			}
		}
		if m.begun {
			if err := m.findByKeys(ctx, shown); err != nil {
				return err
			}
		}
		for _, s := range shown {
			if err := f(portable.Record{Session: s}); err != nil {
				return err
			}
		}
		return nil
	})
}

// listedSession reads a session, nil when no list names it.
func listedSession(r Record, cluster *clusterRecord, known numbers) (*portable.Session, error) {
	id, err := session.ParseID(r.ID)
	if err != nil {
		return nil, err
	}
	number := known.of(id)
	if number == 0 {
		return nil, nil
	}
	rec := &sessionRecord{}
	if err := decode(r.Value, rec); err != nil {
		return nil, err
	}
	return rec.portable(id, number, cluster.rulesOf(rec)), nil
}

// findByKeys makes sure that every key leads to its session.
func (m *storeMove) findByKeys(ctx context.Context, sessions []*portable.Session) error {
	type lead struct {
		key Name
		id  session.ID
	}
	var leads []lead
	for _, s := range sessions {
		leads = append(leads, lead{keyName(s.Key), s.ID})
		for _, k := range s.Retired {
			leads = append(leads, lead{keyName(k.Hash), s.ID})
		}
	}
	for part := range slices.Chunk(leads, MaxGet) {
		names := make([]Name, len(part))
		for i, l := range part {
			names[i] = l.key
		}
		got, err := m.store.Get(ctx, names...)
		if err != nil {
			return err
		}
		for i, r := range got.Records {
			var k keyRecord
			if r.Version == "" || decode(r.Value, &k) != nil || k.Session != part[i].id {
				return errors.New("a session's key is missing in the target, or leads to another one: move again")
			}
		}
	}
	return nil
}

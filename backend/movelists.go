package backend

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// arrivals are what a move has brought: what the lists of sessions are made of, and what may stay. A session takes 48 bytes, a user 16, and up to twice
// as much while they become more.
type arrivals struct {
	users    []nameHash // sorted by writeLists
	sessions []arrival  // by user and number, then by id
	policies []string
	admins   []string
}

// nameHash stands for a user's name: it is shorter.
type nameHash [16]byte

type arrival struct {
	user      nameHash
	id        session.ID
	number    uint64
	policy    uint32 // its place among arrivals.policies
	permanent bool
}

func hashOf(user string) nameHash {
	sum := sha256.Sum256([]byte(user))
	return nameHash(sum[:len(nameHash{})])
}

// add remembers a record.
func (a *arrivals) add(r portable.Record) error {
	switch {
	case r.User != nil:
		a.users = append(a.users, hashOf(r.User.Name))
		if account := r.User.Account; account != nil && !account.Disabled && slices.Contains(account.Roles, session.RoleAdmin) {
			if a.admins = append(a.admins, r.User.Name); len(a.admins) > MaxAdmins {
				return fmt.Errorf("the source has more than %d admins, and outside of a cluster there are no more: take the role from some of them first", MaxAdmins)
			}
		}
	case r.Session != nil:
		s := r.Session
		policy := slices.Index(a.policies, s.Policy)
		if policy < 0 {
			if policy = len(a.policies); policy >= maxPolicyNames {
				return fmt.Errorf("the source's sessions name more than %d policies", maxPolicyNames)
			}
			a.policies = append(a.policies, s.Policy)
		}
		a.sessions = append(a.sessions, arrival{hashOf(s.User), s.ID, s.Number, uint32(policy), s.Permanent}) //nolint:gosec // at most maxPolicyNames
	}
	return nil
}

// maxPolicyNames bounds how many policies sessions name; some may have been deleted since.
const maxPolicyNames = 4 * session.MaxPolicies

func (a *arrivals) sortByUser() {
	slices.SortFunc(a.users, compareHashes)
	slices.SortFunc(a.sessions, func(x, y arrival) int { return cmp.Or(compareHashes(x.user, y.user), cmp.Compare(x.number, y.number)) })
}

func compareHashes(a, b nameHash) int { return bytes.Compare(a[:], b[:]) }

func (a *arrivals) hasUser(name string) bool {
	_, has := slices.BinarySearchFunc(a.users, hashOf(name), compareHashes)
	return has
}

// list is a user's list of sessions.
func (a *arrivals) list(name string) (list []listed) {
	user := hashOf(name)
	from, _ := slices.BinarySearchFunc(a.sessions, user, func(s arrival, user nameHash) int { return compareHashes(s.user, user) })
	for _, s := range a.sessions[from:] {
		if s.user != user {
			break
		}
		list = append(list, listed{ID: s.id, Number: s.number, Policy: a.policies[s.policy], Permanent: s.permanent})
	}
	return list
}

func compareIDs(a, b session.ID) int { return bytes.Compare(a[:], b[:]) }

func (a *arrivals) sortByID() {
	slices.SortFunc(a.sessions, func(x, y arrival) int { return compareIDs(x.id, y.id) })
}

func (a *arrivals) hasSession(id session.ID) bool {
	_, has := slices.BinarySearchFunc(a.sessions, id, func(s arrival, id session.ID) int { return compareIDs(s.id, id) })
	return has
}

// writeLists writes into each user's record which sessions it has, and deletes the users that an earlier move has brought and the source has no more.
func (m *storeMove) writeLists(ctx context.Context) error {
	m.arrivals.sortByUser()
	listedNow := 0
	err := m.eachPage(ctx, KindUser, func(page []Record) error {
		if err := m.stillNoted(ctx); err != nil { // after the page was read: what is there is of no move but this one
			return err
		}
		users := make([]*userRecord, len(page)) // nil = it goes
		for i, r := range page {
			if !m.arrivals.hasUser(r.ID) {
				continue
			}
			users[i] = &userRecord{}
			if err := decode(r.Value, users[i]); err != nil {
				return err
			}
			list := m.arrivals.list(r.ID)
			if err := m.mayList(r.ID, list, users[i].LastNumber); err != nil {
				return err
			}
			listedNow += len(list)
			users[i].Sessions, users[i].PruneAt = list, 0
		}
		return sideBySide(len(page), func(i int) error { return m.writeList(ctx, page[i], users[i]) })
	})
	if err == nil && listedNow != len(m.arrivals.sessions) {
		return fmt.Errorf("the source is damaged: of %d sessions there is no record of their users", len(m.arrivals.sessions)-listedNow)
	}
	return err
}

func (m *storeMove) writeList(ctx context.Context, there Record, u *userRecord) error {
	if u == nil {
		return m.store.Delete(ctx, there.Name, there.Version)
	}
	if value, err := encode(u); err != nil || bytes.Equal(value, there.Value) {
		return err
	}
	_, err := m.put(ctx, there.Name, u, there.Version, time.Time{})
	return named(err, "user %q", there.ID)
}

// mayList judges a list.
func (m *storeMove) mayList(user string, list []listed, last uint64) error {
	if len(list) > MaxSessionsOfUser {
		return fmt.Errorf("user %q has %d sessions, and a user has at most %d where sessions are kept in %s: end some of them first", user, len(list), MaxSessionsOfUser, m.store.Features().Name)
	}
	for i, l := range list {
		if l.Number > last || i > 0 && l.Number == list[i-1].Number {
			return fmt.Errorf("the source is damaged: user %q has two sessions with the number %d, or none with it yet", user, l.Number)
		}
	}
	return nil
}

// dropOthers deletes the sessions that an earlier move has brought and the source has no more, which no list names any more, and the keys that lead
// nowhere.
func (m *storeMove) dropOthers(ctx context.Context) error {
	m.arrivals.sortByID()
	err := m.dropEach(ctx, KindSession, func(r Record) (session.ID, error) { return session.ParseID(r.ID) })
	if err != nil {
		return err
	}
	return m.dropEach(ctx, KindKey, func(r Record) (session.ID, error) {
		var k keyRecord
		err := decode(r.Value, &k)
		return k.Session, err
	})
}

// dropEach deletes the records of a kind that are of a session which has not arrived.
func (m *storeMove) dropEach(ctx context.Context, kind Kind, of func(Record) (session.ID, error)) error {
	return m.eachPage(ctx, kind, func(page []Record) error {
		if err := m.stillNoted(ctx); err != nil {
			return err
		}
		return sideBySide(len(page), func(i int) error {
			id, err := of(page[i])
			if err != nil || m.arrivals.hasSession(id) {
				return err
			}
			if err := m.store.Delete(ctx, page[i].Name, page[i].Version); !errors.Is(err, ErrChanged) { // then the store has dropped it
				return err
			}
			return nil
		})
	})
}

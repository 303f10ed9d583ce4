package portable

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is what sessions are moved from. Nobody may change it meanwhile.
type Source interface {
	// Each calls f for all records: the cluster's and what is past of its policies, then the users', then the sessions'. A session whose time is over may be among them.
	Each(ctx context.Context, f func(Record) error) error
}

// Watched is a Source that can tell whether it was in use since it was read.
type Watched interface {
	// Unused is asked when everything has arrived, and before it may be used: an error says that both would be in use.
	Unused(ctx context.Context) error
}

// Target is what sessions are moved to. Nobody else may use it meanwhile. Where it cannot keep what it is given it says so before it takes anything.
type Target interface {
	Source
	// Begin takes the cluster's record, with what is past of its policies, and tells the target's time, at which a session's time may be over: the same in a move that is repeated.
	// The zero time: the target has none, and takes every session.
	Begin(ctx context.Context, c *Cluster) (at time.Time, err error)
	// Take takes a page of users, or after all of them of sessions; it may have some already.
	Take(ctx context.Context, page []Record) error
	// Done is called after the last page, Verified when what Each shows then is what was moved: from there on the target may be used.
	Done(ctx context.Context, t *Tally) error
	Verified(ctx context.Context) error
}

// Page is how many records are taken at once.
const Page = 256

// Move moves everything from one home to another. It may be repeated after it broke off, and then finds most of it done. In the end it reads the target
// anew and compares. progress is told from time to time how far it is.
func Move(ctx context.Context, from Source, to Target, progress func(*Tally)) (*Tally, error) {
	m := &mover{to: to, moved: &Tally{}, progress: progress}
	err := from.Each(ctx, func(r Record) error { return errors.Join(ctx.Err(), m.take(ctx, r)) })
	if err == nil {
		err = m.finish(ctx)
	}
	if err != nil {
		return m.moved, fmt.Errorf("move: %w", err)
	}
	if err := verify(ctx, to, m.moved); err != nil {
		return m.moved, fmt.Errorf("verify: %w", err)
	}
	if watched, ok := from.(Watched); ok {
		if err := watched.Unused(ctx); err != nil {
			return m.moved, fmt.Errorf("verify: %w", err)
		}
	}
	return m.moved, to.Verified(ctx)
}

// mover brings records into pages.
type mover struct {
	to       Target
	moved    *Tally
	progress func(*Tally)
	order    order
	cluster  *Cluster // until the target has taken it, which it does whole
	atMS     int64
	page     []Record
}

func (m *mover) take(ctx context.Context, r Record) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if err := m.order.next(r); err != nil {
		return err
	}
	switch {
	case r.Cluster != nil:
		whole := *r.Cluster
		m.cluster = &whole
		return m.moved.Add(r)
	case r.Past != nil:
		m.cluster.take(r.Past)
		return m.moved.Add(r)
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	if r.Session != nil && r.Session.ended(m.atMS) {
		m.moved.Ended++
		return nil
	}
	if len(m.page) > 0 && (m.page[0].User == nil) != (r.User == nil) || len(m.page) == Page {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	m.page = append(m.page, r)
	return nil
}

// begin hands the cluster over, when all of it is there.
func (m *mover) begin(ctx context.Context) error {
	if m.cluster == nil {
		return nil
	}
	at, err := m.to.Begin(ctx, m.cluster)
	if err != nil {
		return err
	}
	if m.cluster = nil; !at.IsZero() {
		m.atMS = at.UnixMilli()
	}
	return nil
}

// flush hands over the page.
func (m *mover) flush(ctx context.Context) error {
	if len(m.page) == 0 {
		return nil
	}
	if err := m.to.Take(ctx, m.page); err != nil {
		return err
	}
	for _, r := range m.page {
		if err := m.moved.Add(r); err != nil {
			return err
		}
	}
	m.page = nil
	m.progress(m.moved)
	return nil
}

func (m *mover) finish(ctx context.Context) error {
	if m.order == orderNothing {
		return errors.New("there is nothing: the source has no record of a cluster, was a server ever started with it?")
	}
	if err := m.begin(ctx); err != nil {
		return err
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	return m.to.Done(ctx, m.moved)
}

// verify reads the target anew.
func verify(ctx context.Context, to Target, moved *Tally) error {
	arrived := &Tally{}
	if err := to.Each(ctx, func(r Record) error { return errors.Join(ctx.Err(), arrived.Add(r)) }); err != nil {
		return err
	}
	if !arrived.Means(moved) {
		return fmt.Errorf("%d users and %d sessions were moved with the sum %s, and %d and %d are there with %s: was one of the two in use meanwhile? Stop their servers, empty the target and move again",
			moved.Users, moved.Sessions, moved.Sum(), arrived.Users, arrived.Sessions, arrived.Sum())
	}
	if _, abridges := to.(Abridging); !abridges && !arrived.Equal(moved) {
		return errors.New("earlier forms of policies are not there as they were moved: was one of the two in use meanwhile? Stop their servers, empty the target and move again")
	}
	return nil
}

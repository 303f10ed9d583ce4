package node

import (
	"context"
	"slices"
	"sync"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// revokeBatch is how many sessions one command of a revoke by filter ends.
	revokeBatch = fsm.MaxRevokeIDs
	// revokesAtOnce is how many such commands are under way at once: enough to fill log entries, few enough to leave room for
	// others.
	revokesAtOnce = 32
	// revokeLook is how many sessions are looked at between two short locks.
	revokeLook = session.MaxPageSize
)

// RevokeSessions implements session.Sessions: it fixes the ids at one read index, ends them in batches, and answers when all
// are ended.
func (n *Node) RevokeSessions(ctx context.Context, c session.Call, f session.Filter) (session.Revoked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	p, err := n.listing(ctx, c, &f)
	if err != nil {
		return session.Revoked{}, err
	}
	if err := n.useCaller(ctx, p); err != nil {
		return session.Revoked{}, err
	}
	ids, own, err := n.selectIDs(ctx, f, p.record.ID, func(fsm.Record) bool { return true })
	if err != nil {
		return session.Revoked{}, err
	}
	return n.revokeIDs(ctx, p, ids, own, n.readMeta(c, p.point))
}

// revokeIDs ends sessions in batches, and the caller's own when all others have ended.
func (n *Node) revokeIDs(ctx context.Context, p *principal, ids []session.ID, own bool, meta session.Meta) (session.Revoked, error) {
	r := &revocation{node: n, authority: p.authority(true, fsmpb.Role_ROLE_ADMIN), done: session.Revoked{Meta: meta}}
	for part := range slices.Chunk(ids, revokeBatch) {
		r.start(ctx, part)
	}
	if err := r.wait(); err != nil {
		return session.Revoked{}, session.ErrPartlyRevoked(err, r.done.Count)
	}
	if own {
		r.start(ctx, []session.ID{p.record.ID}) // last: the others need the authority of its key
		if err := r.wait(); err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, r.done.Count)
		}
	}
	return r.done, nil
}

// revokeNumbers ends those of a user's sessions that are named by their numbers, permanent or not.
func (n *Node) revokeNumbers(ctx context.Context, p *principal, user string, which session.UserSessions) (session.Revoked, error) {
	named, err := which.Named()
	if err != nil {
		return session.Revoked{}, err
	}
	if err := p.mayList(session.Filter{User: user}); err != nil {
		return session.Revoked{}, err
	}
	var ids []session.ID
	own := false
	for _, permanent := range []bool{false, true} {
		part, ownPart, err := n.selectIDs(ctx, session.Filter{User: user, Permanent: permanent}, p.record.ID, func(r fsm.Record) bool { return named[r.Number] })
		if err != nil {
			return session.Revoked{}, err
		}
		ids, own = append(ids, part...), own || ownPart
	}
	return n.revokeIDs(ctx, p, ids, own, n.writeMeta(p.point.index))
}

// selectIDs collects what f selects, and also agrees to, among the sessions that exist now, the caller's own apart.
func (n *Node) selectIDs(ctx context.Context, f session.Filter, caller session.ID, also func(fsm.Record) bool) (ids []session.ID, own bool, err error) {
	last, after, done := n.fsm.LastSeq(), uint64(0), false
	for !done {
		if ctx.Err() != nil {
			return nil, false, &session.Error{Code: session.CodeUnavailable, Message: "the list took longer than the request timeout; nothing was ended; use a narrower filter"}
		}
		var part []fsm.Record
		part, after, done = n.fsm.ListSessions(f, after, last, revokeLook, scanBudget)
		for _, r := range part {
			if !also(r) {
				continue
			}
			if r.ID == caller {
				own = true
			} else {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids, own, nil
}

// revocation ends many sessions by several commands at once.
type revocation struct {
	node      *Node
	authority *fsmpb.Authority

	places chan struct{}
	work   sync.WaitGroup
	mu     sync.Mutex
	done   session.Revoked
	index  uint64
	err    error // the first one
}

// start ends a part, on its own goroutine, unless another part has failed. It blocks while too many are under way.
func (r *revocation) start(ctx context.Context, part []session.ID) {
	if r.places == nil {
		r.places = make(chan struct{}, revokesAtOnce)
	}
	r.places <- struct{}{}
	r.mu.Lock()
	failed := r.err != nil
	r.mu.Unlock()
	if failed {
		<-r.places
		return
	}
	r.work.Go(func() {
		defer func() { <-r.places }()
		r.end(ctx, part)
	})
}

func (r *revocation) end(ctx context.Context, part []session.ID) {
	ids := make([][]byte, len(part))
	for i := range part {
		ids[i] = part[i][:]
	}
	result, index, err := r.node.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_RevokeSessions{
		RevokeSessions: &fsmpb.RevokeSessions{Ids: ids, Authority: r.authority},
	}})
	if err == nil {
		err = resultError(result, "end these sessions")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.done.Count += int(result.GetCount())
		if index > r.index {
			r.index, r.done.Meta = index, r.node.writeMeta(index)
		}
	case r.err == nil:
		r.err = err
	}
}

// wait returns when all parts are ended, or the first error.
func (r *revocation) wait() error {
	r.work.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// RevokeSession implements session.Sessions.
func (n *Node) RevokeSession(ctx context.Context, c session.Call, id session.ID) (session.Meta, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticateAs(ctx, c, session.Roles()...)
	if err != nil {
		return session.Meta{}, err
	}
	return n.write(ctx, "end this session", &fsmpb.Command{Kind: &fsmpb.Command_RevokeSession{RevokeSession: &fsmpb.RevokeSession{
		Id: id[:], Authority: p.authority(true, fsmpb.Role_ROLE_ADMIN),
	}}})
}

// RevokeUserSessions implements session.Sessions.
func (n *Node) RevokeUserSessions(ctx context.Context, c session.Call, user string, which session.UserSessions) (session.Revoked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	name, err := session.FoldUserName(user)
	if err != nil {
		return session.Revoked{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.Roles()...)
	if err != nil {
		return session.Revoked{}, err
	}
	if len(which.Numbers) > 0 {
		return n.revokeNumbers(ctx, p, name, which)
	}
	if n.unrecorded(p, name) {
		return session.Revoked{Meta: n.writeMeta(p.point.index)}, nil
	}
	revoke := &fsmpb.RevokeUserSessions{User: name, Authority: p.authority(true, fsmpb.Role_ROLE_ADMIN), Permanent: which.Permanent}
	if which.ExceptCurrent {
		if revoke.ExceptId, err = n.currentID(ctx, p, name); err != nil {
			return session.Revoked{}, err
		}
	}
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_RevokeUserSessions{RevokeUserSessions: revoke}})
	if err != nil {
		return session.Revoked{}, err
	}
	if err := resultError(result, "end this user's sessions"); err != nil {
		return session.Revoked{}, err
	}
	return session.Revoked{Count: int(result.GetCount()), Meta: n.writeMeta(index)}, nil
}

// currentID finds the session that "except=current" means: the caller's own, or the one that it presents.
func (n *Node) currentID(ctx context.Context, p *principal, user string) ([]byte, error) {
	current := p.record
	if s := p.call.Subject; s != nil {
		if !p.has(session.RoleService, session.RoleAdmin) {
			return nil, session.ErrMayNotPresent()
		}
		record, ok := n.open(ctx, p.call, *s)
		if !ok {
			return nil, session.ErrSubject()
		}
		current = record
	}
	if current.ID.IsZero() || current.User != user {
		return nil, session.ErrNotCurrent()
	}
	return slices.Clone(current.ID[:]), nil
}

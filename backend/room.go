package backend

import (
	"cmp"
	"context"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// firstPrune is how long a user's list gets before a log-in looks for the first time which of its sessions have ended.
const firstPrune = 32

// makeRoom lets one more session under the limits of its user, and returns whom the log-in ends: they leave the list in the same write that adds
// the new one. What has ended by itself goes first.
func (l *login) makeRoom(ctx context.Context, u *userChange, rec *sessionRecord) (gone []session.ID, err error) {
	replaced := session.ID{}
	if l.replaced != nil && l.replaced.session.User == l.User {
		replaced = l.replaced.id
	}
	room := &room{service: l.service, user: u, leaving: replaced}
	policy := u.cluster.policy(rec.Policy)
	if len(u.user.Sessions) >= max(firstPrune, u.user.PruneAt) {
		if err := room.prune(ctx, func(listed) bool { return true }); err != nil {
			return nil, err
		}
		u.user.PruneAt = 2 * len(u.user.Sessions)
	}
	if gone, err = room.underPolicy(ctx, policy, rec.Permanent); err != nil {
		return nil, err
	}
	if len(u.user.Sessions)-len(gone) >= MaxSessionsOfUser {
		if err := room.prune(ctx, func(listed) bool { return true }); err != nil {
			return nil, err
		}
		if len(u.user.Sessions)-len(gone) >= MaxSessionsOfUser {
			return nil, session.ErrSessionLimit("max_sessions_per_user")
		}
	}
	return gone, nil
}

// room is what a user's list has left.
type room struct {
	service *Service
	user    *userChange
	leaving session.ID // the session that the log-in replaces; zero = none
}

// underPolicy holds the policy's limits, which count its sessions; permanent ones only if it says so. Those are never evicted, and are outside
// single_session.
func (r *room) underPolicy(ctx context.Context, p *session.Policy, permanent bool) (gone []session.ID, err error) {
	if permanent && !p.PermanentCounted {
		return nil, nil
	}
	mortal := func(s listed) bool { return s.Policy == p.Name && !s.Permanent && s.ID != r.leaving }
	if p.SingleSession && !permanent {
		for _, s := range r.user.user.Sessions {
			if mortal(s) {
				gone = append(gone, s.ID)
			}
		}
		if !p.PermanentCounted {
			return gone, nil
		}
	}
	counts := func(s listed) bool {
		return s.Policy == p.Name && (!s.Permanent || p.PermanentCounted) && s.ID != r.leaving && !slices.Contains(gone, s.ID)
	}
	if p.MaxSessionsPerUser == 0 || r.count(counts) < p.MaxSessionsPerUser {
		return gone, nil
	}
	if err := r.prune(ctx, counts); err != nil {
		return nil, err
	}
	over := r.count(counts) - p.MaxSessionsPerUser + 1
	if over <= 0 {
		return gone, nil
	}
	evictable := func(s listed) bool { return counts(s) && !s.Permanent }
	if !p.OnLimit.Evicts() || r.count(evictable) < over {
		return nil, session.ErrSessionLimit("max_sessions_per_user")
	}
	victims, err := r.victims(ctx, evictable, p.OnLimit, over)
	return append(gone, victims...), err
}

func (r *room) count(counts func(listed) bool) (n int) {
	for _, s := range r.user.user.Sessions {
		if counts(s) {
			n++
		}
	}
	return n
}

// victims are the next to be evicted.
func (r *room) victims(ctx context.Context, counts func(listed) bool, o session.OnLimit, n int) ([]session.ID, error) {
	all, err := r.service.readListed(ctx, r.user, counts)
	if err != nil {
		return nil, err
	}
	if o == session.OnLimitIdle {
		slices.SortStableFunc(all, func(a, b *found) int { return cmp.Compare(a.lastUse(), b.lastUse()) })
	}
	var gone []session.ID
	for _, f := range all[:min(n, len(all))] {
		gone = append(gone, f.id)
	}
	return gone, nil
}

func (f *found) lastUse() int64 {
	if f.session == nil {
		return 0
	}
	return f.session.LastUseMS
}

// prune takes sessions out of the list that have ended. One that has ended by time is deleted first, under the version that was dead: so a
// use that is under way came either before, or comes to nothing.
func (r *room) prune(ctx context.Context, which func(listed) bool) error {
	all, err := r.service.readListed(ctx, r.user, which)
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.lives() {
			continue
		}
		if err := r.service.bury(ctx, f); err != nil {
			return err
		}
		r.user.user.drop(f.id)
	}
	return nil
}

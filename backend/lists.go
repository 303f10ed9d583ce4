package backend

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"sync"

	"github.com/hydrastore/hydrastore/session"
)

// scanPages bounds how many pages of the store one page of a list looks at: a selective filter over many sessions answers with pages that
// hold little, or nothing, and go on.
const scanPages = 10

// The kinds of cursors: where a scan of the store goes on, and after which number the list of a user's sessions.
const (
	cursorOfScan = "s"
	cursorOfUser = "u"
)

// cursorOf encodes the place after which a list goes on. It is opaque to clients.
func cursorOf(kind, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + place))
}

func parseCursor(text, kind string) (place string, err error) {
	if text == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 2 || string(raw[:1]) != kind {
		return "", session.ErrCursor()
	}
	return string(raw[1:]), nil
}

// ListSessions implements session.Sessions.
func (s *Service) ListSessions(ctx context.Context, c session.Call, f session.Filter, p session.Page) (session.SessionList, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	limit, err := p.Size()
	if err != nil {
		return session.SessionList{}, err
	}
	caller, err := s.listing(ctx, c, &f)
	if err != nil {
		return session.SessionList{}, err
	}
	l := &listing{service: s, filter: f, limit: limit}
	if l.place, err = parseCursor(p.Cursor, l.kind()); err != nil {
		return session.SessionList{}, err
	}
	if err := s.useUnlessLocal(ctx, caller); err != nil {
		return session.SessionList{}, err
	}
	if err := l.run(ctx, scanPages); err != nil {
		return session.SessionList{}, err
	}
	list := session.SessionList{Items: make([]session.Session, len(l.items)), Meta: s.readMeta(c)}
	for i, f := range l.items {
		list.Items[i] = f.view()
	}
	if !l.done {
		list.NextCursor = cursorOf(l.kind(), l.place)
	}
	return list, nil
}

// listing authenticates a caller that lists and brings the filter to its canonical form.
func (s *Service) listing(ctx context.Context, c session.Call, f *session.Filter) (*principal, error) {
	var err error
	if f.User != "" {
		if f.User, err = session.FoldUserName(f.User); err != nil {
			return nil, err
		}
	}
	f.ClientAddress = f.ClientAddress.Unmap().WithZone("")
	if f.IdleLongerThan < 0 {
		return nil, session.Invalid("idle_longer_than", "must not be negative")
	}
	c.Subject = nil
	p, _, err := s.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	return p, p.mayList(*f)
}

// listing is one page of living sessions.
type listing struct {
	service *Service
	filter  session.Filter
	limit   int
	place   string // after which it goes on

	items []*found
	done  bool
}

func (l *listing) kind() string {
	if l.filter.User != "" {
		return cursorOfUser
	}
	return cursorOfScan
}

// run collects items until there are limit of them, or it has looked at so many pages of the store.
func (l *listing) run(ctx context.Context, pages int) error {
	if l.filter.User != "" {
		return l.ofUser(ctx)
	}
	for ; !l.done && len(l.items) < l.limit && pages > 0; pages-- {
		if err := l.scan(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ofUser takes the sessions from their user's list.
func (l *listing) ofUser(ctx context.Context) error {
	after, err := strconv.ParseUint("0"+l.place, 10, 64)
	if err != nil {
		return session.ErrCursor()
	}
	u, err := l.service.readUser(ctx, l.filter.User)
	if err != nil {
		return err
	}
	l.done = true
	if u.user.disabled() {
		return nil
	}
	all, err := l.service.readListed(ctx, u, func(s listed) bool { return s.Number > after })
	if err != nil {
		return err
	}
	for _, f := range all {
		if !f.lives() || !l.matches(f) {
			continue
		}
		if len(l.items) == l.limit {
			l.done, l.place = false, strconv.FormatUint(l.items[l.limit-1].number, 10)
			return nil
		}
		l.items = append(l.items, f)
	}
	return nil
}

// scan takes one page of the store.
func (l *listing) scan(ctx context.Context) error {
	s := l.service
	page, err := s.store.Scan(ctx, KindSession, l.place, l.limit-len(l.items))
	if err != nil {
		return asError("list sessions", err)
	}
	all, err := s.complete(ctx, page)
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.lives() && l.matches(f) {
			l.items = append(l.items, f)
		}
	}
	l.place, l.done = page.Next, page.Next == ""
	return nil
}

// complete reads the users of a page of sessions.
func (s *Service) complete(ctx context.Context, page Page) ([]*found, error) {
	var all []*found
	var names []Name
	for _, r := range page.Records {
		id, err := session.ParseID(r.ID)
		if err != nil {
			return nil, internalError("read a session", err)
		}
		f := &found{id: id}
		if err := f.setSession(r); err != nil {
			return nil, err
		}
		all = append(all, f)
		if name := userName(f.session.User); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	snapshot, err := s.read(ctx, append(names, clusterName())...)
	if err != nil {
		return nil, err
	}
	cluster, err := s.decodeCluster(snapshot.Records[len(names)])
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		f.nowMS, f.cluster = snapshot.Now.UnixMilli(), cluster
		if err := f.setUser(snapshot.Records[slices.Index(names, userName(f.session.User))]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (l *listing) matches(f *found) bool {
	r, w := f.session, l.filter
	switch {
	case r.Permanent != w.Permanent,
		w.User != "" && r.User != w.User,
		w.Policy != "" && r.Policy != w.Policy,
		w.ClientAddress.IsValid() && r.Address != w.ClientAddress,
		w.IdleLongerThan > 0 && r.LastUseMS >= f.nowMS-w.IdleLongerThan.Milliseconds():
		return false
	}
	return true
}

// RevokeSessions implements session.Sessions: it ends one session after the other that the filter selects and that began before it,
// the caller's own last.
func (s *Service) RevokeSessions(ctx context.Context, c session.Call, f session.Filter) (session.Revoked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	p, err := s.listing(ctx, c, &f)
	if err != nil {
		return session.Revoked{}, err
	}
	if err := s.useCaller(ctx, p); err != nil {
		return session.Revoked{}, err
	}
	out, own := session.Revoked{}, session.ID{}
	for l := (&listing{service: s, filter: f, limit: MaxScan}); !l.done; l.items = nil {
		if err := l.run(ctx, 1); err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
		others := slices.DeleteFunc(l.items, func(item *found) bool { return p.found != nil && item.id == p.found.id })
		if len(others) < len(l.items) {
			own = p.found.id // last: the others need the authority of its key
		}
		count, err := s.revokeItems(ctx, others, p.actor())
		if out.Count += count; err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
	}
	if !own.IsZero() {
		count, err := s.revokeItems(ctx, []*found{p.found}, p.actor())
		if out.Count += count; err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
	}
	out.Meta = s.meta()
	return out, nil
}

// revokesAtOnce bounds the sessions that one revocation ends side by side: where a write waits for a flush, or for an answer from afar, they wait
// together.
const revokesAtOnce = 32

// revokeItems ends sessions and counts those that lived. After an error it begins no more.
func (s *Service) revokeItems(ctx context.Context, items []*found, by EventActor) (count int, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return err != nil
	}
	places := make(chan struct{}, revokesAtOnce)
	for _, f := range items {
		places <- struct{}{}
		if failed() {
			break
		}
		work.Go(func() {
			defer func() { <-places }()
			ended, failure := s.revokeItem(ctx, f, by)
			mu.Lock()
			defer mu.Unlock()
			if ended {
				count++
			}
			if err == nil {
				err = failure
			}
		})
	}
	work.Wait()
	return count, err
}

func (s *Service) revokeItem(ctx context.Context, f *found, by EventActor) (bool, error) {
	id := f.id
	ended, err := s.endSession(ctx, f, ending{CauseRevoked, by}, func() (*found, error) { return s.lookID(ctx, id) }, (*found).lives)
	if ended {
		s.figures.ended("revoked", 1)
	}
	return ended, err
}

// RevokeUserSessions implements session.Sessions: in one write of the user's record.
func (s *Service) RevokeUserSessions(ctx context.Context, c session.Call, user string, which session.UserSessions) (session.Revoked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	name, err := session.FoldUserName(user)
	if err != nil {
		return session.Revoked{}, err
	}
	p, err := s.authenticateAs(ctx, c, session.Roles()...)
	if err != nil {
		return session.Revoked{}, err
	}
	if len(which.Numbers) > 0 {
		return s.revokeNumbers(ctx, p, name, which)
	}
	if p.user != name && !p.has(session.RoleAdmin) {
		return session.Revoked{}, &session.Error{Code: session.CodeForbidden, Field: "authority", Message: "not permitted to end this user's sessions"}
	}
	p.call.Subject = c.Subject
	except := session.ID{}
	if which.ExceptCurrent {
		if except, err = s.currentID(ctx, p, name); err != nil {
			return session.Revoked{}, err
		}
	}
	all := Event{Kind: EventUserSessionsRevoked, User: name, Session: except, Permanent: which.Permanent, Actor: p.actor()}
	count, err := s.revokeListed(ctx, name, func(l listed) bool { return l.Permanent == which.Permanent && l.ID != except }, ending{cause: CauseUser}, &all)
	return session.Revoked{Count: count, Meta: s.meta()}, err
}

// revokeNumbers ends those of a user's sessions that are named by their numbers, permanent or not.
func (s *Service) revokeNumbers(ctx context.Context, p *principal, user string, which session.UserSessions) (session.Revoked, error) {
	named, err := which.Named()
	if err != nil {
		return session.Revoked{}, err
	}
	if err := p.mayList(session.Filter{User: user}); err != nil {
		return session.Revoked{}, err
	}
	count, err := s.revokeListed(ctx, user, func(l listed) bool { return named[l.Number] }, ending{CauseRevoked, p.actor()}, nil)
	return session.Revoked{Count: count, Meta: s.meta()}, err
}

// revokeListed ends sessions of a user and counts those that lived. act is told of it before their ends are; nil = each end is an act of its own.
func (s *Service) revokeListed(ctx context.Context, name string, which func(listed) bool, why ending, act *Event) (count int, err error) {
	var gone []session.ID
	var lived []*found
	err = s.changeUser(ctx, name, func(u *userChange) error {
		count, gone, lived = 0, nil, nil
		all, err := s.readListed(ctx, u, which)
		if err != nil {
			return err
		}
		for _, f := range all {
			gone = append(gone, f.id)
			if f.lives() {
				count++
				lived = append(lived, f)
			}
		}
		if len(gone) == 0 {
			return errKeep
		}
		u.user.drop(gone...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	if act != nil && count > 0 {
		act.AtMS, act.Count = lived[0].nowMS, uint64(count)
		s.tell(ctx, *act)
	}
	for _, f := range lived {
		s.tellEnded(ctx, f, why)
	}
	s.figures.ended("user", count)
	s.tidyIDs(gone)
	return count, nil
}

// currentID finds the session that "except=current" means: the caller's own, or the one that it presents.
func (s *Service) currentID(ctx context.Context, p *principal, user string) (session.ID, error) {
	current := p.found
	if subject := p.call.Subject; subject != nil {
		if !p.has(session.RoleService, session.RoleAdmin) {
			return session.ID{}, session.ErrMayNotPresent()
		}
		f, err := s.lookOne(ctx, subject.Key)
		if err == nil {
			f, err = s.mustOpen(ctx, f, subject.Address)
		}
		if session.CodeOf(err) == session.CodeUnauthenticated {
			return session.ID{}, session.ErrSubject()
		}
		if err != nil {
			return session.ID{}, err
		}
		current = f
	}
	if current == nil || current.session.User != user {
		return session.ID{}, session.ErrNotCurrent()
	}
	return current.id, nil
}

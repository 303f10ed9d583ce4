package backend

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"

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

package backend

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// EventKind names what happened to a session, as audit lines spell it.
type EventKind string

const (
	EventLogin               EventKind = "login"
	EventLoginRepeated       EventKind = "login_repeated"
	EventLoginFailed         EventKind = "login_failed" // proved, and refused by a rule: who has judged the proof tells of those that were not
	EventKeyRotated          EventKind = "key_rotated"
	EventReauthenticated     EventKind = "reauthenticated"
	EventSessionEnded        EventKind = "session_ended"
	EventUserSessionsRevoked EventKind = "user_sessions_revoked"
)

// EventCause says why a session ended, as audit lines spell it.
type EventCause string

const (
	CauseIdle     EventCause = "idle"
	CauseInactive EventCause = "inactive"
	CauseAbsolute EventCause = "absolute"
	CauseUser     EventCause = "user" // a change of the account, or all of the user's sessions were revoked
	CauseLogout   EventCause = "logout"
	CauseRevoked  EventCause = "revoked"
	CauseReused   EventCause = "reused_key"
	CauseReplaced EventCause = "replaced"
	CauseEvicted  EventCause = "evicted"
)

// EventMethod says how somebody has proved who it is, as audit lines spell it.
type EventMethod string

var eventMethods = map[session.Method]EventMethod{
	session.MethodPassword: "password", session.MethodDirectory: "directory", session.MethodService: "vouched",
}

// Event is something that was done to a session. It holds no key, no password and no hash of one.
type Event struct {
	Kind EventKind
	AtMS int64 // by the time by which sessions live

	User      string
	Session   session.ID
	Number    uint64
	Policy    string
	Address   netip.Addr // where the session's user logged in, or tried to
	UserAgent string
	Method    EventMethod
	Cause     EventCause
	Reason    string // why a log-in was refused
	Field     string // what Reason speaks of
	Permanent bool
	Count     uint64 // of those revoked at once

	Actor EventActor
}

// EventActor is who has done it: a session, or an operator, or, with neither, time.
type EventActor struct {
	System  bool
	User    string
	Session session.ID
	Address netip.Addr
}

// ending is why a session ends, and who ends it.
type ending struct {
	cause EventCause
	actor EventActor
}

// tells tells whether anybody wants to know of events.
func (s *Service) tells() bool { return s.config.Events != nil }

func (s *Service) tell(ctx context.Context, e Event) {
	if s.tells() {
		s.config.Events(ctx, e)
	}
}

// event is something about a session.
func (f *found) event(kind EventKind) Event {
	r := f.session
	return Event{
		Kind: kind, AtMS: f.nowMS, User: r.User, Session: f.id, Number: f.number, Policy: r.Policy, Address: r.Address, Permanent: r.Permanent,
	}
}

func (s *Service) tellEnded(ctx context.Context, f *found, why ending) {
	if !s.tells() {
		return
	}
	e := f.event(EventSessionEnded)
	e.Cause, e.Actor = why.cause, why.actor
	s.tell(ctx, e)
}

// left is a session that leaves its user's list, and with that ends.
type left struct {
	listed
	ending
}

// tellLeft tells of those that have left a list, while their records are still there. One without has ended before, and that was told.
func (s *Service) tellLeft(ctx context.Context, u *userChange, all []left) {
	if !s.tells() || len(all) == 0 {
		return
	}
	ctx, cancel := s.limit(context.WithoutCancel(ctx))
	defer cancel()
	names := make([]Name, len(all))
	for i, l := range all {
		names[i] = sessionName(l.ID)
	}
	snapshot, err := s.read(ctx, names...)
	if err != nil {
		s.log.Error("sessions have ended, and the audit trail does not say which", slog.Int("sessions", len(all)), slog.Any("error", err))
		return
	}
	for i, l := range all {
		f := &found{nowMS: u.nowMS, id: l.ID, number: l.Number}
		if err := f.setSession(snapshot.Records[i]); err == nil && f.session != nil {
			s.tellEnded(ctx, f, l.ending)
		}
	}
}

// leaves makes up what is told of ids that leave a list.
func (u *userRecord) leaves(ids []session.ID, why ending) (all []left) {
	for _, id := range ids {
		if l := u.find(id); l != nil {
			all = append(all, left{*l, why})
		}
	}
	return all
}

// actor is the caller as events name it.
func (p *principal) actor() EventActor {
	if p.call.Operator {
		return EventActor{System: true}
	}
	a := EventActor{User: p.user, Address: plain(p.call.Address)}
	if p.found != nil {
		a.Session = p.found.id
	}
	return a
}

// actor is who logs in as events name it: the user, by the session that was made if there is one, or the service that vouches for it.
func (l *login) actor(made session.ID) EventActor {
	if l.caller != nil {
		return l.caller.actor()
	}
	return EventActor{User: l.User, Session: made, Address: l.address}
}

// leaving is who leaves the list for a log-in, and why.
func (l *login) leaving(u *userChange, rec *sessionRecord, gone []session.ID) (all []left) {
	by := l.actor(l.id)
	if l.replaced != nil && l.replaced.session.User == l.User {
		all = u.user.leaves([]session.ID{l.replaced.id}, ending{CauseReplaced, by})
	}
	cause := CauseEvicted
	if p := u.cluster.policy(rec.Policy); p.SingleSession && !rec.Permanent {
		cause = CauseReplaced
	}
	return append(all, u.user.leaves(gone, ending{cause, by})...)
}

// tellDone tells what has come of a log-in.
func (l *login) tellDone(ctx context.Context, kind EventKind, f *found) {
	e := f.event(kind)
	e.UserAgent, e.Method, e.Actor = f.session.UserAgent, eventMethods[l.proof.method], l.actor(f.id)
	l.service.tell(ctx, e)
}

// tellRefused tells of a log-in that was proved and that a rule has refused. What failed otherwise may be tried again, and is in the log of requests.
func (l *login) tellRefused(ctx context.Context, err error) {
	var e *session.Error
	if !l.service.tells() || !errors.As(err, &e) || !slices.Contains([]session.Code{
		session.CodeConflict, session.CodeForbidden, session.CodeInvalid, session.CodeTooLarge, session.CodeSessionLimit, session.CodeIdempotencyMismatch,
	}, e.Code) {
		return
	}
	l.service.tell(ctx, Event{
		Kind: EventLoginFailed, AtMS: l.service.store.(*overlay).now().UnixMilli(), User: l.User, Policy: l.Policy, Address: l.address,
		Method: eventMethods[l.proof.method], Reason: string(e.Code), Field: e.Field, Actor: l.actor(session.ID{}),
	})
}

// tell tells that a session has another key.
func (r *rotation) tell(ctx context.Context, s *Service) {
	e := r.target.event(EventKeyRotated)
	if r.proof != nil {
		e.Kind, e.Method = EventReauthenticated, eventMethods[r.proof.method]
	}
	e.Actor = r.target.principal.actor()
	s.tell(ctx, e)
}

// endedByTime is which of a session's timers has ended it: the first that was over.
func (f *found) endedByTime() EventCause {
	r, t := f.session, f.session.timersNow(f.rules())
	cause, first := CauseIdle, forever
	if t.IdleMS != 0 {
		first = r.LastUseMS + t.IdleMS + t.WindowMS
	}
	if end := r.LastActivityMS + t.InactivityMS + session.PromptPeriod.Milliseconds() + t.WindowMS; t.InactivityMS != 0 && end < first {
		cause, first = CauseInactive, end
	}
	if t.AbsoluteEndMS != 0 && t.AbsoluteEndMS <= first {
		cause = CauseAbsolute
	}
	return cause
}

// endedByAccount tells of sessions that a change of the account has ended, when they have left the list in the store: none comes back into it.
func (s *Service) endedByAccount(ctx context.Context, u *userChange, ended []listed) {
	if len(ended) == 0 {
		return
	}
	all, ids := make([]left, len(ended)), make([]session.ID, len(ended))
	for i, l := range ended {
		all[i], ids[i] = left{l, ending{cause: CauseUser}}, l.ID
	}
	s.tellLeft(ctx, u, all)
	s.tidyIDs(ids)
}

// noteEnded tells, beside the request, of a session that is met and that a change of its account has ended.
func (s *Service) noteEnded(all ...*found) {
	for _, f := range all {
		if !s.tells() || f.user == nil || !slices.ContainsFunc(f.user.Ended, func(l listed) bool { return l.ID == f.id }) {
			continue
		}
		name := f.key.User
		s.background(func(ctx context.Context) { _ = s.Ended(context.WithoutCancel(ctx), name) }) // what fails is done by the next who meets it, or by the sweep
	}
}

// Ended tells of the sessions of a user that a change of its account has ended, where nobody has yet, and takes them out of the user's list for good.
func (s *Service) Ended(ctx context.Context, name string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.changeUser(ctx, name, func(u *userChange) error {
		if len(u.user.Ended) == 0 {
			return errKeep
		}
		return nil
	})
}

package backend

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// principal is an authenticated caller.
type principal struct {
	call    session.Call
	found   *found         // of the caller's own session; nil for the operator, and with Credentials
	user    string         // "" for the operator
	roles   []session.Role // in force
	cluster *clusterRecord
}

// has tells whether the caller has one of the roles; the operator has all.
func (p *principal) has(roles ...session.Role) bool {
	if p.call.Operator {
		return true
	}
	return slices.ContainsFunc(roles, func(r session.Role) bool { return slices.Contains(p.roles, r) })
}

// serves tells whether the caller is a service itself; an admin, who may do the same, is none.
func (p *principal) serves() bool { return slices.Contains(p.roles, session.RoleService) }

// extends tells whether the call may count as a use: local and min_index reads extend nothing.
func (p *principal) extends() bool {
	return p.call.Consistency == session.Linearizable && p.call.MinIndex == ""
}

// mayList tells whether p may see what f selects.
func (p *principal) mayList(f session.Filter) error {
	if p.has(session.RoleAdmin) || f.User != "" && f.User == p.user {
		return nil
	}
	return session.ErrListOfOthers()
}

// authenticate finds the caller's session, and that of the key which it presents, if any: nil when that opens nothing.
func (s *Service) authenticate(ctx context.Context, c session.Call) (*principal, *found, error) {
	if c.Credentials != nil {
		p, err := s.authenticateByPassword(ctx, c)
		return p, nil, err
	}
	if !c.Operator && c.Key.IsZero() {
		return nil, nil, session.ErrUnauthenticated()
	}
	if err := s.validConsistency(c); err != nil {
		return nil, nil, err
	}
	var keys []session.Key
	if !c.Operator {
		keys = append(keys, c.Key)
	}
	if c.Subject != nil {
		keys = append(keys, c.Subject.Key)
	}
	all, err := s.look(ctx, keys...)
	if err != nil {
		return nil, nil, err
	}
	p := &principal{call: c}
	if c.Operator {
		if p.cluster, _, _, err = s.readCluster(ctx); err != nil {
			return nil, nil, err
		}
	} else {
		p.found = all[0]
		if ok, err := s.open(ctx, p.found, c.Address); err != nil || !ok {
			return nil, nil, orUnauthenticated(err)
		}
		p.user, p.roles, p.cluster = p.found.session.User, p.found.roles(), p.found.cluster
	}
	if c.Subject == nil {
		return p, nil, nil
	}
	subject := all[len(all)-1]
	if !p.has(session.RoleService, session.RoleAdmin) {
		return p, nil, nil // it may not know what that key opens
	}
	ok, err := s.open(ctx, subject, c.Subject.Address)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		subject = nil
	}
	return p, subject, nil
}

func orUnauthenticated(err error) error {
	if err != nil {
		return err
	}
	return session.ErrUnauthenticated()
}

// open tells whether the key that f was looked up by opens its session at an address. A key that was rotated and whose grace is over opens none: that
// it is used ends its session, before the caller gets the answer for any unknown key.
func (s *Service) open(ctx context.Context, f *found, address netip.Addr) (bool, error) {
	if f.state == keySpent {
		return false, s.endReused(ctx, f, address)
	}
	if !f.opens() {
		return false, nil
	}
	binding, wrong := f.elsewhere(address)
	if wrong {
		s.mismatches.note(s, f, address, binding)
	}
	return !wrong || binding != session.BindStrict, nil
}

// endReused ends the session of a spent key.
func (s *Service) endReused(ctx context.Context, f *found, address netip.Addr) error {
	key := f.shown
	why := ending{CauseReused, EventActor{Address: plain(address)}}
	ended, err := s.endSession(ctx, f, why, func() (*found, error) { return s.lookOne(ctx, key) }, func(f *found) bool { return f.state == keySpent })
	if ended {
		s.figures.ended("reused_key", 1)
		s.log.Warn("a session key was used after its rotation and grace: its session ends",
			slog.String("session", f.id.String()), slog.String("user", f.session.User), slog.Any("client", address))
	}
	return err
}

// elsewhere tells whether a session that is bound to its address is presented at another one, or at none that is known. A session
// whose own address is not known is bound to nothing, and one whose policy is gone as strictly as any.
func (f *found) elsewhere(address netip.Addr) (session.AddressBinding, bool) {
	binding := session.BindStrict
	if p := f.policy(); p != nil && !f.session.Bound {
		binding = p.BindAddress
	}
	return binding, binding != session.BindOff && f.session.Address.IsValid() && f.session.Address != plain(address)
}

// plain is the one form in which addresses are compared; invalid for the unspecified one, which is nobody's.
func plain(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// authenticateAs authenticates a caller that needs one of the roles, and counts the use of its key.
func (s *Service) authenticateAs(ctx context.Context, c session.Call, roles ...session.Role) (*principal, error) {
	c.Consistency, c.MinIndex, c.Subject = session.Linearizable, "", nil
	p, _, err := s.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if !p.has(roles...) {
		return nil, session.ErrNeedsRole(roles[len(roles)-1])
	}
	return p, s.useCaller(ctx, p)
}

// target is the session that a call to a /session route is about: the caller's own, or the one that a service presents.
type target struct {
	principal *principal
	*found
	presented session.Presented
	byService bool

	opened   session.Attributes // what is sealed in openedOf
	openedOf *sessionRecord
}

// target finds the called session. The use of a service's own key is counted here, unless the read is local.
func (s *Service) target(ctx context.Context, c session.Call) (*target, error) {
	p, subject, err := s.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Subject == nil {
		if c.Operator {
			return nil, session.Invalid("Hydrastore-Session", "the operator has no session of its own; present a user's key")
		}
		if p.found == nil {
			return nil, session.Invalid("Credentials", "make no session; log in for one")
		}
		own := session.Presented{Key: c.Key, Address: c.Address, UserAgent: c.UserAgent}
		return &target{principal: p, found: p.found, presented: own}, nil
	}
	switch {
	case !p.has(session.RoleService, session.RoleAdmin):
		return nil, session.ErrMayNotPresent()
	case subject == nil:
		return nil, session.ErrSubject()
	}
	if p.extends() {
		if err := s.useCaller(ctx, p); err != nil {
			return nil, err
		}
	}
	return &target{principal: p, found: subject, presented: *c.Subject, byService: true}, nil
}

// maySeeSealed tells whether the caller may see sealed attributes: the session's own bearer, or a service.
func (t *target) maySeeSealed() bool { return !t.byService || t.principal.serves() }

// lookAgain finds a session anew, if its key still opens it at its address. A key that was rotated since it was presented ends nothing: it was good then.
func (s *Service) lookAgain(ctx context.Context, p session.Presented) (*found, error) {
	f, err := s.lookOne(ctx, p.Key)
	if err == nil && f.state == keySpent {
		err = session.ErrUnauthenticated()
	}
	if err != nil {
		return nil, err
	}
	return s.mustOpen(ctx, f, p.Address)
}

// mustOpen is open with an error for what does not.
func (s *Service) mustOpen(ctx context.Context, f *found, address netip.Addr) (*found, error) {
	if ok, err := s.open(ctx, f, address); err != nil || !ok {
		return nil, orUnauthenticated(err)
	}
	return f, nil
}

// mismatchPause is the least time between two log lines about keys at wrong addresses: whoever holds one must not fill the log.
const mismatchPause = time.Second

// mismatches counts and logs keys that are presented at another address than that of their log-in.
type mismatches struct {
	mu      sync.Mutex
	last    time.Time
	omitted int // since the last line
}

func (m *mismatches) note(s *Service, f *found, address netip.Addr, binding session.AddressBinding) {
	s.figures.elsewhere(string(binding))
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < mismatchPause {
		m.omitted++
		return
	}
	s.log.Warn("a session key was presented at another address than its log-in's",
		slog.String("session", f.id.String()), slog.String("user", f.session.User), slog.String("login_address", f.session.Address.String()),
		slog.String("address", address.String()), slog.String("bind_address", string(binding)),
		slog.Bool("refused", binding == session.BindStrict), slog.Int("omitted", m.omitted))
	m.last, m.omitted = time.Now(), 0
}

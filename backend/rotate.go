package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// rotation gives a session its next key.
type rotation struct {
	target    *target
	successor session.Key
	proof     *proof // of who the user is; nil = this is a mere rotation

	leads      session.Key     // where the presented key leads: the successor, or that of a rotation that came before
	reservedMS int64           // until when the successor's own record is kept, 0 = for ever
	forgotten  session.KeyHash // the oldest key, which the session remembers no more; zero = none
}

// notReserved: the successor's record is not written.
const notReserved = -1

// Rotate implements session.Sessions.
func (s *Service) Rotate(ctx context.Context, c session.Call) (session.Issued, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Issued{}, err
	}
	return s.rotate(ctx, &rotation{target: t})
}

// Reauthenticate implements session.Sessions.
func (s *Service) Reauthenticate(ctx context.Context, c session.Call, p session.Proof) (session.Issued, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if len(p.Password) > session.MaxPasswordBytes {
		return session.Issued{}, session.TooLarge("password", "a password has at most %d bytes", session.MaxPasswordBytes)
	}
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Issued{}, err
	}
	if p.Vouched {
		if !t.byService {
			return session.Issued{}, session.ErrVouchNotByBearer()
		}
		return s.rotate(ctx, &rotation{target: t, proof: &proof{method: session.MethodService, vouched: true}})
	}
	checked, err := s.checkPassword(ctx, passwordCheck{user: t.session.User, password: p.Password, address: triedFrom(c, t.presented.Address)})
	if err != nil {
		return session.Issued{}, err
	}
	defer s.giveBack(ctx, checked.attempt)
	return s.rotate(ctx, &rotation{target: t, proof: &checked.proof})
}

// rotate draws a successor and writes it. Of several that are written at once the first counts: the others get that one, sealed
// under the key that they present.
func (s *Service) rotate(ctx context.Context, r *rotation) (session.Issued, error) {
	var err error
	if r.successor, err = r.target.presented.Key.NewSuccessor(s.config.Random); err != nil {
		return session.Issued{}, internalError("rotate key", err)
	}
	r.reservedMS = notReserved
	find := func() (*found, error) { return s.lookAgain(ctx, r.target.presented) }
	err = s.changeByProof(ctx, r.proof, r.target.found, find, func(f *found) error { return s.rotateOnce(ctx, r, f) })
	made := err == nil && r.leads == r.successor
	if r.reservedMS != notReserved && !made && session.CodeOf(err) != session.CodeOutcomeUnknown {
		s.dropKey(r.successor.Hash())
	}
	if err != nil {
		return session.Issued{}, err
	}
	if made {
		if r.forgotten != (session.KeyHash{}) {
			s.dropKey(r.forgotten)
		}
		r.tell(ctx, s)
	}
	return s.issueSuccessor(r), nil
}

// rotateOnce changes the session's record as it was found: it gets its next key, or, where the presented key is in its grace, is used.
func (s *Service) rotateOnce(ctx context.Context, r *rotation, f *found) (err error) {
	if f.state == keyInGrace {
		if r.proof != nil {
			return session.ErrKeyRotated() // it would end whoever holds the successor
		}
		if r.leads, err = f.follow(r.target.presented.Key); err != nil {
			return internalError("rotate key", err)
		}
		f.session.use(f.rules(), f.nowMS, false)
		return nil
	}
	r.leads = r.successor
	if err := s.stillProves(ctx, r, f); err != nil {
		return err
	}
	if err := r.apply(f); err != nil {
		return err
	}
	if r.reservedMS == notReserved {
		expires := f.session.expires()
		if err := s.putKey(ctx, keyName(r.successor.Hash()), f.session.User, f.id, expires, ""); err != nil {
			return undecided("reserve the successor", err)
		}
		r.reservedMS = keysUntil(expires)
	}
	f.session.KeysUntilMS = sooner(f.session.KeysUntilMS, r.reservedMS)
	return nil
}

// issueSuccessor answers with the key that the presented one leads to.
func (s *Service) issueSuccessor(r *rotation) session.Issued {
	t := r.target
	issued := session.Issued{Key: r.leads.WithNumber(t.number), Session: t.view(), Attributes: t.session.attributes(), Meta: s.meta()}
	if !t.maySeeSealed() {
		return issued
	}
	var err error
	if issued.Sealed, err = s.seals.open(t.id, t.session.Sealed); err != nil {
		// The key was issued and is shown nowhere else: better without the sealed attributes than without it.
		s.log.Warn("sealed attributes do not open", slog.String("session", t.id.String()), slog.Any("error", err))
	}
	return issued
}

// apply makes the successor the key of a session whose present key is presented.
func (r *rotation) apply(f *found) error {
	if err := r.mayProve(f); err != nil {
		return err
	}
	rec, grace := f.session, f.graceAfter(r.proof)
	full := len(rec.Retired) == session.MaxRetiredKeys && f.nowMS < rec.Retired[0].GraceMS
	if full && grace > 0 {
		return session.ErrRotatedTooOften() // the oldest key would be forgotten before its grace is over
	}
	rec.capGraces(f.nowMS+grace, f.nowMS) // a key leads to its successor, so it must not outlast that one
	old := retired{Hash: rec.Key}
	if grace > 0 {
		sealed, err := r.target.presented.Key.SealSuccessor(r.successor)
		if err != nil {
			return internalError("rotate key", err)
		}
		old.GraceMS, old.Sealed = f.nowMS+grace, sealed
	}
	r.forgotten = session.KeyHash{}
	if len(rec.Retired) == session.MaxRetiredKeys {
		r.forgotten, rec.Retired = rec.Retired[0].Hash, rec.Retired[1:]
	}
	rec.Retired = append(rec.Retired, old)
	if r.proof != nil {
		rec.AuthMS = f.nowMS
		if !slices.Contains(rec.Methods, r.proof.method) {
			rec.Methods = append(rec.Methods, r.proof.method)
			slices.Sort(rec.Methods)
		}
	}
	rec.Roles = f.rolesAfter(r.proof) // what they are due depends on how the user has proved itself
	rec.Key = r.successor.Hash()
	rec.use(f.rules(), f.nowMS, false)
	f.shown = r.successor
	return nil
}

// stillProves judges a password that was verified by the user's record as it is after the session's was read. A password that is changed after that
// has the session written before the change is acknowledged (renewSpared), so that this write of it comes too late. Where a Directory keeps the accounts, changeByProof
// judges once more.
func (s *Service) stillProves(ctx context.Context, r *rotation, f *found) error {
	if r.proof == nil || r.proof.vouched {
		return nil
	}
	u, err := s.readUser(ctx, f.session.User)
	if err != nil {
		return err
	}
	if u.user.find(f.id) == nil {
		return session.ErrUnauthenticated()
	}
	if !r.proof.holdsFor(u.user) {
		return session.ErrUserChanged()
	}
	f.user = u.user
	return nil
}

// mayProve judges a service that speaks for the user, as a log-in does.
func (r *rotation) mayProve(f *found) error {
	switch {
	case r.proof == nil || !r.proof.vouched:
		return nil
	case f.user.Account != nil && isPowerful(f.user.Account.Roles):
		return session.ErrVouchForPowerful()
	}
	return nil
}

func isPowerful(roles []session.Role) bool {
	return slices.Contains(roles, session.RoleService) || slices.Contains(roles, session.RoleAdmin)
}

// rolesAfter are the session's roles after a rotation.
func (f *found) rolesAfter(p *proof) []session.Role {
	if p != nil && p.outside && f.user.Account == nil {
		return p.roles()
	}
	return slices.Clone(f.rolesDue())
}

// graceAfter is how many milliseconds the present key works on after a rotation. None when the session is worth more afterwards:
// whoever got hold of the key before must not share in that.
func (f *found) graceAfter(p *proof) int64 {
	if p != nil || session.GainsRights(f.session.Roles, f.rolesDue()) {
		return 0
	}
	if policy := f.policy(); policy != nil {
		return policy.RotateGrace.Milliseconds()
	}
	return 0
}

var errNoSuccessor = errors.New("a key in its grace has no successor")

// follow opens one key after the other, up to the present one.
func (f *found) follow(k session.Key) (session.Key, error) {
	list := f.session.Retired
	i := f.session.findRetired(k.Hash())
	if i < 0 {
		return session.Key{}, errNoSuccessor
	}
	for ; i < len(list); i++ {
		next := f.session.Key
		if i+1 < len(list) {
			next = list[i+1].Hash
		}
		var err error
		if k, err = k.OpenSuccessor(list[i].Sealed, next); err != nil {
			return session.Key{}, fmt.Errorf("open successor: %w", err)
		}
	}
	return k, nil
}

package node

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// principal is an authenticated caller, judged on one read point. Commands that it causes carry its authority, so that apply
// judges it again at the entry's clock.
type principal struct {
	call   session.Call
	point  readPoint
	record fsm.Record // of the caller's own session; zero for the operator, and with verified only its user and roles
	hash   session.KeyHash
	judged bool // the key was good when it was presented, as far as this node could know
	// verified tells that it was a password that proved who calls: nil = a key did.
	verified *fsmpb.VerifiedUser
}

// authenticate reads at the consistency that c asks for and finds the caller's session.
func (n *Node) authenticate(ctx context.Context, c session.Call) (*principal, error) {
	if known, err := n.knownCaller(ctx, c); known != nil || err != nil {
		return known, err
	}
	if c.Credentials != nil {
		return n.authenticateByPassword(ctx, c)
	}
	if !c.Operator && c.Key.IsZero() {
		return nil, session.ErrUnauthenticated()
	}
	point, err := n.read(ctx, c)
	if err != nil {
		return nil, asError("read", err)
	}
	p := &principal{call: c, point: point}
	if c.Operator {
		return p, nil
	}
	p.hash = c.Key.Hash()
	record, ok := n.open(ctx, c, session.Presented{Key: c.Key, Address: c.Address})
	if !ok {
		return nil, session.ErrUnauthenticated()
	}
	p.record, p.judged = record, p.extends()
	return p, nil
}

// authenticateAs authenticates a caller that needs one of the roles, by a linearizable read, and counts the use of its key.
func (n *Node) authenticateAs(ctx context.Context, c session.Call, roles ...session.Role) (*principal, error) {
	c.Consistency, c.MinIndex = session.Linearizable, ""
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if !p.has(roles...) {
		return nil, session.ErrNeedsRole(roles[len(roles)-1])
	}
	if err := n.useCaller(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// writer is authenticateAs for a request that is one write with the caller's authority. Apply judges that authority at the entry's
// clock and counts the use of the key, so a caller whom this node knows needs no read before; one whom it does not know, or not
// with such a role, may have changed a moment ago at another node, and is read, as is one at another address than its log-in's.
func (n *Node) writer(ctx context.Context, c session.Call, roles ...session.Role) (*principal, error) {
	if c.Operator {
		return &principal{call: c}, nil
	}
	if record, ok := n.sessionOf(c.Key); ok && !elsewhere(record, c.Address) {
		if p := (&principal{call: c, record: record, hash: c.Key.Hash(), judged: n.knowsOfLate()}); p.has(roles...) {
			return p, nil
		}
	}
	return n.authenticateAs(ctx, c, roles...)
}

// has tells whether the caller has one of the roles; the operator has all.
func (p *principal) has(roles ...session.Role) bool {
	return p.call.Operator || slices.ContainsFunc(roles, func(r session.Role) bool { return slices.Contains(p.record.Roles, r) })
}

// serves tells whether the caller is a service itself; an admin, who may do the same, is none.
func (p *principal) serves() bool { return slices.Contains(p.record.Roles, session.RoleService) }

// extends tells whether the call may count as a use: local and min_index reads extend nothing.
func (p *principal) extends() bool {
	return p.call.Consistency == session.Linearizable && p.call.MinIndex == ""
}

// authority is what goes into the log with a command.
func (p *principal) authority(orOwner bool, anyOf ...fsmpb.Role) *fsmpb.Authority {
	if p.call.Operator {
		return &fsmpb.Authority{System: true}
	}
	if p.verified != nil {
		return &fsmpb.Authority{Verified: p.verified, Address: addressBytes(p.call.Address), AnyOf: anyOf, OrOwner: orOwner}
	}
	return &fsmpb.Authority{KeyHash: p.hash[:], Address: addressBytes(p.call.Address), AnyOf: anyOf, OrOwner: orOwner, Judged: p.judged}
}

// target is the session that a call to a /session route is about: the caller's own, or the one that a service presents.
type target struct {
	principal *principal
	record    fsm.Record
	presented session.Presented
	byService bool
}

// target finds the called session. The use of a service's own key is counted here, unless the read is local.
func (n *Node) target(ctx context.Context, c session.Call) (*target, error) {
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Subject == nil {
		if p.verified != nil {
			return nil, session.Invalid("Credentials", "make no session; log in for one")
		}
		if c.Operator {
			return nil, session.Invalid("Hydrastore-Session", "the operator has no session of its own; present a user's key")
		}
		own := session.Presented{Key: c.Key, Address: c.Address, UserAgent: c.UserAgent}
		return &target{principal: p, record: p.record, presented: own}, nil
	}
	if !p.has(session.RoleService, session.RoleAdmin) {
		return nil, session.ErrMayNotPresent()
	}
	record, ok := n.open(ctx, c, *c.Subject)
	if !ok {
		return nil, session.ErrSubject()
	}
	if p.extends() {
		if err := n.useCaller(ctx, p); err != nil {
			return nil, err
		}
	}
	return &target{principal: p, record: record, presented: *c.Subject, byService: true}, nil
}

// maySeeSealed tells whether the caller may see sealed attributes: the session's own bearer, or a service.
func (t *target) maySeeSealed() bool { return !t.byService || t.principal.serves() }

// authority of the service that presents the key; nil when the bearer itself asks.
func (t *target) authority() *fsmpb.Authority {
	if !t.byService {
		return nil
	}
	return t.principal.authority(false, fsmpb.Role_ROLE_SERVICE, fsmpb.Role_ROLE_ADMIN)
}

// addressBytes gives the form that an address has in the log: 16 bytes, empty for an unknown one. The unspecified address is nobody's.
func addressBytes(a netip.Addr) []byte {
	if !a.IsValid() || a.Unmap().IsUnspecified() {
		return nil
	}
	b := a.As16()
	return b[:]
}

func addressFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

package fsm

import (
	"math"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// importedCluster is a BeginImport whose parts have been judged.
type importedCluster struct {
	policies []*policy
	seals    []SealKey // with their ids here
	limits   session.ClusterLimits
}

func (s *state) beginImport(c *fsmpb.BeginImport, r *fsmpb.Result) {
	if c.Origin == "" || len(c.Origin) > MaxOriginBytes {
		fail(r, fsmpb.Code_CODE_INVALID, "origin")
		return
	}
	if code, field := s.mayBeFilled(c); code != fsmpb.Code_CODE_OK {
		fail(r, code, field)
		return
	}
	in, code, field := s.parseImport(c)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, field)
		return
	}
	s.startImport(c, in)
	r.Payload = &fsmpb.Result_Filling{Filling: s.history}
}

// mayBeFilled judges whether a filling may begin. One that begins anew forgets what an earlier one of its origin has brought, or with restart whatever is
// there, unless that is closed.
func (s *state) mayBeFilled(c *fsmpb.BeginImport) (fsmpb.Code, string) {
	switch {
	case s.home.Node:
		return fsmpb.Code_CODE_CONFLICT, homeField
	case s.moving.phase == PhaseClosed: // it may be the very home that all comes from
		return fsmpb.Code_CODE_CONFLICT, "closed"
	case c.History != s.history: // it comes late: a filling has begun since, or has ended and is in use
		return fsmpb.Code_CODE_CONFLICT, "history"
	case c.Restart:
	case s.moving.phase == PhaseFilling && s.moving.origin != c.Origin:
		return fsmpb.Code_CODE_CONFLICT, "origin"
	case s.moving.phase == PhaseFilling:
	case s.moving.origin == c.Origin:
		return fsmpb.Code_CODE_EXISTS, "origin"
	case s.users.accounts.Len() > 0:
		return fsmpb.Code_CODE_CONFLICT, "users"
	case s.sessions.n > 0:
		return fsmpb.Code_CODE_CONFLICT, "sessions"
	case s.users.shells > 0: // they are about to go, and their numbers must not be given out again
		return fsmpb.Code_CODE_CONFLICT, "users"
	}
	return fsmpb.Code_CODE_OK, ""
}

// parseImport judges all that a BeginImport brings.
func (s *state) parseImport(c *fsmpb.BeginImport) (in importedCluster, code fsmpb.Code, field string) {
	if c.Version > maxMoved || c.Floor > maxMoved {
		return in, fsmpb.Code_CODE_INVALID, "version"
	}
	if in.policies, code, field = s.parseMovedPolicies(c); code != fsmpb.Code_CODE_OK {
		return in, code, field
	}
	if in.seals, code, field = s.parseMovedSeals(c); code != fsmpb.Code_CODE_OK {
		return in, code, field
	}
	l := c.Limits
	in.limits = session.ClusterLimits{MaxSessions: int(l.GetMaxSessions()), OnLimit: session.OnLimitRefuse, Version: l.GetVersion()}
	if on := l.GetOnLimit(); on != fsmpb.OnLimit_ON_LIMIT_UNSPECIFIED {
		in.limits.OnLimit = onLimitFrom(uint64(on) - 1)
	}
	if in.limits.Validate() != nil || in.limits.Version > c.Version {
		return in, fsmpb.Code_CODE_INVALID, "limits"
	}
	return in, fsmpb.Code_CODE_OK, ""
}

func (s *state) parseMovedPolicies(c *fsmpb.BeginImport) (policies []*policy, code fsmpb.Code, field string) {
	if len(c.Policies) > session.MaxPolicies {
		return nil, fsmpb.Code_CODE_TOO_LARGE, "policies"
	}
	for _, m := range c.Policies {
		put := m.GetPolicy()
		if put.GetMode() != fsmpb.PutPolicy_MODE_PUT || put.Authority != nil || put.ExpectedVersion != nil || m.Version > c.Version {
			return nil, fsmpb.Code_CODE_INVALID, "policies"
		}
		p, field := parsePolicy(put, session.Policy{})
		if field != "" {
			return nil, fsmpb.Code_CODE_INVALID, field
		}
		if p.Version = m.Version; find(policies, p.Name) != nil {
			return nil, fsmpb.Code_CODE_INVALID, "policies"
		}
		policies = append(policies, newPolicy(p, &s.sessions))
	}
	if find(policies, session.DefaultPolicyName) == nil {
		return nil, fsmpb.Code_CODE_INVALID, "policies"
	}
	return policies, fsmpb.Code_CODE_OK, ""
}

func find(policies []*policy, name string) *policy {
	if i := slices.IndexFunc(policies, func(p *policy) bool { return p.Name == name }); i >= 0 {
		return policies[i]
	}
	return nil
}

// parseMovedSeals gives the seal keys that there will be: the moved ones, and of those that nodes have made as many as there is room for.
func (s *state) parseMovedSeals(c *fsmpb.BeginImport) (keys []SealKey, code fsmpb.Code, field string) {
	if len(c.SealKeys) > session.MaxSealKeys || uint64(s.seals.last)+uint64(c.LastSealKey) > math.MaxUint32 {
		return nil, fsmpb.Code_CODE_TOO_LARGE, "seal_keys"
	}
	keys = s.sealsOfNodes()
	keys = keys[max(0, len(keys)+len(c.SealKeys)-session.MaxSealKeys):]
	last := uint32(0)
	for _, m := range c.SealKeys {
		if m.Id <= last || m.Id > c.LastSealKey {
			return nil, fsmpb.Code_CODE_INVALID, "seal_keys"
		}
		k, ok := sealKeyOf(&fsmpb.PutSealKey{Salt: m.Salt, MemoryKib: m.MemoryKib, Iterations: m.Iterations, Parallelism: m.Parallelism, Check: m.Check})
		if !ok {
			return nil, fsmpb.Code_CODE_INVALID, "seal_keys"
		}
		last, k.ID = m.Id, s.seals.last+m.Id
		keys = append(keys, k)
	}
	return keys, fsmpb.Code_CODE_OK, ""
}

// sealsOfNodes are the seal keys without those that a filling, which begins anew now, has brought. Nothing is sealed with any of them.
func (s *state) sealsOfNodes() (keys []SealKey) {
	for _, k := range s.seals.keys {
		if !s.maySealMore(k) {
			k.Uses = 0
			keys = append(keys, k)
		}
	}
	return keys
}

// startImport empties the state, at once, whatever it holds, and puts what was judged into it.
func (s *state) startImport(c *fsmpb.BeginImport, in importedCluster) {
	limitsBefore, policiesBefore := s.limits, s.storedPolicies()
	s.history++
	s.moving = moving{
		phase: PhaseFilling, closing: s.moving.closing, origin: c.Origin, atMS: s.clock, sealOffset: s.seals.last, sealLast: s.seals.last + c.LastSealKey,
	}
	s.reportMove(EventImportBegun)
	s.empty()
	for _, p := range in.policies {
		s.policies.add(p)
	}
	s.seals.keys, s.seals.last = in.seals, s.moving.sealLast
	s.limits = in.limits
	s.users.floor = max(s.users.floor, c.Floor)
	s.version = max(s.version, c.Version)
	s.reportImported(policiesBefore, limitsBefore)
}

// empty forgets all users, sessions and policies, in as little time as there are many. What counts up for all goes on, so that no sequence number or version is
// given out twice; what lasts minutes, such as Idempotency-Keys and counters of attempts, goes in its time. Running snapshots keep what they have frozen.
func (s *state) empty() {
	s.emptied = true
	s.sessions = sessions{graces: newGraces(), lastSeq: s.sessions.lastSeq}
	s.users = users{serial: s.users.serial, floor: s.users.floor, endingFloor: s.users.endingFloor, reapTurn: s.users.reapTurn}
	s.initUsers()
	s.policies = policies{}
	s.arena = arena{}
}

// reportImported tells which policies and limits are others than before an import.
func (s *state) reportImported(policies []session.Policy, limits session.ClusterLimits) {
	if s.events == nil {
		return
	}
	now := s.storedPolicies()
	for _, before := range policies {
		if named(now, before.Name) == nil {
			s.reportPolicy(&before, nil, 0)
		}
	}
	for _, after := range now {
		if before := named(policies, after.Name); before == nil || *before != after {
			s.reportPolicy(before, &after, after.Version)
		}
	}
	if before, after := limits, s.limits; before != after {
		s.events.add(Event{Kind: EventLimitsChanged, Version: after.Version, LimitsBefore: &before, LimitsAfter: &after})
	}
}

func named(policies []session.Policy, name string) *session.Policy {
	if i := slices.IndexFunc(policies, func(p session.Policy) bool { return p.Name == name }); i >= 0 {
		return &policies[i]
	}
	return nil
}

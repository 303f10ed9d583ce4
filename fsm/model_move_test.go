package fsm_test

import (
	"cmp"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// mayMove tells whether a command changes a cluster that is not open.
func mayMove(c *fsmpb.Command) bool {
	switch c.Kind.(type) {
	case *fsmpb.Command_BeginImport, *fsmpb.Command_ImportPast, *fsmpb.Command_ImportUsers, *fsmpb.Command_ImportSessions, *fsmpb.Command_FinishImport, *fsmpb.Command_CloseCluster,
		*fsmpb.Command_OpenCluster, *fsmpb.Command_SetFormatLevel, *fsmpb.Command_NoOp, *fsmpb.Command_PutSealKey, *fsmpb.Command_HoldSealKeys:
		return true
	}
	return false
}

func (m *model) open() bool { return m.moving.Phase == fsm.PhaseOpen }

func (m *model) accounts() (n int) {
	for _, u := range m.users {
		if u.stored {
			n++
		}
	}
	return n
}

func (m *model) closeCluster(r *fsmpb.Result) {
	switch {
	case m.moving.Phase == fsm.PhaseFilling:
		set(r, fsmpb.Code_CODE_CONFLICT, "filling")
		return
	case m.home.Node:
		set(r, fsmpb.Code_CODE_CONFLICT, "session_home")
		return
	case m.open():
		m.moving.Phase, m.moving.AtMS = fsm.PhaseClosed, m.clock
	}
	m.moving.Closing++
	r.Payload = &fsmpb.Result_Closing{Closing: m.moving.Closing}
}

func (m *model) openCluster(c *fsmpb.OpenCluster, r *fsmpb.Result) {
	switch {
	case m.moving.Phase == fsm.PhaseFilling:
		set(r, fsmpb.Code_CODE_CONFLICT, "filling")
		return
	case !m.open() && c.Closing != 0 && c.Closing != m.moving.Closing:
		set(r, fsmpb.Code_CODE_CONFLICT, "closing")
		return
	}
	m.moving.Phase, m.moving.AtMS = fsm.PhaseOpen, 0
}

func (m *model) finishImport(c *fsmpb.FinishImport, r *fsmpb.Result) {
	switch {
	case m.open() && m.moving.Origin == c.Origin:
		set(r, fsmpb.Code_CODE_EXISTS, "origin")
	case !m.filledBy(c.Filling, c.Origin, r):
	case c.Users != uint64(m.accounts()):
		set(r, fsmpb.Code_CODE_CONFLICT, "users")
	case c.Sessions != uint64(len(m.sessions)):
		set(r, fsmpb.Code_CODE_CONFLICT, "sessions")
	default:
		m.moving.Phase, m.moving.AtMS, m.moving.Filling = fsm.PhaseOpen, 0, 0
		m.history++
	}
}

func (m *model) filledBy(filling uint64, origin string, r *fsmpb.Result) bool {
	switch {
	case m.moving.Phase != fsm.PhaseFilling:
		set(r, fsmpb.Code_CODE_CONFLICT, m.moving.Phase.String())
		return false
	case m.moving.Origin != origin:
		set(r, fsmpb.Code_CODE_CONFLICT, "origin")
		return false
	case filling != m.history:
		set(r, fsmpb.Code_CODE_CONFLICT, "history")
		return false
	}
	return true
}

func (m *model) beginImport(c *fsmpb.BeginImport, r *fsmpb.Result) {
	if m.refusesImport(c, r) {
		return
	}
	policies := m.movedPolicies(c, r)
	if policies == nil {
		return
	}
	own := slices.DeleteFunc(slices.Clone(m.sealKeys), m.isMoved)
	limits := modelLimits{total: int(c.Limits.GetMaxSessions()), onLimit: max(c.Limits.GetOnLimit(), refuse)}
	switch {
	case len(c.SealKeys) > 16:
		set(r, fsmpb.Code_CODE_TOO_LARGE, "seal_keys")
		return
	case slices.ContainsFunc(c.SealKeys, func(k *fsmpb.MovedSealKey) bool { return k.Id == 0 }):
		set(r, fsmpb.Code_CODE_INVALID, "seal_keys")
		return
	case limits.impossible() != "" || c.Limits.GetVersion() > c.Version:
		set(r, fsmpb.Code_CODE_INVALID, "limits")
		return
	}
	m.policies, m.limits, m.version2 = policies, limits, c.Limits.GetVersion()
	m.users, m.sessions, m.reaps, m.bare, m.gracesUntil = map[string]*modelUser{}, nil, nil, nil, 0
	m.history++
	m.moving = fsm.Moving{Phase: fsm.PhaseFilling, Filling: m.history, Closing: m.moving.Closing, Origin: c.Origin, AtMS: m.clock, SealOffset: m.lastSealKey}
	own = own[max(0, len(own)+len(c.SealKeys)-16):]
	for _, k := range c.SealKeys {
		own = append(own, m.lastSealKey+k.Id)
	}
	m.sealKeys, m.lastSealKey = own, m.lastSealKey+c.LastSealKey
	m.moving.SealLast = m.lastSealKey
	m.floor, m.version = max(m.floor, c.Floor), max(m.version, c.Version)
	r.Payload = &fsmpb.Result_Filling{Filling: m.history}
}

// isMoved tells whether a seal key came with the filling that is under way.
func (m *model) isMoved(id uint32) bool {
	return m.moving.Phase == fsm.PhaseFilling && id > m.moving.SealOffset && id <= m.moving.SealLast
}

func (m *model) refusesImport(c *fsmpb.BeginImport, r *fsmpb.Result) bool {
	switch {
	case m.home.Node:
		set(r, fsmpb.Code_CODE_CONFLICT, "session_home")
	case m.moving.Phase == fsm.PhaseClosed:
		set(r, fsmpb.Code_CODE_CONFLICT, "closed")
	case c.History != m.history:
		set(r, fsmpb.Code_CODE_CONFLICT, "history")
	case c.Restart:
		return false
	case m.moving.Phase == fsm.PhaseFilling && m.moving.Origin == c.Origin:
		return false
	case m.moving.Phase == fsm.PhaseFilling:
		set(r, fsmpb.Code_CODE_CONFLICT, "origin")
	case m.moving.Origin == c.Origin:
		set(r, fsmpb.Code_CODE_EXISTS, "origin")
	case m.accounts() > 0:
		set(r, fsmpb.Code_CODE_CONFLICT, "users")
	case len(m.sessions) > 0:
		set(r, fsmpb.Code_CODE_CONFLICT, "sessions")
	case len(m.users) > 0:
		set(r, fsmpb.Code_CODE_CONFLICT, "users")
	default:
		return false
	}
	return true
}

// movedPolicies makes the policies of an import as if each was put; nil when one is refused.
func (m *model) movedPolicies(c *fsmpb.BeginImport, r *fsmpb.Result) map[string]*modelPolicy {
	scratch := newModel(0)
	scratch.policies = map[string]*modelPolicy{}
	for _, moved := range c.Policies {
		if moved.Version > c.Version {
			set(r, fsmpb.Code_CODE_INVALID, "policies")
			return nil
		}
		put := proto.Clone(moved.Policy).(*fsmpb.PutPolicy)
		put.Authority = system()
		scratch.putPolicy(put, r)
		if r.Payload = nil; r.Code != 0 {
			return nil
		}
		scratch.policies[put.Name].version = moved.Version
	}
	if scratch.policies["default"] == nil {
		set(r, fsmpb.Code_CODE_INVALID, "policies")
		return nil
	}
	return scratch.policies
}

func (m *model) importPast(c *fsmpb.ImportPast, r *fsmpb.Result) {
	if !m.filledBy(c.Filling, c.Origin, r) {
		return
	}
	raises := map[string][]modelRaise{}
	recorded := 0
	for _, past := range c.Policies {
		p := m.policies[past.Policy]
		if p == nil {
			set(r, fsmpb.Code_CODE_INVALID, "past")
			return
		}
		if slices.ContainsFunc(past.Lifetimes, func(l *fsmpb.MovedLifetime) bool { return l.UntilMs > m.clock+60_000 }) {
			set(r, fsmpb.Code_CODE_INVALID, "until_ms")
			return
		}
		if _, twice := raises[past.Policy]; twice {
			set(r, fsmpb.Code_CODE_INVALID, "past")
			return
		}
		raises[past.Policy] = raisesOf(past.Lifetimes, p.lifetime())
		if same := slices.Equal(p.raises, raises[past.Policy]); !same && len(p.raises) > 0 {
			set(r, fsmpb.Code_CODE_CONFLICT, "past")
			return
		} else if !same {
			recorded++
		}
	}
	if recorded > 0 && len(m.sessions) > 0 {
		set(r, fsmpb.Code_CODE_CONFLICT, "sessions")
		return
	}
	for name, raises := range raises {
		m.policies[name].raises = raises
	}
	count(r, uint64(recorded))
}

// raisesOf is until when a policy's sessions must have been created to live shorter than it says. For each instant that is the least of all lifetimes
// that reach as far.
func raisesOf(past []*fsmpb.MovedLifetime, lifetime int64) (raises []modelRaise) {
	least := func(created int64) int64 {
		l := lifetime
		for _, e := range past {
			if e.LifetimeMs > 0 && e.UntilMs >= created {
				l = min(l, e.LifetimeMs)
			}
		}
		return l
	}
	for _, e := range past {
		if least(e.UntilMs) < least(e.UntilMs+1) {
			raises = append(raises, modelRaise{e.UntilMs, least(e.UntilMs)})
		}
	}
	slices.SortFunc(raises, func(a, b modelRaise) int { return cmp.Compare(a.through, b.through) })
	return slices.Compact(raises)
}

func (m *model) importUsers(c *fsmpb.ImportUsers, r *fsmpb.Result) {
	if !m.filledBy(c.Filling, c.Origin, r) {
		return
	}
	var fresh []*modelUser
	for _, moved := range c.Users {
		a := moved.Account
		unknown := func(name string) bool { return m.policies[name] == nil }
		switch {
		case a != nil && (a.Version == 0 || a.Version > m.version):
			set(r, fsmpb.Code_CODE_INVALID, "version")
			return
		case a != nil && !m.mayStore(a.Md5Verifier), a != nil && !possibleVerifier(a.Md5Verifier):
			set(r, fsmpb.Code_CODE_INVALID, "md5_login")
			return
		case slices.ContainsFunc(a.GetPolicies(), unknown):
			set(r, fsmpb.Code_CODE_INVALID, "policies")
			return
		}
		switch known := m.users[moved.Name]; {
		case known == nil:
			fresh = append(fresh, newMovedUser(moved))
		case !proto.Equal(known.moved, moved):
			set(r, fsmpb.Code_CODE_CONFLICT, "user")
			return
		}
	}
	for _, u := range fresh {
		if m.users[u.name] = u; !u.stored {
			m.bare = append(m.bare, u)
		}
	}
	count(r, uint64(len(fresh)))
}

func newMovedUser(moved *fsmpb.MovedUser) *modelUser {
	u := &modelUser{name: moved.Name, lastNumber: moved.LastNumber, roles: []fsmpb.Role{plain}, moved: moved, preferences: map[string]string{}}
	for _, p := range moved.Preferences {
		u.preferences[p.Name] = string(p.Value)
	}
	if a := moved.Account; a != nil {
		u.stored, u.disabled, u.password, u.md5, u.verifier = true, a.Disabled, a.PasswordHash, a.Md5Login, string(a.Md5Verifier)
		u.roles, u.policies, u.version = a.Roles, a.Policies, a.Version
	}
	return u
}

func (m *model) importSessions(c *fsmpb.ImportSessions, r *fsmpb.Result) {
	if !m.filledBy(c.Filling, c.Origin, r) {
		return
	}
	var fresh []*modelSession
	for _, moved := range c.Sessions {
		if m.refusesSession(moved, r) {
			return
		}
		if known := m.byID(moved.Id); known != nil {
			if !proto.Equal(known.moved, moved) {
				set(r, fsmpb.Code_CODE_CONFLICT, "id")
				return
			}
			continue
		}
		if m.refusesPlace(moved, fresh, r) {
			return
		}
		fresh = append(fresh, m.newMovedSession(moved))
	}
	for _, s := range fresh {
		m.clothe(s.user)
		m.lastSeq++
		s.seq = m.lastSeq
		s.policy.born = max(s.policy.born, s.created)
		m.sessions = append(m.sessions, s)
	}
	count(r, uint64(len(fresh)))
}

func (m *model) refusesSession(moved *fsmpb.MovedSession, r *fsmpb.Result) bool {
	u := m.users[moved.User]
	code := fsmpb.Code_CODE_INVALID
	var field string
	switch {
	case u == nil || u.disabled:
		field = "user"
	case moved.Number == 0 || moved.Number > u.lastNumber:
		field = "number"
	case m.policies[moved.Policy] == nil:
		field = "policy"
	case moved.LastUseMs > m.clock:
		field = "last_use_ms"
	case moved.BindAddress && len(moved.Address) == 0:
		field = "bind_address"
	case slices.ContainsFunc(moved.Attributes, func(a *fsmpb.Attribute) bool { return !m.mayStore(a.Value) }):
		code, field = fsmpb.Code_CODE_CONFLICT, "attributes"
	default:
		return false
	}
	set(r, code, field)
	return true
}

// refusesPlace judges a session beside those that are there and those that come with it.
func (m *model) refusesPlace(moved *fsmpb.MovedSession, with []*modelSession, r *fsmpb.Result) bool {
	keys := [][]byte{moved.KeyHash}
	for _, k := range moved.Retired {
		keys = append(keys, k.Hash)
	}
	slices.Reverse(keys[1:])
	slices.Reverse(keys) // the present one last
	all := append(slices.Clone(m.sessions), with...)
	higher := func(s *modelSession) bool { return s.user == m.users[moved.User] && s.number >= moved.Number }
	twice := func(s *modelSession) bool { return string(s.id[:]) == string(moved.Id) }
	switch {
	case slices.ContainsFunc(with, twice):
		set(r, fsmpb.Code_CODE_INVALID, "id")
		return true
	case slices.ContainsFunc(all, higher):
		set(r, fsmpb.Code_CODE_INVALID, "number")
		return true
	}
	for i, key := range keys {
		has := func(s *modelSession) bool {
			return string(s.key[:]) == string(key) || slices.ContainsFunc(s.retired, func(k *modelKey) bool { return string(k.key[:]) == string(key) })
		}
		itself := slices.ContainsFunc(keys[:i], func(k []byte) bool { return string(k) == string(key) })
		switch {
		case itself || slices.ContainsFunc(with, has):
			set(r, fsmpb.Code_CODE_INVALID, "key_hash")
			return true
		case m.taken(key):
			set(r, fsmpb.Code_CODE_CONFLICT, "key_hash")
			return true
		}
	}
	return false
}

func (m *model) newMovedSession(moved *fsmpb.MovedSession) *modelSession {
	p := m.policies[moved.Policy]
	s := &modelSession{
		user: m.users[moved.User], policy: p, number: moved.Number, created: moved.CreatedMs, lastUse: moved.LastUseMs, activity: moved.LastActivityMs,
		auth: moved.AuthMs, permanent: moved.Permanent, bound: moved.BindAddress, own: moved.IdleMs, ownWindow: moved.WindowMs, roles: moved.Roles, methods: moved.Methods,
		address: string(moved.Address), agent: moved.UserAgent, version: moved.AttributesVersion, attributes: map[string]string{}, moved: moved,
		absoluteEnd: plus(moved.CreatedMs, p.lifetime()),
	}
	for _, raise := range p.raises {
		if moved.CreatedMs <= raise.through {
			s.absoluteEnd = min(s.absoluteEnd, moved.CreatedMs+raise.lifetime)
		}
	}
	if s.permanent {
		s.absoluteEnd = never
	}
	copy(s.key[:], moved.KeyHash)
	copy(s.id[:], moved.Id)
	for _, a := range moved.Attributes {
		s.attributes[a.Name] = string(a.Value)
	}
	for _, k := range moved.Retired {
		key := &modelKey{until: k.GraceMs, sealed: string(k.Sealed)}
		copy(key.key[:], k.Hash)
		s.retired = append(s.retired, key)
	}
	return s
}

// clothe notes that a user has an account or sessions.
func (m *model) clothe(u *modelUser) {
	m.bare = slices.DeleteFunc(m.bare, func(o *modelUser) bool { return o == u })
}

// movedTo is the model of a cluster into which all that lived at an instant has been moved. What is not moved: what lasts minutes, sequence numbers,
// what was dead.
func (m *model) movedTo(at int64) *model {
	to := newModel(m.ends)
	to.clock, to.gracesUntil, to.floor, to.version, to.limits, to.version2 = m.clock, m.gracesUntil, m.floor, m.version, m.limits, m.version2
	to.sealKeys, to.lastSealKey = slices.Clone(m.sealKeys), m.lastSealKey
	to.policies = map[string]*modelPolicy{}
	for name, p := range m.policies {
		own := *p
		own.lapsedSpan, own.lapsedQuietSpan, own.born, own.raises = 0, 0, 0, slices.Clone(p.raises)
		to.policies[name] = &own
	}
	for _, s := range m.sessions {
		if s.condemned || s.user.disabled || at >= s.deadline() {
			continue
		}
		own := *s
		own.user, own.policy = to.userLike(s.user), to.policies[s.policy.name]
		own.attributes, own.retired = maps.Clone(s.attributes), nil
		for _, k := range s.retired {
			key := *k
			own.retired = append(own.retired, &key)
		}
		to.lastSeq++
		own.seq = to.lastSeq
		own.policy.born = max(own.policy.born, own.created)
		to.sessions = append(to.sessions, &own)
	}
	for _, u := range m.users {
		if _, there := to.users[u.name]; !there && u.stored {
			to.userLike(u)
		} else if !there {
			to.floor = max(to.floor, u.lastNumber)
		}
	}
	return to
}

func (m *model) userLike(u *modelUser) *modelUser {
	if known := m.users[u.name]; known != nil {
		return known
	}
	own := *u
	own.preferences, own.endings = maps.Clone(u.preferences), fsm.Endings{}
	m.users[u.name] = &own
	return &own
}

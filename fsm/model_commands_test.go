package fsm_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	admin   = fsmpb.Role_ROLE_ADMIN
	service = fsmpb.Role_ROLE_SERVICE
	plain   = fsmpb.Role_ROLE_USER
)

// do applies a command; one that succeeds is a use of the key behind its authority, if that session still lives.
func (m *model) do(c *fsmpb.Command, r *fsmpb.Result) {
	m.by = nil
	if !m.open() && !mayMove(c) {
		set(r, fsmpb.Code_CODE_CLOSED, "")
		return
	}
	m.dispatch(c, r)
	if r.Code == fsmpb.Code_CODE_OK && m.by != nil && slices.Contains(m.sessions, m.by) && m.alive(m.by) {
		m.useSparingly(m.by)
	}
}

func (m *model) dispatch(c *fsmpb.Command, r *fsmpb.Result) {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_CreateSession:
		m.create(k.CreateSession, r)
	case *fsmpb.Command_TouchSession:
		if s, _ := m.presented(k.TouchSession, k.TouchSession.Authority, r); s != nil {
			m.use(s, k.TouchSession.Tickle, r)
			m.hint(k.TouchSession.KeyHash, s, r)
		}
	case *fsmpb.Command_PatchAttributes:
		m.patch(k.PatchAttributes, r)
	case *fsmpb.Command_AlterSession:
		m.alter(k.AlterSession, r)
	case *fsmpb.Command_PatchPreferences:
		m.patchPreferences(k.PatchPreferences, r)
	case *fsmpb.Command_RotateSession:
		m.rotate(k.RotateSession, r)
	case *fsmpb.Command_RevokeSession:
		m.revoke(k.RevokeSession, r)
	case *fsmpb.Command_RevokeSessions:
		m.revokeMany(k.RevokeSessions, r)
	case *fsmpb.Command_RevokeUserSessions:
		m.revokeUser(k.RevokeUserSessions, r)
	case *fsmpb.Command_PutUser:
		m.putUser(k.PutUser, r)
	case *fsmpb.Command_UpgradePassword:
		m.upgradePassword(k.UpgradePassword, r)
	case *fsmpb.Command_DeleteUser:
		m.deleteUser(k.DeleteUser, r)
	case *fsmpb.Command_PutPolicy:
		m.putPolicy(k.PutPolicy, r)
	case *fsmpb.Command_PutChallengeSecret:
		m.putChallengeSecret(k.PutChallengeSecret, r)
	case *fsmpb.Command_UseChallenge:
		m.useChallenge(k.UseChallenge, r)
	case *fsmpb.Command_PutLimits:
		m.putLimits(k.PutLimits, r)
	case *fsmpb.Command_DeletePolicy:
		m.deletePolicy(k.DeletePolicy, r)
	case *fsmpb.Command_LoginFailed:
		c, several := k.LoginFailed, k.LoginFailed.Reason == fsmpb.LoginFailed_REASON_UNREPORTED
		if c.Reason < 1 || c.Reason > 6 || !goodAddress(c.Address) || several != (c.Count > 0) {
			set(r, fsmpb.Code_CODE_INVALID, "")
		}
	case *fsmpb.Command_SetSessionHome:
		m.setSessionHome(k.SetSessionHome, r)
	case *fsmpb.Command_BeginImport:
		m.beginImport(k.BeginImport, r)
	case *fsmpb.Command_ImportPast:
		m.importPast(k.ImportPast, r)
	case *fsmpb.Command_ImportUsers:
		m.importUsers(k.ImportUsers, r)
	case *fsmpb.Command_ImportSessions:
		m.importSessions(k.ImportSessions, r)
	case *fsmpb.Command_FinishImport:
		m.finishImport(k.FinishImport, r)
	case *fsmpb.Command_CloseCluster:
		m.closeCluster(r)
	case *fsmpb.Command_OpenCluster:
		m.openCluster(k.OpenCluster, r)
	case *fsmpb.Command_PutSealKey:
		m.putSealKey(k.PutSealKey, r)
	case *fsmpb.Command_HoldSealKeys:
		m.holdSealKeys(k.HoldSealKeys, r)
	case *fsmpb.Command_ReplaceSealed:
		m.replaceSealed(k.ReplaceSealed, r)
	case *fsmpb.Command_TakeAttempt:
		m.takeAttempt(k.TakeAttempt, r)
	case *fsmpb.Command_GiveBackAttempt:
		if k.GiveBackAttempt.Attempt == nil || !m.possible(k.GiveBackAttempt.Attempt) {
			set(r, fsmpb.Code_CODE_INVALID, "")
		} else {
			m.giveBack(k.GiveBackAttempt.Attempt)
		}
	}
}

// judge returns the session behind an authority: nil for the system.
func (m *model) judge(a *fsmpb.Authority, owner *modelUser) (*modelSession, fsmpb.Code) {
	if a == nil {
		return nil, fsmpb.Code_CODE_UNAUTHENTICATED
	}
	badRole := slices.ContainsFunc(a.AnyOf, func(r fsmpb.Role) bool { return r < plain || r > admin })
	if badRole || !goodAddress(a.Address) || a.Verified != nil && (a.System || len(a.KeyHash) != 0) {
		return nil, fsmpb.Code_CODE_INVALID
	}
	if a.Verified != nil {
		return m.judgeVerified(a, owner)
	}
	if !a.System && len(a.KeyHash) != 32 || a.System && len(a.KeyHash) != 0 {
		return nil, fsmpb.Code_CODE_INVALID
	}
	if a.System {
		return nil, fsmpb.Code_CODE_OK
	}
	s := m.present(a.KeyHash, a.Address, a.Judged)
	if s == nil {
		return nil, fsmpb.Code_CODE_UNAUTHENTICATED
	}
	if !mayAct(a, s.rolesInForce(), s.user == owner) {
		return nil, fsmpb.Code_CODE_FORBIDDEN
	}
	m.by = s
	return s, fsmpb.Code_CODE_OK
}

func mayAct(a *fsmpb.Authority, has []fsmpb.Role, own bool) bool {
	for _, r := range a.AnyOf {
		if slices.Contains(has, r) {
			return true
		}
	}
	return a.OrOwner && own || !a.OrOwner && len(a.AnyOf) == 0
}

// judgeVerified returns a session that is none, with what a user has whose password was verified.
func (m *model) judgeVerified(a *fsmpb.Authority, owner *modelUser) (*modelSession, fsmpb.Code) {
	v := a.Verified
	if v.User == "" || len(v.User) > 128 {
		return nil, fsmpb.Code_CODE_INVALID
	}
	if badRoles(v.Roles) {
		return nil, fsmpb.Code_CODE_INVALID
	}
	u := m.users[v.User]
	if u == nil && len(v.Roles.GetRoles()) > 0 {
		u = &modelUser{roles: v.Roles.Roles}
	}
	if u == nil || u.refusesVerified(v.UserVersion, v.Outside) {
		return nil, fsmpb.Code_CODE_UNAUTHENTICATED
	}
	roles := u.roles
	if !u.stored && len(v.Roles.GetRoles()) > 0 {
		roles = v.Roles.Roles
	}
	if !mayAct(a, roles, u == owner) {
		return nil, fsmpb.Code_CODE_FORBIDDEN
	}
	return &modelSession{user: u, roles: roles}, fsmpb.Code_CODE_OK
}

// useSparingly writes a use when half of the touch window has passed.
func (m *model) useSparingly(s *modelSession) {
	if m.clock-s.activity > s.window()/2 {
		s.use(m.clock, false)
	}
}

func goodAddress(b []byte) bool { return len(b) == 0 || len(b) == 16 }

func powerful(roles []fsmpb.Role) bool {
	return slices.Contains(roles, admin) || slices.Contains(roles, service)
}

// mayActForOthers tells it of the session behind an authority; nil = the system.
func mayActForOthers(by *modelSession) bool { return by == nil || powerful(by.rolesInForce()) }

func set(r *fsmpb.Result, code fsmpb.Code, field string) { r.Code, r.Field = code, field }

func (m *model) create(c *fsmpb.CreateSession, r *fsmpb.Result) {
	if !goodAddress(c.Address) || len(c.Replaces) != 0 && len(c.Replaces) != 32 || len(c.CarriesDigest) != 0 && len(c.CarriesDigest) != 32 {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if c.Vouched != (c.Authority != nil) || c.Attempt != nil && !m.possible(c.Attempt) || c.Vouched && c.Outside != nil ||
		c.Outside.GetGrantsPolicy() && c.Policy == "" || badRoles(c.Outside.GetRoles()) || c.KeyFormat > fsmpb.KeyFormat_KEY_FORMAT_WS {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if m.home.Node {
		set(r, fsmpb.Code_CODE_CONFLICT, "session_home")
		return
	}
	m.presentAnywhere(c.Replaces, false)
	attributes := map[string]string{}
	for _, a := range c.Attributes {
		if _, twice := attributes[a.Name]; twice {
			set(r, fsmpb.Code_CODE_INVALID, "attributes")
			return
		}
		attributes[a.Name] = string(a.Value)
	}
	if slices.ContainsFunc(c.Attributes, func(a *fsmpb.Attribute) bool { return !m.mayStore(a.Value) }) {
		set(r, fsmpb.Code_CODE_CONFLICT, "attributes")
		return
	}
	var free bool // to choose among all policies
	u := m.users[c.User]
	s := &modelSession{lastUse: m.clock, activity: m.clock, attributes: attributes, version: m.index, address: string(c.Address), agent: c.UserAgent}
	if c.Vouched {
		by, code := m.judge(c.Authority, nil)
		if code != 0 {
			set(r, code, "authority")
			return
		}
		if free = mayActForOthers(by); !free {
			set(r, fsmpb.Code_CODE_FORBIDDEN, "authority")
			return
		}
		u = m.users[c.User] // a spent key may have ended its last session
		if u != nil && (u.disabled || powerful(u.roles)) {
			set(r, fsmpb.Code_CODE_FORBIDDEN, "user")
			return
		}
		s.roles, s.methods = []fsmpb.Role{plain}, []fsmpb.Method{fsmpb.Method_METHOD_SERVICE}
	} else {
		by := u
		if by == nil {
			by = &modelUser{}
		}
		if by.refusesVerified(c.UserVersion, c.Outside != nil) {
			set(r, fsmpb.Code_CODE_CONFLICT, "user")
			return
		}
		if s.roles = by.roles; !by.stored {
			s.roles = orPlain(c.Outside.GetRoles())
		}
		free, s.methods = powerful(s.roles), []fsmpb.Method{verifiedMethod(c.Outside != nil)}
	}
	allowed := []string{"default"}
	if u != nil && len(u.policies) > 0 {
		allowed = u.policies
	}
	name := c.Policy
	if name == "" {
		name = allowed[0]
	}
	p := m.policies[name]
	switch {
	case p == nil:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "policy")
		return
	case c.Policy != "" && !free && !c.Outside.GetGrantsPolicy() && !slices.Contains(allowed, name):
		set(r, fsmpb.Code_CODE_FORBIDDEN, "policy")
		return
	case m.refusesTimers(c, p, free, r):
		return
	case max(c.KeyFormat, fsmpb.KeyFormat_KEY_FORMAT_NATIVE) != p.keys:
		set(r, fsmpb.Code_CODE_CONFLICT, "key_format")
		return
	case c.AttributesLocal != p.local:
		set(r, fsmpb.Code_CODE_CONFLICT, "attributes_local")
		return
	case p.local && slices.ContainsFunc(c.Attributes, func(a *fsmpb.Attribute) bool { return !strings.HasPrefix(a.Name, "hydrastore.") }):
		set(r, fsmpb.Code_CODE_INVALID, "attributes")
		return
	case m.taken(c.KeyHash) || m.byID(c.Id) != nil:
		set(r, fsmpb.Code_CODE_CONFLICT, "key_hash")
		return
	}
	s.user, s.policy, s.bound = u, p, c.BindAddress
	copy(s.key[:], c.KeyHash)
	copy(s.id[:], c.Id)
	if s.permanent = c.Permanent; c.IdleMs != nil {
		s.own, s.ownWindow = c.IdleMs, p.ownWindow(*c.IdleMs)
	}
	remember := func() {}
	if c.Idempotency != nil {
		var repeated bool
		if remember, repeated = m.repeat(c, s, r); repeated {
			if r.Code == fsmpb.Code_CODE_OK {
				m.giveBack(c.Attempt)
			}
			return
		}
	}
	old := m.opened(c.Replaces, c.Address)
	if old != nil && old.user == u && len(c.CarriesDigest) > 0 && !bytes.Equal(c.CarriesDigest, old.carriedDigest()) {
		set(r, fsmpb.Code_CODE_CONFLICT, "replaces")
		return
	}
	if !m.makeRoom(s, old, r) {
		return
	}
	if old != nil && old.user == u {
		s.attributes = maps.Clone(old.attributes)
		maps.DeleteFunc(s.attributes, func(_, value string) bool { return sealedBy(value) != 0 })
		maps.DeleteFunc(s.attributes, func(name, _ string) bool {
			return (p.local || old.policy.local) && !strings.HasPrefix(name, "hydrastore.")
		})
		maps.Copy(s.attributes, attributes)
	}
	m.giveBack(c.Attempt)
	remember()
	m.record(c.User, s)
	m.answer(s, r)
}

// refusesTimers judges what a session asks for beside its policy.
func (m *model) refusesTimers(c *fsmpb.CreateSession, p *modelPolicy, free bool, r *fsmpb.Result) bool {
	switch {
	case (p.bind == fsmpb.AddressBinding_ADDRESS_BINDING_STRICT || c.BindAddress) && len(c.Address) == 0:
		set(r, fsmpb.Code_CODE_INVALID, "client_ip")
	case c.Permanent && c.IdleMs != nil:
		set(r, fsmpb.Code_CODE_INVALID, "idle_timeout_s")
	case c.Permanent && !p.mayPermanent:
		set(r, fsmpb.Code_CODE_FORBIDDEN, "permanent")
	case impossibleIdle(c.IdleMs):
		set(r, fsmpb.Code_CODE_INVALID, "idle_timeout_s")
	case c.IdleMs != nil && p.isLonger(*c.IdleMs) && !p.mayLonger && !free:
		set(r, fsmpb.Code_CODE_FORBIDDEN, "idle_timeout_s")
	default:
		return false
	}
	return true
}

func (p *modelPolicy) ownWindow(idle int64) int64 {
	if p.window < 0 {
		return min(idle/32, 60_000)
	}
	return min(p.window, idle)
}

// refusesVerified judges what a password was verified against.
func (u *modelUser) refusesVerified(version uint64, outside bool) bool {
	refused := !u.stored || u.disabled || u.version != version
	if outside {
		refused = u.stored && (refused || u.password != "") || !u.stored && version != 0
	}
	return refused
}

func verifiedMethod(outside bool) fsmpb.Method {
	if outside {
		return fsmpb.Method_METHOD_DIRECTORY
	}
	return fsmpb.Method_METHOD_PASSWORD
}

// repeat answers a request that was made before; s is the session that it would make now. Otherwise remember notes that it was made.
func (m *model) repeat(c *fsmpb.CreateSession, s *modelSession, r *fsmpb.Result) (remember func(), repeated bool) {
	i := slices.IndexFunc(m.repeats, func(k *modelRepeat) bool { return k.scope == string(c.Idempotency.ScopeHash) })
	if i < 0 {
		return func() {
			m.repeats = append(m.repeats, &modelRepeat{string(c.Idempotency.ScopeHash), string(c.Idempotency.BodyHash), m.lastSeq + 1, m.clock})
		}, false
	}
	k := m.repeats[i]
	old := m.find(func(o *modelSession) bool { return o.seq == k.seq })
	if k.body != string(c.Idempotency.BodyHash) || old != nil && old.user != s.user {
		set(r, fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH, "idempotency")
		return nil, true
	}
	if !m.alive(old) {
		return func() { k.seq = m.lastSeq + 1 }, false
	}
	if m.opened(old.key[:], c.Address) == nil {
		set(r, fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH, "client_ip")
		return nil, true
	}
	old.key = s.key
	old.capGraces(m.clock)
	if c.Outside != nil && !old.user.stored {
		old.roles = s.roles
	}
	m.use(old, false, r)
	r.Repeated = true
	return nil, true
}

func (m *model) record(name string, s *modelSession) {
	if s.user == nil {
		s.user = &modelUser{name: name, roles: []fsmpb.Role{plain}, lastNumber: m.floor}
		m.users[name] = s.user
	}
	m.clothe(s.user)
	m.lastSeq++
	s.user.lastNumber++
	s.seq, s.number = m.lastSeq, s.user.lastNumber
	s.created = m.clock
	if n := len(s.policy.raises); n > 0 {
		s.created = max(s.created, s.policy.raises[n-1].through+1)
	}
	s.auth = s.created
	s.policy.born = max(s.policy.born, s.created)
	if s.absoluteEnd = plus(s.created, s.policy.lifetime()); s.permanent {
		s.absoluteEnd = never
	}
	m.sessions = append(m.sessions, s)
}

func (m *model) use(s *modelSession, tickle bool, r *fsmpb.Result) {
	s.use(m.clock, tickle)
	m.answer(s, r)
}

// use moves the timers. Where there is no inactivity timeout a tickle is as good as an activity.
func (s *modelSession) use(clock int64, tickle bool) {
	if tickle && s.policy.noTickle && !s.permanent {
		return
	}
	s.lastUse = clock
	if !tickle || s.inactivity() == 0 {
		s.activity = clock
	}
}

// presented returns the session of a key and the one behind the command: nil for the system.
func (m *model) presented(c interface {
	GetKeyHash() []byte
	GetAddress() []byte
	GetJudged() bool
}, a *fsmpb.Authority, r *fsmpb.Result) (s, by *modelSession) {
	if !goodAddress(c.GetAddress()) {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return nil, nil
	}
	if a != nil {
		var code fsmpb.Code
		if by, code = m.judge(a, nil); code != 0 {
			set(r, code, "authority")
			return nil, nil
		}
	}
	if s = m.present(c.GetKeyHash(), c.GetAddress(), c.GetJudged()); s == nil {
		set(r, fsmpb.Code_CODE_UNAUTHENTICATED, "")
		return nil, nil
	}
	if a == nil {
		by = s
	}
	return s, by
}

func (m *model) patch(c *fsmpb.PatchAttributes, r *fsmpb.Result) {
	if repeatsName(c.Changes) {
		set(r, fsmpb.Code_CODE_INVALID, "attributes")
		return
	}
	if slices.ContainsFunc(c.Changes, func(c *fsmpb.AttributeChange) bool { return !m.mayStore(c.Value) }) {
		set(r, fsmpb.Code_CODE_CONFLICT, "attributes")
		return
	}
	s, by := m.presented(c, c.Authority, r)
	switch {
	case s == nil:
		return
	case !mayActForOthers(by) && !s.policy.bearer:
		set(r, fsmpb.Code_CODE_FORBIDDEN, "attributes")
		return
	case s.policy.local:
		set(r, fsmpb.Code_CODE_CONFLICT, "attributes_local")
		return
	case c.IfVersion != nil && *c.IfVersion != s.version:
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "attributes")
		return
	}
	after := merged(s.attributes, c.Changes)
	if !maps.Equal(after, s.attributes) {
		s.attributes, s.version = after, max(s.version+1, m.index)
	}
	m.use(s, false, r)
	m.hint(c.KeyHash, s, r)
}

func count(r *fsmpb.Result, n uint64) { r.Payload = &fsmpb.Result_Count{Count: n} }

func (m *model) revoke(c *fsmpb.RevokeSession, r *fsmpb.Result) {
	if len(c.KeyHash) > 0 {
		if !goodAddress(c.Address) {
			set(r, fsmpb.Code_CODE_INVALID, "")
			return
		}
		if c.Authority != nil {
			if _, code := m.judge(c.Authority, nil); code != 0 {
				set(r, code, "authority")
				return
			}
		}
		s := m.presentAnywhere(c.KeyHash, false)
		count(r, 0)
		if s != nil {
			m.remove(s)
			count(r, 1)
		}
		return
	}
	s := m.byID(c.Id)
	if !m.alive(s) {
		s = nil
	}
	var owner *modelUser
	if s != nil {
		owner = s.user
	}
	_, code := m.judge(c.Authority, owner)
	switch {
	case code == fsmpb.Code_CODE_FORBIDDEN && c.Authority.OrOwner || code == 0 && s == nil:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "id")
	case code != 0:
		set(r, code, "authority")
	default:
		m.remove(s)
		count(r, 1)
	}
}

func (m *model) revokeMany(c *fsmpb.RevokeSessions, r *fsmpb.Result) {
	by, code := m.judge(c.Authority, nil)
	own := code == fsmpb.Code_CODE_FORBIDDEN && c.Authority.OrOwner
	if own {
		if by = m.verified(c.Authority); by == nil {
			m.by = m.liveByKey(c.Authority.KeyHash)
			by = m.by
		}
	} else if code != 0 {
		set(r, code, "authority")
		return
	}
	var owner *modelUser
	if own {
		owner = by.user
	}
	n := uint64(0)
	for _, id := range c.Ids {
		if s := m.byID(id); m.alive(s) && (!own || s.user == owner) {
			m.remove(s)
			n++
		}
	}
	count(r, n)
}

// verified is who has proved it by a password; nil = the authority is a key.
func (m *model) verified(a *fsmpb.Authority) *modelSession {
	if a.Verified == nil {
		return nil
	}
	return &modelSession{user: m.users[a.Verified.User]}
}

func (m *model) exempt(u *modelUser, id []byte) *modelSession {
	if s := m.byID(id); m.alive(s) && s.user == u {
		return s
	}
	return nil
}

func (m *model) revokeUser(c *fsmpb.RevokeUserSessions, r *fsmpb.Result) {
	u := m.users[c.User]
	if _, code := m.judge(c.Authority, u); code != 0 {
		set(r, code, "authority")
		return
	}
	count(r, 0)
	if u != nil {
		count(r, m.condemn(u, c.Permanent, m.exempt(u, c.ExceptId)))
	}
}

func (m *model) putUser(c *fsmpb.PutUser, r *fsmpb.Result) {
	roles := c.Roles.GetRoles()
	if !possibleVerifier(c.Md5Verifier) || len(c.Md5Verifier) > 0 && c.GetPasswordHash() == "" {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if c.Mode == 0 {
		set(r, fsmpb.Code_CODE_INVALID, "mode")
		return
	}
	for i, name := range c.Policies.GetNames() {
		if m.policies[name] == nil {
			set(r, fsmpb.Code_CODE_NOT_FOUND, "policies")
			return
		}
		if slices.Contains(c.Policies.Names[:i], name) {
			set(r, fsmpb.Code_CODE_INVALID, "policies")
			return
		}
	}
	u := m.users[c.Name]
	by, code := m.judge(c.Authority, u)
	if code == 0 && by != nil && !slices.Contains(by.rolesInForce(), admin) {
		ownPassword := by.user == u && c.Mode == fsmpb.PutUser_MODE_UPDATE && c.GetPasswordHash() != ""
		if !ownPassword || c.Roles != nil || c.Policies != nil || c.Disabled != nil || c.Md5Login != nil {
			code = fsmpb.Code_CODE_FORBIDDEN
		}
	}
	if code != 0 {
		set(r, code, "authority")
		return
	}
	stored, anyAdmin := u != nil && u.stored, false
	for _, o := range m.users {
		anyAdmin = anyAdmin || o.stored && slices.Contains(o.roles, admin)
	}
	switch {
	case c.Mode == fsmpb.PutUser_MODE_UPDATE && !stored:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "user")
		return
	case c.Mode != fsmpb.PutUser_MODE_UPDATE && stored, c.Mode == fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN && anyAdmin:
		set(r, fsmpb.Code_CODE_EXISTS, "user")
		return
	case c.ExpectedVersion != nil && (!stored || *c.ExpectedVersion != u.version):
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "user")
		return
	case (c.GetMd5Login() || c.Md5Login == nil && u != nil && u.md5) && !m.mayStore(c.Md5Verifier):
		set(r, fsmpb.Code_CODE_CONFLICT, "md5_login")
		return
	case m.lastAdmin(u) && (c.GetDisabled() || len(roles) > 0 && !slices.Contains(roles, admin) && c.Mode != fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN || c.Roles != nil && len(roles) == 0):
		set(r, fsmpb.Code_CODE_CONFLICT, "last_admin")
		return
	}
	if u == nil {
		u = &modelUser{name: c.Name, roles: []fsmpb.Role{plain}, lastNumber: m.floor}
		m.users[c.Name] = u
	}
	if c.Mode == fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN {
		roles = append(slices.Clone(roles), admin)
	}
	m.changeUser(u, c, roles)
	r.Payload = &fsmpb.Result_Version{Version: u.version}
}

// lastAdmin tells whether u is an enabled admin and nobody else is.
func (m *model) lastAdmin(u *modelUser) bool {
	enabled := func(o *modelUser) bool { return o != nil && o.stored && !o.disabled && slices.Contains(o.roles, admin) }
	for _, o := range m.users {
		if o != u && enabled(o) {
			return false
		}
	}
	return enabled(u)
}

func (m *model) upgradePassword(c *fsmpb.UpgradePassword, r *fsmpb.Result) {
	u := m.users[c.User]
	switch {
	case c.PasswordHash == "" && len(c.Md5Verifier) == 0 || !possibleVerifier(c.Md5Verifier):
		set(r, fsmpb.Code_CODE_INVALID, "")
	case u == nil || !u.stored || u.password == "" || u.version != c.ExpectedVersion:
		set(r, fsmpb.Code_CODE_CONFLICT, "user")
	case !m.mayStore(c.Md5Verifier):
		set(r, fsmpb.Code_CODE_CONFLICT, "md5_login")
	default:
		if c.PasswordHash != "" {
			u.password = c.PasswordHash
		}
		if u.md5 && len(c.Md5Verifier) > 0 {
			u.verifier = string(c.Md5Verifier)
		}
		r.Payload = &fsmpb.Result_Version{Version: u.version}
	}
}

func (m *model) changeUser(u *modelUser, c *fsmpb.PutUser, roles []fsmpb.Role) {
	all, others := c.GetDisabled(), false
	if len(roles) > 0 {
		u.roles = roles
	}
	if c.PasswordHash != nil && *c.PasswordHash != u.password {
		others, u.password, u.verifier = true, *c.PasswordHash, ""
	}
	if c.Md5Login != nil {
		u.md5 = *c.Md5Login
	}
	if !u.md5 {
		u.verifier = ""
	} else if len(c.Md5Verifier) > 0 {
		u.verifier = string(c.Md5Verifier)
	}
	except := m.exempt(u, c.ExceptId)
	if all {
		except = nil
	}
	if c.Policies != nil {
		u.policies = c.Policies.Names
	}
	if c.Disabled != nil {
		u.disabled = *c.Disabled
	}
	m.clothe(u)
	u.stored, u.version = true, m.nextVersion()
	if m.home.Node && (all || others) {
		spared := session.ID{}
		if !all {
			copy(spared[:], c.ExceptId)
		}
		u.end(u.version, all || c.EndPermanent, spared)
	}
	if all || others {
		m.condemn(u, false, except)
	}
	if all || others && c.EndPermanent {
		m.condemn(u, true, except)
	}
}

func (m *model) deleteUser(c *fsmpb.DeleteUser, r *fsmpb.Result) {
	if _, code := m.judge(c.Authority, nil); code != 0 {
		set(r, code, "authority")
		return
	}
	u := m.users[c.Name]
	if u == nil || !u.stored {
		set(r, fsmpb.Code_CODE_NOT_FOUND, "user")
		return
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion != u.version {
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "user")
		return
	}
	if m.lastAdmin(u) {
		set(r, fsmpb.Code_CODE_CONFLICT, "last_admin")
		return
	}
	*u = modelUser{name: u.name, roles: []fsmpb.Role{plain}, lastNumber: u.lastNumber, endings: u.endings}
	version := m.nextVersion()
	if m.home.Node {
		u.end(version, true, session.ID{})
	}
	m.condemn(u, false, nil)
	m.condemn(u, true, nil)
	m.forget(u)
	r.Payload = &fsmpb.Result_Version{Version: version}
}

package fsm_test

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// historyOrigin is the home that clusters of random histories are filled from.
const historyOrigin = "elsewhere"

// move is a command that moves sessions, often enough to get through a move; nil = another command is due.
func (h *history) move() *fsmpb.Command {
	if h.m == nil {
		return nil
	}
	switch now := h.m.Moving(); now.Phase {
	case fsm.PhaseFilling:
		return h.fill(now)
	case fsm.PhaseClosed:
		switch {
		case h.chance(25):
			return openClosing(pick(h, []uint64{0, now.Closing, now.Closing, now.Closing - 1}))
		case h.chance(10):
			return closeCluster()
		case h.chance(10):
			return h.anyMove(now)
		}
	default:
		switch {
		case h.made == 0 && h.chance(8), h.filled && now.Origin == "" && now.Accounts+now.Sessions == 0 && h.chance(80):
			return beginImport(h.beginImport())
		case h.IntN(200) == 0:
			return closeCluster()
		case h.IntN(200) == 0:
			return h.anyMove(now)
		}
	}
	return nil
}

func (h *history) fill(now fsm.Moving) *fsmpb.Command {
	switch n := h.IntN(100); {
	case n < 6:
		return importPast(h.importPast())
	case n < 20:
		return importUsers(h.importUsers())
	case n < 75:
		return importSessions(h.importSessions())
	case n < 80:
		return h.anyMove(now)
	case n < 88:
		return nil
	case now.Sessions < 5 && n < 98:
		return importUsers(h.importUsers())
	}
	return finishFilling(h.filling(), historyOrigin, uint64(now.Accounts), uint64(now.Sessions))
}

// anyMove mostly comes at the wrong time.
func (h *history) anyMove(now fsm.Moving) *fsmpb.Command {
	origin := historyOrigin
	if h.chance(20) {
		origin = "nowhere"
	}
	switch h.IntN(7) {
	case 0:
		c := h.beginImport()
		c.Origin = origin
		return beginImport(c)
	case 1:
		c := h.importUsers()
		c.Origin = origin
		return importUsers(c)
	case 2:
		c := h.importSessions()
		c.Origin = origin
		return importSessions(c)
	case 3:
		return finishFilling(h.filling(), origin, uint64(now.Accounts)+h.Uint64N(2), uint64(now.Sessions)+h.Uint64N(2))
	case 4:
		return openCluster()
	case 5:
		c := h.importPast()
		c.Origin = origin
		return importPast(c)
	}
	return closeCluster()
}

// filling is mostly the one that is under way.
func (h *history) filling() uint64 {
	if h.chance(3) {
		return 1 + h.Uint64N(h.m.History()+1)
	}
	return h.m.History()
}

func (h *history) importPast() *fsmpb.ImportPast {
	c := &fsmpb.ImportPast{Origin: historyOrigin, Filling: h.filling()}
	for _, name := range historyPolicies {
		if !h.chance(50) {
			continue
		}
		p := &fsmpb.MovedPast{Policy: name}
		for range h.IntN(4) {
			p.Lifetimes = append(p.Lifetimes, &fsmpb.MovedLifetime{UntilMs: start + int64(h.IntN(40_000)) - 20_000, LifetimeMs: int64(h.IntN(6)) * 4000})
		}
		c.Policies = append(c.Policies, p)
	}
	if len(c.Policies) > 0 && h.chance(3) {
		c.Policies[0].Lifetimes = append(c.Policies[0].Lifetimes, &fsmpb.MovedLifetime{UntilMs: fsm.MaxClockMS, LifetimeMs: 1000})
	}
	return c
}

func (h *history) beginImport() *fsmpb.BeginImport {
	c := &fsmpb.BeginImport{Origin: historyOrigin, Restart: h.chance(30), Floor: h.Uint64N(50), Version: 500, LastSealKey: 3}
	for _, name := range historyPolicies {
		if h.chance(90) {
			c.Policies = append(c.Policies, &fsmpb.MovedPolicy{Policy: h.movedPolicy(name), Version: h.Uint64N(501)})
		}
	}
	for id := range uint32(4) {
		if h.chance(60) && (id > 0 || h.chance(3)) {
			key := putSealKey(id)
			c.SealKeys = append(c.SealKeys, &fsmpb.MovedSealKey{Id: id, Salt: key.Salt, MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: key.Check})
		}
	}
	if h.chance(80) {
		c.Limits = &fsmpb.MovedLimits{MaxSessions: *h.limit(30, session.MaxSessions+1), OnLimit: fsmpb.OnLimit(h.IntN(4)), Version: h.Uint64N(502)}
	}
	c.History = h.filling()
	return c
}

func (h *history) movedPolicy(name string) *fsmpb.PutPolicy {
	c := h.putPolicy()
	c.Name, c.Mode, c.Authority, c.ExpectedVersion = name, fsmpb.PutPolicy_MODE_PUT, nil, nil
	c.KeyFormat, c.AttributesLocal = h.keyFormat(name), ptr(name == "short")
	if c.OnLimit > idle && h.chance(90) {
		c.OnLimit = idle
	}
	c.IdleMs, c.AbsoluteMs, c.TouchWindowMs = ptr(int64(1+h.IntN(20))*1000), ptr(int64(h.IntN(9))*4000), ptr(int64(-1))
	if c.RotateGraceMs == nil && h.chance(90) {
		c.RotateGraceMs = ptr(int64(700))
	}
	return c
}

func (h *history) importUsers() *fsmpb.ImportUsers {
	c := &fsmpb.ImportUsers{Origin: historyOrigin, Filling: h.filling()}
	for _, name := range historyUsers {
		switch known := h.movedUsers[name]; {
		case known != nil && h.chance(2):
			other := proto.Clone(known).(*fsmpb.MovedUser)
			other.LastNumber++
			c.Users = append(c.Users, other)
		case known != nil:
			c.Users = append(c.Users, known)
		case h.chance(60):
			c.Users = append(c.Users, h.movedUser(name))
		}
	}
	return c
}

func (h *history) movedUser(name string) *fsmpb.MovedUser {
	u := &fsmpb.MovedUser{Name: name, LastNumber: 1000 + h.Uint64N(5)}
	if h.chance(30) {
		u.Preferences = []*fsmpb.Attribute{{Name: pick(h, []string{"hydrastore.a", "hydrastore.b"}), Value: h.plainValue()}}
	}
	if h.chance(50) {
		u.Account = &fsmpb.MovedAccount{Roles: []fsmpb.Role{fsmpb.Role(1 + h.IntN(3))}, Disabled: h.chance(10), CreatedMs: start - 1, Version: 1 + h.Uint64N(501)}
		if h.chance(60) {
			u.Account.PasswordHash = fmt.Sprintf("hash-%d", h.IntN(3))
			u.Account.Md5Login = h.chance(40)
		}
		if u.Account.Md5Login && h.chance(30) {
			u.Account.Md5Verifier = h.verifier()
		}
		if h.chance(30) {
			u.Account.Policies = []string{pick(h, historyPolicies)}
		}
	}
	if h.movedUsers == nil {
		h.movedUsers = map[string]*fsmpb.MovedUser{}
	}
	h.movedUsers[name] = u
	return u
}

// importSessions sends some that it has sent before, and some new ones.
func (h *history) importSessions() *fsmpb.ImportSessions {
	c := &fsmpb.ImportSessions{Origin: historyOrigin, Filling: h.filling()}
	if n := len(h.movedSessions); n > 0 && h.chance(30) {
		from := h.IntN(n)
		c.Sessions = append(c.Sessions, h.movedSessions[from:min(n, from+3)]...)
		if h.chance(10) {
			other := proto.Clone(c.Sessions[0]).(*fsmpb.MovedSession)
			other.AttributesVersion++
			c.Sessions[0] = other
		}
	}
	for range h.IntN(4) {
		s := h.movedSession()
		c.Sessions, h.movedSessions = append(c.Sessions, s), append(h.movedSessions, s)
	}
	return c
}

func (h *history) movedSession() *fsmpb.MovedSession {
	n, clock := h.made, h.m.ClockMS()
	h.made++
	h.numbers += 1 + h.Uint64N(2)
	s := &fsmpb.MovedSession{
		KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: pick(h, historyUsers), Policy: pick(h, historyPolicies), Number: h.numbers,
		LastUseMs: clock - int64(h.IntN(3000)), Roles: []fsmpb.Role{fsmpb.Role(1 + h.IntN(3))}, Methods: []fsmpb.Method{fsmpb.Method(1 + h.IntN(3))},
		UserAgent: "moved", AttributesVersion: h.Uint64N(1000), BindAddress: h.chance(8),
	}
	if h.chance(60) {
		s.Address = goldenAddress(byte(h.IntN(4)))
	}
	s.CreatedMs = s.LastUseMs - int64(h.IntN(10_000))
	s.LastActivityMs, s.AuthMs = s.LastUseMs, s.CreatedMs
	switch {
	case h.chance(8):
		s.Permanent = true
	case h.chance(20):
		s.IdleMs, s.WindowMs = ptr(pick(h, []int64{0, 1000, 5000, 60_000})), 0
		if *s.IdleMs > 0 {
			s.WindowMs = int64(h.IntN(1000))
		}
	}
	if !s.Permanent && h.chance(30) {
		s.LastActivityMs -= int64(h.IntN(2000))
	}
	if h.chance(30) {
		s.AuthMs += h.Int64N(s.LastUseMs - s.CreatedMs + 1)
	}
	for _, name := range []string{"a", "b"} {
		if h.chance(30) {
			s.Attributes = append(s.Attributes, &fsmpb.Attribute{Name: name, Value: h.value()})
		}
	}
	grace := int64(0)
	for range h.IntN(3) {
		key := &fsmpb.MovedKey{Hash: bytesOf(keyOf(h.made)), GraceMs: grace}
		if h.chance(60) {
			grace = max(grace, clock+int64(h.IntN(2000))-500)
			key.GraceMs = grace
		}
		if key.GraceMs > 0 {
			key.Sealed = sealed(h.made, n)
		}
		h.made++
		s.Retired = append(s.Retired, key)
	}
	h.spoil(s)
	return s
}

// spoil makes few of the sessions impossible.
func (h *history) spoil(s *fsmpb.MovedSession) {
	switch h.IntN(150) {
	case 0:
		s.Number = 0
	case 1:
		s.Number = 2000
	case 2:
		s.User = "nobody"
	case 3:
		s.Policy = "missing"
	case 4:
		s.LastUseMs += 1_000_000
	case 5:
		s.KeyHash = bytesOf(keyOf(h.known()))
	}
}

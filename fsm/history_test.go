package fsm_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// history draws random commands from a small world, so that they often meet: the same users, policies, keys, requests.
type history struct {
	*rand.Rand
	made  int // keys and ids given out
	next  int // the last successor, rotated on from rather often
	last  uint64
	crowd bool // mostly log-ins, under limits

	attempts []*fsmpb.Attempt // taken, the last few
	sealKeys int              // the last id given

	m             *fsm.Machine // what the commands are for; nil = sessions are not moved
	filled        bool         // it begins with a move into the machine
	numbers       uint64       // the highest of a session that was moved
	movedUsers    map[string]*fsmpb.MovedUser
	movedSessions []*fsmpb.MovedSession
}

// follow lets the history move sessions in and out of a machine.
func (h *history) follow(m *fsm.Machine) {
	_, last := m.SealKeys()
	h.m, h.sealKeys = m, int(last)
}

func newHistory(seed uint64) *history { return &history{Rand: rand.New(rand.NewPCG(seed, 1))} }

var (
	historyUsers    = []string{"ann", "bob", "cid", "dora", "émile", "frank"}
	historyPolicies = []string{"default", "short", "long", "bearer"}
)

func pick[T any](h *history, from []T) T { return from[h.IntN(len(from))] }

func (h *history) chance(percent int) bool { return h.IntN(100) < percent }

// known is the number of a key that was given out, rather a late one; its session may have ended.
func (h *history) known() int {
	if h.chance(50) {
		return max(0, h.made-1-h.IntN(10))
	}
	return h.IntN(h.made + 2)
}

func (h *history) address() []byte {
	switch h.IntN(10) {
	case 0:
		return []byte{1, 2, 3} // malformed
	case 1, 2, 3:
		return nil
	}
	a := netip.AddrFrom4([4]byte{10, 0, 0, byte(h.IntN(4))}).As16()
	return a[:]
}

func (h *history) authority() *fsmpb.Authority {
	switch h.IntN(10) {
	case 0:
		return nil
	case 1:
		return &fsmpb.Authority{KeyHash: []byte("short")}
	case 2, 3:
		a := authority(h.known())
		if h.chance(40) {
			a = verified(pick(h, historyUsers), h.last)
			if a.Verified.Outside = h.chance(20); a.Verified.Outside && h.chance(70) {
				a.Verified.UserVersion = 0
			}
			if h.chance(30) {
				a.Verified.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{fsmpb.Role(h.IntN(5))}}
			}
		}
		a.OrOwner, a.Judged = h.chance(50), h.chance(50)
		for _, r := range []fsmpb.Role{fsmpb.Role_ROLE_USER, fsmpb.Role_ROLE_SERVICE, fsmpb.Role_ROLE_ADMIN, 9} {
			if h.IntN(6) == 0 {
				a.AnyOf = append(a.AnyOf, r)
			}
		}
		return a
	}
	return system()
}

// advance is how far the leader's clock moves to the next entry.
func (h *history) advance() int64 {
	switch h.IntN(10) {
	case 0, 1, 2:
		return 0
	case 3:
		return -500
	case 4:
		if h.chance(5) {
			return int64(h.IntN(700_000))
		}
		if h.chance(3) {
			return int64(h.IntN(70_000))
		}
		return int64(h.IntN(20_000))
	}
	return int64(h.IntN(300))
}

func (h *history) entry() []*fsmpb.Command {
	commands := make([]*fsmpb.Command, h.IntN(9))
	for i := range commands {
		commands[i] = h.command()
	}
	return commands
}

func (h *history) command() *fsmpb.Command {
	if c := h.move(); c != nil {
		return c
	}
	if h.crowd && h.chance(85) {
		return h.crowded()
	}
	if h.chance(6) {
		return h.seal()
	}
	if h.chance(4) {
		return h.challenge()
	}
	if h.chance(12) {
		if h.chance(75) {
			return takeAttempt(h.takeAttempt())
		}
		return giveBack(h.attempt())
	}
	if h.chance(6) {
		return h.alter()
	}
	if h.made == 0 && h.chance(3) || h.IntN(300) == 0 {
		return setHome(fsmpb.SessionHome(h.IntN(4)))
	}
	switch n := h.IntN(103); {
	case n < 38:
		return create(h.create())
	case n < 47:
		return rotate(h.rotation())
	case n < 57:
		return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{
			KeyHash: bytesOf(keyOf(h.known())), Address: h.address(), Authority: h.optionalAuthority(), Tickle: h.chance(50), Judged: h.chance(50)}}}
	case n < 66:
		return patch(h.patch())
	case n < 72:
		return h.revoke()
	case n < 76:
		c := &fsmpb.RevokeSessions{Authority: h.authority()}
		for range h.IntN(5) {
			c.Ids = append(c.Ids, bytesOf(idOf(h.known())))
		}
		return revokeMany(c)
	case n < 80:
		c := &fsmpb.RevokeUserSessions{User: pick(h, historyUsers), Authority: h.authority(), Permanent: h.chance(40)}
		if h.chance(50) {
			c.ExceptId = bytesOf(idOf(h.known()))
		}
		return revokeUser(c)
	case n < 88:
		return putUser(h.putUser())
	case n < 90:
		return h.upgradePassword()
	case n < 93:
		return deleteUser(&fsmpb.DeleteUser{Name: pick(h, historyUsers), Authority: h.authority(), ExpectedVersion: h.version()})
	case n < 97:
		return putPolicy(h.putPolicy())
	case n < 98:
		return deletePolicy(&fsmpb.DeletePolicy{Name: pick(h, historyPolicies), Authority: h.authority(), ExpectedVersion: h.version()})
	case n < 99 && h.chance(50):
		return loginFailed(h.loginFailed())
	case n < 99:
		return &fsmpb.Command{Kind: &fsmpb.Command_SetFormatLevel{SetFormatLevel: &fsmpb.SetFormatLevel{Level: uint32(h.IntN(2))}}}
	case n < 100:
		return &fsmpb.Command{Kind: &fsmpb.Command_NoOp{NoOp: &fsmpb.NoOp{}}}
	}
	return putLimits(h.putLimits())
}

// limit is a limit up to most, one that is none, or one that is not possible.
func (h *history) limit(most, impossible int) *uint32 {
	if h.chance(3) {
		return ptr(uint32(impossible))
	}
	if h.chance(50) {
		return ptr(uint32(0))
	}
	if !h.crowd {
		most *= 5 // met now and then
	}
	return ptr(uint32(1 + h.IntN(most)))
}

func (h *history) putLimits() *fsmpb.PutLimits {
	c := &fsmpb.PutLimits{OnLimit: fsmpb.OnLimit(h.IntN(5)), Authority: h.authority(), ExpectedVersion: h.version()}
	if h.chance(80) {
		c.MaxSessions = h.limit(30, session.MaxSessions+1)
	}
	return c
}

func (h *history) takeAttempt() *fsmpb.TakeAttempt {
	limit := func() *fsmpb.AttemptLimit {
		switch h.IntN(12) {
		case 0:
			return nil
		case 1:
			return &fsmpb.AttemptLimit{Attempts: uint32(h.IntN(3)), WindowMs: int64(h.IntN(3))}
		}
		return &fsmpb.AttemptLimit{Attempts: uint32(1 + h.IntN(4)), WindowMs: 1000 * int64(1+h.IntN(5))}
	}
	c := &fsmpb.TakeAttempt{Address: h.network(), UserHash: uint32(h.IntN(4)), PerUser: limit(), PerAddress: limit()}
	if h.chance(2) {
		c.UserHash = 1 << 16
	}
	return c
}

// network is an address, sometimes one of IPv6 that shares its network with others.
func (h *history) network() []byte {
	if h.chance(60) {
		return h.address()
	}
	return append([]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(h.IntN(2))}, 0, 0, 0, 0, 0, 0, 0, byte(h.IntN(4)))
}

// attempt is one that was taken, given back before, or never taken; nil sometimes.
func (h *history) attempt() *fsmpb.Attempt {
	if len(h.attempts) == 0 || h.chance(10) {
		return nil
	}
	a := pick(h, h.attempts)
	if h.chance(10) {
		return &fsmpb.Attempt{Address: a.Address, UserHash: a.UserHash, UserRun: h.Uint64N(20), UserShareMs: int64(h.IntN(3)) * 1000}
	}
	return a
}

func (h *history) optionalAuthority() *fsmpb.Authority {
	if h.chance(70) {
		return nil
	}
	return h.authority()
}

// version is a user's or policy's version that may be current: the test tells which was given last.
func (h *history) version() *uint64 {
	switch h.IntN(8) {
	case 0:
		return ptr(h.last)
	case 1:
		return ptr(uint64(h.IntN(5)))
	}
	return nil
}

func (h *history) create() *fsmpb.CreateSession {
	n := h.made
	if h.chance(4) {
		n = h.known()
	} else {
		h.made++
	}
	c := vouched(n, pick(h, historyUsers))
	c.Address = h.address()
	if h.chance(20) {
		c.Authority = h.authority()
	}
	if h.chance(25) {
		c.Vouched, c.Authority, c.UserVersion = false, nil, h.last
		h.goOutside(c)
	}
	if h.chance(40) {
		c.Policy = pick(h, append(historyPolicies, "missing"))
	}
	if h.chance(30) {
		c.UserAgent = fmt.Sprintf("agent/%d", h.IntN(5))
	}
	c.KeyFormat = h.keyFormat(c.Policy)
	c.AttributesLocal = c.Policy == "short" != h.chance(3)
	c.Permanent, c.BindAddress = h.chance(8), h.chance(8)
	if h.chance(15) {
		c.IdleMs = ptr(pick(h, []int64{-1, 0, 10, 1000, 5000, 60_000, 200_000}))
	}
	if h.chance(15) {
		c.Attempt = h.attempt()
	}
	for range h.IntN(3) {
		c.Attributes = append(c.Attributes, &fsmpb.Attribute{Name: pick(h, []string{"a", "b", "c"}), Value: h.value()})
	}
	if c.AttributesLocal && h.chance(95) {
		for _, a := range c.Attributes {
			a.Name = "hydrastore." + a.Name
		}
	}
	if h.chance(40) {
		c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(-1 - h.IntN(6))), BodyHash: bytesOf(keyOf(-100 - h.IntN(2)))}
	}
	switch h.IntN(20) {
	case 0, 1:
		c.Replaces = bytesOf(keyOf(h.known()))
		if h.chance(40) {
			c.CarriesDigest = h.carriedDigest()
		}
	case 2:
		c.Replaces = []byte("short")
	}
	return c
}

// carriedDigest is mostly that of a session that has nothing which a node would take along.
func (h *history) carriedDigest() []byte {
	if h.chance(5) {
		return []byte{1, 2, 3}
	}
	if h.chance(30) {
		return carriedDigest(fsm.Attribute{Name: session.CredentialsAttribute, Value: h.plainValue()})
	}
	return carriedDigest()
}

func (h *history) rotation() *fsmpb.RotateSession {
	successor := h.made
	if h.chance(4) {
		successor = h.known()
	} else {
		h.made++
	}
	key := h.next
	if h.chance(20) {
		key = h.known()
	}
	h.next = successor
	c := rotation(key, successor)
	c.Judged = h.chance(50)
	if h.chance(85) {
		return c
	}
	c.Address, c.Authority = h.address(), h.optionalAuthority()
	if h.chance(15) {
		c.SealedSuccessor = c.SealedSuccessor[1:]
	}
	switch h.IntN(3) {
	case 0:
		c.Reauthentication = &fsmpb.Reauthentication{UserVersion: h.last, Outside: h.chance(50), Roles: h.outsideRoles()}
		if c.Reauthentication.Outside && h.chance(70) {
			c.Reauthentication.UserVersion = 0
		}
	case 1:
		c.Reauthentication = &fsmpb.Reauthentication{Vouched: true}
	}
	return c
}

// goOutside makes some of the log-ins such that no password of the cluster was verified for.
func (h *history) goOutside(c *fsmpb.CreateSession) {
	if h.chance(50) {
		return
	}
	c.Outside = &fsmpb.OutsideLogin{GrantsPolicy: h.chance(40), Roles: h.outsideRoles()}
	if h.chance(60) {
		c.UserVersion = 0
	}
}

// outsideRoles are what a directory's groups give.
func (h *history) outsideRoles() *fsmpb.RoleList {
	if h.chance(50) {
		return nil
	}
	l := &fsmpb.RoleList{}
	for range h.IntN(3) {
		l.Roles = append(l.Roles, fsmpb.Role(1+h.IntN(3)))
	}
	if h.chance(4) {
		l.Roles = append(l.Roles, 9)
	}
	return l
}

func (h *history) upgradePassword() *fsmpb.Command {
	c := &fsmpb.UpgradePassword{User: pick(h, historyUsers), ExpectedVersion: h.last}
	if h.chance(90) {
		c.PasswordHash = fmt.Sprintf("hash-%d", h.IntN(3))
	}
	if h.chance(40) {
		c.Md5Verifier = h.verifier()
	}
	return upgradePassword(c)
}

func (h *history) seal() *fsmpb.Command {
	switch h.IntN(8) {
	case 0, 1:
		c := putSealKey(h.sealKey())
		if h.chance(10) {
			c.Salt = nil
		}
		return sealCommand(c)
	case 2:
		ids := make([]uint32, h.IntN(4))
		for i := range ids {
			ids[i] = h.sealKey()
		}
		return holdSealKeys(fmt.Sprint("node-", h.IntN(70)), ids...)
	}
	if h.chance(20) {
		return replaceSealed(&fsmpb.ReplaceSealed{User: pick(h, historyUsers), Changes: []*fsmpb.SealedChange{{Old: h.verifier(), New: h.verifier()}}})
	}
	c := &fsmpb.ReplaceSealed{Id: bytesOf(idOf(h.known()))}
	for range h.IntN(4) {
		c.Changes = append(c.Changes, &fsmpb.SealedChange{
			Name: pick(h, []string{"a", "b", "c", "d"}), Old: h.sealedValue(), New: h.sealedValue()})
	}
	return replaceSealed(c)
}

// verifier is one that may be stored, mostly.
func (h *history) verifier() []byte {
	if h.chance(5) {
		return h.sealedValue()
	}
	return sealedMD5(uint32(max(0, h.sealKeys-h.IntN(3))), byte(h.IntN(2)))
}

// The hours of random histories: those around the test's beginning, and what its clocks can reach.
const historyHours = 8

func historyHour(n int64) int64 { return start - start%3_600_000 + (n-2)*3_600_000 }

func (h *history) challenge() *fsmpb.Command {
	hour := historyHour(2 + int64(h.IntN(3)))
	if h.chance(20) {
		hour = historyHour(int64(h.IntN(historyHours)))
	}
	if h.chance(40) {
		secret := make([]byte, h.IntN(3))
		if h.chance(50) {
			secret = sealedValue(uint32(h.IntN(3)), byte(h.IntN(3)))
		}
		return putSecret(&fsmpb.PutChallengeSecret{HourMs: hour, Secret: secret})
	}
	c := &fsmpb.UseChallenge{Hash: bytesOf(idOf(h.IntN(20))), HourMs: hour, EndMs: start + int64(h.IntN(100))*60_000}
	if h.chance(5) {
		c.Hash, c.HourMs = c.Hash[h.IntN(2):], c.HourMs+int64(h.IntN(2))
	}
	return useChallenge(c)
}

// sealKey is an id that may have been given, or is the next.
func (h *history) sealKey() uint32 { return uint32(h.IntN(2) + h.sealKeys) }

func (h *history) sealedValue() []byte {
	return sealedValue(uint32(max(0, h.sealKeys-h.IntN(3))), byte(h.IntN(2)))
}

func (h *history) value() []byte {
	if h.sealKeys > 0 && h.chance(40) {
		return h.sealedValue()
	}
	return h.plainValue()
}

func (h *history) plainValue() []byte { return []byte(fmt.Sprintf("%d", h.IntN(1<<h.IntN(40)))) }

func (h *history) patch() *fsmpb.PatchAttributes {
	c := &fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(h.known())), Address: h.address(), Authority: h.authority(), Judged: h.chance(50)}
	if h.chance(20) {
		c.IfVersion = ptr(h.last)
	}
	for range h.IntN(4) {
		change := &fsmpb.AttributeChange{Name: pick(h, []string{"a", "b", "c", "d", session.CredentialsAttribute})}
		if change.Delete = h.chance(30); !change.Delete {
			change.Value = h.value()
		}
		c.Changes = append(c.Changes, change)
	}
	return c
}

// alter changes what a session has of its own, or its user.
func (h *history) alter() *fsmpb.Command {
	var changes []*fsmpb.AttributeChange
	for range h.IntN(3) {
		change := &fsmpb.AttributeChange{Name: pick(h, []string{"hydrastore.a", "hydrastore.b", "hydrastore.b", "c"})}
		if change.Delete = h.chance(30); !change.Delete {
			change.Value = h.value()
		}
		changes = append(changes, change)
	}
	key := bytesOf(keyOf(h.known()))
	if h.chance(40) {
		if by := h.authority(); by != nil && h.chance(30) {
			c := &fsmpb.PatchPreferences{Changes: changes, Authority: by}
			if h.chance(10) {
				c.KeyHash = key
			}
			return patchPreferences(c)
		}
		return patchPreferences(&fsmpb.PatchPreferences{KeyHash: key, Address: h.address(), Changes: changes, Judged: h.chance(50)})
	}
	c := &fsmpb.AlterSession{KeyHash: key, Address: h.address(), Authority: h.optionalAuthority(), Changes: changes, Judged: h.chance(50)}
	if h.chance(60) {
		c.IdleMs = ptr(pick(h, []int64{-1, 0, 10, 1000, 5000, 60_000, 200_000}))
	}
	return alter(c)
}

func (h *history) revoke() *fsmpb.Command {
	c := &fsmpb.RevokeSession{Authority: h.authority()}
	if h.chance(50) {
		c.KeyHash, c.Authority, c.Address = bytesOf(keyOf(h.known())), h.optionalAuthority(), h.address()
	} else {
		c.Id = bytesOf(idOf(h.known()))
	}
	return revoke(c)
}

func (h *history) loginFailed() *fsmpb.LoginFailed {
	c := &fsmpb.LoginFailed{Address: h.address(), Reason: fsmpb.LoginFailed_Reason(h.IntN(8))}
	if h.chance(50) {
		c.User = pick(h, historyUsers)
	}
	if h.chance(30) {
		c.Count = h.Uint64N(100)
	}
	return c
}

func (h *history) putUser() *fsmpb.PutUser {
	c := &fsmpb.PutUser{
		Name: pick(h, historyUsers), Mode: fsmpb.PutUser_Mode(h.IntN(4)), Authority: h.authority(), ExpectedVersion: h.version(),
	}
	if h.chance(40) {
		c.PasswordHash = ptr(fmt.Sprintf("hash-%d", h.IntN(3)))
	}
	if h.chance(40) {
		c.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{fsmpb.Role(1 + h.IntN(3))}}
	}
	if h.chance(30) {
		c.Policies = &fsmpb.NameList{}
		for range h.IntN(3) {
			c.Policies.Names = append(c.Policies.Names, pick(h, historyPolicies))
		}
	}
	if h.chance(20) {
		c.Disabled = ptr(h.chance(50))
	}
	if h.chance(30) {
		c.ExceptId = bytesOf(idOf(h.known()))
	}
	c.EndPermanent = h.chance(30)
	if h.chance(30) {
		c.Md5Login = ptr(h.chance(70))
	}
	if h.chance(20) {
		c.Md5Verifier = h.verifier()
	}
	return c
}

func (h *history) putPolicy() *fsmpb.PutPolicy {
	idle, absolute := int64(h.IntN(8))*1000, int64(h.IntN(6))*4000
	c := timers(pick(h, historyPolicies), idle, absolute, int64(h.IntN(4))*100-1)
	c.AttributesWrite = fsmpb.AttributesWriter(1 + h.IntN(2))
	c.Mode = fsmpb.PutPolicy_Mode(h.IntN(4))
	c.Authority, c.ExpectedVersion = h.authority(), h.version()
	h.rules(c)
	if h.chance(30) {
		c.IdleMs = nil
	}
	if h.chance(30) {
		c.AbsoluteMs = nil
	}
	if c.RotateGraceMs = ptr(int64(h.IntN(4)) * 700); h.chance(20) {
		c.RotateGraceMs = nil
	}
	if h.chance(50) {
		h.putPolicyLimits(c)
	}
	return c
}

// rules gives a policy those fields that may be absent.
func (h *history) rules(c *fsmpb.PutPolicy) {
	if h.chance(60) {
		c.InactivityMs = ptr(int64(h.IntN(4)) * 2000)
	}
	if h.chance(40) {
		c.NoTickle = ptr(h.chance(30))
	}
	if h.chance(70) {
		c.PermanentAllowed = ptr(h.chance(70))
	}
	if h.chance(70) {
		c.KeyFormat = h.keyFormat(c.Name)
	}
	if h.chance(70) {
		c.AttributesLocal = ptr(c.Name == "short" != h.chance(3))
	}
	if h.chance(50) {
		c.LongerIdleAllowed = ptr(h.chance(50))
	}
	if h.chance(50) {
		c.BindAddress = pick(h, []fsmpb.AddressBinding{1, 1, 1, 2, 3})
	}
}

// keyFormat is mostly the one that a policy of this name has, so that its log-ins succeed.
func (h *history) keyFormat(policy string) fsmpb.KeyFormat {
	if h.chance(3) {
		return fsmpb.KeyFormat(h.IntN(7))
	}
	return map[string]fsmpb.KeyFormat{"long": fsmpb.KeyFormat_KEY_FORMAT_HEX32, "bearer": fsmpb.KeyFormat_KEY_FORMAT_WS}[policy]
}

func (h *history) putPolicyLimits(c *fsmpb.PutPolicy) {
	if h.chance(50) {
		c.MaxSessionsPerUser = h.limit(4, session.MaxSessionsPerOwner+1)
	}
	if h.chance(50) {
		c.MaxSessionsPerAddress = h.limit(5, session.MaxSessionsPerOwner+1)
	}
	if h.chance(50) {
		c.MaxSessions = h.limit(15, session.MaxSessions+1)
	}
	if h.chance(70) {
		c.OnLimit = fsmpb.OnLimit(h.IntN(5))
	}
	if h.chance(30) {
		c.SingleSession = ptr(h.chance(30))
	}
	if h.chance(30) {
		c.PermanentCounted = ptr(h.chance(60))
	}
}

func (h *history) filter() (f session.Filter) {
	if h.chance(50) {
		f.User = pick(h, historyUsers)
	}
	if h.chance(40) {
		f.ClientAddress = netip.AddrFrom4([4]byte{10, 0, 0, byte(h.IntN(5))})
	}
	if h.chance(30) {
		f.Policy = pick(h, historyPolicies)
	}
	f.Permanent = h.chance(40)
	if h.chance(30) {
		f.IdleLongerThan = time.Duration(h.IntN(3000)) * time.Millisecond
	}
	return f
}

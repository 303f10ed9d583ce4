package fsm_test

import (
	"cmp"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// firstFilling is the number of the filling that begins first in a cluster.
const firstFilling = 2

// goldenMove is a history in which each command that moves sessions succeeds, with all its fields. It ends in a closed cluster.
func goldenMove() []goldenStep {
	const origin = "golden-home"
	standard := timers("default", 1_800_000, 43_200_000, -1)
	standard.Authority = nil
	web := timers("web", 600_000, 7_200_000, 60_000)
	web.Authority, web.InactivityMs, web.PermanentAllowed = nil, ptr(int64(3_600_000)), ptr(true)
	key := putSealKey(0)
	ann := &fsmpb.MovedAccount{
		PasswordHash: "$argon2id$ann", Md5Verifier: sealedMD5(1+3, 'm'), Md5Login: true, Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER, fsmpb.Role_ROLE_SERVICE},
		Policies: []string{"web", "default"}, CreatedMs: start - 9_000_000, Version: 400,
	}
	first := &fsmpb.MovedSession{
		KeyHash: bytesOf(keyOf(1)), Id: bytesOf(idOf(1)), User: "ann", Policy: "web", Number: 3, CreatedMs: start - 5_000_000, LastUseMs: start - 2000, LastActivityMs: start - 3000,
		AuthMs: start - 4000, IdleMs: ptr(int64(900_000)), WindowMs: 20_000, BindAddress: true, Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER},
		Methods: []fsmpb.Method{fsmpb.Method_METHOD_PASSWORD, fsmpb.Method_METHOD_SERVICE}, Address: goldenAddress(3), UserAgent: "curl/8",
		Attributes: []*fsmpb.Attribute{{Name: "cart", Value: []byte(`[1,2]`)}, {Name: "token", Value: sealedValue(1+3, 't')}}, AttributesVersion: 420,
		Retired: []*fsmpb.MovedKey{{Hash: bytesOf(keyOf(2))}, {Hash: bytesOf(keyOf(3)), GraceMs: start + 20_000, Sealed: sealed(3, 1)}},
	}
	lasting := &fsmpb.MovedSession{
		KeyHash: bytesOf(keyOf(4)), Id: bytesOf(idOf(4)), User: "zoë", Policy: "web", Number: 7, CreatedMs: start - 1000, LastUseMs: start - 1000, LastActivityMs: start - 1000,
		AuthMs: start - 1000, Permanent: true, Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER}, Methods: []fsmpb.Method{fsmpb.Method_METHOD_DIRECTORY},
	}
	return []goldenStep{
		{"begin_import_early", beginImport(&fsmpb.BeginImport{Origin: origin, History: 1, Policies: []*fsmpb.MovedPolicy{{Policy: standard}}, LastSealKey: 1})},
		{"begin_import", beginImport(&fsmpb.BeginImport{
			Origin: origin, Restart: true, History: 2, Policies: []*fsmpb.MovedPolicy{{Policy: standard, Version: 12}, {Policy: web, Version: 300}},
			SealKeys: []*fsmpb.MovedSealKey{{Id: 3, Salt: key.Salt, MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: key.Check}}, LastSealKey: 5,
			Limits: &fsmpb.MovedLimits{MaxSessions: 1000, OnLimit: fsmpb.OnLimit_ON_LIMIT_EVICT_IDLE, Version: 200}, Floor: 17, Version: 500})},
		{"import_past", importPast(&fsmpb.ImportPast{Origin: origin, Filling: 3, Policies: []*fsmpb.MovedPast{
			{Policy: "web", Lifetimes: []*fsmpb.MovedLifetime{{UntilMs: start - 4_000_000, LifetimeMs: 6_000_000}, {UntilMs: start - 4_500_000, LifetimeMs: 5_900_000}}}}})},
		{"import_users", importUsers(&fsmpb.ImportUsers{Origin: origin, Filling: 3, Users: []*fsmpb.MovedUser{
			{Name: "ann", LastNumber: 9, Preferences: []*fsmpb.Attribute{{Name: "colour", Value: []byte(`"green"`)}}, Account: ann},
			{Name: "zoë", LastNumber: 7}, {Name: "bare", LastNumber: 30},
			{Name: "off", LastNumber: 2, Account: &fsmpb.MovedAccount{Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER}, Disabled: true, CreatedMs: start - 100, Version: 450}},
		}})},
		{"import_sessions", importSessions(&fsmpb.ImportSessions{Origin: origin, Filling: 3, Sessions: []*fsmpb.MovedSession{first, lasting}})},
		{"finish_import", finishFilling(3, origin, 2, 2)},
		{"close_cluster", closeCluster()},
		{"open_cluster", openClosing(1)},
		{"close_cluster_again", closeCluster()},
	}
}

func beginImport(c *fsmpb.BeginImport) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_BeginImport{BeginImport: c}}
}

func importPast(c *fsmpb.ImportPast) *fsmpb.Command {
	c.Filling = cmp.Or(c.Filling, firstFilling)
	return &fsmpb.Command{Kind: &fsmpb.Command_ImportPast{ImportPast: c}}
}

func importUsers(c *fsmpb.ImportUsers) *fsmpb.Command {
	c.Filling = cmp.Or(c.Filling, firstFilling)
	return &fsmpb.Command{Kind: &fsmpb.Command_ImportUsers{ImportUsers: c}}
}

func importSessions(c *fsmpb.ImportSessions) *fsmpb.Command {
	c.Filling = cmp.Or(c.Filling, firstFilling)
	return &fsmpb.Command{Kind: &fsmpb.Command_ImportSessions{ImportSessions: c}}
}

func finishImport(origin string, users, sessions uint64) *fsmpb.Command {
	return finishFilling(firstFilling, origin, users, sessions)
}

func finishFilling(filling uint64, origin string, users, sessions uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_FinishImport{FinishImport: &fsmpb.FinishImport{Origin: origin, Users: users, Sessions: sessions, Filling: filling}}}
}

func closeCluster() *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_CloseCluster{CloseCluster: &fsmpb.CloseCluster{}}}
}

func openCluster() *fsmpb.Command { return openClosing(0) }

func openClosing(closing uint64) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_OpenCluster{OpenCluster: &fsmpb.OpenCluster{Closing: closing}}}
}

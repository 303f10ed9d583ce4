package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// start is where the tests' clocks begin.
const start = int64(1_700_000_000_000)

const term = 3

// log feeds a machine as the cluster would, and keeps what it was fed.
type log struct {
	t       testing.TB
	m       *fsm.Machine
	index   uint64
	clock   int64
	ends    uint32 // how many sessions its entries say that they end; 0 = nothing
	entries [][]byte
}

func newLog(t testing.TB, o fsm.Options) *log {
	return &log{t: t, m: fsm.New(o), index: 10, clock: start}
}

// encode makes an entry of one batch.
func encode(t testing.TB, clock int64, commands ...*fsmpb.Command) []byte {
	t.Helper()
	return encodeEnding(t, clock, 0, commands...)
}

// encodeEnding is encode for an entry that says how many sessions it ends.
func encodeEnding(t testing.TB, clock int64, ends uint32, commands ...*fsmpb.Command) []byte {
	t.Helper()
	entry := &fsmpb.Entry{FormatLevel: 1, ClockMs: clock, Epoch: term, Ends: ends}
	if len(commands) > 0 {
		entry.Batches = []*fsmpb.Batch{{OriginNode: "node-a", Incarnation: 7, Number: 1, Commands: commands}}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(entry)
	if err != nil {
		t.Fatalf("marshal entry: %v", err)
	}
	return data
}

// apply applies one entry and returns what came of it.
func (l *log) apply(commands ...*fsmpb.Command) *fsm.Applied {
	l.t.Helper()
	l.index++
	data := encodeEnding(l.t, l.clock, l.ends, commands...)
	l.entries = append(l.entries, data)
	applied, err := l.m.Apply(l.index, term, data)
	if err != nil {
		l.t.Fatalf("apply entry %d: %v", l.index, err)
	}
	return applied
}

// do applies one command and returns its result.
func (l *log) do(c *fsmpb.Command) *fsmpb.Result {
	l.t.Helper()
	return l.apply(c).Batches[0].Results[0]
}

// must is do for a command that has to succeed.
func (l *log) must(c *fsmpb.Command) *fsmpb.Result {
	l.t.Helper()
	r := l.do(c)
	if r.Code != fsmpb.Code_CODE_OK {
		l.t.Fatalf("%v: got %v %q", c, r.Code, r.Field)
	}
	return r
}

func (l *log) wantCode(c *fsmpb.Command, want fsmpb.Code) {
	l.t.Helper()
	if r := l.do(c); r.Code != want {
		l.t.Fatalf("%v: got %v %q, want %v", c, r.Code, r.Field, want)
	}
}

func keyOf(n int) session.KeyHash {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("key"), uint64(n)))
}

func idOf(n int) (id session.ID) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("id"), uint64(n)))
	copy(id[:], sum[:])
	return id
}

func bytesOf[T ~[16]byte | ~[32]byte](v T) []byte {
	switch a := any(v).(type) {
	case session.KeyHash:
		return a[:]
	case session.ID:
		return a[:]
	}
	panic(fmt.Sprintf("no bytes of %T", v))
}

func system() *fsmpb.Authority { return &fsmpb.Authority{System: true} }

func authority(key int, anyOf ...fsmpb.Role) *fsmpb.Authority {
	return &fsmpb.Authority{KeyHash: bytesOf(keyOf(key)), AnyOf: anyOf}
}

// vouched makes the command that logs a user in on the cluster's own word.
func vouched(n int, user string) *fsmpb.CreateSession {
	return &fsmpb.CreateSession{KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: user, Vouched: true, Authority: system()}
}

func create(c *fsmpb.CreateSession) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_CreateSession{CreateSession: c}}
}

func touch(n int) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: bytesOf(keyOf(n))}}}
}

func patch(c *fsmpb.PatchAttributes) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PatchAttributes{PatchAttributes: c}}
}

func alter(c *fsmpb.AlterSession) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_AlterSession{AlterSession: c}}
}

func setHome(to fsmpb.SessionHome) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetSessionHome{SetSessionHome: &fsmpb.SetSessionHome{Home: to}}}
}

func patchPreferences(c *fsmpb.PatchPreferences) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PatchPreferences{PatchPreferences: c}}
}

func revokeKey(n int) *fsmpb.Command {
	return revoke(&fsmpb.RevokeSession{KeyHash: bytesOf(keyOf(n))})
}

func revoke(c *fsmpb.RevokeSession) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RevokeSession{RevokeSession: c}}
}

func revokeMany(c *fsmpb.RevokeSessions) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RevokeSessions{RevokeSessions: c}}
}

func revokeUser(c *fsmpb.RevokeUserSessions) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RevokeUserSessions{RevokeUserSessions: c}}
}

func putUser(c *fsmpb.PutUser) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PutUser{PutUser: c}}
}

func upgradePassword(c *fsmpb.UpgradePassword) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_UpgradePassword{UpgradePassword: c}}
}

func deleteUser(c *fsmpb.DeleteUser) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DeleteUser{DeleteUser: c}}
}

func putSealKey(after uint32) *fsmpb.PutSealKey {
	return &fsmpb.PutSealKey{After: after, Salt: make([]byte, 16), MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: bytesOf(idOf(int(after)))}
}

func sealCommand(c *fsmpb.PutSealKey) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PutSealKey{PutSealKey: c}}
}

func holdSealKeys(node string, ids ...uint32) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_HoldSealKeys{HoldSealKeys: &fsmpb.HoldSealKeys{Node: node, Ids: ids}}}
}

func replaceSealed(c *fsmpb.ReplaceSealed) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_ReplaceSealed{ReplaceSealed: c}}
}

// sealedValue looks like a value that is sealed with a key.
func sealedValue(key uint32, content byte) []byte {
	return append(fsm.SealHeader(key), bytes.Repeat([]byte{content}, 40)...)
}

// sealedMD5 looks like the MD5 of a password that is sealed with a key.
func sealedMD5(key uint32, content byte) []byte {
	return append(fsm.SealHeader(key), bytes.Repeat([]byte{content}, 44)...)
}

func putSecret(c *fsmpb.PutChallengeSecret) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PutChallengeSecret{PutChallengeSecret: c}}
}

func useChallenge(c *fsmpb.UseChallenge) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_UseChallenge{UseChallenge: c}}
}

// verified is the authority of a user whose password was verified.
func verified(user string, version uint64, anyOf ...fsmpb.Role) *fsmpb.Authority {
	return &fsmpb.Authority{Verified: &fsmpb.VerifiedUser{User: user, UserVersion: version}, AnyOf: anyOf}
}

func takeAttempt(c *fsmpb.TakeAttempt) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_TakeAttempt{TakeAttempt: c}}
}

func giveBack(a *fsmpb.Attempt) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_GiveBackAttempt{GiveBackAttempt: &fsmpb.GiveBackAttempt{Attempt: a}}}
}

func putPolicy(c *fsmpb.PutPolicy) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PutPolicy{PutPolicy: c}}
}

func putLimits(c *fsmpb.PutLimits) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_PutLimits{PutLimits: c}}
}

func deletePolicy(c *fsmpb.DeletePolicy) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_DeletePolicy{DeletePolicy: c}}
}

func loginFailed(c *fsmpb.LoginFailed) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_LoginFailed{LoginFailed: c}}
}

// timers is a policy that is put as a whole.
func timers(name string, idle, absolute, window int64) *fsmpb.PutPolicy {
	return &fsmpb.PutPolicy{
		Name: name, Mode: fsmpb.PutPolicy_MODE_PUT, IdleMs: &idle, AbsoluteMs: &absolute, TouchWindowMs: &window,
		AttributesWrite: fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE, RotateGraceMs: ptr(int64(rotateGrace)), Authority: system(),
	}
}

// rotateGrace is the grace of policies that timers makes.
const rotateGrace = 1000

func rotate(c *fsmpb.RotateSession) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_RotateSession{RotateSession: c}}
}

// rotation makes the command that rotates key n to another one.
func rotation(n, successor int) *fsmpb.RotateSession {
	return &fsmpb.RotateSession{KeyHash: bytesOf(keyOf(n)), SuccessorHash: bytesOf(keyOf(successor)), SealedSuccessor: sealed(n, successor)}
}

// sealed stands for a sealed key: the machine cannot look into it.
func sealed(n, successor int) []byte {
	return fmt.Appendf(nil, "%-*s", session.SealedKeyBytes, fmt.Sprintf("%d under %d", successor, n))
}

// account is a user that is created.
func account(name, password string, roles ...fsmpb.Role) *fsmpb.PutUser {
	return &fsmpb.PutUser{
		Name: name, Mode: fsmpb.PutUser_MODE_CREATE, PasswordHash: &password, Roles: &fsmpb.RoleList{Roles: roles}, Authority: system(),
	}
}

func ptr[T any](v T) *T { return &v }

package fsm_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

var writeGolden = flag.Bool("update", false, "write the golden files anew")

// goldenStep is a command of a golden history, and its file's name.
type goldenStep struct {
	name    string
	command *fsmpb.Command
}

// goldenHistory is a history from the first entry on, and the file of the state that it makes.
type goldenHistory struct {
	snapshot string
	steps    []goldenStep
}

// goldenHistories are those in which, together, every command succeeds once, with all its fields.
func goldenHistories() []goldenHistory {
	return []goldenHistory{{"snapshot.golden", goldenSteps()}, {"snapshot_moved.golden", goldenMove()}}
}

// goldenSteps holds all commands but those that move sessions.
func goldenSteps() []goldenStep {
	admin := account("ann", "$argon2id$ann", fsmpb.Role_ROLE_ADMIN, fsmpb.Role_ROLE_USER)
	admin.Mode = fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN
	policy := timers("web", 1_800_000, 43_200_000, -1)
	policy.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	policy.MaxSessionsPerUser, policy.MaxSessionsPerAddress, policy.MaxSessions = ptr(uint32(5)), ptr(uint32(50)), ptr(uint32(1000))
	policy.OnLimit, policy.SingleSession = fsmpb.OnLimit_ON_LIMIT_EVICT_IDLE, ptr(false)
	policy.PermanentCounted = ptr(true)
	policy.ExpectedVersion = nil
	policy.InactivityMs, policy.NoTickle = ptr(int64(3_600_000)), ptr(false)
	policy.BindAddress, policy.PermanentAllowed = fsmpb.AddressBinding_ADDRESS_BINDING_STRICT, ptr(true)
	policy.LongerIdleAllowed = ptr(true)
	single := &fsmpb.PutPolicy{Name: "web", Mode: fsmpb.PutPolicy_MODE_MERGE, SingleSession: ptr(true), Authority: system()}
	password := &fsmpb.CreateSession{
		KeyHash: bytesOf(keyOf(1)), Id: bytesOf(idOf(1)), User: "ann", UserVersion: 11, Address: goldenAddress(1), UserAgent: "curl/8",
	}
	byService := &fsmpb.CreateSession{
		KeyHash: bytesOf(keyOf(2)), Id: bytesOf(idOf(2)), User: "zoë", Vouched: true, Authority: authority(1, fsmpb.Role_ROLE_ADMIN),
		Policy: "web", Address: goldenAddress(2), UserAgent: "Mozilla/5.0",
		Attributes:  []*fsmpb.Attribute{{Name: "cart", Value: []byte(`[1,2]`)}, {Name: "lang", Value: []byte(`"fr"`)}},
		Idempotency: &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(100)), BodyHash: bytesOf(keyOf(101))},
	}
	byService.Authority.Address, byService.Authority.Judged = goldenAddress(1), true
	third := vouched(3, "zoë")
	limit := &fsmpb.AttemptLimit{Attempts: 10, WindowMs: 300_000}
	attempt := &fsmpb.TakeAttempt{Address: goldenAddress(3), UserHash: 0xbeef, PerUser: limit, PerAddress: &fsmpb.AttemptLimit{Attempts: 100, WindowMs: 300_000}}
	taken := func(run uint64) *fsmpb.Attempt {
		return &fsmpb.Attempt{
			Address: goldenAddress(3), UserHash: 0xbeef, UserRun: run, UserShareMs: 30_000, AddressRun: run + 1, AddressShareMs: 3_000}
	}
	byPassword := &fsmpb.CreateSession{KeyHash: bytesOf(keyOf(5)), Id: bytesOf(idOf(5)), User: "ann", UserVersion: 11, Attempt: taken(1)}
	fourth := vouched(4, "yan")
	fifth := vouched(20, "yan")
	fifth.Permanent, fifth.Policy, fifth.Address = true, "web", goldenAddress(20)
	sixth := vouched(21, "yan")
	sixth.IdleMs = ptr(int64(600_000))
	reauthenticated := rotationAt(40, 41)
	reauthenticated.Authority, reauthenticated.Reauthentication = authority(1, fsmpb.Role_ROLE_ADMIN), &fsmpb.Reauthentication{Vouched: true}
	withPassword := rotation(1, 42)
	withPassword.Judged = true
	outside := rotationAt(50, 51)
	outside.Address, outside.Reauthentication = goldenAddress(5), &fsmpb.Reauthentication{
		Outside: true, Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER, fsmpb.Role_ROLE_ADMIN}},
	}
	withPassword.Address, withPassword.Reauthentication = goldenAddress(1), &fsmpb.Reauthentication{UserVersion: 11}
	over := vouched(30, "zoë")
	over.Replaces, over.Address = bytesOf(keyOf(43)), goldenAddress(2)
	tookAlong := vouched(62, "zoë")
	tookAlong.Replaces, tookAlong.CarriesDigest = bytesOf(keyOf(60)), carriedDigest()
	withMD5 := account("old", "$argon2id$old")
	withMD5.Md5Login, withMD5.Md5Verifier, withMD5.Authority = ptr(true), sealedMD5(2, 'm'), verified("ann", 11, fsmpb.Role_ROLE_ADMIN)
	withMD5.Authority.Address, withMD5.Authority.Verified.Outside = goldenAddress(1), false
	withMD5.Authority.Verified.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{fsmpb.Role_ROLE_USER}} // its account has its own
	bound := vouched(61, "yan")
	bound.BindAddress, bound.Address = true, goldenAddress(20)
	replacing := vouched(6, "zoë")
	replacing.Policy, replacing.Address = "web", goldenAddress(2)
	hex := timers("hex", 120_000, 0, 1000)
	hex.KeyFormat, hex.AttributesLocal = fsmpb.KeyFormat_KEY_FORMAT_HEX32, ptr(true)
	withHex := vouched(60, "zoë")
	withHex.Policy, withHex.KeyFormat, withHex.AttributesLocal = "hex", hex.KeyFormat, true
	return []goldenStep{
		{"put_user", putUser(admin)},
		{"put_policy", putPolicy(policy)},
		{"create_session", create(password)},
		{"create_session_vouched", create(byService)},
		{"create_session_third", create(third)},
		{"create_session_fourth", create(fourth)},
		{"touch_session", &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{
			KeyHash: bytesOf(keyOf(2)), Address: goldenAddress(2), Authority: authority(1, fsmpb.Role_ROLE_ADMIN), Tickle: true, Judged: true}}}},
		{"patch_attributes", patch(&fsmpb.PatchAttributes{
			Judged:  true,
			KeyHash: bytesOf(keyOf(2)), Address: goldenAddress(2), IfVersion: ptr(uint64(14)), Authority: authority(1),
			Changes: []*fsmpb.AttributeChange{{Name: "cart", Delete: true}, {Name: "theme", Value: []byte(`{"dark":true}`)}}})},
		{"revoke_session", revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(4)), Authority: &fsmpb.Authority{
			KeyHash: bytesOf(keyOf(1)), AnyOf: []fsmpb.Role{fsmpb.Role_ROLE_ADMIN}, OrOwner: true}})},
		{"revoke_sessions", revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{bytesOf(idOf(3)), bytesOf(idOf(4))}, Authority: system()})},
		{"revoke_user_sessions", revokeUser(&fsmpb.RevokeUserSessions{User: "ann", ExceptId: bytesOf(idOf(1)), Authority: authority(1)})},
		{"put_user_service", putUser(account("svc", "$argon2id$svc", fsmpb.Role_ROLE_SERVICE))},
		{"put_user_update", putUser(&fsmpb.PutUser{
			Name: "svc", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("$argon2id$new"), ExpectedVersion: ptr(uint64(22)),
			Policies: &fsmpb.NameList{Names: []string{"web", "default"}}, Disabled: ptr(true), ExceptId: bytesOf(idOf(9)), Authority: system()})},
		{"put_user_gone", putUser(account("gone", "$argon2id$gone"))},
		{"delete_user", deleteUser(&fsmpb.DeleteUser{Name: "gone", ExpectedVersion: ptr(uint64(24)), Authority: authority(1)})},
		{"put_policy_gone", putPolicy(timers("gone", 1000, 0, 0))},
		{"delete_policy", deletePolicy(&fsmpb.DeletePolicy{Name: "gone", ExpectedVersion: ptr(uint64(26)), Authority: authority(1)})},
		{"set_format_level", &fsmpb.Command{Kind: &fsmpb.Command_SetFormatLevel{SetFormatLevel: &fsmpb.SetFormatLevel{Level: 1}}}},
		{"no_op", &fsmpb.Command{Kind: &fsmpb.Command_NoOp{NoOp: &fsmpb.NoOp{}}, Ignorable: true}},
		{"login_failed", loginFailed(&fsmpb.LoginFailed{User: "ann", Address: goldenAddress(3), Reason: fsmpb.LoginFailed_REASON_PASSWORD})},
		{"login_failed_unreported", loginFailed(&fsmpb.LoginFailed{Reason: fsmpb.LoginFailed_REASON_UNREPORTED, Count: 12})},
		{"create_session_outside", create(&fsmpb.CreateSession{
			KeyHash: bytesOf(keyOf(50)), Id: bytesOf(idOf(50)), User: "xan", Policy: "web", Address: goldenAddress(5),
			Outside: &fsmpb.OutsideLogin{GrantsPolicy: true, Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{fsmpb.Role_ROLE_SERVICE}}}})},
		{"rotate_session_outside", rotate(outside)},
		{"upgrade_password", upgradePassword(&fsmpb.UpgradePassword{User: "ann", ExpectedVersion: 11, PasswordHash: "$argon2id$dearer"})},
		{"revoke_session_key", revoke(&fsmpb.RevokeSession{KeyHash: bytesOf(keyOf(77)), Address: goldenAddress(3)})},
		{"take_attempt", takeAttempt(attempt)},
		{"create_session_attempt", create(byPassword)},
		{"take_attempt_second", takeAttempt(attempt)},
		{"take_attempt_third", takeAttempt(attempt)},
		{"give_back_attempt", giveBack(taken(1))},
		{"create_session_permanent", create(fifth)},
		{"create_session_own_idle", create(sixth)},
		{"rotate_session", rotate(rotationAt(2, 40))},
		{"rotate_session_again", rotate(rotationAt(2, 99))},
		{"rotate_session_vouched", rotate(reauthenticated)},
		{"rotate_session_password", rotate(withPassword)},
		{"rotate_session_fourth", rotate(rotationAt(41, 43))},
		{"create_session_over", create(over)},
		{"create_session_to_seal", create(vouched(40, "sealer"))},
		{"put_seal_key", sealCommand(putSealKey(0))},
		{"hold_seal_keys", holdSealKeys("node-a", 1)},
		{"patch_attributes_sealed", patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(40)), Authority: system(), Changes: []*fsmpb.AttributeChange{{Name: "token", Value: sealedValue(1, 'a')}}})},
		{"put_seal_key_second", sealCommand(putSealKey(1))},
		{"replace_sealed", replaceSealed(&fsmpb.ReplaceSealed{Id: bytesOf(idOf(40)), Changes: []*fsmpb.SealedChange{{Name: "token", Old: sealedValue(1, 'a'), New: sealedValue(2, 'b')}}})},
		{"put_limits", putLimits(&fsmpb.PutLimits{
			MaxSessions: ptr(uint32(1_000_000)), OnLimit: fsmpb.OnLimit_ON_LIMIT_EVICT_OLDEST, ExpectedVersion: ptr(uint64(0)), Authority: authority(42)})},
		{"put_policy_single", putPolicy(single)},
		{"create_session_replacing", create(replacing)},
		{"put_user_md5", putUser(withMD5)},
		{"upgrade_password_md5", upgradePassword(&fsmpb.UpgradePassword{User: "old", ExpectedVersion: 58, Md5Verifier: sealedMD5(1, 'n')})},
		{"replace_sealed_md5", replaceSealed(&fsmpb.ReplaceSealed{User: "old", Changes: []*fsmpb.SealedChange{{Old: sealedMD5(1, 'n'), New: sealedMD5(2, 'n')}}})},
		{"put_challenge_secret", putSecret(&fsmpb.PutChallengeSecret{HourMs: historyHour(2), Secret: []byte("sealed secret")})},
		{"use_challenge", useChallenge(&fsmpb.UseChallenge{Hash: bytesOf(idOf(60)), HourMs: historyHour(2), EndMs: start + 60_000})},
		{"create_session_bound", create(bound)},
		{"alter_session", alter(&fsmpb.AlterSession{
			Judged:  true,
			KeyHash: bytesOf(keyOf(6)), Address: goldenAddress(2), Authority: authority(42, fsmpb.Role_ROLE_ADMIN), IdleMs: ptr(int64(90_000)),
			Changes: []*fsmpb.AttributeChange{{Name: "hydrastore.x.note", Value: []byte(`"mine"`)}}})},
		{"patch_preferences", patchPreferences(&fsmpb.PatchPreferences{
			Judged:  true,
			KeyHash: bytesOf(keyOf(6)), Address: goldenAddress(2),
			Changes: []*fsmpb.AttributeChange{{Name: "colour", Value: []byte(`"green"`)}, {Name: "size", Delete: true}}})},
		{"put_policy_hex", putPolicy(hex)},
		{"create_session_hex", create(withHex)},
		{"create_session_took_along", create(tookAlong)},
		{"patch_preferences_of_caller", patchPreferences(&fsmpb.PatchPreferences{
			Authority: verified("ann", 11), Changes: []*fsmpb.AttributeChange{{Name: "size", Value: []byte("9")}}})},
		{"set_session_home", setHome(fsmpb.SessionHome_SESSION_HOME_CLUSTER)},
	}
}

// rotationAt rotates a key where the session of the golden history is bound to.
func rotationAt(n, successor int) *fsmpb.RotateSession {
	c := rotation(n, successor)
	c.Address = goldenAddress(2)
	return c
}

func goldenAddress(n byte) []byte {
	return []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, n}
}

// goldenLogs applies the golden histories, and hands each step's entry and outcome to see.
func goldenLogs(t *testing.T, see func(name string, entry []byte, r *fsmpb.Result)) (logs []*log) {
	t.Helper()
	for _, history := range goldenHistories() {
		l := newLog(t, fsm.Options{})
		for _, step := range history.steps {
			r := l.must(step.command)
			see(step.name, l.entries[len(l.entries)-1], r)
			l.clock += 250
		}
		logs = append(logs, l)
	}
	return logs
}

// The bytes of every command, and what it answers, are part of the format level: where this test fails, a level is missing.
func TestCommandsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	goldenLogs(t, func(name string, entry []byte, r *fsmpb.Result) {
		result, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".golden", []byte(fmt.Sprintf("entry %s\nresult %s\n", hex.EncodeToString(entry), hex.EncodeToString(result))))
	})
}

// The entries that stand in the golden files, fed as they are, make the states of the golden snapshots.
func TestGoldenEntriesMakeTheGoldenSnapshot(t *testing.T) {
	t.Parallel()
	logs := goldenLogs(t, func(string, []byte, *fsmpb.Result) {})
	for n, history := range goldenHistories() {
		snapshot := snapshotOf(t, logs[n].m)
		golden(t, history.snapshot, []byte(hex.Dump(snapshot)))
		m := fsm.New(fsm.Options{})
		for i, step := range history.steps {
			if _, err := m.Apply(uint64(11+i), term, goldenEntry(t, step.name)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(snapshotOf(t, m), snapshot) {
			t.Fatalf("the golden entries make another state than %s", history.snapshot)
		}
		if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
			t.Fatalf("the restored state of %s has another snapshot", history.snapshot)
		}
	}
}

// goldenEntry is the entry that stands in a golden file.
func goldenEntry(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(strings.TrimPrefix(string(text), "entry "), "\n")
	entry, err := hex.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *writeGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s, want\n%s", name, got, want)
	}
}

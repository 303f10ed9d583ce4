package fsm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	codeOK              = fsmpb.Code_CODE_OK
	codeInvalid         = fsmpb.Code_CODE_INVALID
	codeTooLarge        = fsmpb.Code_CODE_TOO_LARGE
	codeUnauthenticated = fsmpb.Code_CODE_UNAUTHENTICATED
	codeForbidden       = fsmpb.Code_CODE_FORBIDDEN
	codeNotFound        = fsmpb.Code_CODE_NOT_FOUND
	codeExists          = fsmpb.Code_CODE_EXISTS
	codeConflict        = fsmpb.Code_CODE_CONFLICT
	codeVersion         = fsmpb.Code_CODE_VERSION_MISMATCH
	codeIdempotency     = fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH
)

func (l *log) wantLive(n int, want bool) {
	l.t.Helper()
	r, byKey := l.m.SessionByKey(keyOf(n))
	_, byID := l.m.SessionByID(idOf(n))
	if byKey != want || byID != want {
		l.t.Fatalf("session %d is there by key: %v, by id: %v, want %v (%+v)", n, byKey, byID, want, r)
	}
}

func TestSessionLivesByUseAndEndsThroughTheLog(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 2000, 0, 100)))
	made := l.must(create(vouched(1, "ann"))).GetSession()
	if made.DeadlineMs != start+2100 || made.Number != 1 || made.AbsoluteEndMs != 0 || made.CreatedMs != start {
		t.Fatalf("created: %v", made)
	}
	l.clock += 2099
	l.apply()
	l.wantLive(1, true)
	l.must(touch(1))
	l.clock += 2099
	l.apply()
	if r, ok := l.m.SessionByKey(keyOf(1)); !ok || r.DeadlineMS != start+2099+2100 {
		t.Fatalf("after the touch: %+v %v", r, ok)
	}
	l.clock++
	applied := l.apply()
	if len(applied.Ended) != 1 || applied.Ended[0].Cause != fsm.CauseIdle || applied.Ended[0].User != "ann" {
		t.Fatalf("ended: %+v", applied.Ended)
	}
	l.wantLive(1, false)
	l.wantCode(touch(1), codeUnauthenticated)
}

func TestNoUseMovesTheAbsoluteEnd(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 2000, 5000, 0)))
	l.must(create(vouched(1, "ann")))
	for range 4 {
		l.clock += 1249
		l.must(touch(1))
	}
	l.clock = start + 5000
	if ended := l.apply().Ended; len(ended) != 1 || ended[0].Cause != fsm.CauseAbsolute || ended[0].DeadlineMS != start+5000 {
		t.Fatalf("ended: %+v", ended)
	}
}

// A dead session is dead from the entry that carries the time, though its removal waits for later entries.
func TestDeathDoesNotWaitForRemoval(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{EndsPerEntry: 2})
	l.must(putPolicy(timers("default", 2000, 0, 0)))
	for i := range 7 {
		l.must(create(vouched(i, "ann")))
	}
	l.clock += 2000
	if ended := len(l.apply().Ended); ended != 2 {
		t.Fatalf("%d ended, want 2", ended)
	}
	for i := range 7 {
		l.wantLive(i, false)
	}
	if items, _, done := l.m.ListSessions(session.Filter{}, 0, 0, 10, 100); len(items) != 0 || !done {
		t.Fatalf("the list shows %d dead sessions", len(items))
	}
	if at, ok := l.m.NextDeadlineMS(); !ok || at != start+2000 {
		t.Fatalf("next deadline %d %v", at, ok)
	}
	for _, want := range []int{2, 2, 1, 0} {
		if ended := len(l.apply().Ended); ended != want {
			t.Fatalf("%d ended, want %d", ended, want)
		}
	}
}

// G3: nothing that was in flight brings an ended session back.
func TestNothingRevivesAnEndedSession(t *testing.T) {
	t.Parallel()
	ends := map[string]*fsmpb.Command{
		"log-out":      revokeKey(1),
		"by id":        revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(1)), Authority: system()}),
		"by ids":       revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{bytesOf(idOf(1))}, Authority: system()}),
		"all of user":  revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Authority: system()}),
		"disabled":     putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: ptr(true), Authority: system()}),
		"new password": putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("new"), Authority: system()}),
		"deleted":      deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}),
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{EndsPerEntry: 1})
			l.must(putUser(account("ann", "old")))
			first := vouched(1, "ann")
			first.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(50)), BodyHash: bytesOf(keyOf(51))}
			l.must(create(first))
			// In the same entry, too: all that follows the end finds nothing.
			again := patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: nil, Changes: []*fsmpb.AttributeChange{{Name: "a", Value: []byte("1")}}})
			results := l.apply(end, touch(1), again).Batches[0].Results
			if results[0].Code != codeOK || results[1].Code != codeUnauthenticated || results[2].Code != codeUnauthenticated {
				t.Fatalf("got %v", results)
			}
			l.wantLive(1, false)
			// Enabled or created anew, the user's old keys stay dead.
			l.do(putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: ptr(false), Authority: system()}))
			l.do(putUser(account("ann", "other")))
			l.wantLive(1, false)
			l.wantCode(touch(1), codeUnauthenticated)
			// A retried request makes a new session rather than wake the old one.
			retry := vouched(2, "ann")
			retry.Idempotency = first.Idempotency
			r := l.must(create(retry))
			if r.Repeated || r.GetSession().Number != 2 {
				t.Fatalf("the retry got %v", r)
			}
			l.wantLive(1, false)
			l.wantLive(2, true)
			for range 5 {
				l.apply()
			}
			if st := l.m.Stats(); st.Sessions != 1 || st.PendingReaps != 0 {
				t.Fatalf("left: %+v", st)
			}
		})
	}
}

func TestARepeatedRequestGetsTheFirstSessionUnderANewKey(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	request := func(n int, body int) *fsmpb.Command {
		c := vouched(n, "ann")
		c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(50)), BodyHash: bytesOf(keyOf(body))}
		return create(c)
	}
	first := l.must(request(1, 60)).GetSession()
	again := l.must(request(2, 60))
	if !again.Repeated || !bytes.Equal(again.GetSession().Id, first.Id) {
		t.Fatalf("got %v", again)
	}
	if _, ok := l.m.SessionByKey(keyOf(1)); ok {
		t.Fatal("the first key still works")
	}
	if r, ok := l.m.SessionByKey(keyOf(2)); !ok || r.ID != idOf(1) {
		t.Fatal("the new key does not work")
	}
	l.wantCode(request(3, 61), codeIdempotency)
	l.clock += session.IdempotencyLifetime.Milliseconds() - 1
	if r := l.must(request(4, 60)); !r.Repeated {
		t.Fatal("forgotten early")
	}
	l.clock++
	if r := l.must(request(5, 61)); r.Repeated || r.GetSession().Number != 2 {
		t.Fatalf("remembered for too long: %v", r)
	}
}

// Outdated records are removed in steps. One that waits for it is as good as gone, and takes nothing with it when it goes.
func TestOutdatedRecordsOfRequestsGoInSteps(t *testing.T) {
	t.Parallel()
	const records = 5000
	l := newLog(t, fsm.Options{})
	request := func(n, scope int) *fsmpb.Command {
		c := vouched(n, "ann")
		c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(-scope)), BodyHash: bytesOf(keyOf(0))}
		return create(c)
	}
	for first := 1; first <= records; first += 500 {
		var commands []*fsmpb.Command
		for n := first; n < first+500; n++ {
			commands = append(commands, request(n, n))
		}
		l.apply(commands...)
	}
	l.clock += session.IdempotencyLifetime.Milliseconds()
	if r := l.must(request(10_000, records)); r.Repeated {
		t.Fatal("an outdated record was used")
	}
	if st := l.m.Stats(); st.IdempotencyRecords <= 1 || st.IdempotencyRecords >= records {
		t.Fatalf("%d records are left after one entry", st.IdempotencyRecords)
	}
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	for range 3 {
		l.apply()
	}
	if st := l.m.Stats(); st.IdempotencyRecords != 1 {
		t.Fatalf("%d records are left", st.IdempotencyRecords)
	}
	if r := l.must(request(10_001, records)); !r.Repeated || r.GetSession().Number != records+1 {
		t.Fatalf("the new record was lost: %v", r)
	}
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for i := range 5 {
		l.must(create(vouched(i, "ann")))
	}
	for i := range 5 {
		l.must(revokeKey(i))
	}
	if _, ok := l.m.User("ann"); ok {
		t.Fatal("the record of an unknown user outlives its sessions")
	}
	if n := l.must(create(vouched(10, "ann"))).GetSession().Number; n != 6 {
		t.Fatalf("number %d, want 6", n)
	}
	if n := l.must(create(vouched(11, "bob"))).GetSession().Number; n != 6 {
		t.Fatalf("number %d, want 6: one that any dropped user may have had", n)
	}
}

func TestMalformedCommandsChangeNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<15)
	at := func(change func(*fsmpb.CreateSession)) *fsmpb.Command {
		c := vouched(7, "bob")
		change(c)
		return create(c)
	}
	attributes := func(n, size int) (out []*fsmpb.Attribute) {
		for i := range n {
			out = append(out, &fsmpb.Attribute{Name: fmt.Sprintf("a%02d", i), Value: []byte(long[:size])})
		}
		return out
	}
	key, id := bytesOf(keyOf(1)), bytesOf(idOf(1))
	change := func(c *fsmpb.AttributeChange) *fsmpb.Command {
		return patch(&fsmpb.PatchAttributes{KeyHash: key, Authority: system(), Changes: []*fsmpb.AttributeChange{c}})
	}
	put := func(f func(*fsmpb.PutUser)) *fsmpb.Command {
		u := account("new", "hash")
		f(u)
		return putUser(u)
	}
	for name, c := range map[string]struct {
		command *fsmpb.Command
		want    fsmpb.Code
	}{
		"empty create":            {create(&fsmpb.CreateSession{}), codeInvalid},
		"short key":               {at(func(c *fsmpb.CreateSession) { c.KeyHash = c.KeyHash[1:] }), codeInvalid},
		"long key":                {at(func(c *fsmpb.CreateSession) { c.KeyHash = append(c.KeyHash, 1) }), codeInvalid},
		"short id":                {at(func(c *fsmpb.CreateSession) { c.Id = c.Id[1:] }), codeInvalid},
		"no user":                 {at(func(c *fsmpb.CreateSession) { c.User = "" }), codeInvalid},
		"long user":               {at(func(c *fsmpb.CreateSession) { c.User = long[:session.MaxUserNameBytes+1] }), codeInvalid},
		"IPv4 address":            {at(func(c *fsmpb.CreateSession) { c.Address = []byte{10, 0, 0, 1} }), codeInvalid},
		"vouched by nobody":       {at(func(c *fsmpb.CreateSession) { c.Authority = nil }), codeInvalid},
		"vouched with version":    {at(func(c *fsmpb.CreateSession) { c.UserVersion = 3 }), codeInvalid},
		"authority without vouch": {at(func(c *fsmpb.CreateSession) { c.Vouched = false }), codeInvalid},
		"empty authority":         {at(func(c *fsmpb.CreateSession) { c.Authority = &fsmpb.Authority{} }), codeInvalid},
		"key and system":          {at(func(c *fsmpb.CreateSession) { c.Authority = &fsmpb.Authority{System: true, KeyHash: key} }), codeInvalid},
		"unknown role":            {at(func(c *fsmpb.CreateSession) { c.Authority = authority(1, 9) }), codeInvalid},
		"long user agent":         {at(func(c *fsmpb.CreateSession) { c.UserAgent = long[:session.MaxUserAgentBytes+1] }), codeTooLarge},
		"long policy name":        {at(func(c *fsmpb.CreateSession) { c.Policy = long[:session.MaxPolicyNameBytes+1] }), codeInvalid},
		"no such policy":          {at(func(c *fsmpb.CreateSession) { c.Policy = "missing" }), codeNotFound},
		"short scope":             {at(func(c *fsmpb.CreateSession) { c.Idempotency = &fsmpb.Idempotency{ScopeHash: id, BodyHash: key} }), codeInvalid},
		"long body hash": {at(func(c *fsmpb.CreateSession) {
			c.Idempotency = &fsmpb.Idempotency{ScopeHash: key, BodyHash: append(bytes.Clone(key), 1)}
		}), codeInvalid},
		"used key":            {at(func(c *fsmpb.CreateSession) { c.KeyHash = key }), codeConflict},
		"used id":             {at(func(c *fsmpb.CreateSession) { c.Id = id }), codeConflict},
		"nameless attribute":  {at(func(c *fsmpb.CreateSession) { c.Attributes = []*fsmpb.Attribute{{}} }), codeInvalid},
		"repeated attribute":  {at(func(c *fsmpb.CreateSession) { c.Attributes = []*fsmpb.Attribute{{Name: "a"}, {Name: "a"}} }), codeInvalid},
		"many attributes":     {at(func(c *fsmpb.CreateSession) { c.Attributes = attributes(session.MaxAttributes+1, 1) }), codeTooLarge},
		"large value":         {at(func(c *fsmpb.CreateSession) { c.Attributes = attributes(1, session.MaxAttributeBytes+1) }), codeTooLarge},
		"large together":      {at(func(c *fsmpb.CreateSession) { c.Attributes = attributes(5, session.MaxAttributeBytes) }), codeTooLarge},
		"empty touch":         {&fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{}}}, codeInvalid},
		"touch from nowhere":  {&fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: key, Address: id[:5]}}}, codeInvalid},
		"empty patch":         {patch(&fsmpb.PatchAttributes{}), codeInvalid},
		"nameless change":     {change(&fsmpb.AttributeChange{Value: []byte("1")}), codeInvalid},
		"deletes and sets":    {change(&fsmpb.AttributeChange{Name: "a", Value: []byte("1"), Delete: true}), codeInvalid},
		"long attribute name": {change(&fsmpb.AttributeChange{Name: long[:session.MaxAttributeNameBytes+1]}), codeTooLarge},
		"old version":         {patch(&fsmpb.PatchAttributes{KeyHash: key, Authority: system(), IfVersion: ptr(uint64(1))}), codeVersion},
		"bearer may not":      {patch(&fsmpb.PatchAttributes{KeyHash: key}), codeForbidden},
		"empty revoke":        {revoke(&fsmpb.RevokeSession{}), codeInvalid},
		"key and id":          {revoke(&fsmpb.RevokeSession{KeyHash: key, Id: id, Authority: system()}), codeInvalid},
		"id on no word":       {revoke(&fsmpb.RevokeSession{Id: id}), codeUnauthenticated},
		"id of nothing":       {revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(99)), Authority: system()}), codeNotFound},
		"short ids":           {revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{id[1:]}, Authority: system()}), codeInvalid},
		"many ids":            {revokeMany(&fsmpb.RevokeSessions{Ids: make([][]byte, fsm.MaxRevokeIDs+1), Authority: system()}), codeTooLarge},
		"ids on no word":      {revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{id}}), codeUnauthenticated},
		"user on no word":     {revokeUser(&fsmpb.RevokeUserSessions{User: "ann"}), codeUnauthenticated},
		"except short":        {revokeUser(&fsmpb.RevokeUserSessions{User: "ann", ExceptId: id[1:], Authority: system()}), codeInvalid},
		"nobody's sessions":   {revokeUser(&fsmpb.RevokeUserSessions{Authority: system()}), codeInvalid},
		"put nobody":          {put(func(u *fsmpb.PutUser) { u.Name = "" }), codeInvalid},
		"put somehow":         {put(func(u *fsmpb.PutUser) { u.Mode = 0 }), codeInvalid},
		"put later mode":      {put(func(u *fsmpb.PutUser) { u.Mode = 9 }), codeInvalid},
		"put again":           {put(func(u *fsmpb.PutUser) { u.Name = "ann" }), codeExists},
		"second first admin":  {put(func(u *fsmpb.PutUser) { u.Mode = fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN }), codeExists},
		"unknown user":        {put(func(u *fsmpb.PutUser) { u.Mode = fsmpb.PutUser_MODE_UPDATE }), codeNotFound},
		"unknown user role":   {put(func(u *fsmpb.PutUser) { u.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{0}} }), codeInvalid},
		"long password hash":  {put(func(u *fsmpb.PutUser) { u.PasswordHash = ptr(long[:fsm.MaxPasswordHashBytes+1]) }), codeTooLarge},
		"missing policy":      {put(func(u *fsmpb.PutUser) { u.Policies = &fsmpb.NameList{Names: []string{"missing"}} }), codeNotFound},
		"policy twice":        {put(func(u *fsmpb.PutUser) { u.Policies = &fsmpb.NameList{Names: []string{"default", "default"}} }), codeInvalid},
		"many policies": {put(func(u *fsmpb.PutUser) {
			u.Policies = &fsmpb.NameList{Names: make([]string, session.MaxPoliciesPerUser+1)}
		}), codeTooLarge},
		"version of nothing": {put(func(u *fsmpb.PutUser) { u.ExpectedVersion = ptr(uint64(1)) }), codeVersion},
		"put on no word":     {put(func(u *fsmpb.PutUser) { u.Authority = nil }), codeUnauthenticated},
		"delete nobody":      {deleteUser(&fsmpb.DeleteUser{Name: "nobody", Authority: system()}), codeNotFound},
		"delete old version": {deleteUser(&fsmpb.DeleteUser{Name: "ann", ExpectedVersion: ptr(uint64(1)), Authority: system()}), codeVersion},
		"policy without end": {putPolicy(timers("p", 0, 0, 0)), codeInvalid},
		"policy for aeons":   {putPolicy(timers("p", 1<<60, 0, 0)), codeInvalid},
		"policy of no time":  {putPolicy(timers("p", 1, 0, 0)), codeInvalid},
		"policy backwards":   {putPolicy(timers("p", -1000, 1000, 0)), codeInvalid},
		"window over idle":   {putPolicy(timers("p", 1000, 0, 2000)), codeInvalid},
		"policy misnamed":    {putPolicy(timers("No Name", 1000, 0, 0)), codeInvalid},
		"half a policy":      {putPolicy(&fsmpb.PutPolicy{Name: "p", Mode: fsmpb.PutPolicy_MODE_PUT, IdleMs: ptr(int64(1000)), Authority: system()}), codeInvalid},
		"merge with nothing": {putPolicy(&fsmpb.PutPolicy{Name: "p", Mode: fsmpb.PutPolicy_MODE_MERGE, Authority: system()}), codeNotFound},
		"policy in use":      {deletePolicy(&fsmpb.DeletePolicy{Name: "default", Authority: system()}), codeConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			admin := account("ann", "hash", fsmpb.Role_ROLE_ADMIN)
			l.must(putUser(admin))
			l.must(create(vouched(1, "bob")))
			l.apply()
			before := snapshotOf(t, l.m)
			l.wantCode(c.command, c.want)
			// Only the index may differ: it stands right behind the two headers.
			if after := snapshotOf(t, l.m); !bytes.Equal(withoutIndex(after), withoutIndex(before)) {
				t.Fatal("the state has changed")
			}
		})
	}
}

// withoutIndex cuts the first block's index and checksum and the trailer off a snapshot.
func withoutIndex(snapshot []byte) []byte {
	const header, blockHead, index = 12, 5, 8
	cut := bytes.Clone(snapshot[header+blockHead+index : len(snapshot)-93])
	clear(cut[metaBytes-index : metaBytes-index+4])
	return cut
}

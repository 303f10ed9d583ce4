package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// smallImport is the least that a cluster is filled with: its policy, with long timers.
func smallImport(origin string) *fsmpb.BeginImport {
	standard := timers("default", 3_600_000, 0, 0)
	standard.Authority = nil
	return &fsmpb.BeginImport{Origin: origin, History: 1, Policies: []*fsmpb.MovedPolicy{{Policy: standard, Version: 3}}, Version: 100}
}

// moved is a session of ann's that was made and used a second ago.
func moved(n int) *fsmpb.MovedSession {
	return &fsmpb.MovedSession{
		KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: "ann", Policy: "default", Number: uint64(n), CreatedMs: start - 1000, LastUseMs: start - 1000,
		LastActivityMs: start - 1000, AuthMs: start - 1000, Roles: []fsmpb.Role{plain}, Methods: []fsmpb.Method{fsmpb.Method_METHOD_PASSWORD},
	}
}

// filling is a log whose cluster is being filled from "home", with ann in it.
func filling(t testing.TB, o fsm.Options) *log {
	t.Helper()
	l := newLog(t, o)
	l.must(beginImport(smallImport("home")))
	l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{{Name: "ann", LastNumber: 10_000}}}))
	return l
}

func sessionsOf(sessions ...*fsmpb.MovedSession) *fsmpb.Command {
	return importSessions(&fsmpb.ImportSessions{Origin: "home", Sessions: sessions})
}

// wantRefusal applies a command that fails and changes nothing.
func wantRefusal(l *log, c *fsmpb.Command, code fsmpb.Code, field string) {
	l.t.Helper()
	before := snapshotOf(l.t, l.m)
	if r := l.do(c); r.Code != code || r.Field != field {
		l.t.Errorf("%.200s: got %v %q, want %v %q", c, r.Code, r.Field, code, field)
	}
	if !bytes.Equal(afterIndex(snapshotOf(l.t, l.m)), afterIndex(before)) {
		l.t.Errorf("%.200s: the state has changed", c)
	}
}

// afterIndex cuts the first block's index and all checksums over it off a snapshot, whatever the length of its first record.
func afterIndex(snapshot []byte) []byte {
	const header, blockHead, index, trailer = 12, 5, 8, 93
	meta := int(snapshot[header+1]) | int(snapshot[header+2])<<8
	cut := bytes.Clone(snapshot[header+blockHead+index : len(snapshot)-trailer])
	clear(cut[meta-index : meta-index+4])
	return cut
}

// TestAClosedClusterChangesNothing: every command but those of a move is refused in every phase that is not open, and neither time nor a stolen key
// ends a session.
func TestAClosedClusterChangesNothing(t *testing.T) {
	t.Parallel()
	closed := newLog(t, fsm.Options{})
	closed.must(putUser(account("ann", "$hash", admin)))
	closed.must(create(vouched(1, "bob")))
	closed.must(rotate(rotation(1, 2)))
	closed.clock += rotateGrace * 40 // default policy's grace is over: key 1 is spent
	closed.must(closeCluster())
	full := filling(t, fsm.Options{})
	full.must(sessionsOf(moved(1)))
	for name, l := range map[string]*log{"closed": closed, "filling": full} {
		at := l.m.Moving().AtMS
		l.clock += 30 * 24 * 3_600_000 // whatever ends by time is over
		l.apply()
		for _, step := range goldenSteps() {
			switch step.command.Kind.(type) {
			case *fsmpb.Command_SetFormatLevel, *fsmpb.Command_NoOp, *fsmpb.Command_PutSealKey, *fsmpb.Command_HoldSealKeys:
				continue
			}
			wantRefusal(l, step.command, fsmpb.Code_CODE_CLOSED, "")
		}
		wantRefusal(l, touch(1), fsmpb.Code_CODE_CLOSED, "") // spent, or what it opens is over
		now := l.m.Moving()
		if now.AtMS != at || now.Sessions != 1 || now.Phase.String() != name {
			t.Errorf("%s: %+v, want a session since %d", name, now, at)
		}
		if ms, ok := l.m.NextDeadlineMS(); ok {
			t.Errorf("%s: there is something to end at %d", name, ms)
		}
		if clock := l.m.ClockMS(); clock != l.clock {
			t.Errorf("%s: the clock stands at %d, want %d", name, clock, l.clock)
		}
		if page, _, _ := l.m.ExportSessions(0, 10); len(page) != 1 {
			t.Errorf("%s: %d sessions are exported, want 1: it lived at the time", name, len(page))
		}
	}
	closed.must(openCluster())
	if applied := closed.apply(); len(applied.Ended) != 1 {
		t.Errorf("after opening %d sessions end, want 1: its time is over", len(applied.Ended))
	}
}

// TestNoLogInMeetsTheDeadAfterOpening: within the entry that opens a cluster, before anything has been ended, limits count the living alone.
func TestNoLogInMeetsTheDeadAfterOpening(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	policy := timers("default", 60_000, 0, 0)
	policy.MaxSessionsPerUser = ptr(uint32(1))
	l.must(putPolicy(policy))
	l.must(create(vouched(1, "bob")))
	l.must(closeCluster())
	l.clock += 60_000
	applied := l.apply(openCluster(), create(vouched(2, "bob")))
	if r := applied.Batches[0].Results[1]; r.Code != 0 || len(applied.Ended) != 1 || applied.Ended[0].Cause != fsm.CauseIdle {
		t.Errorf("got %v, ended %+v", r, applied.Ended)
	}
}

// TestAClosingIsOpenedWhileItIsTheLast: whoever has closed the cluster may open it until another move has closed it too, also after a restart, and never ends a later closing.
func TestAClosingIsOpenedWhileItIsTheLast(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	wantClosing := func(want uint64) {
		t.Helper()
		if got := l.must(closeCluster()).GetClosing(); got != want || l.m.Moving().Closing != want {
			t.Errorf("closing %d, and then %d, want %d", got, l.m.Moving().Closing, want)
		}
	}
	wantClosing(1)
	l.must(openClosing(1))
	l.must(openClosing(1)) // it is open: the answer to the first one may have been lost
	wantClosing(2)
	at := l.m.Moving().AtMS
	l.clock += 1000
	wantClosing(3)
	if l.m.Moving().AtMS != at {
		t.Error("what is closed has been closed since it was asked for again")
	}
	for closing := range uint64(2) {
		wantRefusal(l, openClosing(closing+1), codeConflict, "closing")
	}
	wantRefusal(l, openClosing(4), codeConflict, "closing")
	if err := l.m.Restore(bytes.NewReader(snapshotOf(t, l.m))); err != nil {
		t.Fatal(err)
	}
	wantRefusal(l, openClosing(2), codeConflict, "closing")
	l.must(openClosing(3))
	wantClosing(4)
	l.must(openCluster())
}

func TestBeginImportJudges(t *testing.T) {
	t.Parallel()
	key := putSealKey(0)
	seal := func(id uint32) *fsmpb.MovedSealKey {
		return &fsmpb.MovedSealKey{Id: id, Salt: key.Salt, MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: key.Check}
	}
	seals := func(n uint32) (keys []*fsmpb.MovedSealKey) {
		for id := range n {
			keys = append(keys, seal(id+1))
		}
		return keys
	}
	codeOf := func(change func(*fsmpb.BeginImport)) *fsmpb.Command {
		c := smallImport("home")
		change(c)
		return beginImport(c)
	}
	for name, c := range map[string]struct {
		command *fsmpb.Command
		code    fsmpb.Code
		field   string
	}{
		"least":                 {codeOf(func(*fsmpb.BeginImport) {}), codeOK, ""},
		"longest origin":        {codeOf(func(c *fsmpb.BeginImport) { c.Origin = strings.Repeat("o", fsm.MaxOriginBytes) }), codeOK, ""},
		"longer origin":         {codeOf(func(c *fsmpb.BeginImport) { c.Origin = strings.Repeat("o", fsm.MaxOriginBytes+1) }), codeInvalid, "origin"},
		"no origin":             {codeOf(func(c *fsmpb.BeginImport) { c.Origin = "" }), codeInvalid, "origin"},
		"no default":            {codeOf(func(c *fsmpb.BeginImport) { c.Policies[0].Policy.Name = "web" }), codeInvalid, "policies"},
		"a policy twice":        {codeOf(func(c *fsmpb.BeginImport) { c.Policies = append(c.Policies, c.Policies[0]) }), codeInvalid, "policies"},
		"no policy in one":      {codeOf(func(c *fsmpb.BeginImport) { c.Policies = append(c.Policies, &fsmpb.MovedPolicy{}) }), codeInvalid, "policies"},
		"authority":             {codeOf(func(c *fsmpb.BeginImport) { c.Policies[0].Policy.Authority = system() }), codeInvalid, "policies"},
		"a policy's version":    {codeOf(func(c *fsmpb.BeginImport) { c.Policies[0].Version = 101 }), codeInvalid, "policies"},
		"impossible policy":     {codeOf(func(c *fsmpb.BeginImport) { c.Policies[0].Policy.IdleMs = ptr(int64(1)) }), codeInvalid, "idle_timeout_s"},
		"highest version":       {codeOf(func(c *fsmpb.BeginImport) { c.Version, c.Floor = 1<<60, 1<<60 }), codeOK, ""},
		"higher version":        {codeOf(func(c *fsmpb.BeginImport) { c.Version = 1<<60 + 1 }), codeInvalid, "version"},
		"higher floor":          {codeOf(func(c *fsmpb.BeginImport) { c.Floor = 1<<60 + 1 }), codeInvalid, "version"},
		"limits' version":       {codeOf(func(c *fsmpb.BeginImport) { c.Limits = &fsmpb.MovedLimits{Version: 101} }), codeInvalid, "limits"},
		"impossible limits":     {codeOf(func(c *fsmpb.BeginImport) { c.Limits = &fsmpb.MovedLimits{OnLimit: 9} }), codeInvalid, "limits"},
		"another history":       {codeOf(func(c *fsmpb.BeginImport) { c.History = 2 }), codeConflict, "history"},
		"most seal keys":        {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys, c.LastSealKey = seals(16), 16 }), codeOK, ""},
		"more seal keys":        {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys, c.LastSealKey = seals(17), 17 }), codeTooLarge, "seal_keys"},
		"a key beyond the last": {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys = seals(1) }), codeInvalid, "seal_keys"},
		"a key of no number":    {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys = []*fsmpb.MovedSealKey{seal(0)} }), codeInvalid, "seal_keys"},
		"a key twice":           {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys, c.LastSealKey = append(seals(1), seal(1)), 2 }), codeInvalid, "seal_keys"},
		"half a key":            {codeOf(func(c *fsmpb.BeginImport) { c.SealKeys, c.LastSealKey = []*fsmpb.MovedSealKey{{Id: 1}}, 1 }), codeInvalid, "seal_keys"},
		"ids run out":           {codeOf(func(c *fsmpb.BeginImport) { c.LastSealKey = 1<<32 - 1 }), codeTooLarge, "seal_keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			l.must(sealCommand(putSealKey(0))) // a node's own
			if c.code != codeOK {
				wantRefusal(l, c.command, c.code, c.field)
				return
			}
			if r, now := l.must(c.command), l.m.Moving(); r.GetFilling() != firstFilling || now.Filling != firstFilling || now.AtMS != l.clock {
				t.Errorf("begun: %v, %+v; want number %d at %d", r, now, firstFilling, l.clock)
			}
			restored(t, snapshotOf(t, l.m), fsm.Options{})
			keys, _ := l.m.SealKeys()
			moved := len(c.command.GetBeginImport().SealKeys)
			if own := min(1, session.MaxSealKeys-moved); len(keys) != moved+own {
				t.Errorf("%d seal keys are known, %d were moved", len(keys), moved)
			}
		})
	}
}

// TestWhoMayBeFilled: an open cluster that holds nobody, and once from each home.
func TestWhoMayBeFilled(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	begin := func(origin string) *fsmpb.Command { return beginImport(smallImport(origin)) }
	l.must(create(vouched(1, "bob")))
	wantRefusal(l, begin("home"), codeConflict, "sessions")
	l.must(putUser(account("ann", "$hash")))
	wantRefusal(l, begin("home"), codeConflict, "users")
	l.must(deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}))
	if r := l.apply(revokeUser(&fsmpb.RevokeUserSessions{User: "bob", Authority: system()}), begin("home")).Batches[0].Results[1]; r.Field != "sessions" {
		t.Errorf("with a session that is dead and not removed yet: got %v %q", r.Code, r.Field)
	}
	l.apply()
	l.must(closeCluster())
	anew := smallImport("home")
	anew.Restart = true
	wantRefusal(l, begin("home"), codeConflict, "closed")
	wantRefusal(l, beginImport(anew), codeConflict, "closed")
	wantRefusal(l, sessionsOf(moved(1)), codeConflict, "closed")
	l.must(openCluster())
	wantRefusal(l, sessionsOf(moved(1)), codeConflict, "open")
	l.must(setHome(atNode))
	wantRefusal(l, begin("home"), codeConflict, "session_home")
	wantRefusal(l, beginImport(anew), codeConflict, "session_home")
	wantRefusal(l, closeCluster(), codeConflict, "session_home")
	l.must(setHome(atCluster))

	l.must(begin("home"))
	wantRefusal(l, begin("home"), codeConflict, "history") // the same command, which comes again
	begin = func(origin string) *fsmpb.Command {
		c := smallImport(origin)
		c.History = l.m.History()
		return beginImport(c)
	}
	wantRefusal(l, begin("another"), codeConflict, "origin")
	wantRefusal(l, closeCluster(), codeConflict, "filling")
	wantRefusal(l, openCluster(), codeConflict, "filling")
	wantRefusal(l, finishImport("another", 0, 0), codeConflict, "origin")
	wantRefusal(l, finishImport("home", 1, 0), codeConflict, "users")
	wantRefusal(l, finishImport("home", 0, 1), codeConflict, "sessions")
	history := l.m.History()
	l.must(finishImport("home", 0, 0))
	if now := l.m.Moving(); now != (fsm.Moving{Closing: 1, Origin: "home", SealLast: 0}) || l.m.History() != history+1 {
		t.Errorf("%+v in history %d, want to be open in %d", now, l.m.History(), history+1)
	}
	wantRefusal(l, begin("home"), fsmpb.Code_CODE_EXISTS, "origin")
	wantRefusal(l, finishImport("home", 0, 0), fsmpb.Code_CODE_EXISTS, "origin")
	l.must(begin("another"))
}

// TestImportSessionsJudges: what a restore would refuse, an import does, and says what is wrong.
func TestImportSessionsJudges(t *testing.T) {
	t.Parallel()
	with := func(change func(*fsmpb.MovedSession)) []*fsmpb.MovedSession {
		s := moved(2)
		change(s)
		return []*fsmpb.MovedSession{moved(1), s}
	}
	many := func(n int) (all []*fsmpb.MovedSession) {
		for i := range n {
			all = append(all, moved(i+1))
		}
		return all
	}
	key := func(hash []byte, grace int64, sealed []byte) *fsmpb.MovedKey {
		return &fsmpb.MovedKey{Hash: hash, GraceMs: grace, Sealed: sealed}
	}
	retire := func(keys ...*fsmpb.MovedKey) []*fsmpb.MovedSession {
		return with(func(s *fsmpb.MovedSession) { s.Retired = keys })
	}
	successor := bytes.Repeat([]byte{1}, session.SealedKeyBytes)
	tooManyKeys := make([]*fsmpb.MovedKey, session.MaxRetiredKeys+1)
	for i := range tooManyKeys {
		tooManyKeys[i] = key(bytesOf(keyOf(100+i)), 0, nil)
	}
	longest := session.MaxRotateGrace.Milliseconds()
	for name, c := range map[string]struct {
		sessions []*fsmpb.MovedSession
		code     fsmpb.Code
		field    string
	}{
		"whole":                  {with(func(*fsmpb.MovedSession) {}), codeOK, ""},
		"most":                   {many(fsm.MaxImport), codeOK, ""},
		"more":                   {many(fsm.MaxImport + 1), codeTooLarge, "sessions"},
		"short key":              {with(func(s *fsmpb.MovedSession) { s.KeyHash = s.KeyHash[1:] }), codeInvalid, "key_hash"},
		"short id":               {with(func(s *fsmpb.MovedSession) { s.Id = s.Id[1:] }), codeInvalid, "id"},
		"the same key":           {with(func(s *fsmpb.MovedSession) { s.KeyHash = bytesOf(keyOf(1)) }), codeInvalid, "key_hash"},
		"the same id":            {with(func(s *fsmpb.MovedSession) { s.Id = bytesOf(idOf(1)) }), codeInvalid, "id"},
		"unknown user":           {with(func(s *fsmpb.MovedSession) { s.User = "bob" }), codeInvalid, "user"},
		"disabled user":          {with(func(s *fsmpb.MovedSession) { s.User = "off" }), codeInvalid, "user"},
		"unknown policy":         {with(func(s *fsmpb.MovedSession) { s.Policy = "web" }), codeInvalid, "policy"},
		"no number":              {with(func(s *fsmpb.MovedSession) { s.Number = 0 }), codeInvalid, "number"},
		"the same number":        {with(func(s *fsmpb.MovedSession) { s.Number = 1 }), codeInvalid, "number"},
		"number beyond the last": {with(func(s *fsmpb.MovedSession) { s.Number = 10_001 }), codeInvalid, "number"},
		"the last number":        {with(func(s *fsmpb.MovedSession) { s.Number = 10_000 }), codeOK, ""},
		"used in the future":     {with(func(s *fsmpb.MovedSession) { s.LastUseMs = start + 1 }), codeInvalid, "last_use_ms"},
		"used now":               {with(func(s *fsmpb.MovedSession) { s.LastUseMs = start }), codeOK, ""},
		"never used":             {with(func(s *fsmpb.MovedSession) { s.LastUseMs = -1 }), codeInvalid, "last_use_ms"},
		"created in the future":  {with(func(s *fsmpb.MovedSession) { s.CreatedMs = start + 60_001 }), codeInvalid, "created_ms"},
		"never created":          {with(func(s *fsmpb.MovedSession) { s.CreatedMs = -1 }), codeInvalid, "created_ms"},
		"active after its use":   {with(func(s *fsmpb.MovedSession) { s.LastActivityMs = s.LastUseMs + 1 }), codeInvalid, "last_activity_ms"},
		"never active":           {with(func(s *fsmpb.MovedSession) { s.LastActivityMs = -1 }), codeInvalid, "last_activity_ms"},
		"permanent and tickled":  {with(func(s *fsmpb.MovedSession) { s.Permanent = true; s.LastActivityMs-- }), codeInvalid, "last_activity_ms"},
		"permanent, own idle":    {with(func(s *fsmpb.MovedSession) { s.Permanent, s.IdleMs = true, ptr(int64(0)) }), codeInvalid, "idle_ms"},
		"window of nothing":      {with(func(s *fsmpb.MovedSession) { s.WindowMs = 1 }), codeInvalid, "idle_ms"},
		"impossible idle":        {with(func(s *fsmpb.MovedSession) { s.IdleMs = ptr(int64(5)) }), codeInvalid, "idle_ms"},
		"window over idle":       {with(func(s *fsmpb.MovedSession) { s.IdleMs, s.WindowMs = ptr(int64(1000)), 1001 }), codeInvalid, "idle_ms"},
		"negative window":        {with(func(s *fsmpb.MovedSession) { s.IdleMs, s.WindowMs = ptr(int64(1000)), -1 }), codeInvalid, "idle_ms"},
		"bound to nowhere":       {with(func(s *fsmpb.MovedSession) { s.BindAddress = true }), codeInvalid, "bind_address"},
		"short address":          {with(func(s *fsmpb.MovedSession) { s.Address = []byte{1} }), codeInvalid, "address"},
		"no role":                {with(func(s *fsmpb.MovedSession) { s.Roles = nil }), codeInvalid, "roles"},
		"unknown role":           {with(func(s *fsmpb.MovedSession) { s.Roles = []fsmpb.Role{9} }), codeInvalid, "roles"},
		"no method":              {with(func(s *fsmpb.MovedSession) { s.Methods = nil }), codeInvalid, "methods"},
		"unknown method":         {with(func(s *fsmpb.MovedSession) { s.Methods = []fsmpb.Method{9} }), codeInvalid, "methods"},
		"long agent":             {with(func(s *fsmpb.MovedSession) { s.UserAgent = strings.Repeat("a", session.MaxUserAgentBytes+1) }), codeTooLarge, "user_agent"},
		"highest version":        {with(func(s *fsmpb.MovedSession) { s.AttributesVersion = 1 << 60 }), codeOK, ""},
		"higher version":         {with(func(s *fsmpb.MovedSession) { s.AttributesVersion = 1<<60 + 1 }), codeInvalid, "attributes_version"},
		"an attribute twice":     {with(func(s *fsmpb.MovedSession) { s.Attributes = []*fsmpb.Attribute{{Name: "a"}, {Name: "a"}} }), codeInvalid, "attributes"},
		"sealed by nobody": {with(func(s *fsmpb.MovedSession) {
			s.Attributes = []*fsmpb.Attribute{{Name: "a", Value: sealedValue(7, 'a')}}
		}), codeConflict, "attributes"},
		"proved in the future":    {with(func(s *fsmpb.MovedSession) { s.AuthMs = start + 1 }), codeInvalid, "auth_ms"},
		"never proved":            {with(func(s *fsmpb.MovedSession) { s.AuthMs = 0 }), codeInvalid, "auth_ms"},
		"retired":                 {retire(key(bytesOf(keyOf(50)), 0, nil), key(bytesOf(keyOf(51)), start+longest, successor)), codeOK, ""},
		"its key retired":         {retire(key(bytesOf(keyOf(2)), 0, nil)), codeInvalid, "key_hash"},
		"another's key retired":   {retire(key(bytesOf(keyOf(1)), 0, nil)), codeInvalid, "key_hash"},
		"retired twice":           {retire(key(bytesOf(keyOf(50)), 0, nil), key(bytesOf(keyOf(50)), 0, nil)), codeInvalid, "key_hash"},
		"short retired":           {retire(key([]byte("short"), 0, nil)), codeInvalid, "retired"},
		"grace without successor": {retire(key(bytesOf(keyOf(50)), start+1, nil)), codeInvalid, "retired"},
		"successor without grace": {retire(key(bytesOf(keyOf(50)), 0, successor)), codeInvalid, "retired"},
		"short successor":         {retire(key(bytesOf(keyOf(50)), start+1, successor[1:])), codeInvalid, "retired"},
		"graces fall":             {retire(key(bytesOf(keyOf(50)), start+2, successor), key(bytesOf(keyOf(51)), start+1, successor)), codeInvalid, "retired"},
		"grace too long":          {retire(key(bytesOf(keyOf(50)), start+longest+1, successor)), codeInvalid, "grace_ms"},
		"too many keys":           {retire(tooManyKeys...), codeInvalid, "retired"},
		"most keys":               {retire(tooManyKeys[1:]...), codeOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := filling(t, fsm.Options{})
			l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{{Name: "cid", LastNumber: 10_000},
				{Name: "off", LastNumber: 100, Account: &fsmpb.MovedAccount{Roles: []fsmpb.Role{plain}, Version: 1, Disabled: true}}}}))
			if c.code != codeOK {
				wantRefusal(l, sessionsOf(c.sessions...), c.code, c.field)
				return
			}
			if r := l.must(sessionsOf(c.sessions...)); r.GetCount() != uint64(len(c.sessions)) {
				t.Errorf("%d sessions are recorded, want %d", r.GetCount(), len(c.sessions))
			}
			snapshot := snapshotOf(t, l.m)
			if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
				t.Error("the restored state is another")
			}
			if r := l.must(sessionsOf(c.sessions...)); r.GetCount() != 0 {
				t.Errorf("the same again: %d are recorded, want 0", r.GetCount())
			}
			for i, change := range []func(*fsmpb.MovedSession){
				func(s *fsmpb.MovedSession) { s.UserAgent = "another" },
				func(s *fsmpb.MovedSession) { s.LastUseMs--; s.LastActivityMs = s.LastUseMs },
				func(s *fsmpb.MovedSession) { s.Retired = append(s.Retired[:0:0], key(bytesOf(keyOf(90)), 0, nil)) },
				func(s *fsmpb.MovedSession) { s.Attributes = []*fsmpb.Attribute{{Name: "new"}} },
				func(s *fsmpb.MovedSession) { s.LastActivityMs-- },
				func(s *fsmpb.MovedSession) { s.IdleMs = ptr(int64(77_000)) },
			} {
				other := proto.Clone(c.sessions[0]).(*fsmpb.MovedSession)
				change(other)
				if r := l.do(sessionsOf(other)); r.Code != codeConflict || r.Field != "id" {
					t.Errorf("change %d: got %v %q, want a conflict", i, r.Code, r.Field)
				}
			}
			other := moved(9_000)
			other.User, other.KeyHash = "cid", c.sessions[0].KeyHash
			wantRefusal(l, sessionsOf(other), codeConflict, "key_hash")
		})
	}
}

func TestImportUsersJudges(t *testing.T) {
	t.Parallel()
	with := func(change func(*fsmpb.MovedUser)) []*fsmpb.MovedUser {
		u := &fsmpb.MovedUser{Name: "bob", LastNumber: 4, Account: &fsmpb.MovedAccount{
			Roles: []fsmpb.Role{plain}, PasswordHash: "$hash", Policies: []string{"default"}, CreatedMs: start - 1, Version: 100, Md5Login: true}}
		change(u)
		return []*fsmpb.MovedUser{{Name: "cid"}, u}
	}
	many := func(n int) (all []*fsmpb.MovedUser) {
		for i := range n {
			all = append(all, &fsmpb.MovedUser{Name: fmt.Sprintf("user-%d", i)})
		}
		return all
	}
	for name, c := range map[string]struct {
		users []*fsmpb.MovedUser
		code  fsmpb.Code
		field string
	}{
		"whole":               {with(func(*fsmpb.MovedUser) {}), codeOK, ""},
		"most":                {many(fsm.MaxImport), codeOK, ""},
		"more":                {many(fsm.MaxImport + 1), codeTooLarge, "users"},
		"twice":               {with(func(u *fsmpb.MovedUser) { u.Name = "cid" }), codeInvalid, "user"},
		"nameless":            {with(func(u *fsmpb.MovedUser) { u.Name = "" }), codeInvalid, "user"},
		"long name":           {with(func(u *fsmpb.MovedUser) { u.Name = strings.Repeat("n", session.MaxUserNameBytes+1) }), codeInvalid, "user"},
		"highest number":      {with(func(u *fsmpb.MovedUser) { u.LastNumber = 1 << 60 }), codeOK, ""},
		"higher number":       {with(func(u *fsmpb.MovedUser) { u.LastNumber = 1<<60 + 1 }), codeInvalid, "last_number"},
		"sealed preference":   {with(func(u *fsmpb.MovedUser) { u.Preferences = []*fsmpb.Attribute{{Name: "a", Value: sealedValue(1, 'a')}} }), codeInvalid, "preferences"},
		"a preference twice":  {with(func(u *fsmpb.MovedUser) { u.Preferences = []*fsmpb.Attribute{{Name: "a"}, {Name: "a"}} }), codeInvalid, "preferences"},
		"no role":             {with(func(u *fsmpb.MovedUser) { u.Account.Roles = nil }), codeInvalid, "roles"},
		"unknown role":        {with(func(u *fsmpb.MovedUser) { u.Account.Roles = []fsmpb.Role{9} }), codeInvalid, "roles"},
		"no version":          {with(func(u *fsmpb.MovedUser) { u.Account.Version = 0 }), codeInvalid, "version"},
		"higher version":      {with(func(u *fsmpb.MovedUser) { u.Account.Version = 101 }), codeInvalid, "version"},
		"never created":       {with(func(u *fsmpb.MovedUser) { u.Account.CreatedMs = -1 }), codeInvalid, "created_ms"},
		"created too late":    {with(func(u *fsmpb.MovedUser) { u.Account.CreatedMs = fsm.MaxClockMS + 1 }), codeInvalid, "created_ms"},
		"long hash":           {with(func(u *fsmpb.MovedUser) { u.Account.PasswordHash = strings.Repeat("h", fsm.MaxPasswordHashBytes+1) }), codeTooLarge, "password_hash"},
		"unknown policy":      {with(func(u *fsmpb.MovedUser) { u.Account.Policies = []string{"web"} }), codeInvalid, "policies"},
		"a policy twice":      {with(func(u *fsmpb.MovedUser) { u.Account.Policies = []string{"default", "default"} }), codeInvalid, "policies"},
		"too many policies":   {with(func(u *fsmpb.MovedUser) { u.Account.Policies = make([]string, session.MaxPoliciesPerUser+1) }), codeTooLarge, "policies"},
		"sealed by nobody":    {with(func(u *fsmpb.MovedUser) { u.Account.Md5Verifier = sealedMD5(9, 'm') }), codeInvalid, "md5_login"},
		"verified":            {with(func(u *fsmpb.MovedUser) { u.Account.Md5Verifier = sealedMD5(1, 'm') }), codeOK, ""},
		"verifier not wanted": {with(func(u *fsmpb.MovedUser) { u.Account.Md5Verifier, u.Account.Md5Login = sealedMD5(1, 'm'), false }), codeInvalid, "md5_login"},
		"verifier of nothing": {with(func(u *fsmpb.MovedUser) { u.Account.Md5Verifier, u.Account.PasswordHash = sealedMD5(1, 'm'), "" }), codeInvalid, "md5_login"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := filling(t, fsm.Options{})
			l.must(sealCommand(putSealKey(0)))
			command := importUsers(&fsmpb.ImportUsers{Origin: "home", Users: c.users})
			if c.code != codeOK {
				wantRefusal(l, command, c.code, c.field)
				return
			}
			for _, want := range []int{len(c.users), 0} {
				if r := l.must(command); r.GetCount() != uint64(want) {
					t.Errorf("%d users are recorded, want %d", r.GetCount(), want)
				}
			}
			snapshot := snapshotOf(t, l.m)
			if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
				t.Error("the restored state is another")
			}
			other := proto.Clone(c.users[1]).(*fsmpb.MovedUser)
			other.LastNumber++
			r := l.do(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{other}}))
			if r.Code == codeOK || r.Field != "user" && r.Field != "last_number" {
				t.Errorf("another one of that name: got %v %q", r.Code, r.Field)
			}
		})
	}
}

// TestAnImportBeginsAnew: whatever a filling has brought is gone at once, and nothing that counts up is given out twice.
func TestAnImportBeginsAnew(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(sealCommand(putSealKey(0)))
	first := smallImport("home")
	first.SealKeys, first.LastSealKey = []*fsmpb.MovedSealKey{{Id: 2, Salt: make([]byte, 16), MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: make([]byte, 16)}}, 2
	l.must(beginImport(first))
	if now := l.m.Moving(); now.SealOffset != 1 {
		t.Fatalf("seal keys are moved by %d, want 1", now.SealOffset)
	}
	l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{{Name: "ann", LastNumber: 50}}}))
	sealing := moved(7)
	sealing.Attributes = []*fsmpb.Attribute{{Name: "token", Value: sealedValue(3, 't')}}
	l.must(sessionsOf(sealing))
	l.must(sealCommand(putSealKey(3))) // of a node, meanwhile
	running := l.m.Snapshot()
	defer running.Release()
	want := snapshotOf(t, l.m)
	late := []*fsmpb.Command{
		importPast(&fsmpb.ImportPast{Origin: "home"}), importUsers(&fsmpb.ImportUsers{Origin: "home"}), sessionsOf(moved(8)), finishImport("home", 0, 1), beginImport(first),
	}
	first = proto.Clone(first).(*fsmpb.BeginImport)
	first.History = firstFilling
	l.clock += 1000
	if filling := l.must(beginImport(first)).GetFilling(); filling != firstFilling+1 {
		t.Errorf("begun anew as %d, want %d", filling, firstFilling+1)
	}
	for _, c := range late {
		wantRefusal(l, c, codeConflict, "history")
	}
	now := l.m.Moving()
	if now.Sessions != 0 || now.SealOffset != 4 || now.AtMS != l.clock {
		t.Errorf("begun anew: %+v", now)
	}
	keys, last := l.m.SealKeys()
	var ids []uint32
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	if last != 6 || !slices.Equal(ids, []uint32{1, 4, 6}) {
		t.Errorf("seal keys %v, last %d: want those of nodes, and the moved one again, with another id", ids, last)
	}
	if st := l.m.Stats(); st.Sessions != 0 || st.Users+st.ShellUsers != 0 || st.BlobBytes != 0 {
		t.Errorf("left: %+v", st)
	}
	l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Filling: firstFilling + 1, Users: []*fsmpb.MovedUser{{Name: "ann", LastNumber: 50}}}))
	before := l.m.LastSeq()
	sealing.Attributes[0].Value = sealedValue(6, 't')
	l.must(importSessions(&fsmpb.ImportSessions{Origin: "home", Filling: firstFilling + 1, Sessions: []*fsmpb.MovedSession{sealing}}))
	if l.m.LastSeq() != before+1 || before != 1 {
		t.Errorf("the sequence numbers go on from %d to %d", before, l.m.LastSeq())
	}
	var got bytes.Buffer
	if _, err := running.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the snapshot that ran meanwhile has changed (%v)", err)
	}
}

// TestAFillingMayForgetAnOpenCluster: with restart nothing that is there stands in the way, and nothing of it is left.
func TestAFillingMayForgetAnOpenCluster(t *testing.T) {
	t.Parallel()
	m := restored(t, sample(t), fsm.Options{EndsPerEntry: 1, Events: true})
	l := &log{t: t, m: m, index: m.Index(), clock: m.ClockMS()}
	if m.Home().Node || m.Moving().Phase != fsm.PhaseOpen || m.Stats().Sessions == 0 || m.Stats().PendingReaps == 0 || m.Stats().GraceSessions == 0 {
		t.Fatalf("the sample has too little: %+v", m.Stats())
	}
	before, history, seq, version := m.Stats(), m.History(), m.LastSeq(), m.ExportCluster().Version
	c := smallImport("home")
	c.History = history
	l.wantCode(beginImport(proto.Clone(c).(*fsmpb.BeginImport)), codeConflict)
	c.Restart = true
	accounts, sessions := m.Moving().Accounts, m.Moving().Sessions
	applied := l.apply(beginImport(c))
	if !applied.Emptied || applied.Batches[0].Results[0].Code != codeOK {
		t.Fatalf("begun: %v, emptied %v", applied.Batches[0].Results[0], applied.Emptied)
	}
	began := applied.Events[slices.IndexFunc(applied.Events, func(e fsm.Event) bool { return e.Kind == fsm.EventImportBegun })]
	ended := len(applied.Ended)
	if began.Users != uint64(accounts) || began.Count != uint64(sessions-ended) {
		t.Errorf("the event tells of %d users and %d sessions, want %d and %d", began.Users, began.Count, accounts, sessions-ended)
	}
	st := m.Stats()
	if st.Sessions+st.Users+st.ShellUsers+st.Addresses+st.PendingReaps+st.RetiredKeys+st.GraceSessions != 0 || st.BlobBytes != 0 || st.Policies != 1 {
		t.Errorf("left: %+v", st)
	}
	if st.AttemptCounters != before.AttemptCounters || m.LastSeq() != seq || m.ExportCluster().Version < version {
		t.Errorf("%d counters of %d, sequence number %d of %d", st.AttemptCounters, before.AttemptCounters, m.LastSeq(), seq)
	}
	snapshot := snapshotOf(t, m)
	if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
		t.Error("the restored state is another")
	}
	l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Filling: history + 1, Users: []*fsmpb.MovedUser{{Name: "ann", LastNumber: 5}}}))
	if l.apply().Emptied {
		t.Error("emptied again")
	}
	living := moved(1)
	living.LastUseMs, living.LastActivityMs = l.clock, l.clock
	l.must(importSessions(&fsmpb.ImportSessions{Origin: "home", Filling: history + 1, Sessions: []*fsmpb.MovedSession{living}}))
	l.must(finishFilling(history+1, "home", 0, 1))
	if m.History() != history+2 {
		t.Errorf("history %d after %d", m.History(), history)
	}
	l.must(touch(1))
}

// TestASealKeyStaysForWhatItSeals: a filling may yet bring values of a moved key that seals nothing so far, so no node's new key takes its place.
func TestASealKeyStaysForWhatItSeals(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	c := smallImport("home")
	for id := range uint32(session.MaxSealKeys) {
		key := putSealKey(id)
		c.SealKeys = append(c.SealKeys, &fsmpb.MovedSealKey{Id: id + 1, Salt: key.Salt, MemoryKib: 64, Iterations: 3, Parallelism: 4, Check: key.Check})
	}
	c.LastSealKey = session.MaxSealKeys
	l.must(beginImport(c))
	wantRefusal(l, sealCommand(putSealKey(session.MaxSealKeys)), codeTooLarge, "seal_keys")
	l.must(finishImport("home", 0, 0))
	l.must(sealCommand(putSealKey(session.MaxSealKeys)))
}

// TestUsersWithoutSessionsGoAfterAnImport, one by one, and leave their numbers.
func TestUsersWithoutSessionsGoAfterAnImport(t *testing.T) {
	t.Parallel()
	l := filling(t, fsm.Options{EndsPerEntry: 2})
	for i := range 5 {
		l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{{Name: fmt.Sprintf("bare-%d", i), LastNumber: uint64(20_000 + i)}}}))
	}
	l.must(sessionsOf(moved(1)))
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: 2})
	l.must(finishImport("home", 0, 1))
	l.must(create(vouched(500, "bare-3")))
	for _, want := range []int{4, 2, 2} { // ann and bare-3 have sessions
		if got := l.m.Stats().ShellUsers; got != want {
			t.Errorf("%d users without account, want %d", got, want)
		}
		if ms, _ := l.m.NextDeadlineMS(); (ms == l.m.ClockMS()) != (want > 2) {
			t.Errorf("with %d users without account the next deadline is %d", want, ms)
		}
		l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: 2})
		l.apply()
	}
	if n := l.must(create(vouched(501, "new"))).GetSession().Number; n <= 20_004 {
		t.Errorf("a new user's first session has number %d, which another user's had", n)
	}
	if n := l.must(create(vouched(502, "bare-3"))).GetSession().Number; n != 20_005 {
		t.Errorf("number %d, want 20005: one more than the user's last but one", n)
	}
}

// TestVersionsAfterAnImportAreNew: nobody who knows a version of the other home takes a change here for it.
func TestVersionsAfterAnImportAreNew(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	c := smallImport("home")
	c.Version = 1_000_000
	l.must(beginImport(c))
	l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{{Name: "ann", LastNumber: 50, Account: &fsmpb.MovedAccount{
		Roles: []fsmpb.Role{plain}, Version: 999_999}}}}))
	s := moved(1)
	s.AttributesVersion = 5_000_000
	l.must(sessionsOf(s))
	l.must(finishImport("home", 1, 1))
	if u, _ := l.m.User("ann"); u.Version != 999_999 {
		t.Errorf("ann's version is %d", u.Version)
	}
	user := l.must(putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{service}}, Authority: system()})).GetVersion()
	policy := l.must(putPolicy(timers("default", 60_000_000, 0, 0))).GetVersion()
	limits := l.must(putLimits(&fsmpb.PutLimits{MaxSessions: ptr(uint32(5)), Authority: system()})).GetVersion()
	if user <= 1_000_000 || policy <= user || limits <= policy {
		t.Errorf("versions %d, %d and %d, want new ones above 1000000", user, policy, limits)
	}
	write := func(value string) uint64 {
		return l.must(patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system(), Changes: []*fsmpb.AttributeChange{{Name: "a", Value: []byte(value)}}})).
			GetSession().AttributesVersion
	}
	if first, second := write("1"), write("2"); first != 5_000_001 || second != 5_000_002 {
		t.Errorf("attributes have the versions %d and %d", first, second)
	}
}

// TestAnExportGoesInPages: each call does a bounded work, whatever is asked for.
func TestAnExportGoesInPages(t *testing.T) {
	t.Parallel()
	l := filling(t, fsm.Options{})
	for n := range 6 {
		var sessions []*fsmpb.MovedSession
		var users []*fsmpb.MovedUser
		for i := range 250 {
			sessions = append(sessions, moved(1+n*250+i))
			users = append(users, &fsmpb.MovedUser{Name: fmt.Sprintf("user-%d-%d", n, i)})
		}
		l.must(sessionsOf(sessions...))
		l.must(importUsers(&fsmpb.ImportUsers{Origin: "home", Users: users}))
	}
	for _, n := range []int{1 << 20, 100} {
		e := exportOf(t, l.m, n)
		if len(e.sessions) != 1500 || len(e.users) != 1501 {
			t.Errorf("in pages of %d: %d sessions and %d users", n, len(e.sessions), len(e.users))
		}
	}
	page, next, err := l.m.ExportUsers("", 1<<20)
	sessions, _, done := l.m.ExportSessions(0, 1<<20)
	if err != nil || len(page) != fsm.MaxScan || next == "" || len(sessions) != fsm.MaxScan || done {
		t.Errorf("one page has %d users and %d sessions, %v", len(page), len(sessions), err)
	}
	for _, cursor := range []string{"x", "0", "-1", "99999999999999"} {
		if _, _, err := l.m.ExportUsers(cursor, 10); err == nil {
			t.Errorf("%q passes for a cursor", cursor)
		}
	}
	// What is given out is a copy.
	page[0].Name, sessions[0].KeyHash[0] = "changed", sessions[0].KeyHash[0]+1
	again, _, _ := l.m.ExportSessions(0, 1)
	if users, _, _ := l.m.ExportUsers("", 1); users[0].Name == "changed" || bytes.Equal(again[0].KeyHash, sessions[0].KeyHash) {
		t.Error("an export changes the state")
	}
}

// TestWhatEventsTellOfAMove is a script: commands, and what they report.
func TestWhatEventsTellOfAMove(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{Events: true})
	l.must(putPolicy(timers("old", 60_000, 0, 0)))
	l.must(putPolicy(timers("default", 60_000, 0, 0)))
	begin := smallImport("home")
	web := timers("web", 60_000, 0, 0)
	web.Authority = nil
	begin.Policies = append(begin.Policies, &fsmpb.MovedPolicy{Policy: web, Version: 40})
	begin.Limits = &fsmpb.MovedLimits{MaxSessions: 70, Version: 50}
	restart := proto.Clone(begin).(*fsmpb.BeginImport)
	restart.Restart, restart.History = true, firstFilling
	ann := importUsers(&fsmpb.ImportUsers{Origin: "home", Users: []*fsmpb.MovedUser{
		{Name: "ann", LastNumber: 8, Account: &fsmpb.MovedAccount{PasswordHash: "$hash", Roles: []fsmpb.Role{plain}, Version: 9}}, {Name: "bare"}}})
	annAgain := proto.Clone(ann).(*fsmpb.Command)
	annAgain.GetImportUsers().Filling = firstFilling + 1
	for i, step := range []struct {
		command *fsmpb.Command
		want    string
	}{
		{beginImport(begin), "import_begun system=true origin=home\npolicy_deleted policy=old system=true\npolicy_changed policy=default system=true\n" +
			"policy_created policy=web system=true\nlimits_changed system=true"},
		{beginImport(begin), ""},
		{ann, "user_imported user=ann password=true system=true"},
		{ann, ""},
		{sessionsOf(moved(1)), "session_imported session=1 user=ann number=1 policy=default system=true"},
		{beginImport(restart), "import_begun count=1 system=true users=1 origin=home"},
		{annAgain, "user_imported user=ann password=true system=true"},
		{importSessions(&fsmpb.ImportSessions{Origin: "home", Filling: firstFilling + 1, Sessions: []*fsmpb.MovedSession{moved(1), moved(2)}}), "session_imported session=1 user=ann number=1 policy=default system=true\n" +
			"session_imported session=2 user=ann number=2 policy=default system=true"},
		{finishFilling(firstFilling+1, "home", 0, 0), ""},
		{finishFilling(firstFilling+1, "home", 1, 2), "import_finished count=2 system=true users=1 origin=home"},
		{closeCluster(), "cluster_closed count=2 system=true users=1 origin=home"},
		{closeCluster(), ""},
		{touch(1), ""},
		{openCluster(), "cluster_opened count=2 system=true users=1 origin=home"},
		{openCluster(), ""},
	} {
		var got []string
		for _, e := range l.apply(step.command).Events {
			got = append(got, eventText(e))
		}
		if text := strings.Join(got, "\n"); text != step.want {
			t.Errorf("step %d: got\n%s\nwant\n%s", i, text, step.want)
		}
	}
}

// TestABeginningThatComesLateForgetsNothing: a filling that was to begin anew was on its way for long, and another one has ended meanwhile and is in use.
func TestABeginningThatComesLateForgetsNothing(t *testing.T) {
	t.Parallel()
	l := filling(t, fsm.Options{})
	late := smallImport("home")
	late.Restart, late.History = true, l.m.History()
	l.must(sessionsOf(moved(1)))
	l.must(finishImport("home", 0, 1))
	wantRefusal(l, beginImport(late), codeConflict, "history")
	late.History = l.m.History()
	l.must(beginImport(late))
}

func pastOf(policy string, n int) *fsmpb.MovedPast {
	p := &fsmpb.MovedPast{Policy: policy}
	for i := range n {
		p.Lifetimes = append(p.Lifetimes, &fsmpb.MovedLifetime{UntilMs: start - 1000 + int64(i), LifetimeMs: 1000 + int64(i)})
	}
	return p
}

// TestImportPastJudges: what no log can have made, and what is recorded already and is another one.
func TestImportPastJudges(t *testing.T) {
	t.Parallel()
	of := func(lifetimes ...*fsmpb.MovedLifetime) []*fsmpb.MovedPast {
		return []*fsmpb.MovedPast{{Policy: "default", Lifetimes: lifetimes}}
	}
	nothing := func(n int) (lifetimes []*fsmpb.MovedLifetime) {
		for range n {
			lifetimes = append(lifetimes, &fsmpb.MovedLifetime{})
		}
		return lifetimes
	}
	for name, c := range map[string]struct {
		past  []*fsmpb.MovedPast
		code  fsmpb.Code
		field string
		count uint64
	}{
		"none":              {nil, codeOK, "", 0},
		"says nothing":      {of(nothing(256)...), codeOK, "", 0},
		"says too much":     {of(nothing(257)...), codeTooLarge, "past", 0},
		"of no policy":      {[]*fsmpb.MovedPast{pastOf("web", 1)}, codeInvalid, "past", 0},
		"twice":             {[]*fsmpb.MovedPast{pastOf("default", 1), pastOf("default", 1)}, codeInvalid, "past", 0},
		"of just now":       {of(&fsmpb.MovedLifetime{UntilMs: start + 60_000, LifetimeMs: 1000}), codeOK, "", 1},
		"of the future":     {of(&fsmpb.MovedLifetime{UntilMs: start + 60_001, LifetimeMs: 1000}), codeInvalid, "until_ms", 0},
		"before all time":   {of(&fsmpb.MovedLifetime{UntilMs: -1, LifetimeMs: 1000}), codeInvalid, "past", 0},
		"without end":       {of(&fsmpb.MovedLifetime{LifetimeMs: 1 << 60}), codeInvalid, "past", 0},
		"negative":          {of(&fsmpb.MovedLifetime{LifetimeMs: -1}), codeInvalid, "past", 0},
		"most":              {[]*fsmpb.MovedPast{pastOf("default", 64)}, codeOK, "", 1},
		"more":              {[]*fsmpb.MovedPast{pastOf("default", 65)}, codeTooLarge, "past", 0},
		"half of it is bad": {[]*fsmpb.MovedPast{pastOf("default", 2), pastOf("web", 1)}, codeInvalid, "past", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			l.must(beginImport(smallImport("home")))
			command := importPast(&fsmpb.ImportPast{Origin: "home", Policies: c.past})
			if c.code != codeOK {
				wantRefusal(l, command, c.code, c.field)
				return
			}
			for _, want := range []uint64{c.count, 0} {
				if r := l.must(command); r.GetCount() != want {
					t.Errorf("the past of %d policies is recorded, want %d", r.GetCount(), want)
				}
			}
			snapshot := snapshotOf(t, l.m)
			if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
				t.Error("the restored state is another")
			}
			if c.count > 0 {
				wantRefusal(l, importPast(&fsmpb.ImportPast{Origin: "home", Policies: []*fsmpb.MovedPast{pastOf("default", 3)}}), codeConflict, "past")
			}
		})
	}
}

// TestThePastComesBeforeSessions: after them it is passed over or refused, and so it never ends one that was recorded as living.
func TestThePastComesBeforeSessions(t *testing.T) {
	t.Parallel()
	l := filling(t, fsm.Options{})
	past := importPast(&fsmpb.ImportPast{Origin: "home", Policies: []*fsmpb.MovedPast{pastOf("default", 2)}})
	wantRefusal(l, importPast(&fsmpb.ImportPast{Origin: "elsewhere"}), codeConflict, "origin")
	l.must(past)
	l.must(sessionsOf(moved(1)))
	l.must(past)
	other := filling(t, fsm.Options{})
	other.must(sessionsOf(moved(1)))
	wantRefusal(other, past, codeConflict, "sessions")
}

package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

const start = int64(1_700_000_000_000)

// place is what names a line.
type place struct {
	Index    uint64
	Position int
}

// read is a line as a reader sees it.
type read struct {
	place
	Event, Reason     string
	From              uint64 `json:"from_index"`
	To                uint64 `json:"to_index"`
	Count             uint64
	SessionID, Policy string
}

// settings are those of a trail with its files in dir.
func settings(dir string) audit.Config {
	return audit.Config{
		File: filepath.Join(dir, "audit.log"), Mark: filepath.Join(dir, "audit.mark"), Node: "n1", Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, c audit.Config) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func closeTrail(t *testing.T, trail *audit.Trail) {
	t.Helper()
	if err := trail.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// events are n log-ins whose user tells where they stand.
func events(index uint64, n int) []fsm.Event {
	out := make([]fsm.Event, n)
	for i := range out {
		out[i] = fsm.Event{Kind: fsm.EventLogin, User: fmt.Sprintf("user-%d-%d", index, i)}
	}
	return out
}

// linesOf reads lines; those that were broken off by a crash are left out.
func linesOf(t *testing.T, text []byte) (lines []read) {
	t.Helper()
	for l := range bytes.Lines(text) {
		var r read
		if json.Unmarshal(l, &r) == nil {
			lines = append(lines, r)
		}
	}
	return lines
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// eventually waits for a condition that another goroutine makes true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 30 s", what)
		}
	}
}

// some are a few places from i on.
func some(p []place, i int) []place { return p[min(i, len(p)):min(i+5, len(p))] }

func wantPlaces(t *testing.T, lines []read, want []place) {
	t.Helper()
	var got []place
	for _, l := range lines {
		got = append(got, l.place)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%d lines, want %d; from line %d on got %v, want %v", len(got), len(want), i, some(got, i), some(want, i))
		}
	}
}

// TestLinesAreStable: names, order and form of what readers get.
func TestLinesAreStable(t *testing.T) {
	t.Parallel()
	c := settings(t.TempDir())
	trail := open(t, c)
	id, actor := session.ID{1}, session.ID{2}
	before := session.DefaultPolicy()
	after := before
	after.MaxSessionsPerUser = 5
	after.IdleTimeout, after.TouchWindow, after.AttributesWrite = 90*time.Second, 1500*time.Millisecond, session.WriteByBearer
	trail.Entry(7, start, []fsm.Event{
		{Kind: fsm.EventLogin, User: "ada", Session: id, Number: 3, Policy: "default", Address: netip.MustParseAddr("192.0.2.1"), UserAgent: "a\n\"b\"<", Method: "vouched",
			Actor: fsm.Actor{User: "app", Session: actor, Address: netip.MustParseAddr("2001:db8::1")}},
		{Kind: fsm.EventSessionEnded, User: "ada", Session: id, Number: 3, Policy: "default", Cause: fsm.CauseAbsolute},
		{Kind: fsm.EventPolicyChanged, Policy: "default", Version: 7, PolicyBefore: &before, PolicyAfter: &after, Actor: fsm.Actor{System: true}},
		{Kind: fsm.EventUserCreated, User: "bob", Version: 8, PasswordChanged: true,
			UserAfter: &session.User{Name: "bob", Roles: []session.Role{session.RoleUser}, Version: 8, CreatedAt: time.UnixMilli(start), HasPassword: true, Sessions: 4}},
		{Kind: fsm.EventLoginFailed, Reason: "unreported", Count: 12, Method: "password"},
	})
	trail.Restored(20, start+1)
	closeTrail(t, trail)
	want := strings.Join([]string{
		`{"time":"2023-11-14T22:13:20.000Z","event":"login","index":7,"position":0,"user":"ada","session_id":"` + id.String() + `","number":3,"policy":"default","client_ip":"192.0.2.1","user_agent":"a\n\"b\"<","method":"vouched","actor":"app","actor_session_id":"` + actor.String() + `","actor_ip":"2001:db8::1"}`,
		`{"time":"2023-11-14T22:13:20.000Z","event":"session_ended","index":7,"position":1,"user":"ada","session_id":"` + id.String() + `","number":3,"policy":"default","cause":"absolute"}`,
		`{"time":"2023-11-14T22:13:20.000Z","event":"policy_changed","index":7,"position":2,"policy":"default","version":7,"changes":{"attributes_write":{"from":"service","to":"bearer"},"idle_timeout_s":{"from":1800,"to":90},"max_sessions_per_user":{"from":0,"to":5},"touch_window_s":{"from":-1,"to":1.5}},"system":true}`,
		`{"time":"2023-11-14T22:13:20.000Z","event":"user_created","index":7,"position":3,"user":"bob","version":8,"password_changed":true,"changes":{"disabled":{"to":false},"md5_login":{"to":false},"policies":{"to":[]},"roles":{"to":["user"]}}}`,
		`{"time":"2023-11-14T22:13:20.000Z","event":"login_failed","index":7,"position":4,"method":"password","reason":"unreported","count":12}`,
		`{"time":"2023-11-14T22:13:20.001Z","event":"gap","index":20,"position":-1,"reason":"snapshot","from_index":8,"to_index":20,"node":"n1"}`,
	}, "\n") + "\n"
	if got := string(readFile(t, c.File)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(c.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: got %v, %v; want 0600", info.Mode(), err)
	}
}

// history is a log: entries with events, and many without.
func history(r *rand.Rand, entries uint64) (sizes []int, want []place) {
	for index := range entries {
		n := max(0, r.IntN(9)-4)
		sizes = append(sizes, n)
		for position := range n {
			want = append(want, place{index + 1, position})
		}
	}
	return sizes, want
}

// TestCrashesNeitherRepeatNorLose: a trail is killed at random moments, sometimes with what was not flushed cut off or damaged, and started
// again on what is left, with the log applied anew from a snapshot that is no later than the mark. Each line is there once, in order.
func TestCrashesNeitherRepeatNorLose(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 9))
			sizes, want := history(r, 120)
			dir := t.TempDir()
			for done := false; !done; {
				from := uint64(0)
				if i := markOf(t, dir).Index; i > 0 {
					from = r.Uint64N(i + 1)
				}
				to := min(uint64(len(sizes)), markOf(t, dir).Index+1+r.Uint64N(60))
				done = to == uint64(len(sizes)) && r.IntN(2) == 0
				dir = live(t, r, dir, sizes, from, to, done)
			}
			wantPlaces(t, linesOf(t, readFile(t, filepath.Join(dir, "audit.log"))), want)
		})
	}
}

// live runs a trail in dir over the entries behind from up to to, and returns a folder with what a kill left of it, or after a good end
// dir itself.
func live(t *testing.T, r *rand.Rand, dir string, sizes []int, from, to uint64, gracefully bool) string {
	t.Helper()
	trail := open(t, settings(dir))
	trail.Restored(from, start)
	var settled uint64
	for index := from + 1; index <= to; index++ {
		trail.Entry(index, start, events(index, sizes[index-1]))
		if r.IntN(25) == 0 {
			if err := trail.Settled(index); err != nil {
				t.Fatal(err)
			}
			settled = index
		}
	}
	if r.IntN(2) == 0 { // let some of it be written
		eventually(t, "the queue to empty", func() bool { return trail.Figures().Waiting == 0 })
	}
	if gracefully {
		closeTrail(t, trail)
		return dir
	}
	left := t.TempDir()
	copyFile(t, filepath.Join(dir, "audit.mark"), filepath.Join(left, "audit.mark"))
	copyFile(t, filepath.Join(dir, "audit.log"), filepath.Join(left, "audit.log"))
	closeTrail(t, trail) // the other one lives on, unseen
	mark := markOf(t, left)
	if mark.Index < settled {
		t.Fatalf("settled up to %d, the mark says %d", settled, mark.Index)
	}
	rename(t, left, dir)
	damage(t, r, left, mark.Offset)
	return left
}

// rename lets the mark speak of the file in the new folder.
func rename(t *testing.T, left, dir string) {
	t.Helper()
	path := filepath.Join(left, "audit.mark")
	text := strings.ReplaceAll(string(readFile(t, path)), filepath.Join(dir, "audit.log"), filepath.Join(left, "audit.log"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// damage cuts the file anywhere behind what was flushed, or fills its end with zeros.
func damage(t *testing.T, r *rand.Rand, dir string, flushed int64) {
	t.Helper()
	path := filepath.Join(dir, "audit.log")
	text := readFile(t, path)
	at := flushed + r.Int64N(int64(len(text))-flushed+1)
	switch r.IntN(3) {
	case 0:
		text = text[:at]
	case 1:
		clear(text[at:])
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

type markFile struct {
	Index  uint64
	Offset int64
}

func markOf(t *testing.T, dir string) (m markFile) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "audit.mark"))
	if errors.Is(err, os.ErrNotExist) {
		return m
	}
	if err := errors.Join(err, json.Unmarshal(text, &m)); err != nil {
		t.Fatal(err)
	}
	return m
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.WriteFile(to, readFile(t, from), 0o600); err != nil {
		t.Fatal(err)
	}
}

// valve is an output that stands still while it is shut, and fails while it is broken.
type valve struct {
	mu     sync.Mutex
	free   *sync.Cond
	shut   bool
	broken int // writes that fail from here on, each after half of its bytes
	text   bytes.Buffer
}

func newValve() *valve {
	v := &valve{}
	v.free = sync.NewCond(&v.mu)
	return v
}

func (v *valve) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.shut {
		v.free.Wait()
	}
	if v.broken > 0 {
		v.broken--
		n, _ := v.text.Write(p[:len(p)/2])
		return n, io.ErrShortWrite
	}
	return v.text.Write(p)
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	v.free.Broadcast()
}

func (v *valve) bytes() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Clone(v.text.Bytes())
}

// TestWhatDoesNotFitIsCountedInAGap: while the output stands still the applying side never waits; what is lost is told, to the line.
func TestWhatDoesNotFitIsCountedInAGap(t *testing.T) {
	t.Parallel()
	const entries, most = 5_000, 100
	v := newValve()
	v.set(true)
	c := settings(t.TempDir())
	c.File, c.Output, c.QueueLines = audit.Stdout, v, most
	trail := open(t, c)
	for index := range uint64(entries) {
		trail.Entry(index+1, start, events(index+1, 2))
	}
	if w := trail.Figures().Waiting; w > most {
		t.Errorf("%d lines wait, at most %d may", w, most)
	}
	v.set(false)
	eventually(t, "the gap", func() bool { return bytes.Contains(v.bytes(), []byte(`"gap"`)) && trail.Figures().Waiting == 0 })
	trail.Entry(entries+1, start, events(entries+1, 1)) // a gap ends
	closeTrail(t, trail)
	next, lost := uint64(1), uint64(0)
	for _, l := range linesOf(t, v.bytes()) {
		switch {
		case l.Event == "gap":
			if l.Reason != "queue_full" || l.From != next || l.To < l.From || l.Count != 2*(l.To-l.From+1) || l.Index != l.To {
				t.Fatalf("after entry %d: gap %+v", next-1, l)
			}
			next, lost = l.To+1, lost+l.Count
		case l.Index == next && (l.Position == 1 || l.Index == entries+1):
			next++
		case l.Index != next:
			t.Fatalf("got line %+v, want one of entry %d", l, next)
		}
	}
	if f := trail.Figures(); next != entries+2 || lost == 0 || f.Lost != lost || f.Written != uint64(len(linesOf(t, v.bytes()))) {
		t.Errorf("the lines end before entry %d; %d lost, figures %+v", next, lost, f)
	}
}

// TestAFailedWriteIsTriedAgain: what it has written is not written twice.
func TestAFailedWriteIsTriedAgain(t *testing.T) {
	t.Parallel()
	v := newValve()
	v.broken = 3
	c := settings(t.TempDir())
	c.File, c.Output = audit.Stdout, v
	trail := open(t, c)
	trail.Entry(1, start, events(1, 3))
	eventually(t, "the lines", func() bool { return trail.Figures().Written == 3 })
	closeTrail(t, trail)
	wantPlaces(t, linesOf(t, v.bytes()), []place{{1, 0}, {1, 1}, {1, 2}})
	if f := trail.Figures(); f.Failed != 3 || f.Lost != 0 {
		t.Errorf("figures %+v, want 3 failed writes", f)
	}
}

// TestSnapshotsLeaveAGap: only what the trail has not seen is missing.
func TestSnapshotsLeaveAGap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trail := open(t, settings(dir))
	trail.Entry(1, start, events(1, 1))
	trail.Entry(2, start, nil)
	trail.Restored(9, start)
	trail.Entry(10, start, events(10, 1))
	closeTrail(t, trail)
	trail = open(t, settings(dir)) // its own snapshot hides nothing
	trail.Restored(10, start)
	trail.Entry(11, start, events(11, 1))
	closeTrail(t, trail)
	trail = open(t, settings(dir))
	trail.Restored(15, start)
	trail.Restored(18, start)
	closeTrail(t, trail)
	lines := linesOf(t, readFile(t, filepath.Join(dir, "audit.log")))
	wantPlaces(t, lines, []place{{1, 0}, {9, -1}, {10, 0}, {11, 0}, {15, -1}, {18, -1}})
	for i, want := range map[int][2]uint64{1: {3, 9}, 4: {12, 15}, 5: {16, 18}} {
		if l := lines[i]; l.From != want[0] || l.To != want[1] || l.Event != "gap" || l.Reason != "snapshot" {
			t.Errorf("gap %d: got %+v, want %v", i, l, want)
		}
	}
}

// TestAfterEachRestartOnStandardOutput: nothing can be read back there, so the mark follows every write.
func TestAfterEachRestartOnStandardOutput(t *testing.T) {
	t.Parallel()
	c := settings(t.TempDir())
	v := newValve()
	c.File, c.Output = audit.Stdout, v
	var want []place
	for run := range uint64(4) {
		trail := open(t, c)
		for index := uint64(1); index <= 5*(run+1); index++ {
			trail.Entry(index, start, events(index, 1))
		}
		for index := 5*run + 1; index <= 5*(run+1); index++ {
			want = append(want, place{index, 0})
		}
		// No good end: what a killed process leaves is on disk once the mark is.
		eventually(t, "the mark", func() bool { return markOf(t, filepath.Dir(c.Mark)).Index == 5*(run+1) })
		defer func() { closeTrail(t, trail) }()
	}
	wantPlaces(t, linesOf(t, v.bytes()), want)
}

// TestReopenLetsGoOfARenamedFile, and a kill right after it repeats nothing.
func TestReopenLetsGoOfARenamedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := settings(dir)
	trail := open(t, c)
	trail.Entry(1, start, events(1, 2))
	old := filepath.Join(dir, "audit.log.1")
	eventually(t, "the first lines", func() bool { return trail.Figures().Written == 2 })
	if err := os.Rename(c.File, old); err != nil {
		t.Fatal(err)
	}
	trail.Entry(2, start, events(2, 1))
	if err := trail.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := open(t, c) // the first one was killed
	for index := range uint64(3) {
		again.Entry(index+1, start, events(index+1, 1))
	}
	closeTrail(t, again)
	closeTrail(t, trail)
	wantPlaces(t, linesOf(t, readFile(t, old)), []place{{1, 0}, {1, 1}, {2, 0}})
	wantPlaces(t, linesOf(t, readFile(t, c.File)), []place{{3, 0}})
}

// TestReopenKeepsTheOldFileWhenThereIsNoNewOne.
func TestReopenKeepsTheOldFileWhenThereIsNoNewOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := settings(dir)
	c.Mark = filepath.Join(t.TempDir(), "audit.mark")
	trail := open(t, c)
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := trail.Reopen(t.Context()); err == nil {
		t.Error("reopened in a folder that is gone")
	}
	trail.Entry(1, start, events(1, 1))
	closeTrail(t, trail)
	wantPlaces(t, linesOf(t, readFile(t, filepath.Join(moved, "audit.log"))), []place{{1, 0}})
}

// TestAnotherLogsFileIsNoMark: what an audit file holds of an earlier life of the node, whose data folder is gone, hides nothing of this one.
func TestAnotherLogsFileIsNoMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := settings(dir)
	trail := open(t, c)
	trail.Entry(500, start, events(500, 1))
	closeTrail(t, trail)
	c.Mark = filepath.Join(t.TempDir(), "audit.mark")
	trail = open(t, c)
	trail.Entry(3, start, events(3, 1))
	closeTrail(t, trail)
	wantPlaces(t, linesOf(t, readFile(t, c.File)), []place{{500, 0}, {3, 0}})
}

// TestADamagedMarkRepeatsRatherThanLoses.
func TestADamagedMarkRepeatsRatherThanLoses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"index":"x"}`, strings.Repeat("9", 20_000)} {
		c := settings(t.TempDir())
		if err := os.WriteFile(c.Mark, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		trail := open(t, c)
		trail.Entry(1, start, events(1, 1))
		closeTrail(t, trail)
		wantPlaces(t, linesOf(t, readFile(t, c.File)), []place{{1, 0}})
		if !strings.Contains(log.String(), "damaged") {
			t.Errorf("mark %.20q: the log does not tell", text)
		}
	}
}

// TestOnlyTheLeaderWrites: with nodes=leader a node writes the lines of the entries that were proposed while it led, and remembers the others.
func TestOnlyTheLeaderWrites(t *testing.T) {
	t.Parallel()
	c := settings(t.TempDir())
	c.Nodes = audit.LeaderOnly
	trail := open(t, c)
	for index, leads := range []bool{false, true, true, false, true} {
		trail.Lead(leads)
		trail.Entry(uint64(index+1), start, events(uint64(index+1), 1))
	}
	if err := trail.Settled(5); err != nil {
		t.Fatal(err)
	}
	closeTrail(t, trail)
	wantPlaces(t, linesOf(t, readFile(t, c.File)), []place{{2, 0}, {3, 0}, {5, 0}})
	if m := markOf(t, filepath.Dir(c.Mark)); m.Index != 5 {
		t.Errorf("the mark is at %d, want 5", m.Index)
	}
}

// TestMistakesOfOutput are told at the start.
func TestMistakesOfOutput(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"a folder": t.TempDir(), "in no folder": filepath.Join(t.TempDir(), "no", "audit.log"), "a device": os.DevNull} {
		c := settings(t.TempDir())
		c.File = path
		if trail, err := audit.Open(c); err == nil {
			t.Errorf("%s was opened", name)
			closeTrail(t, trail)
		}
	}
	if err := (audit.Config{Nodes: "some"}).Validate(); err == nil {
		t.Error("nodes: some was taken")
	}
}

// TestCloseDoesNotWaitForever for an output that stands still.
func TestCloseDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	v := newValve()
	c := settings(t.TempDir())
	c.File, c.Output = audit.Stdout, v
	trail := open(t, c)
	v.set(true)
	trail.Entry(1, start, events(1, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := trail.Close(ctx); err == nil {
		t.Error("closed, with a write under way")
	}
	v.set(false)
	if err := trail.Close(t.Context()); err == nil { // waits for the end of what is under way
		t.Error("closed twice")
	}
}

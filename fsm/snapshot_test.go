package fsm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Snapshots that are taken together and written while later entries apply have the bytes that they would have had
// with everything standing still. Reads run all the while.
func TestSnapshotsAreNotMovedByLaterEntries(t *testing.T) {
	t.Parallel()
	l, h := newLog(t, fsm.Options{EndsPerEntry: 3}), newHistory(11)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	readers.Add(1)
	go func() {
		defer readers.Done()
		r := newHistory(12)
		r.made = 500
		for {
			select {
			case <-stop:
				return
			default:
				readSomething(l.m, r)
			}
		}
	}()
	for range 40 {
		for range 5 {
			l.clock += h.advance()
			noteVersions(h, l.apply(h.entry()...))
		}
		want := snapshotOf(t, l.m)
		s := l.m.Snapshot()
		writers.Add(1)
		go func() {
			defer writers.Done()
			defer s.Release()
			for range 3 {
				var got bytes.Buffer
				if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("the snapshot at %d has changed (%v)", s.Index(), err)
				}
			}
		}()
		if h.chance(30) {
			writers.Wait()
		}
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func readSomething(m *fsm.Machine, h *history) {
	m.SessionByKey(keyOf(h.known()))
	m.SessionByID(idOf(h.known()))
	m.ListSessions(h.filter(), h.Uint64N(50), 0, 10, 20)
	m.User(pick(h, historyUsers))
	m.ListUsers("b", 3)
	m.Policies()
	m.NextDeadlineMS()
	m.Stats()
	m.HasAdmin()
	m.AttemptWait(netip.AddrFrom4([4]byte{10, 0, 0, 1}), 1, fsm.AttemptLimit{Attempts: 3, Window: time.Second}, fsm.AttemptLimit{}, 0)
}

// sample is a snapshot with every kind of record: those of a random history, and one that is made of each that may be missing.
func sample(t testing.TB) []byte {
	t.Helper()
	l, h := newLog(t, fsm.Options{EndsPerEntry: 1}), newHistory(1)
	for st := l.m.Stats(); st.Sessions <= 10 || st.Users <= 2 || st.ShellUsers == 0 || st.Policies <= 2; st = l.m.Stats() {
		if l.index > 50_000 {
			t.Fatal("the history never came to a state with users, sessions and policies in it")
		}
		l.clock += h.advance()
		noteVersions(h, l.apply(h.entry()...))
	}
	oneOfEach(l)
	permanent, _, _ := l.m.ListSessions(session.Filter{Permanent: true}, 0, 0, 1, fsm.MaxScan)
	st := l.m.Stats()
	keys, _ := l.m.SealKeys()
	seals := slices.ContainsFunc(keys, func(k fsm.SealKey) bool { return k.Uses > 0 }) && len(l.m.SealHolders()) > 0
	if len(permanent) == 0 || !seals || st.PendingReaps == 0 || st.AttemptCounters == 0 || st.IdempotencyRecords == 0 || st.GraceSessions == 0 || st.RetiredKeys == 0 {
		t.Fatalf("something is missing: permanent %d, sealed %v, %+v", len(permanent), seals, st)
	}
	return snapshotOf(t, l.m)
}

// oneOfEach makes a record of each kind.
func oneOfEach(l *log) {
	const first = 900_000 // beyond what histories make
	_, lastSeal := l.m.SealKeys()
	named := func(n int, user string) *fsmpb.CreateSession {
		c := vouched(first+n, user)
		c.Policy = "sample"
		return c
	}
	permanent, repeated, sealing := named(0, "sample"), named(1, "sample"), named(2, "sample")
	permanent.Permanent = true
	repeated.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(first)), BodyHash: bytesOf(keyOf(first + 1))}
	sealing.Attributes = []*fsmpb.Attribute{{Name: "token", Value: sealedValue(lastSeal+1, 'a')}}
	hour := l.clock - l.clock%3_600_000
	for _, c := range []*fsmpb.Command{
		putLimits(&fsmpb.PutLimits{MaxSessions: ptr(uint32(0)), Authority: system()}), putPolicy(allowing(timers("sample", 3600_000, 0, 0))),
		sealCommand(putSealKey(lastSeal)), holdSealKeys("sample", lastSeal+1), create(permanent), create(repeated), create(sealing),
		rotate(rotation(first+2, first+3)), takeAttempt(&fsmpb.TakeAttempt{UserHash: 1, PerUser: &fsmpb.AttemptLimit{Attempts: 3, WindowMs: 60_000}}),
		create(named(4, "sampled")), create(named(5, "sampled")), create(named(6, "sampled")),
		putSecret(&fsmpb.PutChallengeSecret{HourMs: hour, Secret: []byte("sealed")}),
		useChallenge(&fsmpb.UseChallenge{Hash: bytesOf(idOf(1000)), HourMs: hour, EndMs: l.clock + 60_000}),
		revokeUser(&fsmpb.RevokeUserSessions{User: "sampled", Authority: system()}),
	} {
		l.must(c)
	}
}

// wantRefused restores what must not be restored, and looks whether the old state stays.
func wantRefused(t *testing.T, m *fsm.Machine, data []byte) {
	t.Helper()
	before := snapshotOf(t, m)
	err := m.Restore(bytes.NewReader(data))
	if err == nil || !strings.HasPrefix(err.Error(), "restore state: ") {
		t.Fatalf("restored %d bytes of damage: %v", len(data), err)
	}
	if !bytes.Equal(snapshotOf(t, m), before) {
		t.Fatalf("%v: and the old state has changed", err)
	}
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	t.Parallel()
	data := sample(t)
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	random := rand.New(rand.NewPCG(1, 1))
	for range 400 {
		flipped := bytes.Clone(data)
		flipped[random.IntN(len(data))] ^= 1 << random.IntN(8)
		wantRefused(t, l.m, flipped)
		wantRefused(t, l.m, data[:random.IntN(len(data))])
	}
	for name, damage := range map[string][]byte{
		"nothing":       nil,
		"another file":  []byte("SQLite format 3\x00 and so on, for a while"),
		"later version": append([]byte("HYDRAFSM\x02\x00\x00\x00"), data[12:]...),
		"huge block":    append(bytes.Clone(data[:13]), 0xff, 0xff, 0xff, 0xff),
		"empty block":   append(bytes.Clone(data[:13]), 0, 0, 0, 0),
		"no trailer":    data[:len(data)-93],
		"twice":         append(bytes.Clone(data[:len(data)-93]), data[12:]...),
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, l.m, damage) })
	}
}

// metaBytes is the length of a snapshot's first record, of a cluster that was never filled.
const metaBytes = 24*8 + 2

// Two snapshots of the same shape: a block of one in the other passes every checksum but the trailer's.
func TestABlockOfAnotherSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	one := snapshotOf(t, l.m)
	l.clock += 5000
	l.must(touch(1))
	two := snapshotOf(t, l.m)
	const metaEnd = 12 + 5 + metaBytes + 4
	wantRefused(t, l.m, append(bytes.Clone(two[:metaEnd]), one[metaEnd:]...))
	if err := l.m.Restore(bytes.NewReader(append(bytes.Clone(one[:metaEnd]), one[metaEnd:]...))); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreReadsNoFurtherThanTheTrailer(t *testing.T) {
	t.Parallel()
	data := sample(t)
	r := strings.NewReader(string(data) + "next section")
	m := fsm.New(fsm.Options{})
	if err := m.Restore(r); err != nil || r.Len() != len("next section") {
		t.Fatalf("%d bytes are left, %v", r.Len(), err)
	}
	if !bytes.Equal(snapshotOf(t, m), data) {
		t.Fatal("another state was restored")
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("disk is full")

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if n < len(p) {
		return n, errBroken
	}
	return n, nil
}

func TestSnapshotTellsAWriteError(t *testing.T) {
	t.Parallel()
	data := sample(t)
	m := restored(t, data, fsm.Options{})
	s := m.Snapshot()
	for left := 0; left < len(data); left += 333 {
		if n, err := s.WriteTo(&brokenWriter{left: left}); !errors.Is(err, errBroken) || n != int64(left) {
			t.Fatalf("room for %d: wrote %d, %v", left, n, err)
		}
	}
	s.Release()
	s.Release()
	if _, err := s.WriteTo(&bytes.Buffer{}); err == nil {
		t.Fatal("a released snapshot was written")
	}
}

// A snapshot that runs while everything goes leaves nothing behind once it is released.
func TestMemoryComesBackAfterASnapshot(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for i := range 300 {
		l.must(create(vouched(i, fmt.Sprintf("user-%d", i))))
	}
	s := l.m.Snapshot()
	for i := range 300 {
		l.must(revokeKey(i))
	}
	if st := l.m.Stats(); st.Sessions != 0 || st.ShellUsers != 0 || st.BlobBytes != 0 {
		t.Fatalf("left: %+v", st)
	}
	restoredOld := fsm.New(fsm.Options{})
	var old bytes.Buffer
	if _, err := s.WriteTo(&old); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if err := restoredOld.Restore(&old); err != nil || restoredOld.Stats().Sessions != 300 {
		t.Fatalf("the snapshot holds %d sessions, %v", restoredOld.Stats().Sessions, err)
	}
	for i := range 300 {
		l.must(create(vouched(1000+i, fmt.Sprintf("user-%d", i))))
	}
	if st := l.m.Stats(); st.Sessions != 300 {
		t.Fatalf("left: %+v", st)
	}
}

// What a policy's change has left due was due at the clock of that change: a snapshot that says otherwise would end living sessions.
func TestALapseOfTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.apply()
	data := snapshotOf(t, l.m)
	none := append(bytes.Repeat([]byte{0xff}, 8), make([]byte, 8)...)
	at := bytes.Index(data, append(bytes.Clone(none), none...))
	if at < 0 {
		t.Fatal("the snapshot does not say that its policy has no lapse")
	}
	for _, timer := range []int{at, at + len(none)} {
		for _, c := range []struct {
			lapsed, span int64
			possible     bool
		}{
			{start - 1000, 1000, true}, {start - 999, 1000, false}, {start + 1, 1000, false}, {start - 1000, 0, false}, {-1, 1000, false}, {-2, 1000, false},
		} {
			forged := bytes.Clone(data)
			binary.LittleEndian.PutUint64(forged[timer:], uint64(c.lapsed))
			binary.LittleEndian.PutUint64(forged[timer+8:], uint64(c.span))
			if forged = mended(forged); !c.possible {
				wantRefused(t, l.m, forged)
			} else if err := fsm.New(fsm.Options{}).Restore(bytes.NewReader(forged)); err != nil {
				t.Errorf("lapsed %d, span %d: %v", c.lapsed-start, c.span, err)
			}
		}
	}
}

// Versions that nothing has been given yet, and numbers that a user's sessions cannot have, are no snapshot's: the next change would
// repeat them.
func TestVersionsAndNumbersOfTheFutureAreRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	policy := l.index
	l.must(putUser(account("ann", "$hash")))
	user := l.index
	l.must(putLimits(&fsmpb.PutLimits{MaxSessions: ptr(uint32(77)), Authority: system()}))
	limits := l.index
	l.must(create(vouched(1, "bob")))
	l.must(create(vouched(2, "bob")))
	data := snapshotOf(t, l.m)
	numbered := func(seq, number uint64) []byte { return uints(seq, number, uint64(start)) }
	for name, damage := range map[string][]byte{
		"a policy's version":        bytes.Replace(data, append([]byte("default"), uints(policy)...), append([]byte("default"), uints(limits+1)...), 1),
		"a user's version":          bytes.Replace(data, uints(1, user, 0), uints(1, limits+1, 0), 1),
		"the limits' version":       bytes.Replace(data, uints(77, 0, limits), uints(77, 0, limits+1), 1),
		"a number twice":            bytes.Replace(data, numbered(2, 2), numbered(2, 1), 1),
		"numbers against the order": bytes.Replace(bytes.Replace(data, numbered(1, 1), numbered(1, 2), 1), numbered(2, 2), numbered(2, 1), 1),
	} {
		t.Run(name, func(t *testing.T) {
			if bytes.Equal(damage, data) {
				t.Fatal("nothing is damaged")
			}
			wantRefused(t, l.m, mended(damage))
		})
	}
}

func uints(values ...uint64) (out []byte) {
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	return out
}

package fsm_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// goldenEntries are the entries of a golden history.
func goldenEntries(f testing.TB, steps []goldenStep) (entries [][]byte) {
	for i, step := range steps {
		entries = append(entries, encode(f, start+int64(i)*250, step.command))
	}
	return entries
}

// Any bytes at all are an entry that applies, or an error that changes nothing; and what they made can be restored.
func FuzzApply(f *testing.F) {
	entries := goldenEntries(f, goldenSteps())
	for _, e := range append(entries, goldenEntries(f, goldenMove())...) {
		f.Add(e)
	}
	h := newHistory(1)
	for range 20 {
		f.Add(encode(f, start+h.advance(), h.entry()...))
	}
	h.crowd = true
	for range 20 {
		f.Add(encode(f, start+h.advance(), h.entry()...))
	}
	f.Add([]byte{})
	f.Add([]byte{0x22, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) { applyAnything(t, entries, data) })
}

// The same in a cluster that is being filled, where other commands than anywhere else change the state.
func FuzzApplyWhileFilling(f *testing.F) {
	entries := goldenEntries(f, goldenMove())
	for _, e := range entries {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for n := range 3 { // begun, with users, with sessions
			applyAnything(t, entries[:n+1], data)
		}
	})
}

// The same where each node keeps its own sessions.
func FuzzApplyAtNodes(f *testing.F) {
	entries := atNodesEntries(f)
	for _, e := range append(entries, goldenEntries(f, goldenSteps())...) {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, data []byte) { applyAnything(t, entries, data) })
}

// atNodesEntries begin a cluster whose nodes keep their own sessions, with an account, one whose sessions were ended, and one that is gone.
func atNodesEntries(f testing.TB) (entries [][]byte) {
	for i, c := range []*fsmpb.Command{
		setHome(atNode), putUser(account("ann", "hash", admin)), putUser(account("bob", "hash")), putUser(account("cid", "hash")),
		putUser(&fsmpb.PutUser{Name: "bob", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("other"), ExceptId: bytesOf(idOf(1)), Authority: system()}),
		deleteUser(&fsmpb.DeleteUser{Name: "cid", Authority: system()}), putPolicy(timers("p", 60_000, 600_000, 0)), putPolicy(timers("p", 90_000, 900_000, 0)),
	} {
		entries = append(entries, encode(f, start+int64(i)*250, c))
	}
	return entries
}

func applyAnything(t *testing.T, entries [][]byte, data []byte) {
	m := fsm.New(fsm.Options{EndsPerEntry: 3, Events: true})
	for i, e := range entries {
		if _, err := m.Apply(uint64(11+i), term, e); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshotOf(t, m)
	applied, err := m.Apply(100, term, data)
	after := snapshotOf(t, m)
	if err != nil {
		if !bytes.Equal(after, before) {
			t.Fatalf("%v: the state has changed", err)
		}
		return
	}
	var entry fsmpb.Entry
	// The machine's own decoder: the other one also refuses varints of more than 64 bits, which both read alike otherwise.
	if err := entry.UnmarshalVT(data); err != nil || !applied.Ignored && len(applied.Batches) != len(entry.Batches) {
		t.Fatalf("applied %+v, %v", applied, err)
	}
	if !bytes.Equal(snapshotOf(t, restored(t, after, fsm.Options{})), after) {
		t.Fatal("the state is another after a restore")
	}
}

// Any bytes at all are a snapshot that restores, or an error that changes nothing. The fuzzer works on the blocks' payloads, whose
// checksums are made right, so that it gets behind them.
func FuzzRestore(f *testing.F) {
	data := sample(f)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte("HYDRAFSM\x01\x00\x00\x00"))
	l := newLog(f, fsm.Options{})
	f.Add(snapshotOf(f, l.m))
	for _, e := range goldenEntries(f, goldenMove()) { // of a cluster in each phase, and with users who have no session
		l.index++
		if _, err := l.m.Apply(l.index, term, e); err != nil {
			f.Fatal(err)
		}
		f.Add(snapshotOf(f, l.m))
	}
	own := newLog(f, fsm.Options{})
	for _, e := range atNodesEntries(f) {
		own.index++
		if _, err := own.m.Apply(own.index, term, e); err != nil {
			f.Fatal(err)
		}
		f.Add(snapshotOf(f, own.m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range [][]byte{data, mended(data)} {
			m := fsm.New(fsm.Options{})
			if _, err := m.Apply(1, term, encode(t, start, create(vouched(1, "ann")))); err != nil {
				t.Fatal(err)
			}
			before := snapshotOf(t, m)
			if err := m.Restore(bytes.NewReader(d)); err != nil {
				if !bytes.Equal(snapshotOf(t, m), before) {
					t.Fatalf("%v: the old state has changed", err)
				}
				continue
			}
			if !atTheBound(d) {
				exercise(t, m)
			}
		}
	})
}

// atTheBound tells whether a snapshot holds a counter at the bound of what a restore accepts: the next change would pass it.
func atTheBound(data []byte) bool {
	for i := 0; i+8 <= len(data); i++ {
		if n := binary.LittleEndian.Uint64(data[i:]); n <= 1<<62 && n > 1<<62-1<<20 {
			return true
		}
	}
	return false
}

// mended makes the checksums and the trailer of a snapshot right, as far as its blocks can be told.
func mended(data []byte) []byte {
	const header, head = 12, 5
	table := crc32.MakeTable(crc32.Castagnoli)
	out := bytes.Clone(data)
	sum := uint32(0)
	for at := header; at+head < len(out); {
		n := int(binary.LittleEndian.Uint32(out[at+1:]))
		end := at + head + n
		if n > len(out) || end+4 > len(out) {
			break
		}
		if out[at] == 11 && n >= 4 {
			binary.LittleEndian.PutUint32(out[end-4:], sum)
		}
		binary.LittleEndian.PutUint32(out[end:], crc32.Checksum(out[at:end], table))
		sum = crc32.Update(sum, table, out[end:end+4])
		at = end + 4
	}
	return out
}

// exercise does something of everything with a state that was restored from who knows what: nothing may panic.
func exercise(t *testing.T, m *fsm.Machine) {
	h := newHistory(5)
	h.made = 40
	clock := m.ClockMS()
	for range 30 {
		clock = min(clock+h.advance()*10, fsm.MaxClockMS)
		h.follow(m)
		if _, err := m.Apply(m.Index()+1, term, encode(t, max(clock, 0), h.entry()...)); err != nil {
			t.Fatal(err)
		}
		readSomething(m, h)
	}
	snapshot := snapshotOf(t, m)
	if !bytes.Equal(snapshotOf(t, restored(t, snapshot, fsm.Options{})), snapshot) {
		t.Fatal("the state is another after a second restore")
	}
}

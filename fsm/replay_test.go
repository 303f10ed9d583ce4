package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
)

func snapshotOf(t testing.TB, m *fsm.Machine) []byte {
	t.Helper()
	s := m.Snapshot()
	defer s.Release()
	var out bytes.Buffer
	n, err := s.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("write snapshot: %d bytes of %d, %v", n, out.Len(), err)
	}
	return out.Bytes()
}

func restored(t testing.TB, snapshot []byte, o fsm.Options) *fsm.Machine {
	t.Helper()
	m := fsm.New(o)
	if err := m.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	return m
}

// A history applied whole and the same history cut anywhere, with a snapshot between, give the same bytes, whatever
// the seed of the hash tables.
func TestReplayFromEveryCutGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	const entries = 120
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			whole := newLog(t, fsm.Options{EndsPerEntry: 2, HashSeed: 1})
			h := newHistory(seed)
			cuts := [][]byte{snapshotOf(t, whole.m)}
			first := whole.index
			for range entries {
				whole.clock += h.advance()
				noteVersions(h, whole.apply(h.entry()...))
				cuts = append(cuts, snapshotOf(t, whole.m))
			}
			for cut, snapshot := range cuts {
				m := restored(t, snapshot, fsm.Options{EndsPerEntry: 2, HashSeed: seed * 77})
				for i := cut; i < entries; i++ {
					if _, err := m.Apply(first+uint64(i)+1, term, whole.entries[i]); err != nil {
						t.Fatal(err)
					}
					if (i == cut || i == entries-1 || h.chance(10)) && !bytes.Equal(snapshotOf(t, m), cuts[i+1]) {
						t.Fatalf("cut at %d: the state differs after entry %d", cut, i)
					}
				}
			}
		})
	}
}

// noteVersions tells the history which version was given last.
func noteVersions(h *history, applied *fsm.Applied) {
	for _, b := range applied.Batches {
		for _, r := range b.Results {
			if a := r.GetAttempt(); a != nil {
				h.attempts = append(h.attempts[max(0, len(h.attempts)-20):], a)
			}
			if v := r.GetVersion(); int(v) == h.sealKeys+1 {
				h.sealKeys++ // perhaps only another version: an unknown key is of use, too
			}
			if v := r.GetVersion(); v != 0 {
				h.last = v
			}
			if s := r.GetSession(); s != nil && h.chance(30) {
				h.last = s.AttributesVersion
			}
		}
	}
}

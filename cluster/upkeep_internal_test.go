package cluster

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func upkeep(index, term uint64, data string) *raft.Log {
	l := command(index, term, data)
	l.Data[0] = kindUpkeep
	return l
}

// TestReadsPassOverUpkeep: what a read waits for is the last entry that is no upkeep, where all up to the commit index is known; and
// upkeep is applied like any other entry.
func TestReadsPassOverUpkeep(t *testing.T) {
	t.Parallel()
	s := new(scribe)
	m, _ := testMachine(s)
	want := func(commit, index uint64) {
		t.Helper()
		if got := m.readable.last(commit); got != index {
			t.Errorf("committed up to %d: a read waits for %d, want %d", commit, got, index)
		}
	}
	want(1, 1)
	m.ApplyBatch([]*raft.Log{establishedLog(t, 2, 1, "a"), upkeep(3, 1, "u"), upkeep(4, 1, "v")})
	want(2, 2)
	want(4, 2)
	want(5, 5) // not seen yet: it may be anything
	m.ApplyBatch([]*raft.Log{upkeep(5, 1, "w"), command(6, 1, "x"), upkeep(7, 1, "y")})
	want(7, 6)
	want(5, 5) // asked before the rest was committed
	m.ApplyBatch([]*raft.Log{{Index: 8, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})}, upkeep(9, 1, "z")})
	want(9, 8)
	if told := []string{"a leads in 1, self true", "3/1 u", "4/1 v", "5/1 w", "6/1 x", "7/1 y", "9/1 z"}; !slices.Equal(s.told, told) {
		t.Errorf("told %q, want %q", s.told, told)
	}
	m.readable.restored(20)
	want(20, 20)
	want(21, 21)
	m.readable.restored(10) // Raft repeats an old snapshot
	want(20, 20)
}

// TestReadsMissNoEntryBesideUpkeep: while entries of both kinds are committed, no reader passes over one that is no upkeep.
func TestReadsMissNoEntryBesideUpkeep(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const entries = 20_000
	logs, newest := make([]*raft.Log, entries), make([]uint64, entries+1) // the last entry up to an index that is no upkeep
	for i := range logs {
		index := uint64(i + 1)
		logs[i], newest[index] = upkeep(index, 1, ""), newest[i]
		if random.IntN(4) == 0 {
			logs[i], newest[index] = command(index, 1, ""), index
		}
	}
	var r readable
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, l := range logs {
			r.scan([]*raft.Log{l})
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		commit := min(r.scanned.Load()+random.Uint64N(2), entries)
		if got := r.last(commit); got < newest[commit] || got > commit {
			t.Fatalf("committed up to %d: a read waits for %d, want %d or more", commit, got, newest[commit])
		}
	}
	if got := r.last(entries); got != newest[entries] {
		t.Errorf("at the end a read waits for %d, want %d", got, newest[entries])
	}
}

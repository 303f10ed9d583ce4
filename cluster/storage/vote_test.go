package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// The keys of raft v1.7.3.
var (
	currentTerm  = []byte("CurrentTerm")
	lastVoteTerm = []byte("LastVoteTerm")
	lastVoteCand = []byte("LastVoteCand")
)

// voter is how these tests see a stable store, with and without the guard.
type voter struct {
	name   string
	atomic bool // the guarded one
	open   func(t *testing.T, dir string) (raft.StableStore, func())
}

var voters = []voter{
	{"guarded", true, func(t *testing.T, dir string) (raft.StableStore, func()) {
		cfg := config(t, storage.LogStoreBoltDB)
		cfg.Dir = dir
		s := open(t, cfg)
		return s.Stable(), func() { closeStore(t, s) }
	}},
	{"unguarded", false, func(t *testing.T, dir string) (raft.StableStore, func()) {
		s, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
		if err != nil {
			t.Fatal(err)
		}
		return s, func() { _ = s.Close() }
	}},
}

// election is what raft reads when it is asked for a vote.
type election struct {
	term, voteTerm uint64
	candidate      string
}

func read(t *testing.T, s raft.StableStore) (e election) {
	t.Helper()
	var errs [3]error
	var candidate []byte
	e.term, errs[0] = s.GetUint64(currentTerm)
	e.voteTerm, errs[1] = s.GetUint64(lastVoteTerm)
	candidate, errs[2] = s.Get(lastVoteCand)
	for _, err := range errs {
		if err != nil && err.Error() != "not found" { // as raft compares it
			t.Fatal(err)
		}
	}
	e.candidate = string(candidate)
	return e
}

// step is one write of an election, as raft makes them.
type step func(raft.StableStore) error

func saveTerm(term uint64) step {
	return func(s raft.StableStore) error { return s.SetUint64(currentTerm, term) }
}
func saveVoteTerm(term uint64) step {
	return func(s raft.StableStore) error { return s.SetUint64(lastVoteTerm, term) }
}
func saveCandidate(name string) step {
	return func(s raft.StableStore) error { return s.Set(lastVoteCand, []byte(name)) }
}

// twoVotes is a vote for a in term 4 and one for b in term 5, and what the disk may hold after each write.
var twoVotes = []struct {
	do    step
	after election
}{
	{saveTerm(4), election{4, 0, ""}},
	{saveVoteTerm(4), election{4, 0, ""}},
	{saveCandidate("a"), election{4, 4, "a"}},
	{saveTerm(5), election{5, 4, "a"}},
	{saveVoteTerm(5), election{5, 4, "a"}},
	{saveCandidate("b"), election{5, 5, "b"}},
}

// hashicorp/raft#661: a crash between the two writes of a vote must not leave the new term with the old candidate.
func TestCrashNeverMixesTwoVotes(t *testing.T) {
	t.Parallel()
	for _, v := range voters {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			mixed := 0
			for writes := 0; writes <= len(twoVotes); writes++ {
				dir := t.TempDir()
				s, closeIt := v.open(t, dir)
				want := election{}
				for _, w := range twoVotes[:writes] {
					if err := w.do(s); err != nil {
						t.Fatal(err)
					}
					want = w.after
					if got := read(t, s); v.atomic && got != want {
						t.Errorf("before the crash %+v, want %+v", got, want)
					}
				}
				crashed := crash(t, dir)
				closeIt()

				s, closeIt = v.open(t, crashed)
				if got := read(t, s); got != want {
					mixed++
					t.Logf("after %d writes and a crash: %+v, want %+v", writes, got, want)
				}
				closeIt()
			}
			if v.atomic && mixed > 0 || !v.atomic && mixed == 0 {
				t.Errorf("%d crashes left a vote that was never given", mixed)
			}
		})
	}
}

// crash is a copy of a data folder as a sudden end of the process leaves it.
func crash(t *testing.T, dir string) string {
	t.Helper()
	copied := t.TempDir()
	data, err := os.ReadFile(filepath.Join(dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "raft.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// What follows from it: raft takes the old candidate's request for one it has granted before and does not look at its log.
func TestCandidateWithAnOldLogGetsNoVoteAfterACrash(t *testing.T) {
	t.Parallel()
	for _, v := range voters {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, closeIt := v.open(t, dir)
			defer func() { closeIt() }()
			for _, w := range twoVotes[:len(twoVotes)-1] { // the crash is before the last write
				if err := w.do(s); err != nil {
					t.Fatal(err)
				}
			}
			closeIt()
			s, closeIt = v.open(t, dir)
			if granted := askForVote(t, s); granted == v.atomic {
				t.Errorf("vote for the candidate whose log is behind: %v", granted)
			}
		})
	}
}

// askForVote asks a node with log entries up to term 4 for a vote for a, whose log is empty, in term 5.
func askForVote(t *testing.T, stable raft.StableStore) bool {
	t.Helper()
	log := raft.NewInmemStore()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: "c", Address: "c"}}}
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(servers)}
	if err := log.StoreLogs(append([]*raft.Log{first}, entries(2, 9, 4)...)); err != nil {
		t.Fatal(err)
	}
	_, asker := raft.NewInmemTransportWithTimeout("a", 10*time.Second)
	_, asked := raft.NewInmemTransport("c")
	asker.Connect("c", asked)
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger = "c", hclog.NewNullLogger()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = time.Hour, time.Hour
	node, err := raft.NewRaft(cfg, &counter{}, log, stable, raft.NewDiscardSnapshotStore(), asked)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := node.Shutdown().Error(); err != nil {
			t.Error(err)
		}
	}()
	req := &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("a"), Addr: []byte("a")},
		Term:      5, Candidate: []byte("a"),
	}
	var resp raft.RequestVoteResponse
	if err := asker.RequestVote("c", "c", req, &resp); err != nil {
		t.Fatal(err)
	}
	return resp.Granted
}

func TestVotesOnlyGoForward(t *testing.T) {
	t.Parallel()
	s := open(t, config(t, storage.LogStoreBoltDB))
	defer closeStore(t, s)
	for _, w := range twoVotes {
		if err := w.do(s.Stable()); err != nil {
			t.Fatal(err)
		}
	}
	for name, steps := range map[string][]step{
		"another candidate in the same term": {saveVoteTerm(5), saveCandidate("c")},
		"a vote in an earlier term":          {saveVoteTerm(4), saveCandidate("b")},
		"a candidate without a term":         {saveCandidate("b")},
		"an earlier term":                    {saveTerm(3)},
	} {
		var err error
		for _, do := range steps {
			err = do(s.Stable())
		}
		if err == nil {
			t.Errorf("%s was saved", name)
		}
		if got, want := read(t, s.Stable()), (election{5, 5, "b"}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for _, do := range []step{saveVoteTerm(5), saveCandidate("b"), saveVoteTerm(7), saveCandidate("c")} {
		if err := do(s.Stable()); err != nil {
			t.Error(err)
		}
	}
	if got, want := read(t, s.Stable()), (election{7, 7, "c"}); got != want {
		t.Errorf("%+v, want %+v: a vote proves its term", got, want)
	}
}

func TestDamagedVoteRecordStopsTheNode(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	s := open(t, cfg)
	for _, w := range twoVotes {
		if err := w.do(s.Stable()); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	raw, err := raftboltdb.NewBoltStore(filepath.Join(cfg.Dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	record, err := raw.Get([]byte("hydrastore/election"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"cut": record[:len(record)-1], "short": record[:3]}
	for i := range record {
		flipped := bytes.Clone(record)
		flipped[i] ^= 1
		damaged[fmt.Sprintf("bit of byte %d", i)] = flipped
	}
	for name, value := range damaged {
		if err := raw.Set([]byte("hydrastore/election"), value); err != nil {
			t.Fatal(err)
		}
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := storage.Open(cfg); !errors.Is(err, storage.ErrBrokenVote) {
			t.Errorf("%s: opened with %v", name, err)
			if err == nil {
				closeStore(t, s)
			}
		}
		if raw, err = raftboltdb.NewBoltStore(filepath.Join(cfg.Dir, "raft.db")); err != nil {
			t.Fatal(err)
		}
	}
	_ = raw.Close()
}

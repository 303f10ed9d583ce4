package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
)

// Whether somebody waits for results changes nothing but their payload.
func TestUnawaitedBatchesGiveTheSameStateAndCodes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			told := newLog(t, fsm.Options{})
			quiet := fsm.New(fsm.Options{Awaited: func(of uint64, _ string, _ uint64) bool {
				if of != term {
					t.Errorf("asked for term %d, want %d", of, term)
				}
				return false
			}})
			h := newHistory(seed)
			sessions := 0
			for range 200 {
				told.clock += h.advance()
				want := told.apply(h.entry()...)
				noteVersions(h, want)
				got, err := quiet.Apply(told.index, term, told.entries[len(told.entries)-1])
				if err != nil {
					t.Fatal(err)
				}
				for b := range want.Batches {
					for i, w := range want.Batches[b].Results {
						g := got.Batches[b].Results[i]
						if g.Code != w.Code || g.Field != w.Field || g.GetCount() != w.GetCount() || g.GetVersion() != w.GetVersion() {
							t.Fatalf("entry %d, command %d: %v, want %v", told.index, i, g, w)
						}
						if g.GetSession() != nil {
							t.Fatalf("entry %d, command %d: a session that nobody waits for: %v", told.index, i, g)
						}
						if w.GetSession() != nil {
							sessions++
						}
					}
				}
			}
			if sessions == 0 {
				t.Error("the history has no result with a session: this test shows nothing")
			}
			if !bytes.Equal(snapshotOf(t, quiet), snapshotOf(t, told.m)) {
				t.Error("the states differ")
			}
		})
	}
}

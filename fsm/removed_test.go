package fsm_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
)

// TestEverySessionThatGoesIsTold, by whatever cause, and no other.
func TestEverySessionThatGoesIsTold(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		recorded := map[session.ID]bool{}
		l, h := newLog(t, fsm.Options{EndsPerEntry: 2, Removed: func(id session.ID) {
			if !recorded[id] {
				t.Errorf("seed %d: a session that is not there has gone", seed)
			}
			delete(recorded, id)
		}}), newHistory(seed)
		gone := 0
		for range 1500 {
			l.clock += h.advance()
			for _, command := range h.entry() {
				if c := command.GetCreateSession(); c != nil && len(c.Id) == len(session.ID{}) {
					// Recorded before it is known whether it is made. The history gives an id twice: the one before may go in the same entry, and then the new one is there.
					id := session.ID(c.Id)
					was := recorded[id]
					recorded[id] = true
					switch r := l.do(command); {
					case r.GetSession() != nil && !r.Repeated:
						recorded[id] = true
					case !was:
						delete(recorded, id)
					}
					continue
				}
				before := len(recorded)
				l.do(command)
				gone += before - len(recorded)
			}
			if st := l.m.Stats(); st.Sessions != len(recorded) {
				t.Fatalf("seed %d: %d sessions are recorded, %d have not gone", seed, st.Sessions, len(recorded))
			}
		}
		if gone == 0 {
			t.Errorf("seed %d: none has gone", seed)
		}
	}
}

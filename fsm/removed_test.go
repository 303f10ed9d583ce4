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
					// Told before it is known whether it is made: an id is never given twice, so one that is refused is taken back below.
					if id := session.ID(c.Id); !recorded[id] {
						recorded[id] = true
						if r := l.do(command); r.GetSession() == nil || r.Repeated {
							delete(recorded, id)
						}
						continue
					}
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

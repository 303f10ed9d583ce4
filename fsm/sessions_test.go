package fsm_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

func TestSessionLivesByUseAndEndsThroughTheLog(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 2000, 0, 100)))
	made := l.must(create(vouched(1, "ann"))).GetSession()
	if made.DeadlineMs != start+2100 || made.Number != 1 || made.AbsoluteEndMs != 0 {
		t.Fatalf("created: %v", made)
	}
	l.clock += 2099
	l.apply()
	if _, ok := l.m.SessionByKey(keyOf(1)); !ok {
		t.Fatal("ended early")
	}
	l.must(touch(1))
	l.clock += 2099
	l.apply()
	if r, ok := l.m.SessionByKey(keyOf(1)); !ok || r.DeadlineMS != start+2099+2100 {
		t.Fatalf("after the touch: %+v %v", r, ok)
	}
	l.clock++
	applied := l.apply()
	if len(applied.Ended) != 1 || applied.Ended[0].Cause != fsm.CauseIdle || applied.Ended[0].User != "ann" {
		t.Fatalf("ended: %+v", applied.Ended)
	}
	if _, ok := l.m.SessionByKey(keyOf(1)); ok {
		t.Fatal("ended late")
	}
	l.wantCode(touch(1), fsmpb.Code_CODE_UNAUTHENTICATED)
}

package node_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	used := fsm.Record{LastUseMS: 1000, LastActivityMS: 1000, IdleMS: 3200, WindowMS: 100}
	written := fsm.Record{LastUseMS: 1000, LastActivityMS: 1000, IdleMS: 3200}
	tickled := fsm.Record{LastUseMS: 5000, LastActivityMS: 1000, IdleMS: 3200, InactivityMS: 9000, WindowMS: 100}
	quiet := tickled
	quiet.IdleMS = 0
	deaf := tickled
	deaf.NoTickle = true
	off := tickled
	off.InactivityMS = 0
	still := fsm.Record{LastUseMS: 1000, LastActivityMS: 1000}
	permanent := fsm.Record{LastUseMS: 1000, LastActivityMS: 1000, WindowMS: 90_000, Permanent: true, NoTickle: true}
	for _, c := range []struct {
		name   string
		r      fsm.Record
		now    int64
		tickle bool
		want   any
	}{
		{"just used", used, 1000, false, node.TouchNone},
		{"at half the window", used, 1050, false, node.TouchNone},
		{"past half the window", used, 1051, false, node.TouchAsync},
		{"at the window's end", used, 1100, false, node.TouchAsync},
		{"past the window", used, 1101, false, node.TouchSync},
		{"leader time behind the recorded use", used, 900, false, node.TouchNone},
		{"no leader time", used, 0, false, node.TouchSync},
		{"no window: every use is written", written, 1000, false, node.TouchSync},
		{"no timer moves with use: nothing within a minute", still, 61_000, false, node.TouchNone},
		{"no timer moves with use: the last use is noted", still, 61_001, false, node.TouchAsync},
		{"permanent: within the window", permanent, 91_000, false, node.TouchNone},
		{"permanent: past the window", permanent, 91_001, false, node.TouchAsync},
		{"permanent: a tickle is a use", permanent, 91_001, true, node.TouchAsync},
		{"an activity after tickles", tickled, 5000, false, node.TouchSync},
		{"a tickle after tickles", tickled, 5050, true, node.TouchNone},
		{"a late tickle", tickled, 5101, true, node.TouchSync},
		{"a tickle moves no idle timeout that is not there", quiet, 60_000, true, node.TouchNone},
		{"an activity, idle timeout or not", quiet, 5000, false, node.TouchSync},
		{"no tickle: nothing moves", deaf, 9000, true, node.TouchNone},
		{"no tickle: an activity does", deaf, 5000, false, node.TouchSync},
		{"inactivity timeout turned off: the activity is kept for later", off, 5000, false, node.TouchSync},
	} {
		if got := node.Judge(c.r, c.now, c.tickle); any(got) != c.want {
			t.Errorf("%s: judge = %v, want %v", c.name, got, c.want)
		}
	}
}

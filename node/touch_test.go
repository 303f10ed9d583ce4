package node_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	used := fsm.Record{LastUseMS: 1000, IdleMS: 3200, WindowMS: 100}
	written := fsm.Record{LastUseMS: 1000, IdleMS: 3200}
	for _, c := range []struct {
		name string
		r    fsm.Record
		now  int64
		want any
	}{
		{"just used", used, 1000, node.TouchNone},
		{"at half the window", used, 1050, node.TouchNone},
		{"past half the window", used, 1051, node.TouchAsync},
		{"at the window's end", used, 1100, node.TouchAsync},
		{"past the window", used, 1101, node.TouchSync},
		{"leader time behind the recorded use", used, 900, node.TouchNone},
		{"no leader time", used, 0, node.TouchSync},
		{"no window: every use is written", written, 1000, node.TouchSync},
		{"no idle timeout: nothing moves", fsm.Record{LastUseMS: 1000, WindowMS: 0}, 9000, node.TouchNone},
	} {
		if got := node.Judge(c.r, c.now); any(got) != c.want {
			t.Errorf("%s: judge = %v, want %v", c.name, got, c.want)
		}
	}
}

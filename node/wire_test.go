package node_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node"
)

// The leader puts encoded batches side by side; the generated code must read them as what they are.
func TestEntryIsWhatTheStateMachineReads(t *testing.T) {
	t.Parallel()
	touch := &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: make([]byte, 32)}}}
	noop := &fsmpb.Command{Kind: &fsmpb.Command_NoOp{NoOp: &fsmpb.NoOp{}}}
	want := &fsmpb.Entry{FormatLevel: 1, ClockMs: 1_700_000_000_123, Epoch: 7, Batches: []*fsmpb.Batch{
		{OriginNode: "a", Incarnation: 2, Number: 3, Commands: []*fsmpb.Command{touch, noop}},
		{OriginNode: "b", Incarnation: 1, Number: 9, Commands: []*fsmpb.Command{noop}},
	}}
	encode := func(c *fsmpb.Command) []byte {
		b, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	batches := [][]byte{
		node.AppendBatch(nil, "a", 2, 3, [][]byte{encode(touch), encode(noop)}),
		node.AppendBatch(nil, "b", 1, 9, [][]byte{encode(noop)}),
	}
	got := new(fsmpb.Entry)
	if err := proto.Unmarshal(node.AppendEntry(nil, 1, 1_700_000_000_123, 7, batches), got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("entry reads as %v, want %v", got, want)
	}
	got, want = new(fsmpb.Entry), &fsmpb.Entry{FormatLevel: 1, ClockMs: 1_700_000_000_123, Epoch: 7, Ends: 512}
	if err := proto.Unmarshal(node.AppendRemoval(nil, 1, 1_700_000_000_123, 7, 512), got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("a removal reads as %v, want %v", got, want)
	}
}

package link_test

import (
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/link"
)

func addressOf(l *link.Link) raft.ServerAddress { return raft.ServerAddress(l.Addr()) }

// transport runs Raft's own network transport over a served link.
func transport(t *testing.T, node string) (*raft.NetworkTransport, *link.Link) {
	t.Helper()
	l := open(t, link.Config{Identity: as(node, "c1"), GossipKey: keyA})
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: l.RaftStreams(), MaxPool: 3, MaxRPCsInFlight: 1, Timeout: waitLimit, MsgpackUseNewTimeFormat: true,
	})
	t.Cleanup(func() { trans.Close() })
	l.Serve()
	return trans, l
}

func TestRaftTransportOverLink(t *testing.T) {
	t.Parallel()
	a, _ := transport(t, "a")
	b, linkB := transport(t, "b")
	if got := b.LocalAddr(); string(got) != linkB.Addr() {
		t.Fatalf("raft's own address = %q, want %q", got, linkB.Addr())
	}
	const appends = 100
	go answer(t, b, appends)
	target := link.ExpectNode("b", addressOf(linkB))
	for i := range uint64(appends) {
		args := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("a")},
			Term:      7,
			Entries:   []*raft.Log{{Index: i + 1, Term: 7, Type: raft.LogCommand, Data: []byte("entry")}},
		}
		var resp raft.AppendEntriesResponse
		if err := a.AppendEntries("b", target, args, &resp); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
		if !resp.Success || resp.LastLog != i+1 {
			t.Fatalf("append %d: answer %+v", i, resp)
		}
	}
	var resp raft.InstallSnapshotResponse
	body := make([]byte, 1<<20)
	err := a.InstallSnapshot("b", target, &raft.InstallSnapshotRequest{Size: int64(len(body))}, &resp, &zeros{left: len(body)})
	if err != nil || !resp.Success {
		t.Fatalf("install snapshot: %v, %+v", err, resp)
	}
	if err := a.AppendEntries("x", link.ExpectNode("x", addressOf(linkB)), &raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err == nil {
		t.Error("an append for node x was answered by node b")
	}
}

// answer is the follower's side: it agrees to everything and reads a snapshot whole.
func answer(t *testing.T, trans *raft.NetworkTransport, appends int) {
	for range appends + 1 {
		rpc := <-trans.Consumer()
		switch cmd := rpc.Command.(type) {
		case *raft.AppendEntriesRequest:
			rpc.Respond(&raft.AppendEntriesResponse{Term: cmd.Term, LastLog: cmd.Entries[0].Index, Success: true}, nil)
		case *raft.InstallSnapshotRequest:
			n, err := io.Copy(io.Discard, rpc.Reader)
			rpc.Respond(&raft.InstallSnapshotResponse{Success: err == nil && n == cmd.Size}, nil)
		default:
			t.Errorf("unexpected command %T", cmd)
		}
	}
}

// zeros reads as so many zero bytes.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.left)
	clear(p[:n])
	z.left -= n
	return n, nil
}

func TestRaftStreamsCloseLeavesCallsAlone(t *testing.T) {
	t.Parallel()
	p := openPair(t, link.Config{Identity: as("b", "c1")}, link.Config{Identity: as("a", "c1")})
	streams := p.server.RaftStreams()
	if err := streams.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := streams.Accept(); err == nil {
		t.Error("accept after close gave a connection")
	}
	if err := p.call(t, link.PurposeRPC); err != nil {
		t.Errorf("call: %v", err)
	}
}

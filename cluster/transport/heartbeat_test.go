package transport_test

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// hashicorp/raft#695: a heartbeat handler changes raft's state beside its main loop.
func TestHeartbeatsTakeTheMainChannel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		receiver raft.Transport
		want     string
	}{
		"guarded":   {overTCP(t), "main channel"},
		"unguarded": {bareTCP(t), "handler"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took := make(chan string, 1)
			answer := func(by string, rpc raft.RPC) {
				took <- by
				rpc.Respond(&raft.AppendEntriesResponse{Term: 7, Success: true}, nil)
			}
			c.receiver.SetHeartbeatHandler(func(rpc raft.RPC) { answer("handler", rpc) })
			go func() {
				select {
				case rpc := <-c.receiver.Consumer():
					answer("main channel", rpc)
				case <-t.Context().Done():
				}
			}()
			sender := overTCP(t)
			heartbeat := &raft.AppendEntriesRequest{
				RPCHeader: raft.RPCHeader{ProtocolVersion: 3, Addr: []byte(sender.LocalAddr())},
				Term:      7, Leader: []byte(sender.LocalAddr()),
			}
			var resp raft.AppendEntriesResponse
			if err := sender.AppendEntries("x", c.receiver.LocalAddr(), heartbeat, &resp); err != nil {
				t.Fatal(err)
			}
			if !resp.Success || resp.Term != 7 {
				t.Errorf("answer %+v", resp)
			}
			select {
			case got := <-took:
				if got != c.want {
					t.Errorf("heartbeat went to the %s, want %s", got, c.want)
				}
			case <-time.After(time.Minute):
				t.Error("heartbeat was answered by nobody")
			}
		})
	}
}

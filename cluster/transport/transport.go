// Package transport carries Raft's messages and keeps known bugs of hashicorp/raft v1.7.3 from being reached through them.
// DESIGN.md lists the bugs and the guards.
package transport

import (
	"io"

	"github.com/hashicorp/raft"
)

// Inner is a transport that can be guarded: *raft.NetworkTransport or *raft.InmemTransport. Pre-vote is required, for a
// transport without it makes raft switch pre-vote off with nothing but a line in the log.
type Inner interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// Transport is a raft.Transport that takes away what raft must not use, and otherwise passes everything on:
//
//   - No heartbeat handler (hashicorp/raft#695): see SetHeartbeatHandler.
//   - No pipeline (hashicorp/raft#612, #611): see AppendEntriesPipeline.
//   - No commit index beyond what a message proves: see AppendEntries.
//   - Pre-vote and Close are forwarded.
//
// Safe for concurrent use if the inner transport is.
type Transport struct {
	Inner
	faults  Faults
	commits commitTeller
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// New guards inner, which it owns from now on. faults may be nil.
func New(inner Inner, faults Faults) *Transport {
	if faults == nil {
		faults = noFaults{}
	}
	t := &Transport{Inner: inner, faults: faults}
	t.commits = commitTeller{send: t.append, peers: map[raft.ServerID]*told{}}
	return t
}

// SetHeartbeatHandler implements raft.Transport and forgets the handler. With one, raft.NetworkTransport calls it on the
// goroutine of the connection, where it changes term and state beside raft's main loop: two leaders in one term and diverging
// logs were seen (hashicorp/raft#695). Without one, heartbeats take the same channel as all other messages. The price: a
// follower that waits for its disk answers heartbeats late. With pre-vote that alone does not unseat a leader.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntriesPipeline implements raft.Transport and always refuses. A pipeline with two requests in flight, raft's default,
// deadlocks when a follower rejects one of them: the sender waits for the decoder, which has gone, and the follower gets no
// entry any more while its heartbeats go on (hashicorp/raft#612, grafana/pyroscope#5518). Batching gives the throughput that
// the pipeline was for. raft.NetworkTransport answers the same for MaxRPCsInFlight = 1; the refusal here holds
// for every inner transport and whatever its settings.
func (t *Transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport. A follower of raft v1.7.3 commits up to min(leader's commit index, own last index),
// where the Raft paper says min(leader's commit index, index of the last new entry). So a message without entries, made just
// before and sent just after a commit, makes a follower with a divergent tail apply that tail. The commit index sent is
// therefore cut at the last entry that the message itself checks or brings; the next message carries the rest.
func (t *Transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	err := t.append(id, addr, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term && !isHeartbeat(args) {
		t.commits.acknowledged(id, addr, args)
	}
	return err
}

// TellCommit tells the followers that have acknowledged entries of this leader in term that everything up to commit is
// committed, without waiting for them and without waiting for the next entries: see commitTeller.
func (t *Transport) TellCommit(term, commit uint64) { t.commits.tell(term, commit) }

// append sends one message, with no more in it than it proves.
func (t *Transport) append(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	kind := KindAppendEntries
	if isHeartbeat(args) {
		kind = KindHeartbeat
	}
	if proven := args.PrevLogEntry + uint64(len(args.Entries)); args.LeaderCommitIndex > proven {
		bounded := *args // the request is raft's
		bounded.LeaderCommitIndex = proven
		args = &bounded
	}
	return t.send(kind, id, addr, func() error { return t.Inner.AppendEntries(id, addr, args, resp) })
}

// RequestVote implements raft.Transport.
func (t *Transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.send(KindVote, id, addr, func() error { return t.Inner.RequestVote(id, addr, args, resp) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *Transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.send(KindPreVote, id, addr, func() error { return t.Inner.RequestPreVote(id, addr, args, resp) })
}

// InstallSnapshot implements raft.Transport.
func (t *Transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.send(KindSnapshot, id, addr, func() error { return t.Inner.InstallSnapshot(id, addr, args, resp, data) })
}

// TimeoutNow implements raft.Transport.
func (t *Transport) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.send(KindTimeoutNow, id, addr, func() error { return t.Inner.TimeoutNow(id, addr, args, resp) })
}

// send makes one call between the faults of its way there and its way back.
func (t *Transport) send(kind Kind, id raft.ServerID, addr raft.ServerAddress, call func() error) error {
	message := Message{Kind: kind, From: t.LocalAddr(), To: addr, ToID: id}
	if err := t.faults.Request(message); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	return t.faults.Response(message)
}

// isHeartbeat tells a heartbeat from an append as raft.NetworkTransport does.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0
}

package node

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node/nodepb"
	"github.com/hydrastore/hydrastore/session"
)

// ClusterStatus implements session.Cluster. It waits for nobody for long, so that it also answers without a majority.
func (n *Node) ClusterStatus(ctx context.Context, c session.Call) (session.ClusterStatus, error) {
	if err := n.mayLook(ctx, c); err != nil {
		return session.ClusterStatus{}, err
	}
	s := n.cluster.Status()
	status := session.ClusterStatus{
		ClusterID: s.ClusterID, NodeID: s.NodeID, LeaderID: s.LeaderID, Term: s.Term, CommitIndex: s.CommitIndex,
		Applied: s.AppliedIndex, FormatLevel: n.fsm.FormatLevel(), Time: instant(n.fsm.ClockMS()), Sessions: n.fsm.Stats().Sessions,
	}
	status.Phase, status.PhaseSince = phaseOf(n.fsm.Moving())
	voters, healthy := 0, 0
	reports, led := n.peerReports(ctx, s)
	for _, m := range s.Members {
		if !led && !m.Self && reports[m.ID] == nil {
			m.Healthy = false // gossip takes half a minute to miss a majority
		}
		status.Members = append(status.Members, n.member(m, s, reports[m.ID]))
		if m.Suffrage == cluster.Voter {
			voters++
			if m.Healthy {
				healthy++
			}
		}
	}
	if led {
		status.Failures = max(0, healthy-(voters/2+1))
		status.Healthy = healthy == voters && voters > 0
	}
	return status, nil
}

// mayLook lets admins see the cluster's state by this node's own knowledge: an admin's key that this node knows is enough, so
// that the page also works when no majority does.
func (n *Node) mayLook(ctx context.Context, c session.Call) error {
	if c.Operator {
		return nil
	}
	if known, ok := ctx.Value(callerKey{}).(Caller); ok {
		if !slices.Contains(known.Roles, session.RoleAdmin) {
			return session.ErrNeedsRole(session.RoleAdmin)
		}
		return nil
	}
	if c.Key.IsZero() {
		return session.ErrUnauthenticated()
	}
	readable, cancel := context.WithTimeout(ctx, electionPause)
	defer cancel()
	_, _ = n.reads.wait(readable) // the newest knowledge, if a majority is there to ask
	c.Consistency = session.Local
	record, ok := n.open(ctx, c, session.Presented{Key: c.Key, Address: c.Address})
	if !ok && n.fsm.Phase() == fsm.PhaseFilling {
		return n.serves() // the key may be one of those that are on their way
	}
	if !ok {
		return session.ErrUnauthenticated()
	}
	if p := (&principal{call: c, record: record}); !p.has(session.RoleAdmin) {
		return session.ErrNeedsRole(session.RoleAdmin)
	}
	return nil
}

// peerReports is what the leader knows of the members, asked for where this node does not lead, and whether there is a leader that says so. Where
// there is none it is what each member says of itself, so that the page shows without a majority, too, who is missing.
func (n *Node) peerReports(ctx context.Context, s cluster.Status) (reports map[string]*nodepb.PeersReply_Peer, led bool) {
	reports = map[string]*nodepb.PeersReply_Peer{}
	if s.LeaderID == s.NodeID {
		for _, p := range n.reportPeers().Peers {
			reports[p.Id] = p
		}
		return reports, true
	}
	if s.LeaderID != "" {
		asking, cancel := context.WithTimeout(ctx, peerReportTimeout)
		defer cancel()
		if reply := n.askPeers(asking, s.LeaderID); reply != nil {
			for _, p := range reply.Peers {
				reports[p.Id] = p
			}
			return reports, true
		}
	}
	for _, p := range n.selfReports(ctx, s) {
		reports[p.Id] = p
	}
	return reports, false
}

// selfReports asks all members at once what they are, and returns the answers that came.
func (n *Node) selfReports(ctx context.Context, s cluster.Status) []*nodepb.PeersReply_Peer {
	ctx, cancel := context.WithTimeout(ctx, peerReportTimeout)
	defer cancel()
	answers := make([]*nodepb.PeersReply_Peer, len(s.Members))
	var asking sync.WaitGroup
	for i, m := range s.Members {
		if m.Self {
			continue
		}
		asking.Go(func() {
			for _, p := range n.askPeers(ctx, m.ID).GetPeers() {
				if p.Id == m.ID {
					answers[i] = &nodepb.PeersReply_Peer{Id: p.Id, Applied: p.Applied, Version: p.Version, SilentUs: -1}
				}
			}
		})
	}
	asking.Wait()
	return slices.DeleteFunc(answers, func(p *nodepb.PeersReply_Peer) bool { return p == nil })
}

// askPeers returns what node id reports of the members; nil without an answer.
func (n *Node) askPeers(ctx context.Context, id string) *nodepb.PeersReply {
	reply := &nodepb.PeersReply{}
	if payload, err := n.cluster.Call(ctx, id, methodPeers, nil); err != nil || proto.Unmarshal(payload, reply) != nil {
		return nil
	}
	return reply
}

// reportPeers is what this node, leading, knows of all nodes and itself.
func (n *Node) reportPeers() *nodepb.PeersReply {
	reply := n.peers.report(n.config.Clock.Monotonic())
	reply.Peers = append(reply.Peers, &nodepb.PeersReply_Peer{
		Id: n.cluster.NodeID(), Applied: n.cluster.AppliedIndex(), Version: n.config.Version,
	})
	return reply
}

// peerReportTimeout bounds the question to the leader, and then to all, for a page that must come in any case.
const peerReportTimeout = 300 * time.Millisecond

func (n *Node) member(m cluster.Member, s cluster.Status, report *nodepb.PeersReply_Peer) session.Member {
	out := session.Member{
		ID: m.ID, Name: m.Name, PeerAddress: m.PeerAddress, APIAddress: m.APIAddress, GossipAddress: m.GossipAddress,
		Role: roleOf(m), Healthy: m.Healthy, State: "unreachable", FormatLevel: m.FormatLevel, LastContact: -1,
	}
	if m.Alive {
		out.State = "alive"
	}
	switch {
	case m.Self:
		out.Applied, out.Version = s.AppliedIndex, n.config.Version
		if !m.Leader && s.LastContact >= 0 {
			out.LastContact = s.LastContact
		}
	case report != nil:
		out.Applied, out.Version = report.Applied, report.Version
		if report.SilentUs >= 0 {
			out.LastContact = time.Duration(report.SilentUs) * time.Microsecond
		}
	}
	if out.Applied != 0 && s.CommitIndex > out.Applied {
		out.Lag = s.CommitIndex - out.Applied
	}
	return out
}

// AddMember implements session.Cluster.
func (n *Node) AddMember(ctx context.Context, c session.Call, peerAddress string) (session.Meta, error) {
	host, port, err := net.SplitHostPort(peerAddress)
	if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || number == 0 {
		return session.Meta{}, session.Invalid("peer_address", "must be host:port, where the node that is to join listens for peers")
	}
	return n.changeCluster(ctx, c, func(ctx context.Context) error { return n.cluster.Join(ctx, peerAddress) })
}

// RemoveMember implements session.Cluster.
func (n *Node) RemoveMember(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	return n.changeCluster(ctx, c, func(ctx context.Context) error { return n.cluster.RemoveMember(ctx, nodeID) })
}

// TransferLeadership implements session.Cluster.
func (n *Node) TransferLeadership(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	return n.changeCluster(ctx, c, func(ctx context.Context) error { return n.cluster.TransferLeadership(ctx, nodeID) })
}

func (n *Node) changeCluster(ctx context.Context, c session.Call, change func(context.Context) error) (session.Meta, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if err := n.mayChangeCluster(ctx, c); err != nil {
		return session.Meta{}, err
	}
	if err := change(ctx); err != nil {
		return session.Meta{}, clusterError(err)
	}
	return n.writeMeta(n.cluster.AppliedIndex()), nil
}

// mayChangeCluster lets operators through while sessions are moved, too: nobody else could replace a member that is lost then, and what is sealed is not
// served before each member can open it.
func (n *Node) mayChangeCluster(ctx context.Context, c session.Call) error {
	if c.Operator {
		_, err := n.readAnyway(ctx, session.Call{})
		return asError("read", err)
	}
	_, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	return err
}

// Ready implements session.Service.
func (n *Node) Ready(local bool) error {
	switch {
	case n.draining.Load():
		return errStopping()
	case n.cluster.ClusterID() == "":
		return errStarting("it does not belong to a cluster yet")
	}
	most := n.config.RequestTimeout // a shorter loss of the leader is waited out by requests
	if local {
		most = n.config.MaxStale
	}
	age, known := n.freshness.age()
	if !known {
		return errStarting("it has not caught up with the cluster yet")
	}
	if err := n.serves(); err != nil { // before what is not written, or compared, while it does not
		return err
	}
	if _, seeded := n.fsm.Policy(session.DefaultPolicyName); !seeded {
		return errStarting("the cluster's first values are not written yet")
	}
	if !n.atHome() {
		return n.errOtherHome()
	}
	if !n.sealing.settled.Load() {
		return errStarting("its safe_password is compared with the cluster's")
	}
	if age > most {
		return &session.Error{Code: session.CodeNoQuorum, RetryAfter: electionPause, Message: "no leader with a majority has been heard of for longer than requests wait"}
	}
	return nil
}

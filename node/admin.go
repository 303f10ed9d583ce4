package node

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
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
	voters, healthy, reports := 0, 0, n.peerReports(ctx, s)
	for _, m := range s.Members {
		status.Members = append(status.Members, n.member(m, s, reports[m.ID]))
		if m.Suffrage == cluster.Voter {
			voters++
			if m.Healthy {
				healthy++
			}
		}
	}
	status.Failures = max(0, healthy-(voters/2+1))
	status.Healthy = s.LeaderID != "" && healthy == voters && voters > 0
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
	if !ok {
		return session.ErrUnauthenticated()
	}
	if p := (&principal{call: c, record: record}); !p.has(session.RoleAdmin) {
		return session.ErrNeedsRole(session.RoleAdmin)
	}
	return nil
}

// peerReports is what the leader knows of the members, asked for where this node does not lead. Without an answer it is empty: the
// page must come without a majority too.
func (n *Node) peerReports(ctx context.Context, s cluster.Status) map[string]*nodepb.PeersReply_Peer {
	reply := &nodepb.PeersReply{}
	switch {
	case s.LeaderID == s.NodeID:
		reply = n.reportPeers()
	case s.LeaderID != "":
		ctx, cancel := context.WithTimeout(ctx, peerReportTimeout)
		defer cancel()
		if payload, err := n.cluster.Call(ctx, s.LeaderID, methodPeers, nil); err != nil || proto.Unmarshal(payload, reply) != nil {
			return nil
		}
	}
	reports := make(map[string]*nodepb.PeersReply_Peer, len(reply.Peers))
	for _, p := range reply.Peers {
		reports[p.Id] = p
	}
	return reports
}

// reportPeers is what this node, leading, knows of all nodes and itself.
func (n *Node) reportPeers() *nodepb.PeersReply {
	reply := n.peers.report(n.config.Clock.Monotonic())
	reply.Peers = append(reply.Peers, &nodepb.PeersReply_Peer{
		Id: n.cluster.NodeID(), Applied: n.cluster.AppliedIndex(), Version: n.config.Version,
	})
	return reply
}

// peerReportTimeout bounds the question to the leader for a page that must come in any case.
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
		out.LastContact = time.Duration(report.SilentUs) * time.Microsecond
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
	if _, seeded := n.fsm.Policy(session.DefaultPolicyName); !seeded {
		return errStarting("the cluster's first values are not written yet")
	}
	if !n.atHome() {
		return n.errOtherHome()
	}
	if !n.sealing.settled.Load() {
		return errStarting("its safe_password is compared with the cluster's")
	}
	if err := n.serves(); err != nil {
		return err
	}
	if age > most {
		return &session.Error{Code: session.CodeNoQuorum, RetryAfter: electionPause, Message: "no leader with a majority has been heard of for longer than requests wait"}
	}
	return nil
}

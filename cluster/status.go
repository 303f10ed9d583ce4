package cluster

import "time"

// Suffrage says what a member's vote counts.
type Suffrage string

// The suffrages.
const (
	Voter    Suffrage = "voter"
	NonVoter Suffrage = "nonvoter"
)

// State says in which part of its life this node is.
type State string

// The states of a node.
const (
	// StateUnborn: no cluster yet; the node looks for its fellows.
	StateUnborn State = "unborn"
	// StateJoining: the node knows its cluster and is not yet in its configuration.
	StateJoining State = "joining"
	// StateFollower: the node is a member and follows, or looks for, a leader.
	StateFollower State = "follower"
	// StateCandidate: the node stands for election.
	StateCandidate State = "candidate"
	// StateLeader: the node leads, though perhaps not established yet (see Leading).
	StateLeader State = "leader"
	// StateRemoved: the cluster has removed this node; it takes part in nothing
	// any more. It can come back with an empty data folder.
	StateRemoved State = "removed"
	// StateClosed: shut down, or ended by a fatal error.
	StateClosed State = "closed"
)

// Member is one node of the cluster: a server of Raft's configuration together
// with what it announced about itself.
type Member struct {
	// ID is the node id; it never changes and is never used again.
	ID string
	// Name is the node's name for people.
	Name string
	// PeerAddress, APIAddress and GossipAddress are where the node is reached.
	PeerAddress   string
	APIAddress    string
	GossipAddress string
	// FormatLevel is the highest format level the node supports; 0 = not yet
	// announced.
	FormatLevel uint32
	// Terms are what the node has announced as such; see Config.
	Terms string
	// Suffrage says whether the node votes.
	Suffrage Suffrage
	// Leader says that this node leads, as far as the asked node knows.
	Leader bool
	// Self says that this is the asked node.
	Self bool
	// Alive says that the node answers: gossip has it alive, or the asked node
	// has had an answer lately. A hint.
	Alive bool
	// LastSeen is when the asked node last had a sign of life; zero = never
	// since it started.
	LastSeen time.Time
	// Healthy says that the node is alive and keeps up with the log. Known to the
	// leader; elsewhere it equals Alive.
	Healthy bool
	// Term and LastIndex are the end of the node's log as the leader last heard;
	// 0 elsewhere, except for the asked node itself.
	Term      uint64
	LastIndex uint64
}

// Status is this node's view of itself and of the cluster.
type Status struct {
	NodeID      string
	Name        string
	Incarnation uint64 // how often this node has been started
	ClusterID   string // "" before birth
	State       State
	Note        string // what the node waits for, or why it cannot go on; may be empty

	LeaderID string // "" if none is known
	Epoch    uint64 // of the newest applied established entry
	Term     uint64 // Raft's current term

	CommitIndex   uint64
	AppliedIndex  uint64
	FirstIndex    uint64 // first entry in this node's log
	LastIndex     uint64 // last entry in this node's log
	SnapshotIndex uint64

	// LastContact is the time since the leader was last heard; 0 on the leader,
	// -1 for never.
	LastContact time.Duration

	Voter   bool
	Members []Member
}

package link

import (
	"errors"
	"fmt"
)

// refusal is why a side ends the handshake. It crosses the wire as a number; each side makes its own sentence of it, so that
// no text of a stranger gets into a log.
type refusal byte

const (
	admitted         refusal = 0
	refusedVersion   refusal = 1
	refusedProofKind refusal = 2
	refusedProof     refusal = 3
	refusedCluster   refusal = 4
	refusedUnborn    refusal = 5
	refusedSameNode  refusal = 6
	refusedWrongNode refusal = 7
)

// judge decides on the remote's hello. dialer tells which side this is; expect is the node id that must answer, "" = any.
func (l *Link) judge(local, remote hello, dialer bool, expect string) refusal {
	switch {
	case remote.proof != local.proof:
		return refusedProofKind
	case expect != "" && remote.id.NodeID != expect:
		return refusedWrongNode
	case local.purpose == PurposeRaft && remote.id.NodeID == local.id.NodeID:
		return refusedSameNode
	case local.purpose == PurposeBirth:
		return admitted
	}
	return l.judgeCluster(local, remote, dialer)
}

// judgeCluster compares the cluster ids for a purpose that needs a common one.
func (l *Link) judgeCluster(local, remote hello, dialer bool) refusal {
	mine, theirs := local.id.ClusterID, remote.id.ClusterID
	switch {
	case mine != "" && theirs != "":
		if mine != theirs {
			return refusedCluster
		}
		return admitted
	case mine == "":
		if l.cfg.AllowBeforeBirth != nil && l.cfg.AllowBeforeBirth(remote.id, local.purpose) {
			return admitted
		}
		return refusedUnborn
	case dialer:
		// The peer holds no cluster id yet. Whether it speaks with us is for its AllowBeforeBirth to say.
		return admitted
	}
	return refusedUnborn
}

// sentence says for the operator of this side what is wrong and what to do about it.
func (r refusal) sentence(local, remote hello, expect string) string {
	switch r {
	case refusedVersion:
		return "the peers speak different protocol versions: run releases that are at most one apart"
	case refusedProofKind:
		return fmt.Sprintf("this node proves itself by %s, node %s by %s: give all nodes of a cluster the same peer security",
			local.proof, remote.id.NodeID, remote.proof)
	case refusedProof:
		return fmt.Sprintf("node %s does not hold the gossip key of this node: give both the same key ring",
			remote.id.NodeID)
	case refusedCluster:
		return fmt.Sprintf("this node belongs to cluster %s, node %s to cluster %s: "+
			"two clusters never merge; correct the join list, or remove the data of the node that is to move",
			local.id.ClusterID, remote.id.NodeID, remote.id.ClusterID)
	case refusedUnborn:
		return fmt.Sprintf("cluster id of this node %q, of node %s %q: a node without a cluster must join first",
			local.id.ClusterID, remote.id.NodeID, remote.id.ClusterID)
	case refusedSameNode:
		return fmt.Sprintf("both sides call themselves node %s: a data folder was copied; remove the data of one",
			local.id.NodeID)
	case refusedWrongNode:
		if expect == "" {
			return fmt.Sprintf("node %s dialled this address and expected another node than %s here: "+
				"the addresses of the cluster's members are out of date", remote.id.NodeID, local.id.NodeID)
		}
		return fmt.Sprintf("expected node %s, but node %s answers: the address changed hands or its node lost its disk",
			expect, remote.id.NodeID)
	}
	return fmt.Sprintf("refused by node %s for a reason that this release does not know (%d)", remote.id.NodeID, byte(r))
}

// refusedError is a refused handshake. It matches ErrRefused, and ErrWrongNode when that is the reason.
type refusedError struct {
	refusal refusal
	text    string
}

func (e *refusedError) Error() string { return ErrRefused.Error() + ": " + e.text }

func (e *refusedError) Unwrap() []error {
	if e.refusal == refusedWrongNode {
		return []error{ErrRefused, ErrWrongNode}
	}
	return []error{ErrRefused}
}

// isRefusal tells a refused handshake from a lost connection.
func isRefusal(err error) bool { return errors.Is(err, ErrRefused) }

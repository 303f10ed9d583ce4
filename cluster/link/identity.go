package link

import "fmt"

// Purpose says what a connection is for. It is fixed by the handshake and covered by its proofs.
type Purpose byte

// The purposes of a connection.
const (
	// PurposeRaft carries Raft's own stream. Both sides must be of one cluster.
	PurposeRaft Purpose = 1
	// PurposeRPC carries calls between members of one cluster.
	PurposeRPC Purpose = 2
	// PurposeBirth carries the calls that nodes make before they share a cluster: birth and join. It is the only purpose
	// that needs no common cluster id; the peers prove the gossip key or their certificates all the same.
	PurposeBirth Purpose = 3
)

// String returns the purpose's name as it appears in logs.
func (p Purpose) String() string {
	switch p {
	case PurposeRaft:
		return "raft"
	case PurposeRPC:
		return "rpc"
	case PurposeBirth:
		return "birth"
	}
	return fmt.Sprintf("purpose %d", byte(p))
}

func (p Purpose) valid() bool { return p >= PurposeRaft && p <= PurposeBirth }

// Identity is what a node says about itself in the handshake. Both ids are printable ASCII of at most MaxIDBytes.
type Identity struct {
	NodeID    string // generated once and kept with the data
	ClusterID string // "" before birth
}

// MaxIDBytes bounds a node id and a cluster id.
const MaxIDBytes = 128

// valid reports whether the ids can be sent, compared and logged as they are.
func (i Identity) valid() bool {
	return i.NodeID != "" && printableID(i.NodeID) && printableID(i.ClusterID)
}

func printableID(id string) bool {
	if len(id) > MaxIDBytes {
		return false
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

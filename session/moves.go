package session

import (
	"context"
	"encoding/json"
	"time"
)

// MovePhase says whether sessions are being moved into a cluster or out of it.
type MovePhase string

const (
	MoveOpen    MovePhase = "open"    // they are not, and the cluster serves
	MoveFilling MovePhase = "filling" // into it: nobody is served until all of them are there
	MoveClosed  MovePhase = "closed"  // out of it: nobody is served, and nothing changes, until an operator opens it again
)

// Moving is where a move stands.
type Moving struct {
	Phase  MovePhase
	Origin string    // the home that fills the cluster, or has filled it; "" = none
	Number uint64    // of this filling among all that were begun, for Filling, or of the last closing; 0 = the cluster is open
	At     time.Time // when the phase began, by the cluster's clock: sessions whose time was over then are not moved; zero while open
	Users  int       // with an account
	// Sessions that are there; those whose time is over may be among them.
	Sessions int
	Meta
}

// MoveStep is one step of a move.
type MoveStep struct {
	Kind MoveStepKind
	// Cluster is the portable record with which MoveBegin begins; Restart drops what an open cluster holds, or a filling of another home has brought.
	Cluster json.RawMessage
	Restart bool
	// Filling, Users and Sessions are what MoveFinish must find: what was begun, and how many of each. MoveReopen opens what was closed under Filling.Number,
	// unless it has been closed again since, by another move; 0 = whatever is closed.
	Filling         Filling
	Users, Sessions int
}

// SealsField is what errors speak of that are waited for: see MoveBegin and MoveFinish.
const SealsField = "seals"

// Filling names one beginning of a move into a cluster, as MoveBegin told it. One that has begun since ends it.
type Filling struct {
	Origin string
	Number uint64
}

// MoveStepKind names a step.
type MoveStepKind string

const (
	MoveClose  MoveStepKind = "close" // before sessions are moved out; again and again is no error, and each time has its number
	MoveReopen MoveStepKind = "open"  // after all: the cluster serves again what it served before
	// MoveBegin comes before sessions are moved in, and forgets what an earlier one of the same home has brought. CodeExists: this home's are there
	// already, from a move that was finished. CodeUnavailable for the field "seals": it takes time to see whether this node opens what is sealed there; ask again.
	MoveBegin MoveStepKind = "begin"
	// MoveFinish comes after the last record, and when all has been compared. CodeConflict for the field "seals": some node has not derived a key of
	// what is sealed yet, or cannot; ask again.
	MoveFinish MoveStepKind = "finish"
)

// PortableRecords is one page of what a cluster holds, each record as package portable writes it. NextCursor "" = that was the last page.
type PortableRecords struct {
	Records    []json.RawMessage
	NextCursor string
	Meta
}

// Moves bring all that a cluster holds into another home, or from there into the cluster. They are for operators at the node's own socket
// (Call.Operator) and for nobody else: the records hold hashes of passwords and everybody's sessions.
type Moves interface {
	Moving(ctx context.Context, c Call) (Moving, error)
	// Move takes a step. CodeConflict: the cluster is not where the step may be taken.
	Move(ctx context.Context, c Call, s MoveStep) (Moving, error)
	// ExportRecords shows a closed or a filling cluster, page by page at one node: the cluster's record, users, sessions.
	ExportRecords(ctx context.Context, c Call, cursor string) (PortableRecords, error)
	// ImportRecords fills: first what is past of policies, then users, then sessions in the order of their creation. Those that are there already are passed over.
	ImportRecords(ctx context.Context, c Call, f Filling, records []json.RawMessage) (Moving, error)
}

// MaxImportRecords bounds the records of one ImportRecords.
const MaxImportRecords = 512

// ErrOperatorOnly refuses what is for operators at the node's own socket.
func ErrOperatorOnly() error {
	return &Error{Code: CodeForbidden, Message: "only an operator may do this, over the node's own Unix socket (api.socket)"}
}

package backend

import (
	"context"
	"errors"
	"time"
)

// Limits of what a Store must hold. Service keeps to them.
const (
	MaxNameBytes  = 128       // of Name.ID
	MaxValueBytes = 256 << 10 // of one record
	MaxScan       = 1000      // records of one page
	MaxGet        = 100       // records of one Get
)

// Kind says what a record is. Records of different kinds are listed apart.
type Kind byte

const (
	KindCluster Kind = 'c' // policies, admins, seal keys; what is past of policies; that a move is under way
	KindUser    Kind = 'u' // by folded name: account, and the list of the user's sessions
	KindSession Kind = 's' // by session id
	KindKey     Kind = 'k' // by the hash of a session key: which session it opens
	KindRequest Kind = 'i' // by the hash of an Idempotency-Key and who sent it
	KindAttempt Kind = 't' // by network and user: the login throttle's counters
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{KindCluster, KindUser, KindSession, KindKey, KindRequest, KindAttempt}
}

// Name is what a record is found by. ID is not empty, has at most MaxNameBytes, and is valid UTF-8; beyond that anything may stand in it, for
// users' names do: spaces, slashes, quotes, no control characters. Two names are the same when they have the same bytes.
type Name struct {
	Kind Kind
	ID   string
}

// Version names one state of one record; "" = there is no such record. A Store makes versions up as it likes, of at most 64
// bytes. It never gives the same version to two states of one name, not even when the record was deleted in between.
type Version string

// Record is one record as it was read.
type Record struct {
	Name
	Version Version // "" = there is no such record; Value is nil then
	Value   []byte  // the reader's own copy
}

// Snapshot is what a Get has read. It is no snapshot of the store: each record is as it was at some moment of the call.
type Snapshot struct {
	Records []Record // in the order of the names that were asked for
	// Now is the store's clock at some moment of the call, if it has one that all who use it share; otherwise this machine's.
	Now time.Time
}

// Page is a part of a Scan.
type Page struct {
	Records []Record
	// Next is where the scan goes on; "" = it is complete.
	Next string
	Now  time.Time // as in Snapshot
}

// ErrChanged says that a conditional write was not done, because the record has another version than the one that was given.
var ErrChanged = errors.New("the record has changed meanwhile")

// Store keeps records. All methods are safe for concurrent use, by any number of processes if Features says so, and end soon after ctx.
//
// Every operation is linearizable for its record: a Get that begins after a Put has returned sees it, whoever called.
// A write that has returned without error is as durable as Features says.
//
// Errors other than ErrChanged: a *session.Error with CodeUnavailable or CodeOverloaded when certainly nothing was done, and with
// CodeOutcomeUnknown when a write may have been done. Any other error counts as CodeInternal, and of a write that it may have been done. A
// write that ends because ctx has ended may have been done. Messages hold neither values nor names of records; they reach
// clients.
//
// A Store that repeats a conditional write whose answer was lost must recognise its own first try: otherwise it would answer
// ErrChanged for what it did itself. A version that the caller makes up for each write does that. It does not repeat what makes a session's record
// (attempt.Attempts.At): a try that comes late, after the record was deleted, would make it again.
type Store interface {
	// Get reads the records with these names, at most MaxGet. It sees every record, also those whose expiry has passed and which are
	// not dropped yet.
	Get(ctx context.Context, names ...Name) (Snapshot, error)
	// Put creates or replaces the record if was is its present version; "" = if there is none. It answers with the record's new
	// version.
	//
	// expires is when the record becomes worthless, the zero time = never. From then on, by its own clock and never before, the store may drop it
	// at any time without being asked. It replaces the expiry that the record had.
	Put(ctx context.Context, name Name, value []byte, was Version, expires time.Time) (Version, error)
	// Delete deletes the record if was, which is not "", is its present version. ErrChanged also when there is no such record
	// any more.
	Delete(ctx context.Context, name Name, was Version) error
	// Scan reads a page of at most limit (at most MaxScan) records of a kind, beginning after the place that an earlier Page named; "" =
	// from the start. A page may be empty though there are more. Records have a fixed order, that of the bytes of their ids if Features says
	// so: a record that exists from the first to the last page of a scan comes exactly once, and one that was made, replaced or deleted meanwhile at most once.
	// Next stays valid when records are made and deleted, and means the same to every process.
	Scan(ctx context.Context, kind Kind, after string, limit int) (Page, error)
	// Ready tells, without blocking, why the store cannot serve now; nil = as far as is known it can.
	Ready() error
	// Features says what the store can promise. It never changes.
	Features() Features
	// Close gives the store up. Calls under way may fail.
	Close() error
}

// Features are a store's promises beyond the contract. Service refuses at its start what would need one that is missing.
type Features struct {
	Name string // "local", "redis", "dynamodb", "memory"
	// Shared: several processes, on several machines, may use the same data at once.
	Shared bool
	// Clock: Now is a clock that all who use the store share, and not each machine's own.
	Clock bool
	// Ordered: Scan follows the order of the bytes of the ids, so that sessions are listed in the order of their creation.
	Ordered bool
	// Durable: a write that was acknowledged survives the sudden end of any process, and of any machine that the store's own
	// documentation says it may lose. False where an acknowledged write may be lost in a failover.
	Durable bool
	// OneNode: the sessions are one node's of a cluster, which keeps their users and policies; see Config.Directory.
	OneNode bool
}

// TimeKeeper is a Store that remembers a time that is not its own: where a Directory says what time it is, the store's clock knows nothing of that.
type TimeKeeper interface {
	Store
	// KeepTime lets every write from here on keep what now says, which must not call the store. It tells what the last write has kept; zero = none has.
	KeepTime(now func() time.Time) (last time.Time)
}

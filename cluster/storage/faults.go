package storage

// Op names a kind of disk write, for Faults, errors and logs.
type Op string

// The disk writes of a node.
const (
	OpAppend        Op = "append to the log"
	OpDelete        Op = "delete from the log"
	OpState         Op = "save the term and vote"
	OpSnapshotWrite Op = "write a snapshot"
	OpSnapshotSync  Op = "finish a snapshot"
)

// Faults lets a test stand between the store and the disk. Both methods run where the disk would be busy and may therefore
// block (a hung disk) or sleep (a slow one); they are called from several goroutines at once.
type Faults interface {
	// BeforeWrite is called before a write. An error fails the write and nothing of it reaches the disk.
	BeforeWrite(op Op) error
	// AfterWrite is called when the write has reached the disk. An error reports the write as failed all the same: a
	// failed fsync, after which nobody knows what the disk holds.
	AfterWrite(op Op) error
}

// noFaults is a disk that works.
type noFaults struct{}

func (noFaults) BeforeWrite(Op) error { return nil }
func (noFaults) AfterWrite(Op) error  { return nil }

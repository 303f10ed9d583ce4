package transport

import "github.com/hashicorp/raft"

// Kind is the kind of a message between Raft nodes.
type Kind string

// The kinds of messages.
const (
	KindHeartbeat     Kind = "heartbeat"
	KindAppendEntries Kind = "append entries"
	KindVote          Kind = "request vote"
	KindPreVote       Kind = "request pre-vote"
	KindSnapshot      Kind = "install snapshot"
	KindTimeoutNow    Kind = "timeout now"
)

// Message says what is sent, by whom and to whom.
type Message struct {
	Kind     Kind
	From, To raft.ServerAddress
	ToID     raft.ServerID
}

// Faults lets a test lose and delay messages. The methods are called on the goroutine that sends, several at once; to delay
// they sleep or block, to lose they return an error, which raft sees in place of an answer.
type Faults interface {
	// Request is called before a request goes out. After an error the peer never sees it.
	Request(Message) error
	// Response is called when the peer has answered. After an error the sender does not know that it has.
	Response(Message) error
}

// noFaults is a network that works.
type noFaults struct{}

func (noFaults) Request(Message) error  { return nil }
func (noFaults) Response(Message) error { return nil }

package transport

import "sync"

// notificationBuffer is room for the changes that raft reports while the drain goroutine is not scheduled.
const notificationBuffer = 16

// Notifications takes raft's reports of leadership gained and lost. Raft sends them from its main loop and waits until they
// are taken (raft.go, runLeader; hashicorp/consul#6852, hashicorp/vault#8547): whoever handles such a report and waits for
// raft in doing so stops the node. Here a goroutine takes every report at once, keeps the newest, and waits for nobody.
// raft.Raft.LeaderCh is no way out: it drops reports, so that a leadership lost and regained goes unseen.
type Notifications struct {
	reports chan bool
	changed chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	leading bool
	count   uint64
	closed  sync.Once
}

// NewNotifications starts the goroutine; Close ends it.
func NewNotifications() *Notifications {
	n := &Notifications{
		reports: make(chan bool, notificationBuffer),
		changed: make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	go n.drain()
	return n
}

// Channel is for raft.Config.NotifyCh.
func (n *Notifications) Channel() chan<- bool { return n.reports }

// Changed delivers a value when there has been a change since the last value was taken; several changes may be one value.
// Ask Leading then. It is never closed.
func (n *Notifications) Changed() <-chan struct{} { return n.changed }

// Leading is the newest report, and how many there were: a leadership lost and regained between two calls shows in the count.
func (n *Notifications) Leading() (leading bool, count uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leading, n.count
}

// Close ends the goroutine. Call it after raft has shut down: before, raft would wait for its reports to be taken.
func (n *Notifications) Close() { n.closed.Do(func() { close(n.done) }) }

func (n *Notifications) drain() {
	for {
		select {
		case leading := <-n.reports:
			n.record(leading)
		case <-n.done:
			return
		}
	}
}

func (n *Notifications) record(leading bool) {
	n.mu.Lock()
	n.leading, n.count = leading, n.count+1
	n.mu.Unlock()
	select {
	case n.changed <- struct{}{}:
	default: // a value waits already; whoever takes it sees this report too
	}
}

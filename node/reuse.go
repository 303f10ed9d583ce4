package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// open is find for a key that is presented by a request. A key that was rotated and whose grace is over opens none: that it is used
// goes into the log, where it ends its session, before the caller gets the answer for any unknown key. Only a local read does not
// wait for that, for there may be no majority.
func (n *Node) open(ctx context.Context, c session.Call, p session.Presented) (fsm.Record, bool) {
	record, ok := n.find(p)
	if ok {
		return record, true
	}
	spent, ok := n.spentSessionOf(p.Key)
	if !ok {
		return fsm.Record{}, false
	}
	ended := n.reuses.end(spent, p)
	if c.Consistency != session.Local {
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	return fsm.Record{}, false
}

// reuses ends sessions whose spent keys were used, one command for each at a time, however many present the key. It does
// not stop when the caller goes away.
type reuses struct {
	node *Node
	most int

	mu       sync.Mutex
	inFlight map[session.ID]chan struct{}
}

func newReuses(n *Node, most int) *reuses {
	return &reuses{node: n, most: most, inFlight: map[session.ID]chan struct{}{}}
}

// end presents the key in a command, and returns what is closed when its outcome is there. When too many are under way it does nothing:
// the next use of the key tries again.
func (r *reuses) end(s fsm.Record, p session.Presented) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done, busy := r.inFlight[s.ID]; busy {
		return done
	}
	done := make(chan struct{})
	if len(r.inFlight) >= r.most {
		close(done)
		return done
	}
	r.inFlight[s.ID] = done
	log := r.node.log.With(slog.String("session", s.ID.String()), slog.String("user", s.User), slog.Any("client", p.Address))
	log.Warn("a session key was used after its rotation and grace: its session ends")
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), r.node.config.RequestTimeout)
		defer cancel()
		if _, _, err := r.node.outbox.submit(ctx, presentCommand(p)); err != nil {
			log.Error("the session of a reused key could not be ended; the next use of the key tries again", slog.Any("error", err))
		}
		r.mu.Lock()
		delete(r.inFlight, s.ID)
		r.mu.Unlock()
		close(done)
	}()
	return done
}

// knowledgeOfLate is how old this node's data may be for a key that is good by it to count as good when it was presented. A key that was spent at
// another node within that time is refused, and the next use of it ends its session.
const knowledgeOfLate = 800 * time.Millisecond

// knowsOfLate tells whether this node's data is not older than that. Where it is, the log alone decides, by the moment of the write.
func (n *Node) knowsOfLate() bool {
	age, known := n.freshness.age()
	return known && age <= knowledgeOfLate
}

// presentCommand presents a key to apply. Any command would do that; this one comes from nobody's authority, so that nothing can stand
// against it.
func presentCommand(p session.Presented) *fsmpb.Command {
	hash := p.Key.Hash()
	return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: hash[:], Address: addressBytes(p.Address)}}}
}

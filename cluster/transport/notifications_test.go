package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

// hashicorp/consul#6852, hashicorp/vault#8547: raft's main loop waits until a report of leadership has been taken.
func TestStalledConsumerStopsOnlyAnUnguardedNode(t *testing.T) {
	t.Parallel()
	for name, guard := range map[string]bool{"guarded": true, "unguarded": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				notifications := transport.NewNotifications()
				defer notifications.Close()
				reports := notifications.Channel()
				if !guard {
					reports = make(chan bool)
				}
				node := start(t, transport.NewNetwork(time.Second).Join("a"), func(cfg *raft.Config) { cfg.NotifyCh = reports })
				defer stop(t, node)
				bootstrap(t, node)
				leader(t, node)

				applied := make(chan error, 1)
				go func() { applied <- node.Apply([]byte("x"), 10*time.Second).Error() }()
				err := <-applied
				if guard && err != nil {
					t.Errorf("apply while nobody takes the reports: %v", err)
				}
				if !guard && err == nil {
					t.Error("raft no longer waits for its reports: the guard may go")
				}
			})
		})
	}
}

// Many changes of leadership, none of which is taken by anybody.
func TestNoReportIsLostWhileTheConsumerStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const changes = 40
		network := transport.NewNetwork(time.Second)
		notifications := transport.NewNotifications()
		defer notifications.Close()
		observed := start(t, network.Join("a"), func(cfg *raft.Config) { cfg.NotifyCh = notifications.Channel() })
		other := start(t, network.Join("b"), func(cfg *raft.Config) { // never stands for election before a
			cfg.HeartbeatTimeout, cfg.ElectionTimeout = time.Hour, time.Hour
		})
		defer stop(t, observed, other)
		bootstrap(t, observed, other)
		for i := range uint64(changes) {
			leader(t, observed)
			network.Isolate("a")
			eventually(t, "the leader steps down", func() bool { return observed.State() != raft.Leader })
			network.Heal()
			eventually(t, "the reports", func() bool { _, count := notifications.Leading(); return count >= 2*i+2 })
		}
		leader(t, observed)
		synctest.Wait()
		if leading, count := notifications.Leading(); !leading || count != 2*changes+1 {
			t.Errorf("leading %v after %d reports, want true after %d", leading, count, 2*changes+1)
		}
		<-notifications.Changed()
		select {
		case <-notifications.Changed():
			t.Error("one look is not enough to see all changes")
		default:
		}
	})
}

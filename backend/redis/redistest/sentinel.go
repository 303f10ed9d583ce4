package redistest

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MasterName is what Sentinels call the master.
const MasterName = "sessions"

const sentinels = 3

// Guarded is a master with a replica, and Sentinels that put the replica in its place.
type Guarded struct {
	Master, Replica *Server
	Sentinels       []*Server
}

// StartGuarded runs them. Call Stop at the end.
func StartGuarded(ctx context.Context, dir string) (*Guarded, error) {
	g := &Guarded{}
	err := g.start(ctx, dir)
	if err != nil {
		g.Stop()
		return nil, err
	}
	return g, nil
}

func (g *Guarded) start(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if g.Master, err = Start(ctx, filepath.Join(dir, "master"), Options{AppendOnly: true}); err != nil {
		return err
	}
	if g.Replica, err = Start(ctx, filepath.Join(dir, "replica"), Options{AppendOnly: true, Lines: []string{"replicaof 127.0.0.1 " + g.Master.port, "repl-diskless-sync-delay 0"}}); err != nil {
		return err
	}
	for i := range sentinels {
		s, err := g.startSentinel(ctx, filepath.Join(dir, "sentinel"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		g.Sentinels = append(g.Sentinels, s)
	}
	return g.await(ctx)
}

func (g *Guarded) startSentinel(ctx context.Context, dir string) (*Server, error) {
	return start(ctx, dir, "--sentinel", func(port string) []string {
		return []string{
			"port " + port,
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2", MasterName, g.Master.port),
			"sentinel down-after-milliseconds " + MasterName + " 1000",
			"sentinel failover-timeout " + MasterName + " 5000",
		}
	})
}

// await waits until every Sentinel knows the replica and the other Sentinels, without which there is no failover.
func (g *Guarded) await(ctx context.Context) error {
	for _, s := range g.Sentinels {
		r := redis.NewSentinelClient(&redis.Options{Addr: s.Address()})
		defer r.Close()
		err := eventually(ctx, func() bool {
			m, err := r.Master(ctx, MasterName).Result()
			return err == nil && m["num-slaves"] == "1" && m["num-other-sentinels"] == strconv.Itoa(sentinels-1)
		})
		if err != nil {
			return fmt.Errorf("wait for the Sentinels: %w", err)
		}
	}
	r := redis.NewClient(&redis.Options{Addr: g.Replica.Address()})
	defer r.Close()
	return eventually(ctx, func() bool {
		info, err := r.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

// Addresses of the Sentinels.
func (g *Guarded) Addresses() []string {
	var all []string
	for _, s := range g.Sentinels {
		all = append(all, s.Address())
	}
	return all
}

// Stop kills all of them.
func (g *Guarded) Stop() {
	for _, s := range append([]*Server{g.Replica, g.Master}, g.Sentinels...) {
		if s != nil {
			s.Stop()
		}
	}
}

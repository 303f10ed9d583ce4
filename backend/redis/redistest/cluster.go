package redistest

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend/redis"
)

const slots = 16384

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct{ Masters []*Server }

// StartCluster runs n masters that share the slots. User, with Password, may do there what Hydrastore needs; Redis's default user, what it likes.
// Call Stop at the end.
func StartCluster(ctx context.Context, dir string, n int) (*Cluster, error) {
	c := &Cluster{}
	for i := range n {
		s, err := startMember(ctx, filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			c.Stop()
			return nil, err
		}
		c.Masters = append(c.Masters, s)
	}
	if err := c.meet(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func startMember(ctx context.Context, dir string) (*Server, error) {
	bus, err := freePort()
	if err != nil {
		return nil, err
	}
	return start(ctx, dir, "", func(port string) []string {
		return []string{
			"port " + port, "save \"\"", "appendonly yes", "appendfsync always", "cluster-enabled yes", "cluster-port " + bus, "cluster-node-timeout 5000",
			userLine(redis.Permissions + " " + redis.ClusterPermissions),
		}
	})
}

// meet deals out the slots and waits until every member agrees.
func (c *Cluster) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first := c.Masters[0]
	for i, s := range c.Masters {
		r := goredis.NewClient(&goredis.Options{Addr: s.Address()})
		defer r.Close()
		from, to := i*slots/len(c.Masters), (i+1)*slots/len(c.Masters)-1
		if err := r.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
			return fmt.Errorf("give slots: %w", err)
		}
		bus, err := r.ConfigGet(ctx, "cluster-port").Result()
		if err != nil {
			return fmt.Errorf("find the bus: %w", err)
		}
		if s == first {
			continue
		}
		to1 := goredis.NewClient(&goredis.Options{Addr: first.Address()})
		defer to1.Close()
		if err := to1.Do(ctx, "cluster", "meet", "127.0.0.1", s.port, bus["cluster-port"]).Err(); err != nil {
			return fmt.Errorf("meet: %w", err)
		}
	}
	return c.Await(ctx)
}

// Await waits until all members say that the cluster serves.
func (c *Cluster) Await(ctx context.Context) error {
	for _, s := range c.Masters {
		r := goredis.NewClient(&goredis.Options{Addr: s.Address()})
		defer r.Close()
		err := eventually(ctx, func() bool {
			info, err := r.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(c.Masters)))
		})
		if err != nil {
			return fmt.Errorf("wait for the cluster: %w", err)
		}
	}
	return nil
}

// Addresses of all members.
func (c *Cluster) Addresses() []string {
	var all []string
	for _, s := range c.Masters {
		all = append(all, s.Address())
	}
	return all
}

// Stop kills all members.
func (c *Cluster) Stop() {
	for _, s := range c.Masters {
		s.Stop()
	}
}

func eventually(ctx context.Context, fact func() bool) error {
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for !fact() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
	return nil
}

package redistest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend/redis"
)

const slots = 16384

// NodeTimeout is how long a member of a Cluster may be silent before the others think that it is gone.
const NodeTimeout = 3 * time.Second

// Cluster is a Redis Cluster.
type Cluster struct {
	Masters  []*Server
	Replicas []*Server // of the masters in their order; or none
}

// StartReplicated is StartCluster with a replica for each master, which takes its place when it is gone for some seconds.
func StartReplicated(ctx context.Context, dir string, n int) (*Cluster, error) {
	c, err := StartCluster(ctx, dir, n)
	if err != nil {
		return nil, err
	}
	if err := c.replicate(ctx, dir); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

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
	return start(ctx, place{dir: dir}, func(port string) []string {
		return append(listen("", port),
			"save \"\"", "appendonly yes", "appendfsync always", "cluster-enabled yes", "cluster-port "+bus,
			"cluster-node-timeout "+strconv.FormatInt(NodeTimeout.Milliseconds(), 10), "cluster-replica-validity-factor 0",
			userLine(redis.Permissions+" "+redis.ClusterPermissions+" "+redis.WaitPermissions),
		)
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
		if s == first {
			continue
		}
		if err := s.meet(ctx, first); err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// meet makes a member known to another one, and so to all.
func (s *Server) meet(ctx context.Context, other *Server) error {
	r, to := goredis.NewClient(s.options()), goredis.NewClient(other.options())
	defer r.Close()
	defer to.Close()
	bus, err := r.ConfigGet(ctx, "cluster-port").Result()
	if err != nil {
		return fmt.Errorf("find the bus: %w", err)
	}
	if err := to.Do(ctx, "cluster", "meet", "127.0.0.1", s.port, bus["cluster-port"]).Err(); err != nil {
		return fmt.Errorf("meet: %w", err)
	}
	return nil
}

// replicate gives each master a replica.
func (c *Cluster) replicate(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, master := range c.Masters {
		s, err := startMember(ctx, filepath.Join(dir, "replica"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		c.Replicas = append(c.Replicas, s)
		if err := s.meet(ctx, c.Masters[0]); err != nil {
			return err
		}
		r, of := goredis.NewClient(s.options()), goredis.NewClient(master.options())
		defer r.Close()
		defer of.Close()
		id, err := of.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			return fmt.Errorf("ask a master who it is: %w", err)
		}
		if err := eventually(ctx, func() bool { return r.ClusterReplicate(ctx, id).Err() == nil }); err != nil { // it must have heard of it
			return fmt.Errorf("replicate: %w", err)
		}
	}
	return c.Await(ctx)
}

// Await waits until all members say that the cluster serves, and each that replicates has what its master has.
func (c *Cluster) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, s := range c.members() {
		r := goredis.NewClient(s.options())
		defer r.Close()
		err := eventually(ctx, func() bool {
			info, err := r.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(len(c.members()))) &&
				(s.Says(ctx, "role:master") || s.Says(ctx, "master_link_status:up"))
		})
		if err != nil {
			return fmt.Errorf("wait for the cluster: %w", err)
		}
	}
	return eventually(ctx, func() bool { // members have heard of one another's roles
		masters := 0
		for _, s := range c.members() {
			if s.Says(ctx, "role:master") {
				masters++
			}
			r := goredis.NewClient(s.options())
			defer r.Close()
			nodes, err := r.ClusterNodes(ctx).Result()
			if err != nil || strings.Count(nodes, "slave ") != len(c.Replicas) || strings.Contains(nodes, "fail") {
				return false
			}
		}
		return masters == len(c.Masters)
	})
}

func (c *Cluster) members() []*Server { return slices.Concat(c.Masters, c.Replicas) }

// Addresses of all members.
func (c *Cluster) Addresses() []string {
	var all []string
	for _, s := range c.members() {
		all = append(all, s.Address())
	}
	return all
}

// Stop kills all members.
func (c *Cluster) Stop() {
	for _, s := range c.members() {
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

package redistest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend/redis"
)

// MasterName is what Sentinels call the master.
const MasterName = "sessions"

const sentinels = 3

// Guarded is a master with replicas, and Sentinels that put a replica in its place.
type Guarded struct {
	Master    *Server // at first
	Replicas  []*Server
	Sentinels []*Server
}

// GuardedOptions of a Guarded. The zero value has one replica.
type GuardedOptions struct {
	TLS      bool // all speak nothing else
	Replicas int  // 0 = 1
}

// StartGuarded runs them. User, with Password, may do what Hydrastore needs; the default user, what it likes.
// Call Stop at the end.
func StartGuarded(ctx context.Context, dir string, o GuardedOptions) (*Guarded, error) {
	g := &Guarded{}
	err := g.start(ctx, dir, o)
	if err != nil {
		g.Stop()
		return nil, err
	}
	return g, nil
}

func (g *Guarded) start(ctx context.Context, dir string, with GuardedOptions) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := Options{AppendOnly: true, TLS: with.TLS, Lines: []string{userLine(redis.Permissions + " " + redis.WaitPermissions)}}
	var err error
	if g.Master, err = Start(ctx, filepath.Join(dir, "master"), o); err != nil {
		return err
	}
	o.Master = g.Master
	for i := range cmp.Or(with.Replicas, 1) {
		s, err := Start(ctx, filepath.Join(dir, "replica"+strconv.Itoa(i)), o)
		if err != nil {
			return err
		}
		g.Replicas = append(g.Replicas, s)
	}
	for i := range sentinels {
		s, err := g.startSentinel(ctx, filepath.Join(dir, "sentinel"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		g.Sentinels = append(g.Sentinels, s)
	}
	return g.Await(ctx)
}

func (g *Guarded) startSentinel(ctx context.Context, dir string) (*Server, error) {
	authority := g.Master.authority
	return start(ctx, place{dir: dir, authority: authority, mode: "--sentinel"}, func(port string) []string {
		return append(listen(authority, port),
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2", MasterName, g.Master.port),
			// A disk that much else writes to holds a server up for a second now and then.
			"sentinel down-after-milliseconds "+MasterName+" 2000",
			"sentinel failover-timeout "+MasterName+" 4000",
		)
	})
}

// Await waits until there can be a failover: every Sentinel knows the others and one master, whose replicas follow it.
func (g *Guarded) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, s := range g.Sentinels {
		r := goredis.NewSentinelClient(s.options())
		defer r.Close()
		err := eventually(ctx, func() bool {
			m, err := r.Master(ctx, MasterName).Result()
			return err == nil && m["num-slaves"] == strconv.Itoa(len(g.Replicas)) && m["num-other-sentinels"] == strconv.Itoa(sentinels-1) && m["flags"] == "master"
		})
		if err != nil {
			return fmt.Errorf("wait for the Sentinels: %w", err)
		}
	}
	return eventually(ctx, func() bool {
		master, replicas := g.Roles(ctx)
		for _, s := range replicas {
			if !s.Says(ctx, "role:slave") || !s.Says(ctx, "master_link_status:up") || !s.Says(ctx, "master_port:"+master.port) {
				return false
			}
		}
		return master != nil
	})
}

// Roles asks the Sentinels who is the master; nil, nil while they do not agree on one that knows it.
func (g *Guarded) Roles(ctx context.Context) (master *Server, replicas []*Server) {
	port := ""
	for _, s := range g.Sentinels {
		r := goredis.NewSentinelClient(s.options())
		defer r.Close()
		address, err := r.GetMasterAddrByName(ctx, MasterName).Result()
		if err != nil || len(address) != 2 || port != "" && address[1] != port || net.ParseIP(address[0]) == nil {
			return nil, nil
		}
		port = address[1]
	}
	for _, s := range append([]*Server{g.Master}, g.Replicas...) {
		if s.port == port {
			master = s
		} else {
			replicas = append(replicas, s)
		}
	}
	if master == nil || !master.Says(ctx, "role:master") {
		return nil, nil
	}
	return master, replicas
}

// Says looks for a line in what a server tells of replication.
func (s *Server) Says(ctx context.Context, line string) bool {
	r := goredis.NewClient(s.options())
	defer r.Close()
	info, err := r.Info(ctx, "replication").Result()
	return err == nil && strings.Contains(info, line+"\r\n")
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
	for _, s := range slices.Concat(g.Replicas, []*Server{g.Master}, g.Sentinels) {
		if s != nil {
			s.Stop()
		}
	}
}

// Monitor makes all Sentinels guard another master under the same name.
func (g *Guarded) Monitor(ctx context.Context, master *Server) error {
	for _, s := range g.Sentinels {
		r := goredis.NewSentinelClient(s.options())
		defer r.Close()
		if err := r.Remove(ctx, MasterName).Err(); err != nil {
			return fmt.Errorf("forget the master: %w", err)
		}
		if err := r.Monitor(ctx, MasterName, "127.0.0.1", master.port, "2").Err(); err != nil {
			return fmt.Errorf("name another master: %w", err)
		}
	}
	return nil
}

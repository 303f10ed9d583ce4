package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// visit gathers commands and sends them together. With Config.WaitReplicas it sends them to the masters of their keys, over one connection to
// each, and is over when so many replicas of each have what the commands did or saw there (doc.go).
type visit struct {
	store *Store
	parts []*part
	err   error // why a master was not found
}

// part is what goes to one master.
type part struct {
	master *goredis.Client // nil: the store's client finds the way
	pipe   goredis.Pipeliner
	wait   string // the key that is written before the replicas are waited for; "" = nothing here needs them
}

func (s *Store) visit() *visit { return &visit{store: s} }

// at gives the pipeline to the master of a key, for commands whose effect or answer must be on the replicas. All its keys must be of the key's
// own slot.
func (v *visit) at(ctx context.Context, key string) goredis.Pipeliner {
	p := v.part(ctx, key)
	if p.wait == "" && v.store.config.WaitReplicas > 0 {
		p.wait = v.store.waitKey(key)
	}
	return p.pipe
}

// aside is at for commands that replicas need not know of.
func (v *visit) aside(ctx context.Context, key string) goredis.Pipeliner {
	return v.part(ctx, key).pipe
}

func (v *visit) part(ctx context.Context, key string) *part {
	var master *goredis.Client
	if cluster, ok := v.store.client.(*goredis.ClusterClient); ok && v.store.config.WaitReplicas > 0 {
		var err error
		if master, err = cluster.MasterForKey(ctx, key); err != nil {
			v.err = errors.Join(v.err, err)
		}
	}
	for _, p := range v.parts {
		if p.master == master {
			return p
		}
	}
	p := &part{master: master}
	if master != nil {
		p.pipe = master.Pipeline()
	} else {
		p.pipe = v.store.client.Pipeline()
	}
	v.parts = append(v.parts, p)
	return p
}

// exec sends everything. nil: each command has an answer or an error of its own, and the replicas have what they saw.
func (v *visit) exec(ctx context.Context) error {
	if v.err != nil {
		return v.err
	}
	errs := make([]error, len(v.parts))
	var work sync.WaitGroup
	for i, p := range v.parts[min(1, len(v.parts)):] {
		work.Go(func() { errs[i+1] = v.store.execPart(ctx, p) })
	}
	if len(v.parts) > 0 {
		errs[0] = v.store.execPart(ctx, v.parts[0])
	}
	work.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) execPart(ctx context.Context, p *part) error {
	replicated := func() error { return nil }
	if p.wait != "" {
		replicated = s.wait(ctx, p)
	}
	err := exec(ctx, p.pipe)
	if err == nil {
		err = replicated()
	}
	if p.master != nil && err != nil {
		s.lookForMasters(ctx, err)
	}
	return err
}

// wait adds to a pipeline that so many replicas have what the commands before it did or saw. A key of its own is written first, for WAIT is about
// what the connection itself has written. Call what it returns when the pipeline has run.
func (s *Store) wait(ctx context.Context, p *part) func() error {
	want := s.config.WaitReplicas
	written := p.pipe.Eval(ctx, waitScript, []string{p.wait}, waitKeyLife.Milliseconds())
	waited := p.pipe.Do(ctx, "wait", want, s.config.Timeout.Milliseconds())
	return func() error {
		if err := written.Err(); err != nil {
			return err
		}
		have, err := waited.Int64()
		if err == nil && have < int64(want) {
			return &lagError{have: have, want: want, master: p.address()}
		}
		return err
	}
}

func (p *part) address() string {
	if p.master == nil {
		return ""
	}
	return "of " + p.master.Options().Addr
}

// waitKeyLife is how long a wait key stays where nobody uses it. It is written anew with each use.
const waitKeyLife = 7 * 24 * time.Hour

// waitKey is written before replicas are waited for by who has asked for key. In a cluster it is in the same slot.
func (s *Store) waitKey(key string) string {
	if len(s.config.Cluster) == 0 {
		return s.config.Prefix + ":wait"
	}
	return key[:strings.IndexByte(key, '}')+1] + "wait"
}

// exec runs a pipeline. nil: each command has an answer or an error of its own; without a connection they would have neither.
func exec(ctx context.Context, pipe goredis.Pipeliner) error {
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return err
	}
	return nil
}

// lookForMasters finds out who has which slots now: at once when a member has said that it is another one.
func (s *Store) lookForMasters(ctx context.Context, why error) {
	cluster, ok := s.client.(*goredis.ClusterClient)
	switch {
	case !ok:
	case goredis.HasErrorPrefix(why, "MOVED"):
		_ = cluster.ForEachMaster(ctx, func(context.Context, *goredis.Client) error { return nil }) // it asks first
	default:
		cluster.ReloadState(ctx)
	}
}

// lagError says that too few replicas have what was done or seen: a failover might undo it.
type lagError struct {
	have   int64
	want   int
	master string // in a cluster; for the log
}

func (e *lagError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d of %d replicas %s", e.have, e.want, e.master))
}

// waitError is of a script that Redis has answered, and whose effect or finding is not known to be on the replicas.
type waitError struct {
	cause error
	did   bool // the script has changed something, now or earlier
}

func (e *waitError) Error() string { return fmt.Sprintf("wait for replicas: %v", e.cause) }

func (e *waitError) Unwrap() error { return e.cause }

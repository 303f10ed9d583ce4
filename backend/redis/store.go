package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/attempt"
	"github.com/hydrastore/hydrastore/session"
)

// Store is a backend.Store in Redis.
type Store struct {
	config      Config
	client      client
	put, delete script
	health      health
	stop        context.CancelFunc
	background  sync.WaitGroup
	closing     sync.Once
	closeErr    error
}

// Open makes a Store. It waits for Redis no longer than one connection may take, and succeeds when Redis is away: Ready then says so
// until it is there.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open Redis: %w", err)
	}
	c = c.withDefaults()
	s := &Store{config: c, client: newClient(c), put: newScript(putScript), delete: newScript(deleteScript)}
	c.warn()
	first, cancel := context.WithTimeout(ctx, c.DialTimeout)
	s.checkHealth(first)
	cancel()
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.background.Go(func() { s.watchHealth(life) })
	s.background.Go(func() { s.sweepAgainAndAgain(life) })
	return s, nil
}

// Close implements backend.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.background.Wait()
		s.closeErr = s.client.Close()
	})
	return s.closeErr
}

// Features implements backend.Store. With Redis's defaults what was acknowledged may be lost in the last second before a power cut, and without
// Config.WaitReplicas in a failover: not durable.
func (s *Store) Features() backend.Features {
	return backend.Features{Name: "redis", Shared: true, Clock: true, Ordered: true}
}

// Get implements backend.Store.
func (s *Store) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	if len(names) > backend.MaxGet {
		return backend.Snapshot{}, fmt.Errorf("get %d records: at most %d", len(names), backend.MaxGet)
	}
	if err := s.usable(ctx); err != nil {
		return backend.Snapshot{}, err
	}
	var out backend.Snapshot
	err := s.read(ctx, func() (err error) { out, err = s.get(ctx, names); return err })
	return out, err
}

func (s *Store) get(ctx context.Context, names []backend.Name) (backend.Snapshot, error) {
	v := s.visit()
	now := s.askClock(ctx, v.aside(ctx, s.clockKey()))
	values := make([]*goredis.StringCmd, len(names))
	for i, name := range names {
		key := s.key(name)
		values[i] = v.at(ctx, key).Get(ctx, key)
	}
	if err := v.exec(ctx); err != nil {
		return backend.Snapshot{}, err
	}
	out := backend.Snapshot{Records: make([]backend.Record, len(names))}
	var err error
	if out.Now, err = now(); err != nil {
		return backend.Snapshot{}, err
	}
	for i, name := range names {
		if out.Records[i], err = record(name, values[i]); err != nil {
			return backend.Snapshot{}, err
		}
	}
	return out, nil
}

func record(name backend.Name, value *goredis.StringCmd) (backend.Record, error) {
	text, err := value.Result()
	switch {
	case errors.Is(err, goredis.Nil):
		return backend.Record{Name: name}, nil
	case err != nil:
		return backend.Record{}, err
	case len(text) < versionBytes:
		return backend.Record{}, session.Errorf(session.CodeInternal, "Redis holds something else where a record should be")
	}
	return backend.Record{Name: name, Version: backend.Version(text[:versionBytes]), Value: []byte(text[versionBytes:])}, nil
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	b, version := s.bucketOf(name), newVersion()
	err := s.writeBy(ctx, attempts().At(name, was), s.put, []string{b.record + name.ID, b.index, b.due}, string(was), string(version), value, name.ID, s.dropAt(expires))
	if err != nil {
		return "", err
	}
	return version, nil
}

// dropAt is the time in milliseconds at which Redis drops a record; "" = never.
func (s *Store) dropAt(expires time.Time) string {
	if expires.IsZero() {
		return ""
	}
	return strconv.FormatInt(max(1, expires.Add(max(0, s.config.Grace)).UnixMilli()+1), 10) // rounded up
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	b := s.bucketOf(name)
	return s.write(ctx, s.delete, []string{b.record + name.ID, b.index, b.due}, string(was), name.ID)
}

// usable tells why nothing should be sent: ctx has ended, or Redis would lose what it is given.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return (&attempt.Fault{Code: session.CodeUnavailable, Message: "the request has ended", Cause: err}).Refusal()
	}
	return s.health.unfit()
}

// askClock adds the question for the time to a pipeline; call what it returns when the pipeline has run.
func (s *Store) askClock(ctx context.Context, pipe goredis.Pipeliner) func() (time.Time, error) {
	if len(s.config.Cluster) == 0 {
		return pipe.Time(ctx).Result
	}
	cmd := pipe.Eval(ctx, clockScript, []string{s.clockKey()})
	return func() (time.Time, error) {
		parts, err := cmd.Int64Slice()
		if err != nil || len(parts) != 2 {
			return time.Time{}, errors.Join(err, cmd.Err())
		}
		return time.Unix(parts[0], parts[1]*1000), nil
	}
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// lookAgain is how often settings of a server that serves are looked at again.
const lookAgain = time.Minute

// health is what is known of Redis. Written by one goroutine, read by all.
type health struct {
	state  atomic.Pointer[session.Error] // nil = it serves
	reason atomic.Pointer[session.Error] // not nil = it must not be used though it serves
	looked time.Time                     // when its settings were seen last; zero = it has not served since
	warned map[string]bool
}

func (h *health) unfit() error {
	if e := h.reason.Load(); e != nil {
		return e
	}
	return nil
}

// Ready implements backend.Store.
func (s *Store) Ready() error {
	if err := s.health.unfit(); err != nil {
		return err
	}
	if e := s.health.state.Load(); e != nil {
		return e
	}
	return nil
}

func (s *Store) watchHealth(ctx context.Context) {
	every := time.NewTicker(s.config.HealthInterval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		check, cancel := context.WithTimeout(ctx, s.config.DialTimeout+s.config.answerTimeout())
		s.checkHealth(check)
		cancel()
	}
}

// checkHealth asks Redis something, and logs when the answer changes.
func (s *Store) checkHealth(ctx context.Context) {
	h := &s.health
	err := s.ping(ctx)
	if err == nil {
		err = s.awaitReplicas(ctx)
	}
	if err == nil && time.Since(h.looked) > lookAgain {
		if err = s.look(ctx); err != nil && judge(err).Code == session.CodeOverloaded {
			s.config.Logger.Warn("Redis takes no new records at the moment", "err", err)
			err = nil // it goes on knowing those that it has
		}
		if err == nil {
			h.looked = time.Now()
		}
	}
	before := h.state.Load()
	if err == nil {
		if h.state.Store(nil); before != nil {
			s.config.Logger.Info("Redis serves")
		}
		return
	}
	h.looked = time.Time{}
	var e *session.Error
	if !errors.As(judge(err).Refusal(), &e) {
		return
	}
	if h.state.Store(e); before == nil || before.Message != e.Message {
		s.config.Logger.Error("Redis does not serve", "reason", e.Message, "err", err)
	}
}

// ping asks every server that writes go to.
func (s *Store) ping(ctx context.Context) error {
	return s.eachMaster(ctx, func(ctx context.Context, c goredis.Cmdable) error { return c.Ping(ctx).Err() })
}

// awaitReplicas finds out whether every master has the replicas that it needs, and they follow.
func (s *Store) awaitReplicas(ctx context.Context) error {
	if s.config.WaitReplicas == 0 {
		return nil
	}
	v := s.visit()
	for i := range s.spread() {
		v.at(ctx, s.bucket(backend.KindSession, i).index)
	}
	return v.exec(ctx)
}

// spread is into how many slots a kind's records are dealt out, as far as it matters.
func (s *Store) spread() int {
	if len(s.config.Cluster) > 0 {
		return buckets
	}
	return 1
}

// keepWaitKeys writes those that are not there, while Redis is not full.
func (s *Store) keepWaitKeys(ctx context.Context) error {
	if s.config.WaitReplicas == 0 {
		return nil
	}
	pipe := s.client.Pipeline()
	for _, kind := range backend.Kinds() {
		for i := range s.spread() {
			pipe.Eval(ctx, waitScript, []string{s.waitKey(s.bucket(kind, i).index)}, waitKeyLife.Milliseconds())
		}
	}
	return exec(ctx, pipe)
}

func (s *Store) eachMaster(ctx context.Context, ask func(ctx context.Context, c goredis.Cmdable) error) error {
	cluster, ok := s.client.(*goredis.ClusterClient)
	if !ok {
		return ask(ctx, s.client)
	}
	info, err := cluster.ClusterInfo(ctx).Result()
	switch {
	case err != nil:
		return err
	case !strings.Contains(info, "cluster_state:ok"):
		return &dialError{errors.New("the cluster says that it does not serve all slots")}
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return ask(ctx, c) })
}

// look finds out whether a server that has just come does what the store needs: scripts, writes, permissions; and whether it would
// throw records away.
func (s *Store) look(ctx context.Context) error {
	reason, err := s.compareMarks(ctx)
	if err != nil {
		return err
	}
	if reason == nil {
		err = s.tryOut(ctx)
	}
	if err == nil {
		err = s.keepWaitKeys(ctx)
	}
	if err != nil {
		return err
	}
	var mu sync.Mutex // members of a cluster are asked at once
	err = s.eachMaster(ctx, func(ctx context.Context, c goredis.Cmdable) error {
		text, err := c.Info(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		var refused goredis.Error
		switch {
		case errors.As(err, &refused):
			s.warnOnce("Redis does not let this node see its settings (INFO): look by hand that maxmemory-policy is noeviction and appendonly yes")
			return nil
		case err != nil:
			return err
		}
		if e := s.judgeSettings(information(text)); e != nil {
			reason = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	before := s.health.reason.Load()
	if s.health.reason.Store(reason); reason != nil && before == nil {
		s.config.Logger.Error("Redis must not be used", "reason", reason.Message)
	}
	return nil
}

// compareMarks finds out that Redis has left out transactions when it read its append-only file: it runs them in the name of its default
// user, and if that one lacks permissions it goes on without them and says nothing. One mark is written in a transaction, and then the
// other one alone: it is never ahead, unless that has happened. Records were lost with it, but the file still has them.
func (s *Store) compareMarks(ctx context.Context) (reason *session.Error, err error) {
	at := s.config.Prefix + ":{try}"
	together, witness, alone := at+"together", at+"witness", at+"alone"
	pipe := s.client.Pipeline()
	one, both := pipe.Get(ctx, alone), pipe.Get(ctx, together)
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	last, _ := one.Int64() // 0 when there is none
	if seen, _ := both.Int64(); last > seen {
		return &session.Error{Code: session.CodeUnavailable, RetryAfter: retryAfter, Message: "Redis has left records out when it was started, because its default user lacks permissions: " +
			"set 'user default off ~* &* +@all' and restart Redis, before it rewrites its append-only file"}, nil
	}
	mark, err := s.run(ctx, newScript(markScript), []string{together, witness}, last)
	if err != nil {
		return nil, err
	}
	_, err = s.run(ctx, newScript(markAloneScript), []string{alone}, mark)
	return nil, err
}

// tryOut writes and deletes a record that no scan shows.
func (s *Store) tryOut(ctx context.Context) error {
	at := s.config.Prefix + ":{try}"
	keys := []string{at + ":" + string(newVersion()), at, at + "due"}
	version := string(newVersion())
	expires := s.dropAt(time.Now().Add(time.Hour))
	if err := s.write(ctx, s.put, keys, "", version, "", "try", expires); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	err := s.write(ctx, s.delete, keys, version, "try")
	if err != nil && !errors.Is(err, backend.ErrChanged) {
		return fmt.Errorf("try to delete: %w", err)
	}
	return nil
}

// judgeSettings says why a server must not be used, nil when it may.
func (s *Store) judgeSettings(info map[string]string) *session.Error {
	if info["aof_enabled"] == "0" {
		s.warnOnce("Redis has appendonly off: when it ends, it forgets accounts and sessions since its last snapshot, or all")
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		return &session.Error{
			Code:    session.CodeUnavailable,
			Message: "Redis throws records away when its memory is full (maxmemory-policy " + policy + "): set it to noeviction", RetryAfter: retryAfter,
		}
	}
	return nil
}

func (s *Store) warnOnce(text string) {
	if s.health.warned == nil {
		s.health.warned = map[string]bool{}
	}
	if !s.health.warned[text] {
		s.health.warned[text] = true
		s.config.Logger.Warn(text)
	}
}

// information parses the answer to INFO.
func information(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			all[key] = value
		}
	}
	return all
}

package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
)

const (
	sweepBatch  = 100 // ids of one bucket at a time
	sweepRounds = 100 // batches of one sweep; the next sweep goes on
	// sweepDelay is how long after a record's drop its id is looked at, so that Redis has dropped it.
	sweepDelay = time.Second
)

// sweepAgainAndAgain takes ids out of the sets whose records Redis has dropped. Every process does it, at times of its own; what one has done is
// nothing to do for the next.
func (s *Store) sweepAgainAndAgain(ctx context.Context) {
	for {
		jitter := rand.N(s.config.SweepInterval/2 + 1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.config.SweepInterval*3/4 + jitter):
		}
		if s.Ready() != nil {
			continue
		}
		for _, kind := range backend.Kinds() {
			if err := s.sweep(ctx, kind); err != nil && ctx.Err() == nil {
				s.config.Logger.Warn("sweep of expired ids in Redis was cut short", "err", err)
				break
			}
		}
	}
}

// sweep works through the due ids of one kind.
func (s *Store) sweep(ctx context.Context, kind backend.Kind) error {
	for range sweepRounds {
		due, err := s.due(ctx, kind)
		if err != nil {
			return err
		}
		full := false
		for i, ids := range due {
			if len(ids) == 0 {
				continue
			}
			gone, err := s.sweepBucket(ctx, s.bucket(kind, i), ids)
			if err != nil {
				return err
			}
			full = full || len(ids) == sweepBatch && gone > 0
		}
		if !full {
			return nil
		}
	}
	return nil
}

// due asks every bucket of a kind for ids whose records should be gone.
func (s *Store) due(ctx context.Context, kind backend.Kind) ([][]string, error) {
	pipe := s.client.Pipeline()
	ask := s.askClock(ctx, pipe)
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	now, err := ask()
	if err != nil {
		return nil, err
	}
	most := strconv.FormatInt(now.Add(-sweepDelay).UnixMilli(), 10)
	pipe = s.client.Pipeline()
	asked := make([]*goredis.StringSliceCmd, buckets)
	for i := range asked {
		asked[i] = pipe.ZRangeByScore(ctx, s.bucket(kind, i).due, &goredis.ZRangeBy{Min: "-inf", Max: most, Count: sweepBatch})
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	due := make([][]string, buckets)
	for i, cmd := range asked {
		if due[i], err = cmd.Result(); err != nil {
			return nil, err
		}
	}
	return due, nil
}

func (s *Store) sweepBucket(ctx context.Context, b bucket, ids []string) (gone int64, err error) {
	keys, args := []string{b.index, b.due}, make([]any, len(ids))
	for i, id := range ids {
		keys, args[i] = append(keys, b.record+id), id
	}
	return s.client.Eval(ctx, sweepScript, keys, args...).Int64()
}

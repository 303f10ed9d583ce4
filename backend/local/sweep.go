package local

import (
	"encoding/binary"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/hydrastore/hydrastore/backend"
)

// sweepBatch bounds the records that one transaction drops, for writes wait for it.
const sweepBatch = 500

// sweepOnAndOn drops expired records until the store is closed.
func (s *Store) sweepOnAndOn() {
	ticker := time.NewTicker(s.config.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.Sweep(); err != nil {
				s.config.Logger.Warn("expired records were not dropped; the next sweep tries again", slog.Any("error", err))
			}
		case <-s.closed:
			return
		}
	}
}

// Sweep drops all records that have expired.
func (s *Store) Sweep() error {
	for {
		if !s.anyExpired() { // a transaction that changes nothing flushes too
			return nil
		}
		var dropped []backend.Kind
		err := s.db.Update(func(tx *bolt.Tx) (err error) {
			dropped, err = dropExpired(tx, s.clock.now().UnixMilli())
			return err
		})
		if err != nil {
			return s.commitError(err)
		}
		for _, kind := range dropped {
			s.counts.add(kind, -1)
		}
		if len(dropped) < sweepBatch {
			return nil
		}
	}
}

func (s *Store) anyExpired() (any bool) {
	if s.Ready() != nil {
		return false
	}
	_ = s.db.View(func(tx *bolt.Tx) error {
		key, _ := tx.Bucket(expiresBucket).Cursor().First()
		any = key != nil && int64(binary.BigEndian.Uint64(key)) <= s.clock.now().UnixMilli()
		return nil
	})
	return any
}

func dropExpired(tx *bolt.Tx, nowMS int64) (dropped []backend.Kind, err error) {
	var due [][]byte
	cursor := tx.Bucket(expiresBucket).Cursor()
	for key, _ := cursor.First(); key != nil && len(due) < sweepBatch; key, _ = cursor.Next() {
		if int64(binary.BigEndian.Uint64(key)) > nowMS {
			break
		}
		due = append(due, append([]byte(nil), key...))
	}
	for _, key := range due {
		kind, id := backend.Kind(key[8]), key[9:]
		if err := tx.Bucket(bucketOf(kind)).Delete(id); err != nil {
			return nil, err
		}
		if err := tx.Bucket(expiresBucket).Delete(key); err != nil {
			return nil, err
		}
		dropped = append(dropped, kind)
	}
	return dropped, nil
}

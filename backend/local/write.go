package local

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// write is one that waits for its transaction.
type write struct {
	name      backend.Name
	value     []byte
	was       backend.Version
	expiresMS int64
	delete    bool

	done    chan struct{} // closed when what follows is known
	version backend.Version
	err     error
}

// write hands w to the writing goroutine, whose it is from then on, and waits for its outcome.
func (s *Store) write(ctx context.Context, w *write) (backend.Version, error) {
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	select {
	case s.writes <- w:
	default:
		return "", &session.Error{Code: session.CodeOverloaded, Message: "too many writes are waiting; nothing was done", RetryAfter: time.Second}
	}
	select {
	case <-w.done:
		return w.version, w.err
	case <-ctx.Done():
		return "", &session.Error{Code: session.CodeOutcomeUnknown, Err: ctx.Err(), Message: "the change was sent, but its outcome did not become known in time: it may have been made or not"}
	}
}

// writeOnAndOn writes what is waiting, one transaction after the other, until the store is closed and nothing waits.
func (s *Store) writeOnAndOn() {
	defer close(s.written)
	for {
		select {
		case w := <-s.writes:
			s.commit(s.gather(w))
		case <-s.closed:
			select {
			case w := <-s.writes:
				s.commit(s.gather(w))
			default:
				return
			}
		}
	}
}

// gather takes what waits beside w.
func (s *Store) gather(w *write) []*write {
	batch := []*write{w}
	for len(batch) < writesAtOnce {
		select {
		case w := <-s.writes:
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch in one transaction and answers it.
func (s *Store) commit(batch []*write) {
	results := make([]stored, len(batch))
	errs := make([]error, len(batch))
	err := s.db.Update(func(tx *bolt.Tx) error {
		for i, w := range batch {
			var err error
			if results[i], err = w.apply(tx); err == nil {
				continue
			}
			if fatal := refusal(err); fatal != nil {
				return fatal
			}
			errs[i] = err
		}
		return s.writeTimes(tx.Bucket(metaBucket))
	})
	if err != nil {
		err = s.commitError(err)
	}
	for i, w := range batch {
		if err == nil && errs[i] == nil {
			s.counts.add(w.name.Kind, w.adds())
		}
		w.version, w.err = results[i].tag(), errs[i]
		if err != nil {
			w.version, w.err = "", err
		}
		close(w.done)
	}
}

// adds is how many records more there are after the write.
func (w *write) adds() int {
	switch {
	case w.delete:
		return -1
	case w.was == "":
		return 1
	}
	return 0
}

// refusal gives the errors that end a whole transaction; nil for those that refuse one write of it.
func refusal(err error) error {
	var damaged *damage
	if errors.Is(err, backend.ErrChanged) || errors.As(err, &damaged) {
		return nil
	}
	return err
}

func (s *Store) commitError(err error) error {
	if noSpace(err) {
		return &session.Error{Code: session.CodeUnavailable, Err: err, RetryAfter: time.Second, Message: "the disk is full; nothing was done"}
	}
	s.fail(err)
	return &session.Error{Code: session.CodeOutcomeUnknown, Err: err, Message: "the folder of the sessions could not be written: the change may have been made or not"}
}

// apply judges and makes one write.
func (w *write) apply(tx *bolt.Tx) (stored, error) {
	before, err := read(tx, w.name)
	if err != nil {
		return stored{}, err
	}
	if before.tag() != w.was {
		return stored{}, backend.ErrChanged
	}
	if err := dropExpiry(tx, w.name, before.expiresMS); err != nil {
		return stored{}, err
	}
	bucket, id := tx.Bucket(bucketOf(w.name.Kind)), []byte(w.name.ID)
	if w.delete {
		return stored{}, bucket.Delete(id)
	}
	after := stored{expiresMS: w.expiresMS, value: w.value}
	if after.version, err = tx.Bucket(metaBucket).NextSequence(); err != nil {
		return stored{}, err
	}
	if err := bucket.Put(id, after.encode(w.name)); err != nil {
		return stored{}, err
	}
	if w.expiresMS == 0 {
		return after, nil
	}
	return after, tx.Bucket(expiresBucket).Put(expiryKey(w.name, w.expiresMS), []byte{})
}

func expiryKey(name backend.Name, expiresMS int64) []byte {
	key := binary.BigEndian.AppendUint64(nil, uint64(expiresMS))
	return append(append(key, byte(name.Kind)), name.ID...)
}

func dropExpiry(tx *bolt.Tx, name backend.Name, expiresMS int64) error {
	if expiresMS == 0 {
		return nil
	}
	return tx.Bucket(expiresBucket).Delete(expiryKey(name, expiresMS))
}

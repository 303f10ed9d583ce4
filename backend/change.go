package backend

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// expiryMargin is how long records stay beyond what clocks that differ could make of their end.
	expiryMargin = time.Hour
	// firstPause and longestPause bound the wait before a write is tried again that came second.
	firstPause   = time.Millisecond
	longestPause = 50 * time.Millisecond
)

var (
	errNoCluster = errors.New("its first record is missing: somebody has emptied the store")
	// errKeep ends a change without a write and without an error.
	errKeep = errors.New("nothing is to be changed")
)

// again tries what may come second until it does not: try answers ErrChanged when it has.
func (s *Service) again(ctx context.Context, try func() error) error {
	for most := firstPause; ; most = min(2*most, longestPause) {
		err := try()
		if !errors.Is(err, ErrChanged) {
			return err
		}
		s.figures.retry()
		select {
		case <-time.After(rand.N(most)): // apart from others that came second
		case <-ctx.Done():
			return errBusy()
		}
	}
}

// put writes a record that decides something.
func (s *Service) put(ctx context.Context, name Name, r formatted, was Version, expires time.Time) (Version, error) {
	value, err := encode(r)
	if err != nil {
		return "", internalError("write a record", err)
	}
	if len(value) > MaxValueBytes && name != clusterName() { // which is written in parts
		return "", internalError("write a record", errTooLarge)
	}
	version, err := s.store.Put(ctx, name, value, was, expires)
	return version, writeError("write a record", err)
}

// changeSession replaces the record of a session that a request has found, and leaves f as it is afterwards. When another change came
// first, find finds the session anew. change judges what was found and changes f.session; its error ends the whole, errKeep without one.
func (s *Service) changeSession(ctx context.Context, f *found, find func() (*found, error), change func(f *found) error) error {
	free, err := s.locks.take(ctx, sessionName(f.id))
	if err != nil {
		return err
	}
	defer free()
	return s.replaceSession(ctx, f, find, change)
}

// replaceSession is changeSession for who has the session's lock.
func (s *Service) replaceSession(ctx context.Context, f *found, find func() (*found, error), change func(f *found) error) error {
	first := true
	err := s.again(ctx, func() error {
		if !first {
			anew, err := find()
			if err != nil {
				return err
			}
			*f = *anew
		}
		first = false
		if err := change(f); err != nil {
			return err
		}
		expires := f.session.expires()
		if err := s.keepKeys(ctx, f, expires); err != nil {
			return err
		}
		version, err := s.put(ctx, sessionName(f.id), f.session, f.sessionAt, expires)
		if err == nil {
			f.sessionAt = version
		}
		return err
	})
	if errors.Is(err, errKeep) {
		return nil
	}
	return err
}

// expires is when the record of a session becomes worthless if it is not used any more.
func (r *sessionRecord) expires() time.Time {
	end := r.deadlineMS(rules{}) // as recorded: a policy can only bring it nearer
	if end == forever {
		return time.Time{}
	}
	return instant(end).Add(expiryMargin)
}

// userChange is a user's record on its way to be replaced.
type userChange struct {
	nowMS   int64
	cluster *clusterRecord
	user    *userRecord // not nil; empty if there is none
	at      Version
}

// changeUser replaces a user's record, or makes one. change may be called several times; its error ends the whole, errKeep without one.
func (s *Service) changeUser(ctx context.Context, name string, change func(u *userChange) error) error {
	free, err := s.locks.take(ctx, userName(name))
	if err != nil {
		return err
	}
	defer free()
	err = s.again(ctx, func() error {
		u, err := s.readUser(ctx, name)
		if err != nil {
			return err
		}
		ended := u.user.Ended
		if err := change(u); err != nil {
			return err
		}
		if _, err = s.put(ctx, userName(name), u.user, u.at, time.Time{}); err == nil {
			s.endedByAccount(ctx, u, ended)
		}
		return err
	})
	if errors.Is(err, errKeep) {
		return nil
	}
	return err
}

func (s *Service) readUser(ctx context.Context, name string) (*userChange, error) {
	snapshot, err := s.read(ctx, userName(name), clusterName())
	if err != nil {
		return nil, err
	}
	u := &userChange{nowMS: snapshot.Now.UnixMilli(), user: &userRecord{}, at: snapshot.Records[0].Version}
	if u.cluster, err = s.decodeCluster(snapshot.Records[1]); err != nil {
		return nil, err
	}
	if u.at != "" {
		if err := decode(snapshot.Records[0].Value, u.user); err != nil {
			return nil, internalError("read a user", err)
		}
		return u, nil
	}
	// A user whose record was dropped had numbers up to the floor: it was raised before that, and is read after.
	floor, _, _, err := s.readCluster(ctx)
	if err != nil {
		return nil, err
	}
	u.user.LastNumber = floor.Floor
	return u, nil
}

// changeCluster replaces the cluster's record. change gets a copy.
func (s *Service) changeCluster(ctx context.Context, change func(c *clusterRecord, nowMS int64) error) error {
	free, err := s.locks.take(ctx, clusterName())
	if err != nil {
		return err
	}
	defer free()
	err = s.again(ctx, func() error {
		record, at, nowMS, err := s.readCluster(ctx)
		if err != nil {
			return err
		}
		changed := record.clone()
		if err := change(changed, nowMS); err != nil {
			return err
		}
		_, err = s.put(ctx, clusterName(), changed, at, time.Time{})
		return err
	})
	if errors.Is(err, errKeep) {
		return nil
	}
	return err
}

// endSession deletes the record of a session that was found: with that it has ended. True when this call has ended it. still judges it when it
// was changed meanwhile.
func (s *Service) endSession(ctx context.Context, f *found, why ending, find func() (*found, error), still func(f *found) bool) (ended bool, err error) {
	_, err = s.unlessInherited(ctx, f, func(judge func(f *found) error) error {
		ended, err = s.deleteSession(ctx, f, find, still, judge)
		return err
	})
	if ended {
		s.tellEnded(ctx, f, why)
		s.tidy(f)
	}
	return ended, err
}

func (s *Service) deleteSession(ctx context.Context, f *found, find func() (*found, error), still func(f *found) bool, judge func(f *found) error) (ended bool, err error) {
	free, err := s.locks.take(ctx, sessionName(f.id))
	if err != nil {
		return false, err
	}
	defer free()
	first := true
	err = s.again(ctx, func() error {
		if !first {
			anew, err := find()
			if err != nil {
				return err
			}
			*f = *anew
		}
		first = false
		if f.session == nil || !still(f) {
			return nil
		}
		if err := judge(f); err != nil {
			return err
		}
		err := s.store.Delete(ctx, sessionName(f.id), f.sessionAt)
		ended = err == nil
		return writeError("end a session", err)
	})
	return ended, err
}

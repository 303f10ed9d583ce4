package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// keyReserve is how much longer a key's record lives than its session's, so that it need not be written with each use.
const keyReserve = 24 * time.Hour

// putKey writes where a key leads.
func (s *Service) putKey(ctx context.Context, name Name, user string, id session.ID, expires time.Time, was Version) error {
	until := keysUntil(expires)
	value, err := encode(&keyRecord{User: user, Session: id, UntilMS: until})
	if err != nil {
		return internalError("write a key", err)
	}
	if until != 0 {
		expires = instant(until)
	}
	_, err = s.store.Put(ctx, name, value, was, expires)
	return err
}

func (r *sessionRecord) keyNames() []Name {
	names := []Name{keyName(r.Key)}
	for _, k := range r.Retired {
		names = append(names, keyName(k.Hash))
	}
	return names
}

// keysUntil is until when the keys are kept of a session whose record expires then, in milliseconds; 0 = for ever.
func keysUntil(expires time.Time) int64 {
	if expires.IsZero() {
		return 0
	}
	return expires.Add(keyReserve).UnixMilli()
}

// keepKeys lets the records of a session's keys live as long as the session's own will.
func (s *Service) keepKeys(ctx context.Context, f *found, expires time.Time) error {
	if u := f.session.KeysUntilMS; u == 0 || !expires.IsZero() && u >= expires.UnixMilli() {
		return nil
	}
	snapshot, err := s.read(ctx, f.session.keyNames()...)
	if err != nil {
		return err
	}
	for _, r := range snapshot.Records {
		if r.Version == "" {
			continue
		}
		var k keyRecord
		if err := decode(r.Value, &k); err != nil {
			return internalError("read a key", err)
		}
		if until := keysUntil(expires); k.UntilMS == 0 || until != 0 && k.UntilMS >= until {
			continue // another change, which may come first, needs it as long
		}
		err := s.putKey(ctx, r.Name, f.session.User, f.id, expires, r.Version)
		if errors.Is(err, ErrChanged) {
			return err
		}
		if err != nil {
			return undecided("keep a key", err)
		}
	}
	f.session.KeysUntilMS = keysUntil(expires)
	return nil
}

// dropKeys deletes the records of a session's keys. What stays behind leads nowhere, and expires.
func (s *Service) dropKeys(ctx context.Context, r *sessionRecord) {
	snapshot, err := s.read(ctx, r.keyNames()...)
	if err != nil {
		return
	}
	for _, k := range snapshot.Records {
		if k.Version != "" {
			_ = s.store.Delete(ctx, k.Name, k.Version)
		}
	}
}

// dropKey takes the record of a key away, beside the request, that its session does not remember.
func (s *Service) dropKey(h session.KeyHash) {
	s.background(func(ctx context.Context) { s.dropKeys(ctx, &sessionRecord{Key: h}) })
}

package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// seals holds the seal keys that this process could derive: when it starts, and when it meets one that another process has made since, with a password that this one has
// for an earlier one.
type seals struct {
	learn   func(id uint32) // derives one that is not there, if it can; nil = never
	mu      sync.RWMutex
	keys    map[uint32]*auth.SealKey
	present uint32 // of the present password; 0 = this process seals nothing
}

// misfit is why a process may not serve with the settings that it has.
type misfit struct{ text string }

func (m *misfit) Error() string { return m.text }

// settleSeals derives the keys that the store knows, and makes one of the present password if it is new.
func (s *Service) settleSeals(ctx context.Context) error {
	var record *clusterRecord
	if err := s.bounded(ctx, func(ctx context.Context) (err error) { record, _, _, err = s.readCluster(ctx); return err }); err != nil {
		return err
	}
	present := s.deriveSeals(record.Seals)
	passwords := s.config.Sealing.Passwords()
	if len(passwords) > 0 && len(record.Seals) > 0 && s.seals.held() == 0 {
		return &misfit{"tokenizer.safe_password is not the one that this store's attributes are sealed with, nor is any of tokenizer.safe_password_previous: give this server the other ones' values"}
	}
	if s.config.Sealing.Password == "" || present != 0 {
		s.seals.use(present)
		return nil
	}
	key, recipe, err := auth.NewSealKey(s.config.Random, s.config.Sealing.Password, s.config.Sealing.Params)
	if err != nil {
		return fmt.Errorf("derive seal key: %w", err)
	}
	last := record.LastSeal
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err = s.changeCluster(ctx, func(c *clusterRecord, _ int64) error {
		switch {
		case c.LastSeal != last:
			return errSealsChanged() // another process was faster, perhaps with the same password: judge anew
		case len(c.Seals) >= session.MaxSealKeys:
			return &misfit{fmt.Sprintf("this store knows %d seal keys, and a server keeps no more: use one of the earlier values of tokenizer.safe_password", session.MaxSealKeys)}
		}
		c.LastSeal++
		c.Seals = append(c.Seals, sealRecord{ID: c.LastSeal, SealRecipe: recipe})
		return nil
	})
	if err != nil {
		return err
	}
	s.seals.put(last+1, key)
	s.seals.use(last + 1)
	return nil
}

func errSealsChanged() error {
	return &session.Error{Code: session.CodeUnavailable, Message: "the seal keys have changed meanwhile"}
}

// deriveSeals derives what the passwords fit, and returns the id of the present one's key, 0 when it has none.
func (s *Service) deriveSeals(known []sealRecord) (present uint32) {
	for _, k := range known {
		for i, password := range s.config.Sealing.Passwords() {
			if key, fits := k.Key(password); fits {
				s.seals.put(k.ID, key)
				if i == 0 && s.config.Sealing.Password != "" {
					present = k.ID
				}
				break
			}
		}
	}
	return present
}

func (k *seals) put(id uint32, key *auth.SealKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[id] = key
}

func (k *seals) use(id uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.present = id
}

func (k *seals) held() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.keys)
}

func (k *seals) key(id uint32) *auth.SealKey {
	if key := k.derived(id); key != nil || k.learn == nil {
		return key
	}
	k.learn(id)
	return k.derived(id)
}

func (k *seals) derived(id uint32) *auth.SealKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[id]
}

func (k *seals) presentKey() (uint32, *auth.SealKey, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key := k.keys[k.present]; key != nil {
		return k.present, key, nil
	}
	return 0, nil, &session.Error{Code: session.CodeConflict, Field: "sealed_attributes", Message: "this server has no seal key: set tokenizer.safe_password, to the same on all servers"}
}

// seal seals values for a session.
func (k *seals) seal(random io.Reader, id session.ID, values session.Attributes) (map[string]sealedValue, error) {
	if len(values) == 0 {
		return nil, nil
	}
	keyID, key, err := k.presentKey()
	if err != nil {
		return nil, err
	}
	out := make(map[string]sealedValue, len(values))
	for name, value := range values {
		if len(value) > session.MaxSealedAttributeBytes {
			return nil, session.ErrSealedTooLarge(len(value))
		}
		data, err := key.Seal(nil, random, id[:], name, value)
		if err != nil {
			return nil, internalError("seal attribute", err)
		}
		out[name] = sealedValue{Key: keyID, Data: data}
	}
	return out, nil
}

// open gives the sealed attributes of a session in the clear; nil when it has none.
func (k *seals) open(id session.ID, sealed map[string]sealedValue) (session.Attributes, error) {
	var out session.Attributes
	for name, value := range sealed {
		opened, err := k.openOne(id, name, value)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = session.Attributes{}
		}
		out[name] = opened
	}
	return out, nil
}

func (k *seals) openOne(id session.ID, name string, value sealedValue) (json.RawMessage, error) {
	key := k.key(value.Key)
	if key == nil {
		return nil, &session.Error{Code: session.CodeUnavailable, Field: "sealed_attributes", RetryAfter: retryPause,
			Message: "this server has not the key that these attributes are sealed with; ask another one, or give this one the password in tokenizer.safe_password_previous"}
	}
	opened, err := key.Open(value.Data, id[:], name)
	if err != nil {
		return nil, internalError("open sealed attribute", err)
	}
	return opened, nil
}

// Reseal implements session.Cluster: it looks at one page of sessions, or after them of users, and seals anew what an older key has sealed. Whoever
// changes such a value meanwhile wins. Nobody counts what is sealed.
func (s *Service) Reseal(ctx context.Context, c session.Call, cursor string) (session.Resealed, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	kind, cursorKind, reseal := KindSession, cursorOfScan, s.resealOne
	place, err := parseCursor(cursor, cursorKind)
	if err != nil {
		kind, cursorKind, reseal = KindUser, cursorOfUser, s.resealVerifier
		if place, err = parseCursor(cursor, cursorKind); err != nil {
			return session.Resealed{}, err
		}
	}
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.Resealed{}, err
	}
	present, _, err := s.seals.presentKey()
	if err != nil {
		return session.Resealed{}, err
	}
	page, err := s.store.Scan(ctx, kind, strings.TrimPrefix(place, firstPlace), session.DefaultPageSize)
	if err != nil {
		return session.Resealed{}, asError("read what is sealed", err)
	}
	out := session.Resealed{Left: session.LeftUnknown, Meta: s.meta()}
	for _, r := range page.Records {
		n, err := reseal(ctx, r, present)
		if err != nil {
			return session.Resealed{}, err
		}
		out.Count += n
	}
	switch {
	case page.Next != "":
		out.NextCursor = cursorOf(cursorKind, page.Next)
	case kind == KindSession:
		out.NextCursor = cursorOf(cursorOfUser, firstPlace)
	}
	return out, nil
}

// firstPlace stands in a cursor for the start: a cursor names a place.
const firstPlace = "\x00"

// resealVerifier seals a user's MD5 anew.
func (s *Service) resealVerifier(ctx context.Context, r Record, present uint32) (count int, err error) {
	err = s.changeUser(ctx, r.ID, func(u *userChange) error {
		count = 0
		if u.user.Account == nil || u.user.Account.Verifier == nil || u.user.Account.Verifier.Key == present {
			return errKeep
		}
		owner := auth.VerifierOwner(r.ID)
		value, err := s.seals.openFor(owner, auth.SealedMD5, *u.user.Account.Verifier)
		if err != nil {
			return err
		}
		u.user.Account.Verifier, err = s.seals.sealFor(s.config.Random, owner, auth.SealedMD5, value)
		count = 1
		return err
	})
	return count, err
}

func (s *Service) resealOne(ctx context.Context, r Record, present uint32) (count int, err error) {
	id, err := session.ParseID(r.ID)
	if err != nil {
		return 0, internalError("read a session", err)
	}
	f := &found{id: id}
	if err := f.setSession(r); err != nil {
		return 0, err
	}
	find := func() (*found, error) { return s.lookID(ctx, id) }
	err = s.changeSession(ctx, f, find, func(f *found) error {
		if count = 0; f.session == nil {
			return errKeep
		}
		older := session.Attributes{}
		for name, value := range f.session.Sealed {
			if value.Key == present {
				continue
			}
			if older[name], err = s.seals.openOne(f.id, name, value); err != nil {
				return err
			}
		}
		sealed, err := s.seals.seal(s.config.Random, f.id, older)
		if err != nil || len(sealed) == 0 {
			return orKeep(err)
		}
		for name, value := range sealed {
			f.session.Sealed[name] = value
		}
		count = len(sealed)
		return nil
	})
	return count, err
}

func orKeep(err error) error {
	if err == nil {
		return errKeep
	}
	return err
}

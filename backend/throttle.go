package backend

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// attempt is one that was counted.
type attempt struct {
	taken    []counted
	giveBack func(context.Context) // a Directory's own; nil = none
}

type counted struct {
	name    Name
	runMS   int64
	shareMS int64
}

// counter is one of the counters that count an attempt.
type counter struct {
	name    Name
	byUser  bool
	shareMS int64 // that one attempt pours in
	window  int64
}

// counters are those of an attempt. An unknown address has none of its own. Of the user's name only 16 bits of a hash are kept: people type their password
// where their name belongs, so it is only enough to tell the users of one address apart.
func (s *Service) counters(c passwordCheck) (out []counter) {
	t := s.config.Throttle
	network, known := "unknown", auth.NetworkOf(c.address)
	if known.IsValid() {
		network = known.String()
	}
	window := t.Window.Milliseconds()
	if t.PerUser > 0 {
		out = append(out, counter{Name{KindAttempt, fmt.Sprintf("%s %04x", network, s.nameHash(c.user))}, true, window / int64(t.PerUser), window})
	}
	if t.PerAddress > 0 && known.IsValid() {
		out = append(out, counter{Name{KindAttempt, network}, false, window / int64(t.PerAddress), window})
	}
	return out
}

// wait tells how long it is until the counter has room for one more share.
func (c counter) wait(r attemptRecord, nowMS int64) time.Duration {
	return milliseconds(max(0, r.DryMS-nowMS+c.shareMS-c.window))
}

// foreseeAttempt refuses what would be refused, so that a flood writes nothing.
func (s *Service) foreseeAttempt(ctx context.Context, c passwordCheck) ([]counter, error) {
	counters := s.counters(c)
	if len(counters) == 0 {
		return nil, nil
	}
	names := make([]Name, len(counters))
	for i, k := range counters {
		names[i] = k.name
	}
	snapshot, err := s.read(ctx, names...)
	if err != nil {
		return nil, err
	}
	longest, byUser := time.Duration(0), false
	for i, k := range counters {
		var r attemptRecord
		if snapshot.Records[i].Version != "" {
			if err := decode(snapshot.Records[i].Value, &r); err != nil {
				return nil, internalError("read a counter", err)
			}
		}
		if wait := k.wait(r, snapshot.Now.UnixMilli()); wait > longest {
			longest, byUser = wait, k.byUser
		}
	}
	if longest > 0 {
		return nil, s.config.Throttle.Refusal(byUser, longest)
	}
	return counters, nil
}

// takeAttempt counts the attempt.
func (s *Service) takeAttempt(ctx context.Context, c passwordCheck) (*attempt, error) {
	counters, err := s.foreseeAttempt(ctx, c)
	if err != nil {
		return nil, err
	}
	a := &attempt{}
	for _, k := range counters {
		run, err := s.count(ctx, k)
		if err != nil {
			s.giveBack(ctx, a)
			return nil, err
		}
		a.taken = append(a.taken, counted{k.name, run, k.shareMS})
	}
	return a, nil
}

// count pours one share into a counter and returns the counter's run.
func (s *Service) count(ctx context.Context, c counter) (runMS int64, err error) {
	err = s.changeAttempts(ctx, c.name, func(r *attemptRecord, nowMS int64) error {
		if wait := c.wait(*r, nowMS); wait > 0 {
			return s.config.Throttle.Refusal(c.byUser, wait)
		}
		if r.DryMS <= nowMS {
			r.DryMS, r.RunMS = nowMS, nowMS
		}
		r.DryMS += c.shareMS
		runMS = r.RunMS
		return nil
	})
	return runMS, err
}

// giveBack uncounts the attempt of a right password. It may fail: then the attempt comes back with time.
func (s *Service) giveBack(ctx context.Context, a *attempt) {
	if a == nil {
		return
	}
	if a.giveBack != nil {
		a.giveBack(ctx)
	}
	for _, k := range a.taken {
		_ = s.changeAttempts(ctx, k.name, func(r *attemptRecord, _ int64) error {
			if r.RunMS != k.runMS {
				return errKeep // it has leaked out with all else since
			}
			r.DryMS = max(0, r.DryMS-k.shareMS)
			return nil
		})
	}
}

func (s *Service) changeAttempts(ctx context.Context, name Name, change func(r *attemptRecord, nowMS int64) error) error {
	free, err := s.locks.take(ctx, name)
	if err != nil {
		return err
	}
	defer free()
	err = s.again(ctx, func() error {
		snapshot, err := s.read(ctx, name)
		if err != nil {
			return err
		}
		r := &attemptRecord{}
		if snapshot.Records[0].Version != "" {
			if err := decode(snapshot.Records[0].Value, r); err != nil {
				return internalError("read a counter", err)
			}
		}
		if err := change(r, snapshot.Now.UnixMilli()); err != nil {
			return err
		}
		_, err = s.put(ctx, name, r, snapshot.Records[0].Version, instant(r.DryMS).Add(expiryMargin))
		return err
	})
	if errors.Is(err, errKeep) {
		return nil
	}
	return err
}

// nameHash is what the throttle keeps of a name.
func (s *Service) nameHash(user string) uint16 {
	h := sha256.New()
	session.WriteParts(h, "attempt", s.history(), user)
	return binary.BigEndian.Uint16(h.Sum(nil))
}

package fsm

import (
	"bytes"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// MaxChallengeSecretBytes bounds the sealed secret of an hour.
	MaxChallengeSecretBytes = 128
	// challengeDrops bounds how many used challenges one entry forgets: twice what an entry can add.
	challengeDrops = 2048

	challengeHourMS = int64(time.Hour / time.Millisecond)
	challengeLifeMS = int64(session.ChallengeLifetime / time.Millisecond)
)

// challengeSecret signs the challenges of an hour.
type challengeSecret struct {
	hourMS int64
	sealed []byte
}

// endMS is when none of the hour's challenges can be valid any more.
func (c challengeSecret) endMS() int64 { return c.hourMS + challengeHourMS + challengeLifeMS }

// usedChallenge is one that was used up.
type usedChallenge struct {
	hash   [16]byte
	serial uint64 // order of their uses; 0 = free
	endMS  int64
}

// challenges are the secrets of at most two hours, and what was used up of them in a queue, oldest use first.
type challenges struct {
	secrets []challengeSecret // in the order of their hours; copied whole when it changes

	used       chunked[usedChallenge]
	next       chunked[uint32] // the queue, and the list of free slots
	free       uint32
	head, tail uint32
	byHash     table
	serial     uint64
	n          int
}

func (s *state) putChallengeSecret(c *fsmpb.PutChallengeSecret, r *fsmpb.Result) {
	if !validHour(c.HourMs) || len(c.Secret) == 0 || len(c.Secret) > MaxChallengeSecretBytes {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	secret := challengeSecret{hourMS: c.HourMs, sealed: bytes.Clone(c.Secret)}
	if c.HourMs > s.clock || secret.endMS() <= s.clock {
		fail(r, fsmpb.Code_CODE_CONFLICT, "hour")
		return
	}
	if before, known := s.challengeSecret(c.HourMs); known && !underAnotherKey(before, secret.sealed) {
		setCount(r, 0)
		return
	}
	s.addChallengeSecret(secret)
	setCount(r, 1)
}

// underAnotherKey tells whether two sealed secrets have different seal keys. A node draws another secret only when it has not the key of the
// first: after the safe password was changed nobody may have it any more, and there would be no challenges for the rest of the hour.
func underAnotherKey(before, after []byte) bool {
	was, _, sealed := CutSealed(before)
	is, _, sealedAnew := CutSealed(after)
	return sealed && sealedAnew && was != is
}

// addChallengeSecret puts a secret in its hour's place, in the order of hours. Those of the past have been forgotten: there are at most two.
func (s *state) addChallengeSecret(secret challengeSecret) {
	secrets := slices.DeleteFunc(slices.Clone(s.challenges.secrets), func(c challengeSecret) bool { return c.hourMS == secret.hourMS })
	secrets = append(secrets, secret)
	slices.SortFunc(secrets, func(a, b challengeSecret) int { return int(a.hourMS/challengeHourMS - b.hourMS/challengeHourMS) })
	s.challenges.secrets = secrets
}

func validHour(ms int64) bool { return ms >= 0 && ms <= MaxClockMS && ms%challengeHourMS == 0 }

func (s *state) challengeSecret(hourMS int64) ([]byte, bool) {
	for _, c := range s.challenges.secrets {
		if c.hourMS == hourMS {
			return c.sealed, true
		}
	}
	return nil, false
}

func (s *state) useChallenge(c *fsmpb.UseChallenge, r *fsmpb.Result) {
	var hash [16]byte
	if len(c.Hash) != len(hash) || !validHour(c.HourMs) || c.EndMs <= c.HourMs || c.EndMs > c.HourMs+challengeHourMS+challengeLifeMS {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	copy(hash[:], c.Hash)
	_, known := s.challengeSecret(c.HourMs)
	switch {
	case s.clock >= c.EndMs:
		fail(r, fsmpb.Code_CODE_UNAUTHENTICATED, ChallengeExpired)
	case !known || s.findUsed(hash) != 0:
		fail(r, fsmpb.Code_CODE_UNAUTHENTICATED, ChallengeUsed)
	case s.challenges.n >= session.MaxUsedChallenges:
		fail(r, fsmpb.Code_CODE_TOO_LARGE, ChallengeUsed)
	default:
		s.challenges.serial++
		s.placeUsed(usedChallenge{hash: hash, serial: s.challenges.serial, endMS: c.EndMs})
	}
}

// The fields of refused challenges.
const (
	ChallengeExpired = "expired"
	ChallengeUsed    = "used"
)

func (s *state) findUsed(hash [16]byte) uint32 {
	return s.challenges.byHash.find(s.hasher.random(hash[:]), func(slot uint32) bool { return s.challenges.used.at(slot).hash == hash })
}

func (s *state) placeUsed(u usedChallenge) {
	c := &s.challenges
	slot := c.free
	if slot != 0 {
		c.free = *c.next.at(slot)
	} else {
		slot = c.used.grow(s.shared)
		c.next.grow(0)
	}
	*c.used.mut(slot, s.shared) = u
	*c.next.at(slot) = 0
	if c.tail == 0 {
		c.head = slot
	} else {
		*c.next.at(c.tail) = slot
	}
	c.tail = slot
	c.n++
	c.byHash.insert(s.hasher.random(u.hash[:]), slot)
}

func (s *state) dropOldestUsed() {
	c := &s.challenges
	slot := c.head
	hash := c.used.at(slot).hash
	c.byHash.remove(s.hasher.random(hash[:]), slot)
	c.head = *c.next.at(slot)
	if c.head == 0 {
		c.tail = 0
	}
	*c.used.mut(slot, s.shared) = usedChallenge{}
	*c.next.at(slot) = c.free
	c.free = slot
	c.n--
}

// forgetChallenges removes secrets whose challenges are over, and uses of challenges that are. One whose use was remembered before stays as long as
// that: the queue is in the order of uses, whose ends differ by a lifetime at most.
func (s *state) forgetChallenges() {
	c := &s.challenges
	for len(c.secrets) > 0 && c.secrets[0].endMS() <= s.clock {
		c.secrets = slices.Clone(c.secrets[1:])
	}
	for range challengeDrops {
		if c.head == 0 || c.used.at(c.head).endMS > s.clock {
			return
		}
		s.dropOldestUsed()
	}
}

// ChallengeSecret returns the sealed secret of the hour that begins at hourMS. It must not be changed.
func (m *Machine) ChallengeSecret(hourMS int64) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.challengeSecret(hourMS)
}

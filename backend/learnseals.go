package backend

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// learnSeals derives seal keys that other processes have made since this one started. Deriving costs as much as it is meant to, so each key is tried once,
// one after the other.
type learnSeals struct {
	service *Service
	failed  atomic.Uint64 // how often the store has not answered
	mu      sync.Mutex
	tried   map[uint32]bool
}

func (l *learnSeals) learn(id uint32) {
	failed := l.failed.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.service
	if l.tried[id] || s.seals.derived(id) != nil || l.failed.Load() != failed { // who has waited for a store that is silent does not begin anew
		return
	}
	ctx, cancel := s.limit(s.running)
	defer cancel()
	record, _, _, err := s.readCluster(ctx)
	if err != nil {
		l.failed.Add(1)
		return // the next one that needs it asks again
	}
	i := slices.IndexFunc(record.Seals, func(k sealRecord) bool { return k.ID == id })
	if i < 0 {
		return
	}
	l.tried[id] = true
	for _, password := range s.config.Sealing.Passwords() {
		if key, fits := record.Seals[i].Key(password); fits {
			s.seals.put(id, key)
			s.log.Info("another server seals with a safe password that this one has as a previous one", slog.Uint64("seal_key", uint64(id)))
			return
		}
	}
	s.log.Warn("another server seals with a safe password that this one has not: give it this one too, in tokenizer.safe_password_previous", slog.Uint64("seal_key", uint64(id)))
}

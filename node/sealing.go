package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Sealing is what sealed attributes are sealed with.
type Sealing = auth.Sealing

// sealing holds the seal keys that this node could derive. They are found when the node starts: settle compares its passwords with what the
// cluster knows, and until then the node is not ready. A move of sessions into the cluster brings others, which are looked at then.
type sealing struct {
	node    *Node
	settled atomic.Bool

	mu      sync.RWMutex
	keys    map[uint32]*auth.SealKey
	present uint32 // the one of the present password; 0 = not known yet

	judged string // what was known when this was looked at; of run alone
	trials trials
}

func newSealing(n *Node) *sealing {
	return &sealing{node: n, keys: map[uint32]*auth.SealKey{}, trials: newTrials(n.config.Sealing)}
}

// misfit is why a node may not serve with the passwords that it has.
type misfit struct{ text string }

func (m *misfit) Error() string { return m.text }

const (
	sealRetry = 100 * time.Millisecond
	// sealWatch is how often a node looks whether the cluster still knows what keys it holds.
	sealWatch = time.Second
)

// run settles, and then sees to it that the cluster remembers: it knows a bounded number of nodes, and forgets the one that has said
// nothing for longest, which may be one that has run for long.
func (s *sealing) run(ctx context.Context) {
	s.begin(ctx)
	if !s.settled.Load() {
		return
	}
	for every := time.NewTicker(sealWatch); ; {
		select {
		case <-every.C:
			s.lookAgain(ctx)
			s.remind(ctx)
		case <-s.trials.asked:
			s.trials.answer(ctx)
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

// lookAgain derives what the node's passwords fit among keys that the cluster did not know before. A node that cannot open values among them goes on: it
// says so, and for those values others must be asked.
func (s *sealing) lookAgain(ctx context.Context) {
	now := s.knownKeys()
	if now == s.judged {
		return
	}
	err := s.settle(ctx)
	var bad *misfit
	if errors.As(err, &bad) {
		s.node.log.Error("this node cannot open what is sealed in sessions that were moved here", slog.String("error", bad.text))
		s.judged = now
	}
}

// knownKeys changes when the cluster knows other keys, and when a move has come to its end.
func (s *sealing) knownKeys() string {
	known, _ := s.node.fsm.SealKeys()
	ids := make([]uint32, len(known))
	for i, k := range known {
		ids[i] = k.ID
	}
	return fmt.Sprint(s.node.fsm.History(), ids)
}

// remind says what this node holds if the cluster has forgotten it. What fails is tried again.
func (s *sealing) remind(ctx context.Context) {
	ctx, cancel := s.node.limit(ctx)
	defer cancel()
	_ = s.tell(ctx)
}

// begin settles, trying again until the cluster can be read. A node whose passwords do not fit must stop.
func (s *sealing) begin(ctx context.Context) {
	for {
		err := s.settle(ctx)
		var bad *misfit
		switch {
		case err == nil:
			s.settled.Store(true)
			return
		case ctx.Err() != nil:
			return
		case errors.As(err, &bad):
			s.node.config.Fatal(bad)
			return
		}
		select {
		case <-time.After(sealRetry):
		case <-ctx.Done():
			return
		}
	}
}

// settle derives the keys that the cluster knows, makes one of the present password if it is new, and says what this node holds. Deriving takes as long as
// it takes: what is asked of the cluster before and after it has its own time each.
func (s *sealing) settle(ctx context.Context) error {
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	now := s.knownKeys()
	known, last := s.node.fsm.SealKeys()
	current, err := s.judge(ctx, known)
	if err != nil {
		return err
	}
	s.judged = now
	if s.node.config.Sealing.Password != "" && !current && s.node.serves() == nil {
		if err := s.add(ctx, last); err != nil {
			return err
		}
	}
	ctx, cancel := s.node.limit(ctx)
	defer cancel()
	return s.tell(ctx)
}

// catchUp makes sure that this node knows what the cluster does.
func (s *sealing) catchUp(ctx context.Context) error {
	ctx, cancel := s.node.limit(ctx)
	defer cancel()
	_, err := s.node.readAnyway(ctx, session.Call{})
	return err
}

// judge derives what the node's passwords fit, and tells whether the present one is among that. A key that the cluster had before sessions were moved
// into it does not count: the newest key seals, and that is to be the present password's and not one of the old home.
func (s *sealing) judge(ctx context.Context, known []fsm.SealKey) (current bool, err error) {
	passwords, before := s.node.config.Sealing.Passwords(), s.node.fsm.Moving().SealOffset
	s.forgetOthers(known)
	for _, k := range known {
		if !s.holds(k.ID) {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if t := s.trials.try(recipeOf(k)); t.key != nil {
				s.put(k.ID, t.key, t.present)
			}
		}
		current = current || s.isPresent(k.ID) && k.ID > before
	}
	missing := slices.IndexFunc(known, func(k fsm.SealKey) bool { return k.Uses > 0 && !s.holds(k.ID) })
	switch {
	case len(passwords) > 0 && len(known) > 0 && s.held() == 0:
		return false, &misfit{"tokenizer.safe_password is not the one that this cluster's attributes are sealed with, nor is any of tokenizer.safe_password_previous: give this node the other nodes' values"}
	case missing >= 0:
		return false, &misfit{fmt.Sprintf("%d attributes are sealed with a key that none of this node's safe passwords gives: put the password that was used before into tokenizer.safe_password_previous", known[missing].Uses)}
	}
	return current, nil
}

func recipeOf(k fsm.SealKey) auth.SealRecipe {
	return auth.SealRecipe{
		Salt: k.Salt, Check: k.Check, Params: auth.Params{MemoryKiB: k.MemoryKiB, Iterations: k.Iterations, Parallelism: k.Parallelism},
	}
}

// add makes the key of the present password known. Another node may have been faster: then it is judged anew.
func (s *sealing) add(ctx context.Context, last uint32) error {
	c := s.node.config
	key, r, err := auth.NewSealKey(c.Random, c.Sealing.Password, c.Sealing.Params)
	if err != nil {
		return err
	}
	ctx, cancel := s.node.limit(ctx)
	defer cancel()
	result, _, err := s.node.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PutSealKey{PutSealKey: &fsmpb.PutSealKey{
		After: last, Salt: r.Salt[:], Check: r.Check[:],
		MemoryKib: r.Params.MemoryKiB, Iterations: r.Params.Iterations, Parallelism: uint32(r.Params.Parallelism),
	}}})
	if err != nil {
		return err
	}
	if result.Code == fsmpb.Code_CODE_TOO_LARGE {
		return &misfit{fmt.Sprintf("this cluster has values sealed with %d different keys: bring them down with `hydrastore cluster reseal` before a new tokenizer.safe_password", session.MaxSealKeys)}
	}
	if err := resultError(result, "make a seal key known"); err != nil {
		return err
	}
	s.put(uint32(result.GetVersion()), key, true)
	s.node.log.Info("a new safe_password is known; it seals once all nodes have it", slog.Uint64("seal_key", result.GetVersion()))
	return nil
}

// tell says what this node holds, unless that is known.
func (s *sealing) tell(ctx context.Context) error {
	s.mu.RLock()
	ids := slices.Sorted(maps.Keys(s.keys))
	s.mu.RUnlock()
	self := s.node.cluster.NodeID()
	if told, ok := s.heldBy()[self]; slices.Equal(told, ids) && (ok || len(ids) == 0) {
		return nil
	}
	result, _, err := s.node.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_HoldSealKeys{HoldSealKeys: &fsmpb.HoldSealKeys{Node: self, Ids: ids}}})
	if err != nil {
		return err
	}
	return resultError(result, "say which seal keys this node holds")
}

func (s *sealing) heldBy() map[string][]uint32 {
	held := map[string][]uint32{}
	for _, h := range s.node.fsm.SealHolders() {
		held[h.Node] = h.IDs
	}
	return held
}

package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

const (
	// trialWait is how long a request waits for trials, at most: they take as long as their costs say, on a slow machine longer than any request.
	trialWait = time.Second
	// maxTrials bounds how many are remembered: the keys of the cluster, and those of a home that is about to be moved into it.
	maxTrials = 4 * session.MaxSealKeys
)

// trials derive seal keys from the node's passwords, one after the other and each once: a move that begins anew brings the same ones again.
type trials struct {
	passwords []string
	present   bool // the first password is the present one
	asked     chan struct{}

	mu     sync.Mutex
	done   map[auth.SealRecipe]trial
	wanted []auth.SealRecipe // by requests, the likeliest first
	step   chan struct{}     // closed with every trial
}

// trial is what came of one: key is nil where no password fits, and present tells that it is the present one's.
type trial struct {
	key     *auth.SealKey
	present bool
}

func newTrials(s auth.Sealing) trials {
	return trials{passwords: s.Passwords(), present: s.Password != "", asked: make(chan struct{}, 1), done: map[auth.SealRecipe]trial{}, step: make(chan struct{})}
}

// try takes its time, unless the recipe was tried before. It is for one goroutine.
func (t *trials) try(r auth.SealRecipe) trial {
	t.mu.Lock()
	known, done := t.done[r]
	t.mu.Unlock()
	if done {
		return known
	}
	var result trial
	for i, password := range t.passwords {
		if key, fits := r.Key(password); fits {
			result = trial{key, t.present && i == 0}
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.done) >= maxTrials {
		clear(t.done)
	}
	t.done[r] = result
	close(t.step)
	t.step = make(chan struct{})
	return result
}

// answer tries what requests have asked for, until one fits. What is left is for the time when it is there.
func (t *trials) answer(ctx context.Context) {
	t.mu.Lock()
	wanted := t.wanted
	t.mu.Unlock()
	for _, r := range wanted {
		if ctx.Err() != nil || t.try(r).key != nil {
			return
		}
	}
}

// fits tells whether some of the keys come from one of the node's passwords: nil, or an error that says that none does, or that this is not known yet.
func (t *trials) fits(ctx context.Context, keys []portable.SealKey) error {
	recipes := recipesOf(keys)
	ctx, cancel := context.WithTimeout(ctx, trialWait)
	defer cancel()
	for len(keys) > 0 {
		fits, left, step := t.look(recipes)
		switch {
		case fits:
			return nil
		case left == 0:
			return session.Errorf(session.CodeConflict, "what is sealed there opens with no password of this node: give its tokenizer.safe_password, or one of tokenizer.safe_password_previous, the value of the home that the sessions come from")
		}
		select {
		case t.asked <- struct{}{}:
		default:
		}
		select {
		case <-step:
		case <-ctx.Done():
			return &session.Error{
				Code: session.CodeUnavailable, Field: session.SealsField, RetryAfter: time.Second,
				Message: fmt.Sprintf("this node is looking whether it opens what is sealed there: %d of %d keys do not come from its passwords, and %d are to be tried; ask again", len(recipes)-left, len(recipes), left),
			}
		}
	}
	return nil
}

// look tells whether one of the recipes fits, how many are to be tried, and lets the caller wait for the next.
func (t *trials) look(recipes []auth.SealRecipe) (fits bool, left int, step <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range recipes {
		result, done := t.done[r]
		if !done {
			left++
		}
		fits = fits || result.key != nil
	}
	t.wanted = recipes
	return fits, left, t.step
}

// recipesOf gives those that can be recipes, each once, the newest first.
func recipesOf(keys []portable.SealKey) []auth.SealRecipe {
	seen := map[auth.SealRecipe]bool{}
	var out []auth.SealRecipe
	for _, k := range slices.Backward(keys) {
		r := auth.SealRecipe{Params: auth.Params{MemoryKiB: k.MemoryKiB, Iterations: k.Iterations, Parallelism: k.Parallelism}}
		if len(k.Salt) != len(r.Salt) || len(k.Check) != len(r.Check) {
			continue
		}
		copy(r.Salt[:], k.Salt)
		copy(r.Check[:], k.Check)
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

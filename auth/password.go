// Package auth answers "who are you": by the cluster's own passwords, hashed with argon2id, and by directories that are asked
// over LDAP.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/hydrastore/hydrastore/session"
)

// Params are argon2id's costs. They are written into every hash, so that they can be raised later.
type Params struct {
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
}

// DefaultParams are OWASP's: 19 MiB, two passes, one lane (Password Storage Cheat Sheet, "Argon2id").
func DefaultParams() Params { return Params{MemoryKiB: 19 << 10, Iterations: 2, Parallelism: 1} }

const (
	saltBytes = 16
	hashBytes = 32
	// The bounds of what a stored hash may ask of this machine.
	maxMemoryKiB  = 1 << 20
	maxIterations = 64
)

// Config of a Hasher. Zero fields take their default.
type Config struct {
	Params     Params
	Concurrent int       // hashes computed at once; default: the number of CPUs
	Waiting    int       // callers waiting for a turn before others are refused; default 256
	Random     io.Reader // default crypto/rand.Reader
}

// Hasher computes and verifies password hashes with a bounded number at once, so that a flood of log-ins takes
// neither all memory nor all processors. Safe for concurrent use.
type Hasher struct {
	params  Params
	random  io.Reader
	slots   chan struct{}
	waiting atomic.Int64
	most    int64
	decoy   string
}

// NewHasher makes a Hasher.
func NewHasher(c Config) (*Hasher, error) {
	if c.Params == (Params{}) {
		c.Params = DefaultParams()
	}
	if p := c.Params; p.MemoryKiB == 0 || p.MemoryKiB > maxMemoryKiB || p.Iterations == 0 || p.Iterations > maxIterations || p.Parallelism == 0 {
		return nil, fmt.Errorf("argon2id costs %+v: memory must be 1 to %d KiB, iterations 1 to %d, parallelism at least 1", p, maxMemoryKiB, maxIterations)
	}
	if c.Concurrent <= 0 {
		c.Concurrent = runtime.GOMAXPROCS(0)
	}
	if c.Waiting <= 0 {
		c.Waiting = 256
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	h := &Hasher{params: c.Params, random: c.Random, slots: make(chan struct{}, c.Concurrent), most: int64(c.Waiting)}
	var err error
	h.decoy, err = h.Hash(context.Background(), "")
	return h, err
}

// Concurrent is how many hashes are computed at once.
func (h *Hasher) Concurrent() int { return cap(h.slots) }

// Hash returns the PHC string of password under a fresh salt. Errors: session.CodeOverloaded when too many wait, ctx's error.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(h.random, salt); err != nil {
		return "", fmt.Errorf("draw salt: %w", err)
	}
	sum, err := h.compute(ctx, password, salt, h.params)
	if err != nil {
		return "", err
	}
	return phc{h.params, salt, sum}.String(), nil
}

// Verify tells whether password belongs to the stored hash. An empty hash stands for an unknown user or one
// without a password: it costs the same and is never right.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (bool, error) {
	known := stored != ""
	if !known {
		stored = h.decoy
	}
	parsed, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	sum, err := h.compute(ctx, password, parsed.salt, parsed.params)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, parsed.sum) == 1 && known, nil
}

// Outdated tells whether guessing a password from the stored hash costs less than it would from a new one: fewer blocks are
// computed. Costs that are only put together otherwise are left alone, so that nodes whose settings differ do not
// rewrite each other's hashes.
func (h *Hasher) Outdated(stored string) bool {
	p, err := parsePHC(stored)
	if err != nil {
		return false
	}
	work := func(p Params) uint64 { return uint64(p.MemoryKiB) * uint64(p.Iterations) }
	return work(p.params) < work(h.params)
}

func (h *Hasher) compute(ctx context.Context, password string, salt []byte, p Params) ([]byte, error) {
	if h.waiting.Add(1) > h.most {
		h.waiting.Add(-1)
		return nil, &session.Error{Code: session.CodeOverloaded, Message: "too many log-ins are waiting for their password check", RetryAfter: time.Second}
	}
	select {
	case h.slots <- struct{}{}:
		h.waiting.Add(-1)
	case <-ctx.Done():
		h.waiting.Add(-1)
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, p.Iterations, p.MemoryKiB, p.Parallelism, hashBytes), nil
}

// phc is a hash in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	params    Params
	salt, sum []byte
}

var errBadHash = errors.New("stored password hash is not a valid argon2id PHC string")

func (p phc) String() string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.params.MemoryKiB, p.params.Iterations,
		p.params.Parallelism, e.EncodeToString(p.salt), e.EncodeToString(p.sum))
}

func parsePHC(text string) (phc, error) {
	var p phc
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errBadHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.params.MemoryKiB, &p.params.Iterations, &p.params.Parallelism); err != nil {
		return p, errBadHash
	}
	if p.params.MemoryKiB > maxMemoryKiB || p.params.Iterations > maxIterations || p.params.Iterations == 0 || p.params.Parallelism == 0 {
		return p, errBadHash
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) == 0 || len(p.sum) != hashBytes {
		return p, errBadHash
	}
	return p, nil
}

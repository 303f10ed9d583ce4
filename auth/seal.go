package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/argon2"
)

const (
	sealSaltBytes  = 16
	sealCheckBytes = 16
	sealKeyBytes   = 32
	sealNonceBytes = 12
)

// DefaultSealParams are the costs of deriving a seal key, once when a node starts: RFC 9106's second recommendation.
func DefaultSealParams() Params { return Params{MemoryKiB: 64 << 10, Iterations: 3, Parallelism: 4} }

// SealRecipe is how a seal key comes from a password. It is no secret; whoever has it can only guess, at Params' cost a guess.
type SealRecipe struct {
	Salt   [sealSaltBytes]byte
	Params Params
	Check  [sealCheckBytes]byte // tells the right password
}

// SealKey seals and opens values. Safe for concurrent use. It prints as nothing: it is a secret.
type SealKey struct{ secret []byte }

// String keeps the secret out of every text.
func (k *SealKey) String() string { return "seal key" }

// GoString keeps the secret out of %#v.
func (k *SealKey) GoString() string { return "auth.SealKey{}" }

// NewSealKey derives a key from a password under a fresh salt, and gives the recipe with which others derive it.
func NewSealKey(random io.Reader, password string, p Params) (*SealKey, SealRecipe, error) {
	if random == nil {
		random = rand.Reader
	}
	r := SealRecipe{Params: p}
	if _, err := io.ReadFull(random, r.Salt[:]); err != nil {
		return nil, r, fmt.Errorf("draw salt: %w", err)
	}
	k, check, err := r.derive(password)
	r.Check = check
	return k, r, err
}

// Key derives the key; false when the password is not the recipe's. It takes a part of a second.
func (r SealRecipe) Key(password string) (*SealKey, bool) {
	k, check, err := r.derive(password)
	if err != nil || subtle.ConstantTimeCompare(check[:], r.Check[:]) != 1 {
		return nil, false
	}
	return k, true
}

func (r SealRecipe) derive(password string) (*SealKey, [sealCheckBytes]byte, error) {
	var check [sealCheckBytes]byte
	if p := r.Params; p.MemoryKiB == 0 || p.MemoryKiB > maxMemoryKiB || p.Iterations == 0 || p.Iterations > maxIterations || p.Parallelism == 0 {
		return nil, check, fmt.Errorf("argon2id costs %+v of a seal key are out of bounds", p)
	}
	k := &SealKey{secret: argon2.IDKey([]byte(password), r.Salt[:], r.Params.Iterations, r.Params.MemoryKiB, r.Params.Parallelism, sealKeyBytes)}
	told, err := hkdf.Key(sha256.New, k.secret, nil, "hydrastore seal check", sealCheckBytes)
	copy(check[:], told)
	return k, check, err
}

// Seal appends nonce and ciphertext of a value to dst. It can be opened only for the same owner and name.
func (k *SealKey) Seal(dst []byte, random io.Reader, owner []byte, name string, value []byte) ([]byte, error) {
	box, err := k.box(owner)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, sealNonceBytes)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return box.Seal(append(dst, nonce...), nonce, value, place(owner, name)), nil
}

var errSealed = errors.New("a sealed value does not open: it is damaged, or another session's")

// Open is the way back.
func (k *SealKey) Open(sealed, owner []byte, name string) ([]byte, error) {
	box, err := k.box(owner)
	if err != nil {
		return nil, err
	}
	if len(sealed) < sealNonceBytes {
		return nil, errSealed
	}
	value, err := box.Open(nil, sealed[:sealNonceBytes], sealed[sealNonceBytes:], place(owner, name))
	if err != nil {
		return nil, errSealed
	}
	return value, nil
}

// box has a key of its own for each owner, so that random nonces need only differ within one session.
func (k *SealKey) box(owner []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret, owner, "hydrastore seal", sealKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive session's seal key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use seal key: %w", err)
	}
	return cipher.NewGCM(block)
}

// place binds a value to its place: a session id has a fixed length, so no two places agree.
func place(owner []byte, name string) []byte { return append(append([]byte(nil), owner...), name...) }

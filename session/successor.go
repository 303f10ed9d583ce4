package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// SealedKeyBytes is the size of a sealed key: its secret and the tag of AES-GCM.
const SealedKeyBytes = KeySecretBytes + 16

// successorUse separates keys derived here from all others.
const successorUse = "hydrastore session key successor v1"

var errNotSealed = errors.New("open successor: it was not sealed under this key")

// SealSuccessor encrypts the key that follows k, so that whoever holds k can open it and nobody else: not with a disk, not with
// the log.
//
// The cipher's key is HKDF-SHA256(k) with the successor's hash as salt. So it serves for one plaintext only, and its nonce
// can be zero. What is sealed is the successor's secret: it is spelled again in the format of k, which must be the successor's.
func (k Key) SealSuccessor(successor Key) ([]byte, error) {
	secret, err := successor.secret()
	if err != nil {
		return nil, fmt.Errorf("seal successor: %w", err)
	}
	aead, err := k.successorCipher(successor.Hash())
	if err != nil {
		return nil, fmt.Errorf("seal successor: %w", err)
	}
	return aead.Seal(nil, make([]byte, aead.NonceSize()), secret[:], nil), nil
}

// OpenSuccessor decrypts the key with that hash, which was sealed under k.
func (k Key) OpenSuccessor(sealed []byte, hash KeyHash) (Key, error) {
	aead, err := k.successorCipher(hash)
	if err != nil {
		return Key{}, fmt.Errorf("open successor: %w", err)
	}
	secret, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, nil)
	if err != nil || len(secret) != KeySecretBytes {
		return Key{}, errNotSealed
	}
	successor, err := k.Format().spell(k.user(), keySecret(secret))
	if err != nil || !successor.Hash().Equal(hash) {
		return Key{}, errNotSealed
	}
	return successor, nil
}

func (k Key) successorCipher(successor KeyHash) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, []byte(k.identity()), successor[:], successorUse, sha256.Size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

package gossip

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// Keys are rotated without a gap by doing one step on all nodes before the next: InstallKey, UseKey, RemoveKey. These
// methods work on this node alone. No error of theirs holds a key.

// Errors of the key ring.
var (
	// ErrNotEncrypted: the pool was started without keys; it must be started again with them.
	ErrNotEncrypted = errors.New("gossip: the pool is not encrypted, it must be started with keys")
	// ErrUnknownKey: the key is not installed on this node.
	ErrUnknownKey = errors.New("gossip: the key is not installed, install it on all nodes first")
	// ErrKeyInUse: the key that encrypts cannot be removed.
	ErrKeyInUse = errors.New("gossip: the key is in use, use another on all nodes first")
	// ErrTooManyKeys: the ring is full.
	ErrTooManyKeys = fmt.Errorf("gossip: the ring holds %d keys, remove one first", maxKeys)
)

func validKey(key []byte) error {
	if err := memberlist.ValidateKey(key); err != nil {
		return fmt.Errorf("a key has 16, 24 or 32 bytes, this one %d", len(key))
	}
	return nil
}

// newKeyring copies the keys; nil when there are none.
func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	own := make([][]byte, len(keys))
	for i, key := range keys {
		own[i] = bytes.Clone(key)
	}
	return memberlist.NewKeyring(own, own[0])
}

// InstallKey makes this node understand key. Installing a key twice changes nothing.
func (p *Pool) InstallKey(key []byte) error {
	if err := validKey(key); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return p.withRing(func(ring *memberlist.Keyring) error {
		if len(ring.GetKeys()) >= maxKeys && !holds(ring, key) {
			return ErrTooManyKeys
		}
		return ring.AddKey(bytes.Clone(key))
	})
}

// UseKey makes this node encrypt with key.
func (p *Pool) UseKey(key []byte) error {
	return p.withRing(func(ring *memberlist.Keyring) error {
		if !holds(ring, key) {
			return ErrUnknownKey
		}
		return ring.UseKey(bytes.Clone(key))
	})
}

// RemoveKey makes this node forget key. Removing a key that is not installed changes nothing.
func (p *Pool) RemoveKey(key []byte) error {
	return p.withRing(func(ring *memberlist.Keyring) error {
		primary := ring.GetPrimaryKey()
		if bytes.Equal(primary, key) {
			return ErrKeyInUse
		}
		if !holds(ring, key) {
			return nil
		}
		// memberlist removes a key within the slice that packets under way may be reading. Using the primary again
		// makes a slice of its own first.
		if err := ring.UseKey(primary); err != nil {
			return err
		}
		return ring.RemoveKey(key)
	})
}

// Keys returns copies of the installed keys, the one that encrypts first. They are secrets.
func (p *Pool) Keys() [][]byte {
	var keys [][]byte
	err := p.withRing(func(ring *memberlist.Keyring) error {
		for _, key := range ring.GetKeys() {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	if err != nil {
		return nil // not encrypted: no keys
	}
	return keys
}

// withRing runs f on the ring, one at a time.
func (p *Pool) withRing(f func(*memberlist.Keyring) error) error {
	if p.ring == nil {
		return ErrNotEncrypted
	}
	p.ringMu.Lock()
	defer p.ringMu.Unlock()
	return f(p.ring)
}

func holds(ring *memberlist.Keyring, key []byte) bool {
	for _, k := range ring.GetKeys() {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

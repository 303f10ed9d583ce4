package session_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func TestASuccessorOpensUnderItsPredecessorAlone(t *testing.T) {
	t.Parallel()
	old, next, other := newKey(t), newKey(t), newKey(t)
	sealed, err := old.SealSuccessor(next)
	if err != nil || len(sealed) != session.SealedKeyBytes {
		t.Fatalf("sealed %d bytes, %v", len(sealed), err)
	}
	if got, err := old.OpenSuccessor(sealed, next.Hash()); err != nil || got != next {
		t.Fatalf("opened %v, %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[3] ^= 1
	for name, open := range map[string]func() (session.Key, error){
		"another key":     func() (session.Key, error) { return other.OpenSuccessor(sealed, next.Hash()) },
		"itself":          func() (session.Key, error) { return next.OpenSuccessor(sealed, next.Hash()) },
		"no key":          func() (session.Key, error) { return session.Key{}.OpenSuccessor(sealed, next.Hash()) },
		"another hash":    func() (session.Key, error) { return old.OpenSuccessor(sealed, other.Hash()) },
		"a changed byte":  func() (session.Key, error) { return old.OpenSuccessor(changed, next.Hash()) },
		"a byte too few":  func() (session.Key, error) { return old.OpenSuccessor(sealed[1:], next.Hash()) },
		"nothing at all":  func() (session.Key, error) { return old.OpenSuccessor(nil, next.Hash()) },
		"a byte too many": func() (session.Key, error) { return old.OpenSuccessor(append(bytes.Clone(sealed), 0), next.Hash()) },
	} {
		if got, err := open(); err == nil || !got.IsZero() {
			t.Errorf("%s opened %v, %v", name, got, err)
		}
	}
	if _, err := old.SealSuccessor(session.Key{}); err == nil {
		t.Error("sealed no key")
	}
}

// Two successors of one key, of which the log keeps the sealed form, have no bytes in common: none tells of the other.
func TestSuccessorsOfOneKeyAreSealedApart(t *testing.T) {
	t.Parallel()
	old, a, b := newKey(t), newKey(t), newKey(t)
	one, err := old.SealSuccessor(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := old.SealSuccessor(b)
	if err != nil {
		t.Fatal(err)
	}
	// Under one key stream the difference of the sealed forms would be that of the secrets.
	difference := make([]byte, 8)
	for i := range difference {
		difference[i] = one[i] ^ two[i]
	}
	again, err := newKey(t).SealSuccessor(a)
	if err != nil {
		t.Fatal(err)
	}
	third, err := newKey(t).SealSuccessor(b)
	if err != nil {
		t.Fatal(err)
	}
	same := true
	for i := range difference {
		same = same && difference[i] == again[i]^third[i]
	}
	if same || bytes.Equal(one[:8], two[:8]) {
		t.Error("successors are sealed under one key stream")
	}
}

func TestRotateGraceRules(t *testing.T) {
	t.Parallel()
	for grace, want := range map[time.Duration]bool{
		0: true, time.Millisecond: true, session.MaxRotateGrace: true, session.MaxRotateGrace + time.Millisecond: false, -time.Millisecond: false,
	} {
		p := session.DefaultPolicy()
		p.RotateGrace = grace
		if err := p.Validate(); (err == nil) != want {
			t.Errorf("a grace of %v: %v", grace, err)
		}
	}
}

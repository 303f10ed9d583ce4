package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (l *log) sealUses(id uint32) int {
	keys, _ := l.m.SealKeys()
	for _, k := range keys {
		if k.ID == id {
			return k.Uses
		}
	}
	return -1
}

func (l *log) wantUses(id uint32, want int) {
	l.t.Helper()
	if got := l.sealUses(id); got != want {
		l.t.Fatalf("key %d seals %d values, want %d", id, got, want)
	}
}

func withSealed(n int, values ...[]byte) *fsmpb.CreateSession {
	c := vouched(n, "ann")
	for i, v := range values {
		c.Attributes = append(c.Attributes, &fsmpb.Attribute{Name: fmt.Sprint("a", i), Value: v})
	}
	return c
}

func TestUsesOfSealKeysAreCounted(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.wantCode(create(withSealed(1, sealedValue(1, 'x'))), codeConflict) // no such key
	l.must(sealCommand(putSealKey(0)))
	l.must(create(withSealed(1, sealedValue(1, 'x'), []byte(`"plain"`), sealedValue(1, 'y'))))
	l.wantUses(1, 2)
	l.must(patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system(), Changes: []*fsmpb.AttributeChange{
		{Name: "a0", Delete: true}, {Name: "a1", Value: sealedValue(1, 'z')}}}))
	l.wantUses(1, 2)
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.wantUses(1, 2)
	l.must(patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system(), Changes: []*fsmpb.AttributeChange{{Name: "a2", Value: []byte("1")}}}))
	l.wantUses(1, 1)
	l.must(revokeKey(1))
	l.wantUses(1, 0)
}

// Sealing anew races with whatever the session's owner does, and must lose.
func TestReplacingSealedValuesChangesNothingElse(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(sealCommand(putSealKey(0)))
	l.must(sealCommand(putSealKey(1)))
	made := l.must(create(withSealed(1, sealedValue(1, 'x'), sealedValue(1, 'y'), []byte(`"plain"`)))).GetSession()
	l.clock += 5000
	change := func(name string, old, new []byte) *fsmpb.SealedChange {
		return &fsmpb.SealedChange{Name: name, Old: old, New: new}
	}
	done := l.must(replaceSealed(&fsmpb.ReplaceSealed{Id: bytesOf(idOf(1)), Changes: []*fsmpb.SealedChange{
		change("a0", sealedValue(1, 'x'), sealedValue(2, 'x')),
		change("a1", sealedValue(1, 'o'), sealedValue(2, 'q')), // it was changed meanwhile
		change("a2", []byte(`"plain"`), sealedValue(2, 'q')),
		change("gone", sealedValue(1, 'x'), sealedValue(2, 'q')),
	}}))
	r, _ := l.m.SessionByKey(keyOf(1))
	if done.GetCount() != 1 || r.AttributesVersion != made.AttributesVersion || r.LastUseMS != made.LastUseMs {
		t.Fatalf("changed %d, record %+v", done.GetCount(), r)
	}
	want := [][]byte{sealedValue(2, 'x'), sealedValue(1, 'y'), []byte(`"plain"`)}
	for i, a := range r.Attributes {
		if !bytes.Equal(a.Value, want[i]) {
			t.Errorf("%s is %q", a.Name, a.Value)
		}
	}
	l.wantUses(1, 1)
	l.wantUses(2, 1)
	l.must(revokeKey(1))
	l.wantCode(replaceSealed(&fsmpb.ReplaceSealed{Id: bytesOf(idOf(1))}), codeNotFound)
}

func TestSealKeysAreBounded(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for id := range uint32(session.MaxSealKeys) {
		l.must(sealCommand(putSealKey(id)))
		l.must(create(withSealed(int(id), sealedValue(id+1, 'x'))))
	}
	l.wantCode(sealCommand(putSealKey(session.MaxSealKeys)), codeTooLarge)
	l.must(revokeKey(4))
	l.wantCode(sealCommand(putSealKey(3)), codeConflict)
	l.must(sealCommand(putSealKey(session.MaxSealKeys)))
	l.wantUses(5, -1) // it was no longer needed
	l.wantCode(create(withSealed(99, sealedValue(5, 'x'))), codeConflict)
	for i := range session.MaxSealHolders + 3 {
		l.must(holdSealKeys(fmt.Sprint("node-", i), 1, 2))
	}
	if h := l.m.SealHolders(); len(h) != session.MaxSealHolders || h[0].Node != "node-3" {
		t.Fatalf("%d holders from %s", len(h), h[0].Node)
	}
}

func TestSealCommandsThatAreMalformed(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(sealCommand(putSealKey(0)))
	l.must(create(withSealed(1, sealedValue(1, 'x'))))
	key := func(change func(*fsmpb.PutSealKey)) *fsmpb.Command {
		c := putSealKey(1)
		change(c)
		return sealCommand(c)
	}
	replace := func(changes ...*fsmpb.SealedChange) *fsmpb.Command {
		return replaceSealed(&fsmpb.ReplaceSealed{Id: bytesOf(idOf(1)), Changes: changes})
	}
	for name, c := range map[string]*fsmpb.Command{
		"short salt":    key(func(c *fsmpb.PutSealKey) { c.Salt = c.Salt[1:] }),
		"short check":   key(func(c *fsmpb.PutSealKey) { c.Check = nil }),
		"no memory":     key(func(c *fsmpb.PutSealKey) { c.MemoryKib = 0 }),
		"no time":       key(func(c *fsmpb.PutSealKey) { c.Iterations = 0 }),
		"many lanes":    key(func(c *fsmpb.PutSealKey) { c.Parallelism = 256 }),
		"no node":       holdSealKeys("", 1),
		"key 0":         holdSealKeys("a", 0),
		"keys twice":    holdSealKeys("a", 1, 1),
		"in the clear":  replace(&fsmpb.SealedChange{Name: "a0", Old: sealedValue(1, 'x'), New: []byte("1")}),
		"unknown key":   replace(&fsmpb.SealedChange{Name: "a0", Old: sealedValue(1, 'x'), New: sealedValue(7, 'x')}),
		"nothing in it": replace(&fsmpb.SealedChange{Name: "a0", Old: sealedValue(1, 'x'), New: fsm.SealHeader(1)}),
		"no id":         replaceSealed(&fsmpb.ReplaceSealed{}),
	} {
		if r := l.do(c); r.Code != codeInvalid {
			t.Errorf("%s: got %v", name, r)
		}
	}
}

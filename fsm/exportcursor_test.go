package fsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// TestAnExportOfUsersDoesNotGoOnAfterARestore: a restore gives users other places, so that one who stands behind the cursor before it can stand before it
// afterwards, and would be left out in silence.
func TestAnExportOfUsersDoesNotGoOnAfterARestore(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]fsm.Options{"in the same process": {HashSeed: 7}, "in another process": {HashSeed: 8}} {
		l := newLog(t, fsm.Options{HashSeed: 7})
		for i := range 4 {
			l.must(create(vouched(1+i, fmt.Sprint("guest-", i)))) // they go again, and leave their places free
		}
		for i := range 4 {
			l.must(putUser(account("user-"+strconv.Itoa(i), "$hash")))
		}
		for i := range 4 {
			l.must(revokeUser(&fsmpb.RevokeUserSessions{User: fmt.Sprint("guest-", i), Authority: system()}))
		}
		l.apply()
		l.must(closeCluster())
		page, cursor, err := l.m.ExportUsers("", 2)
		if err != nil || len(page) != 2 || cursor == "" {
			t.Fatalf("%s: the first page has %d users, %v", name, len(page), err)
		}
		again, _, err := l.m.ExportUsers(cursor, 10)
		if err != nil || len(again) != 2 {
			t.Errorf("%s: before a restore %d users follow, %v; want 2", name, len(again), err)
		}
		m := l.m
		if o.HashSeed != 7 {
			m = fsm.New(o)
		}
		if err := m.Restore(bytes.NewReader(snapshotOf(t, l.m))); err != nil {
			t.Fatal(err)
		}
		rest, _, err := m.ExportUsers(cursor, 10)
		if !errors.Is(err, fsm.ErrExportOver) {
			t.Errorf("%s: after a restore %d users follow, %v; 2 are left", name, len(rest), err)
		}
		if all, next, err := m.ExportUsers("", 10); err != nil || len(all) != 4 || next != "" {
			t.Errorf("%s: anew, %d users, %v", name, len(all), err)
		}
	}
}

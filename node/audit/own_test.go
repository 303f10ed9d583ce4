package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node/audit"
)

// ownTexts are the lines about sessions of the node alone, each as its event or the reason of its gap; they are numbered from 1 without a hole.
func ownTexts(t *testing.T, text []byte) (all []string) {
	t.Helper()
	for raw := range bytes.Lines(text) {
		var l struct {
			Event, Reason, User, Node string
			Sequence, Count           uint64
		}
		if json.Unmarshal(raw, &l) != nil || l.Sequence == 0 {
			continue
		}
		all = append(all, strings.TrimSpace(l.Event+" "+l.User+l.Reason))
		if l.Sequence != uint64(len(all)) || l.Node != "n1" {
			t.Errorf("line %d is %s", len(all), raw)
		}
	}
	return all
}

func ownLogin(t *testing.T, trail *audit.Trail, user string) {
	t.Helper()
	trail.Own(t.Context(), start, fsm.Event{Kind: fsm.EventLogin, User: user})
}

// TestOwnLinesAreThereWhenAnswered: a killed process loses none that was waited for, the next one goes on with the numbers, says that others may be missing, and repeats nothing of the log.
func TestOwnLinesAreThereWhenAnswered(t *testing.T) {
	t.Parallel()
	c := settings(t.TempDir())
	c.Own = true
	trail := open(t, c)
	trail.Entry(5, start, events(5, 2))
	ownLogin(t, trail, "ann")
	ownLogin(t, trail, "bob")
	trail.Entry(6, start, events(6, 1))
	if err := trail.Settled(6); err != nil {
		t.Fatal(err)
	}
	ownLogin(t, trail, "zoe")
	if got := fmt.Sprint(ownTexts(t, readFile(t, c.File))); got != "[login ann login bob login zoe]" {
		t.Errorf("got %s", got)
	}
	trail.Entry(7, start, events(7, 1))
	eventually(t, "the line of entry 7", func() bool { return bytes.Contains(readFile(t, c.File), []byte("user-7-0")) })
	killed := settings(t.TempDir()) // what is on disk now
	killed.Own = true
	for from, to := range map[string]string{c.File: killed.File, c.Mark: killed.Mark} {
		text := bytes.ReplaceAll(readFile(t, from), []byte(c.File), []byte(killed.File))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closeTrail(t, trail)
	for run, want := range []string{
		"[login ann login bob login zoe gap killed login eve]",
		"[login ann login bob login zoe gap killed login eve login eve]", // it was closed
	} {
		next := open(t, killed)
		for index := range uint64(2) {
			next.Entry(6+index, 0, events(6+index, 1))
		}
		ownLogin(t, next, "eve")
		closeTrail(t, next)
		text := readFile(t, killed.File)
		if got := fmt.Sprint(ownTexts(t, text)); got != want {
			t.Errorf("run %d: got %s, want %s", run, got, want)
		}
		if n := bytes.Count(text, []byte("user-7-0")); n != 1 {
			t.Errorf("run %d: the line of entry 7 is there %d times", run, n)
		}
	}
}

// stuckOutput takes nothing until it is let go.
type stuckOutput struct {
	bytes.Buffer
	free chan struct{}
}

func (o *stuckOutput) Write(p []byte) (int, error) {
	<-o.free
	return o.Buffer.Write(p)
}

// TestOwnLinesHoldNobodyUp: where the trail does not get on, what is told waits in memory, within its bound, and what does not fit is counted.
func TestOwnLinesHoldNobodyUp(t *testing.T) {
	t.Parallel()
	out := &stuckOutput{free: make(chan struct{})}
	c := settings(t.TempDir())
	c.Own, c.File, c.Output, c.QueueLines = true, audit.Stdout, io.Writer(out), 4
	c.Mark = filepath.Join(t.TempDir(), "audit.mark")
	trail := open(t, c)
	ended, end := context.WithCancel(t.Context())
	end() // nobody waits
	tell := func(user string) { trail.Own(ended, start, fsm.Event{Kind: fsm.EventLogin, User: user}) }
	tell("taken") // by the writer, which stands still with it
	eventually(t, "taken", func() bool { return trail.Figures().Waiting == 0 })
	for i := range 7 {
		tell(fmt.Sprintf("user%d", i))
	}
	if f := trail.Figures(); f.Waiting != 4 || f.Lost != 3 {
		t.Errorf("figures %+v, want 4 that wait and 3 that are lost", f)
	}
	close(out.free)
	closeTrail(t, trail)
	want := "[login taken login user0 login user1 login user2 login user3 gap queue_full]"
	if got := fmt.Sprint(ownTexts(t, out.Bytes())); got != want || !bytes.Contains(out.Bytes(), []byte(`"reason":"queue_full","count":3`)) {
		t.Errorf("got %s, want %s:\n%s", got, want, out.Bytes())
	}
}

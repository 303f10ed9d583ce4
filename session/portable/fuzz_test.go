package portable_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hydrastore/hydrastore/session/portable"
)

// FuzzParse: what is read as a record is written as one that says the same.
func FuzzParse(f *testing.F) {
	for _, r := range whole() {
		text, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"user":{"name":"ada","last_number":1}}`))
	f.Add([]byte(`{"session":{"id":"","roles":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := portable.Parse(text)
		if err != nil {
			return
		}
		first, err := r.Encode()
		if err != nil {
			return // longer than it was read
		}
		again, err := portable.Parse(first)
		if err != nil {
			t.Fatalf("%s is written as %s, which is none: %v", text, first, err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s becomes %s, %v", first, second, err)
		}
		if got, want := tally(t, withPolicy(again)...), tally(t, withPolicy(r)...); !got.Equal(want) {
			t.Errorf("%s counts as %s and as %s", text, got.Sum(), want.Sum())
		}
	})
}

// withPolicy lets the policy come before what is past of it.
func withPolicy(r portable.Record) []portable.Record {
	if r.Past == nil {
		return []portable.Record{r}
	}
	return []portable.Record{{Cluster: &portable.Cluster{Policies: []portable.Policy{{Name: r.Past.Policy}}}}, r}
}

// FuzzFile reads any lines under a last line that fits them: what is taken is what the lines say, and comes through another file as it is.
func FuzzFile(f *testing.F) {
	text, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	f.Add(bytes.Join(lines[1:5], nil))
	f.Add(bytes.Join([][]byte{lines[1], lines[4], lines[3]}, nil))
	f.Add(lines[1][:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		file, said := fileOf(lines[0], body)
		path := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := readAll(t.Context(), path)
		if err != nil {
			if len(all) > 0 {
				t.Errorf("%d records of a file that is none: %v", len(all), err)
			}
			return
		}
		if len(all) != said {
			t.Errorf("read %d records of %d", len(all), said)
		}
		if len(all) == 0 {
			return // and so no file that a move would write
		}
		again, err := readAll(t.Context(), writeFile(t, all))
		if got, want := tally(t, again...), tally(t, all...); err != nil || len(again) != len(all) || !got.Equal(want) {
			t.Errorf("got %d records with %s, %v, want %d with %s", len(again), got.Sum(), err, len(all), want.Sum())
		}
	})
}

// fileOf puts lines between a first and a last one, and tells how many of them are records.
func fileOf(head, body []byte) (file []byte, records int) {
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body, '\n')
	}
	sum := &portable.Tally{}
	for line := range bytes.Lines(body) {
		if r, err := portable.Parse(bytes.TrimSuffix(line, []byte("\n"))); err == nil && sum.Add(r) == nil {
			records++
		}
	}
	file = append(bytes.Clone(head), body...)
	return fmt.Appendf(file, "{\"end\":{\"users\":%d,\"sessions\":%d,\"sum\":\"%s\",\"sha256\":\"%x\"}}\n", sum.Users, sum.Sessions, sum.Sum(), sha256.Sum256(file)), records
}

package portable_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session/portable"
)

var update = flag.Bool("update", false, "write testdata/sessions.jsonl")

const golden = "testdata/sessions.jsonl"

// writeFile writes records into a new file and returns its path.
func writeFile(t *testing.T, all []portable.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sessions.jsonl")
	f := portable.NewFile(path)
	if _, err := portable.Move(t.Context(), &home{records: all}, f, silent); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func silent(*portable.Tally) {}

func readAll(ctx context.Context, path string) (all []portable.Record, err error) {
	err = portable.NewFile(path).Each(ctx, func(r portable.Record) error { all = append(all, r); return nil })
	return all, err
}

func TestFileRoundTrip(t *testing.T) {
	t.Parallel()
	want := many(3 * portable.Page)
	path := writeFile(t, want)
	got, err := readAll(t.Context(), path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %d records, %v; want %d", len(got), err, len(want))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

// TestFileFormat: what a release writes, the next one must read.
func TestFileFormat(t *testing.T) {
	t.Parallel()
	path := writeFile(t, whole())
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is\n%s\nand was\n%s\n%v; run with -update if that is meant, and think of the files that were written before", got, want, err)
	}
	all, err := readAll(t.Context(), golden)
	if err != nil || !reflect.DeepEqual(all, whole()) {
		t.Errorf("read %+v, %v", all, err)
	}
}

// TestDamageIsFound changes, takes out and adds every single byte, and cuts the file off everywhere.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged.jsonl")
	damaged := func(what string, at int, text []byte) {
		t.Helper()
		if bytes.Equal(text, whole) {
			return
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := readAll(t.Context(), path); err == nil || len(all) > 0 {
			t.Errorf("%s at %d: read %d records, %v", what, at, len(all), err)
		}
	}
	last := bytes.LastIndex(whole, []byte(`{"end":`))
	for i, b := range whole {
		bits := []byte{1, 0x10, 0x20, 0x80} // 0x20: lower or upper case
		if i < last {
			bits = bits[i%4 : i%4+1] // a checksum is over it
		}
		for _, bit := range bits {
			changed := bytes.Clone(whole)
			changed[i] = b ^ bit
			damaged("changed", i, changed)
		}
		damaged("taken out", i, slices.Delete(bytes.Clone(whole), i, i+1))
		damaged("a space added", i, slices.Insert(bytes.Clone(whole), i, ' '))
		damaged("cut off", i, whole[:i])
	}
	damaged("something after it", len(whole), append(bytes.Clone(whole), ' '))
	damaged("twice", len(whole), append(bytes.Clone(whole), whole...))
}

// TestWhatIsNoFile says what is wrong.
func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for what, c := range map[string]struct{ text, want string }{
		"empty":                  {"", "not whole"},
		"no end":                 {strings.Join(lines[:5], ""), "not whole"},
		"another file":           {"{}\n" + string(text), ":1: this is no file of sessions"},
		"another format":         {strings.Replace(string(text), `"format":1`, `"format":7`, 1), "another format, 7"},
		"users after sessions":   {lines[0] + lines[1] + lines[4] + lines[3], ":4: records are not in order"},
		"users before the past":  {lines[0] + lines[1] + lines[3] + lines[2], ":4: records are not in order"},
		"the cluster twice":      {lines[0] + lines[1] + lines[1], ":3: records are not in order"},
		"no cluster":             {lines[0] + lines[2], ":2: records are not in order"},
		"an unknown field":       {lines[0] + strings.Replace(lines[1], `{"id"`, `{"king":1,"id"`, 1), `unknown field "king"`},
		"an end with more in it": {strings.Replace(string(text), `{"end":{`, `{"end":{"king":1,`, 1), `unknown field "end"`},
		"a line as long":         {lines[0] + strings.Repeat("x", portable.MaxRecordBytes) + "\n", ":2: read a record"},
		"a line too long":        {lines[0] + strings.Repeat("x", portable.MaxRecordBytes+1) + "\n", ":2: a line has at most 262144 bytes"},
		"a line without end":     {lines[0] + strings.Repeat("x", 3*portable.MaxRecordBytes), ":2: a line has at most 262144 bytes"},
		"another count":          {strings.Replace(string(text), `"sessions":1`, `"sessions":2`, 1), "is damaged"},
		"more after the end":     {string(text) + "\n", ":7: something follows the last line"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := readAll(t.Context(), path); err == nil || !strings.Contains(err.Error(), c.want) || len(all) > 0 {
			t.Errorf("%s: read %d records, %v; want %s", what, len(all), err, c.want)
		}
	}
	if _, err := readAll(t.Context(), filepath.Join(t.TempDir(), "none")); !os.IsNotExist(unwrapped(err)) {
		t.Errorf("no file: %v", err)
	}
}

func unwrapped(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

// TestAFileIsThereWhenItIsWhole: what broke off leaves nothing, and no file is written over.
func TestAFileIsThereWhenItIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "sessions.jsonl")
	broken := &home{records: many(portable.Page), each: func(n int) error {
		if entries, err := os.ReadDir(dir); n > 2 && (err != nil || len(entries) != 1 || filepath.Join(dir, entries[0].Name()) == path) {
			t.Errorf("record %d: the folder has %v, %v", n, entries, err)
		}
		if n == portable.Page {
			return errBroken
		}
		return nil
	}}
	f := portable.NewFile(path)
	if _, err := portable.Move(t.Context(), broken, f, silent); err == nil {
		t.Fatal("it did not break off")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := portable.Move(t.Context(), &home{records: many(1)}, portable.NewFile(path), silent); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over another file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "other" {
		t.Errorf("the other file has %q, %v", text, err)
	}
}

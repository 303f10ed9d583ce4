package backend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	moveFileFormat = 1
	// maxMoveLine bounds a line of a file: a record and what stands around it.
	maxMoveLine = MaxValueBytes + 4<<10
)

// moveLine is one line of a file of sessions: the first, a record, or the last.
type moveLine struct {
	Hydrastore string          `json:"hydrastore,omitempty"` // "sessions"; the first line
	Format     int             `json:"format,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	ID         string          `json:"id,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
	End        *moveEnd        `json:"end,omitempty"` // the last line: without it the file is not whole
}

type moveEnd struct {
	Users    int    `json:"users"`
	Sessions int    `json:"sessions"`
	Sum      string `json:"sum"`
}

// MoveFile lets sessions be moved from and to a file of JSON lines, of mode 0600. It holds hashes of keys and passwords, and no key. Nothing is at path
// until all is written. Call Close in any case.
func MoveFile(path string) *FileMove { return &FileMove{path: path} }

// FileMove is a file of sessions.
type FileMove struct {
	path    string
	out     *os.File // beside path, until all is written
	buffer  *bufio.Writer
	checked bool
}

// Take implements Target.
func (m *FileMove) Take(_ context.Context, records []Record) ([]Record, error) {
	if m.out == nil {
		if err := m.begin(); err != nil {
			return nil, err
		}
	}
	for _, r := range records {
		if err := m.write(moveLine{Kind: kindNames()[r.Kind], ID: r.ID, Value: r.Value}); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Verified implements Target.
func (m *FileMove) Verified(context.Context) error { return nil }

func (m *FileMove) begin() (err error) {
	if _, err := os.Lstat(m.path); err == nil {
		return fmt.Errorf("%s is there already: name another file", m.path)
	}
	if m.out, err = os.CreateTemp(filepath.Dir(m.path), ".sessions-*"); err != nil { // of mode 0600
		return fmt.Errorf("make file: %w", err)
	}
	m.buffer = bufio.NewWriter(m.out)
	return m.write(moveLine{Hydrastore: "sessions", Format: moveFileFormat})
}

func (m *FileMove) write(l moveLine) error {
	e := json.NewEncoder(m.buffer)
	e.SetEscapeHTML(false) // records keep their bytes
	if err := e.Encode(l); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// Done implements Target: now the file is whole.
func (m *FileMove) Done(_ context.Context, t *Tally) error {
	if m.out == nil {
		if err := m.begin(); err != nil {
			return err
		}
	}
	if err := m.write(moveLine{End: &moveEnd{Users: t.Users, Sessions: t.Sessions, Sum: t.Sum()}}); err != nil {
		return err
	}
	if err := errors.Join(m.buffer.Flush(), m.out.Sync(), m.out.Close()); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Rename(m.out.Name(), m.path); err != nil {
		return fmt.Errorf("name file: %w", err)
	}
	m.out = nil
	return nil
}

// Close takes away what was written of a file that is not whole.
func (m *FileMove) Close() error {
	if m.out == nil {
		return nil
	}
	return errors.Join(m.out.Close(), os.Remove(m.out.Name()))
}

// Each implements Source. The first call reads the whole file and judges its sum, so that nothing is taken from a damaged one.
func (m *FileMove) Each(ctx context.Context, kind Kind, f func(Record) error) error {
	if !m.checked {
		var t Tally
		if err := m.read(ctx, func(r Record) error { t.add(r); return nil }, &t); err != nil {
			return err
		}
		m.checked = true
	}
	return m.read(ctx, func(r Record) error {
		if r.Kind != kind {
			return nil
		}
		return f(r)
	}, nil)
}

// read goes through the file; t, if any, must be its tally in the end.
func (m *FileMove) read(ctx context.Context, f func(Record) error, t *Tally) error {
	in, err := os.Open(m.path)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxMoveLine)
	var end *moveEnd
	for n := 1; lines.Scan(); n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l, err := parseMoveLine(lines.Bytes())
		if err != nil || (n == 1) != (l.Hydrastore != "") || end != nil {
			return fmt.Errorf("%s:%d: this is no line of a file of sessions: %w", m.path, n, errors.Join(err, errMoveOrder))
		}
		switch kind, known := kindNamed(l.Kind); {
		case n == 1 && (l.Hydrastore != "sessions" || l.Format != moveFileFormat):
			return fmt.Errorf("%s is of another format, %d: use the release that wrote it", m.path, l.Format)
		case n == 1:
		case l.End != nil:
			end = l.End
		case !known || l.ID == "" || len(l.ID) > MaxNameBytes || len(l.Value) == 0 || len(l.Value) > MaxValueBytes:
			return fmt.Errorf("%s:%d: this is no record of a file of sessions", m.path, n)
		default:
			if err := f(Record{Name: Name{kind, l.ID}, Value: bytes.Clone(l.Value)}); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", m.path, err)
	}
	if end == nil {
		return fmt.Errorf("%s is not whole: its last line is missing", m.path)
	}
	if t != nil && (end.Users != t.Users || end.Sessions != t.Sessions || end.Sum != t.Sum()) {
		return fmt.Errorf("%s is damaged: its records are not those that its last line counts", m.path)
	}
	return nil
}

var errMoveOrder = errors.New("the first line says what the file is, the last one how much it holds")

func parseMoveLine(text []byte) (l moveLine, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return l, errors.New("there is more than one value")
	}
	return l, nil
}

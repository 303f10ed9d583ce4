package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// sink is where lines go. One goroutine uses it.
type sink interface {
	io.Writer
	// flush brings what was written to where a crash of the machine does not reach it, and tells the mark where that ends.
	flush(m *mark) error
	// eager tells that the mark has to follow every write, because the output cannot be read again.
	eager() bool
	reopen() error
	close()
}

// openSink opens the output. m is moved on when the output holds more than it knows of.
func openSink(c Config, m *mark) (sink, error) {
	if c.File == Stdout {
		m.File, m.Offset = "", 0
		return stream{c.stdout()}, nil
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return nil, fmt.Errorf("open the audit file: %w", err)
	}
	s := &file{path: path}
	if err := s.open(); err != nil {
		return nil, err
	}
	if err := s.recover(m); err != nil {
		s.close()
		return nil, fmt.Errorf("read the end of the audit file: %w", err)
	}
	return s, nil
}

// stream is standard output: what is written is out of this program's hands.
type stream struct{ io.Writer }

func (stream) flush(*mark) error { return nil }
func (stream) eager() bool       { return true }
func (stream) reopen() error     { return nil }
func (stream) close()            {}

// file appends, so that a reader may follow it and others may rename it.
type file struct {
	path string
	f    *os.File
}

func (s *file) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the audit file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file; use %q for standard output", s.path, Stdout)
	}
	if err == nil && info.Size() == 0 {
		err = syncFolder(filepath.Dir(s.path)) // so that a new file's name survives as its lines do
	}
	if err != nil {
		return fmt.Errorf("open the audit file: %w", errors.Join(err, f.Close()))
	}
	s.f = f
	return nil
}

func (s *file) Write(p []byte) (int, error) { return s.f.Write(p) }
func (s *file) eager() bool                 { return false }

func (s *file) flush(m *mark) error {
	if err := s.f.Sync(); err != nil {
		return err
	}
	end, err := s.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	m.File, m.Offset = s.path, end
	return nil
}

// reopen lets go of the old file only when there is a new one.
func (s *file) reopen() error {
	old := s.f
	if err := s.open(); err != nil {
		return err
	}
	old.Close() // it has been flushed
	return nil
}

func (s *file) close() { s.f.Close() }

// recover reads what was written after the mark was: a process that was killed leaves lines that the mark does not know of. Only what
// follows the marked end of this very file counts; after a crash of the machine that ends at the first damaged line. A line that was cut off
// stays, and gets its line feed.
func (s *file) recover(m *mark) error {
	size, err := s.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if m.File == s.path && m.Offset <= size {
		if err := s.follow(m); err != nil {
			return err
		}
	}
	if size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := s.f.ReadAt(last[:], size-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = s.f.Write([]byte{'\n'})
	return err
}

// maxLineBytes is far above the longest line.
const maxLineBytes = 1 << 20

// follow moves m over the whole lines behind its offset that continue it.
func (s *file) follow(m *mark) error {
	lines := bufio.NewReaderSize(io.NewSectionReader(s.f, m.Offset, 1<<62), maxLineBytes)
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			return nil
		}
		if err != nil {
			return err
		}
		if sequence, ok := sequenceOf(text); ok {
			m.Sequence = sequence
			continue
		}
		next, ok := placeOf(text)
		if !ok || !next.after(m.place()) {
			return nil
		}
		m.moveTo(next)
	}
}

// placeOf reads the place of a line.
func placeOf(text []byte) (place, bool) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil || l.Index == 0 || l.Event == "" {
		return place{}, false
	}
	return place{index: l.Index, position: l.Position, whole: l.Event == gapEvent}, true
}

// after tells whether p is behind q.
func (p place) after(q place) bool {
	return p.index > q.index || p.index == q.index && !q.whole && p.position > q.position
}

package portable

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

const fileFormat = 1

// The first and the last line of a file; between them are records, one a line.
type (
	fileHead struct {
		Hydrastore string `json:"hydrastore"` // "sessions"
		Format     int    `json:"format"`
	}
	fileEnd struct {
		End *fileTotals `json:"end"` // without it the file is not whole
	}
	fileTotals struct {
		Users    int    `json:"users"`
		Sessions int    `json:"sessions"`
		Sum      string `json:"sum"`    // of a Tally
		SHA256   string `json:"sha256"` // of all lines before this one, in hexadecimal digits
	}
)

// File is a home for sessions that move: JSON lines, of mode 0600. It holds hashes of keys and passwords, and no key. Nothing is at its path until all is
// written. Call Close in any case.
type File struct {
	path    string
	out     *os.File // beside path, until all is written
	buffer  *bufio.Writer
	sum     hash.Hash
	checked bool
}

// NewFile lets sessions be moved from or to the file at path.
func NewFile(path string) *File { return &File{path: path} }

// Free tells whether the file may be made: nothing is ever written over.
func (f *File) Free() error {
	if _, err := os.Lstat(f.path); err == nil {
		return fmt.Errorf("%s is there already: name another file", f.path)
	}
	return nil
}

// Begin implements Target.
func (f *File) Begin(_ context.Context, c *Cluster) (time.Time, error) {
	if err := f.Free(); err != nil {
		return time.Time{}, err
	}
	out, err := os.CreateTemp(filepath.Dir(f.path), ".sessions-*") // of mode 0600
	if err != nil {
		return time.Time{}, fmt.Errorf("make file: %w", err)
	}
	f.out, f.buffer, f.sum = out, bufio.NewWriter(out), sha256.New()
	if err := f.writeLine(fileHead{Hydrastore: "sessions", Format: fileFormat}); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, f.Take(context.Background(), c.Records())
}

// Take implements Target.
func (f *File) Take(_ context.Context, page []Record) error {
	for _, r := range page {
		text, err := r.Encode()
		if err != nil {
			return err
		}
		if err := f.write(text); err != nil {
			return err
		}
	}
	return nil
}

// writeLine writes the first or the last line.
func (f *File) writeLine(line any) error {
	text, err := encode(line)
	if err != nil {
		return err
	}
	return f.write(text)
}

func (f *File) write(text []byte) error {
	text = append(text, '\n')
	f.sum.Write(text)
	if _, err := f.buffer.Write(text); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// Done implements Target: now the file is whole.
func (f *File) Done(_ context.Context, t *Tally) error {
	totals := &fileTotals{Users: t.Users, Sessions: t.Sessions, Sum: t.Sum(), SHA256: hex.EncodeToString(f.sum.Sum(nil))}
	if err := f.writeLine(fileEnd{End: totals}); err != nil {
		return err
	}
	if err := errors.Join(f.buffer.Flush(), f.out.Sync(), f.out.Close()); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Rename(f.out.Name(), f.path); err != nil {
		return fmt.Errorf("name file: %w", err)
	}
	f.out = nil
	return syncFolder(filepath.Dir(f.path))
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("flush folder: %w", err)
	}
	return nil
}

// Verified implements Target.
func (f *File) Verified(context.Context) error { return nil }

// Close takes away what was written of a file that is not whole.
func (f *File) Close() error {
	if f.out == nil {
		return nil
	}
	return errors.Join(f.out.Close(), os.Remove(f.out.Name()))
}

// Each implements Source. The first call reads the whole file before it shows anything of it, so that nothing is taken from a damaged one.
func (f *File) Each(ctx context.Context, each func(Record) error) error {
	if !f.checked {
		t := &Tally{}
		end, err := f.read(ctx, t.Add)
		switch {
		case err != nil:
			return err
		case end.Users != t.Users || end.Sessions != t.Sessions || end.Sum != t.Sum():
			return fmt.Errorf("%s is damaged: its records are not those that its last line counts", f.path)
		}
		f.checked = true
	}
	_, err := f.read(ctx, each)
	return err
}

// read goes through the file.
func (f *File) read(ctx context.Context, each func(Record) error) (*fileTotals, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	defer in.Close()
	lines := &lineReader{path: f.path, in: bufio.NewReaderSize(in, 64<<10), sum: sha256.New()}
	if err := lines.head(); err != nil {
		return nil, err
	}
	for place := orderNothing; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := lines.next()
		if err != nil {
			return nil, err
		}
		if end := parseEnd(text); end != nil {
			return end, lines.finish(end)
		}
		lines.count(text)
		r, err := Parse(text)
		if err == nil {
			err = place.next(r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.path, lines.n, err)
		}
		if err := each(r); err != nil {
			return nil, err
		}
	}
}

// parseEnd gives the last line's totals; nil = it is another line, or not the very one that a file is given.
func parseEnd(text []byte) *fileTotals {
	if !bytes.HasPrefix(text, []byte(`{"end":`)) {
		return nil
	}
	var end fileEnd
	if json.Unmarshal(text, &end) != nil {
		return nil
	}
	if same, err := encode(end); err != nil || !bytes.Equal(same, text) {
		return nil
	}
	return end.End
}

// lineReader reads lines of bounded length.
type lineReader struct {
	path string
	in   *bufio.Reader
	sum  hash.Hash
	n    int // the line that was read last
}

// next reads a line, without its end. It is the caller's.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if line = append(line, part...); len(line) > MaxRecordBytes+1 {
			return nil, fmt.Errorf("%s:%d: a line has at most %d bytes", l.path, l.n+1, MaxRecordBytes)
		}
		switch {
		case err == nil:
			l.n++
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s is not whole: its last line is missing", l.path)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read %s: %w", l.path, err)
		}
	}
}

// count adds a line to the sum.
func (l *lineReader) count(text []byte) {
	l.sum.Write(text)
	l.sum.Write([]byte("\n"))
}

func (l *lineReader) head() error {
	text, err := l.next()
	if err != nil {
		return err
	}
	l.count(text)
	var head fileHead
	if json.Unmarshal(text, &head) != nil || head.Hydrastore != "sessions" {
		return fmt.Errorf("%s:1: this is no file of sessions", l.path)
	}
	if head.Format != fileFormat {
		return fmt.Errorf("%s is of another format, %d: use the release that wrote it", l.path, head.Format)
	}
	return nil
}

// finish judges the end: the sum of all lines before it, and that nothing follows.
func (l *lineReader) finish(end *fileTotals) error {
	if end.SHA256 != hex.EncodeToString(l.sum.Sum(nil)) {
		return fmt.Errorf("%s is damaged: its lines are not those that its last line was made for", l.path)
	}
	if _, err := l.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s:%d: something follows the last line", l.path, l.n+1)
	}
	return nil
}

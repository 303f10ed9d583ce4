package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// mark is what a trail remembers over restarts: all lines of entries up to Index are written, perhaps PartLines of a later entry
// PartIndex, and in File they end at Offset. Of the lines about sessions of this node alone Sequence are written; Open says that a trail with such lines has not been closed since.
type mark struct {
	Index     uint64 `json:"index"`
	PartIndex uint64 `json:"part_index,omitempty"`
	PartLines int    `json:"part_lines,omitempty"`
	File      string `json:"file,omitempty"`
	Offset    int64  `json:"offset"`
	Sequence  uint64 `json:"sequence,omitempty"`
	Open      bool   `json:"open,omitempty"`
}

// place is how far the mark says that the trail has come.
func (m mark) place() place {
	if m.PartIndex > m.Index && m.PartLines > 0 {
		return place{index: m.PartIndex, position: m.PartLines - 1}
	}
	return place{index: m.Index, whole: true}
}

// moveTo notes a place that the output was found to have reached.
func (m *mark) moveTo(p place) {
	if p.whole {
		m.Index = max(m.Index, p.index)
	} else {
		m.PartIndex, m.PartLines = p.index, p.position+1
	}
}

const maxMarkBytes = 16 << 10

// readMark reads a mark; a missing one is the zero one.
func readMark(path string) (m mark, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err == nil && info.Size() > maxMarkBytes {
		err = fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	if err != nil {
		return mark{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return mark{}, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return mark{}, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// store replaces the mark; with flush it survives a crash of the machine, without one of the process.
func (m mark) store(path string, flush bool) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil && flush {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temporary, err)
	}
	if err := os.Rename(temporary, path); err != nil || !flush {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

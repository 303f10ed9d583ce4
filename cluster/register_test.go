package cluster_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/hydrastore/hydrastore/cluster"
)

// register is the replicated state of these tests: a list of numbers, of which a
// command appends one.
type register struct {
	mu     sync.Mutex
	values []uint64
	index  uint64
	epochs []uint64
}

func (r *register) Apply(entries []cluster.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if e.Index <= r.index {
			return fmt.Errorf("index went from %d to %d", r.index, e.Index)
		}
		if len(e.Data) < 8 {
			return fmt.Errorf("poison at %d", e.Index)
		}
		r.index = e.Index
		r.values = append(r.values, binary.BigEndian.Uint64(e.Data))
	}
	return nil
}

func (r *register) Established(l cluster.Leadership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs = append(r.epochs, l.Epoch)
}

func (r *register) Snapshot() (cluster.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return frozen(append([]uint64(nil), r.values...)), nil
}

func (r *register) Restore(in io.Reader, index, _ uint64) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values, r.index = nil, index
	for ; len(raw) >= 8; raw = raw[8:] {
		r.values = append(r.values, binary.BigEndian.Uint64(raw))
	}
	return nil
}

func (r *register) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.values)
}

func (r *register) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values) == 0 {
		return 0
	}
	return r.values[len(r.values)-1]
}

func (r *register) has(v uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.values {
		if x == v {
			return true
		}
	}
	return false
}

type frozen []uint64

func (f frozen) WriteTo(w io.Writer) (int64, error) {
	var out []byte
	for _, v := range f {
		out = binary.BigEndian.AppendUint64(out, v)
	}
	n, err := w.Write(out)
	return int64(n), err
}

func (frozen) Release() {}

func number(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

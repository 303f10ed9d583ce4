package storage_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// model is what a log must be after a history of calls.
type model struct {
	logs     []*raft.Log // without gaps
	newest   uint64      // index and term of the newest snapshot
	term     uint64
	known    bool // the log had the snapshot's entry
	nextTerm uint64
	record   uint64 // the term that was saved
}

func (m *model) first() uint64 {
	if len(m.logs) == 0 {
		return 0
	}
	return m.logs[0].Index
}

func (m *model) last() uint64 {
	if len(m.logs) == 0 {
		return 0
	}
	return m.logs[len(m.logs)-1].Index
}

func (m *model) at(index uint64) *raft.Log {
	if len(m.logs) == 0 || index < m.first() || index > m.last() {
		return nil
	}
	return m.logs[index-m.first()]
}

// want is what GetLog must answer; nil: not found.
func (m *model) want(index uint64) *raft.Log {
	if log := m.at(index); log != nil {
		return log
	}
	if index == m.newest && !m.known && index > 1 {
		return &raft.Log{Index: index, Term: m.term, Type: raft.LogNoop}
	}
	return nil
}

// keep drops all entries outside first to last.
func (m *model) keep(first, last uint64) {
	var kept []*raft.Log
	for _, log := range m.logs {
		if first <= log.Index && log.Index <= last {
			kept = append(kept, log)
		}
	}
	m.logs = kept
}

func (m *model) append(logs []*raft.Log) {
	next := logs[0].Index
	if next > m.last()+1 {
		m.logs = nil
	} else if m.last() > 0 {
		m.keep(0, next-1)
	}
	m.logs = append(m.logs, logs...)
}

func (m *model) snapshot(index, term uint64) {
	log := m.at(index)
	m.newest, m.term, m.known = index, term, log != nil && log.Term == term
	if !m.known {
		m.keep(index+1, ^uint64(0))
	}
}

// history drives a store and its model with the same random calls, those that raft makes.
type history struct {
	*testing.T
	rand  *rand.Rand
	cfg   storage.Config
	store *storage.Storage
	model model
}

func TestRandomHistories(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for _, kind := range kinds {
		for i := range uint64(4) {
			t.Run(fmt.Sprintf("%s, seed %d", kind, seed+i), func(t *testing.T) {
				t.Parallel()
				h := &history{T: t, rand: rand.New(rand.NewPCG(seed+i, 0)), cfg: config(t, kind)}
				h.store = open(t, h.cfg)
				defer func() { closeStore(t, h.store) }()
				for step := range 150 {
					done := h.step()
					h.check(fmt.Sprintf("step %d, %s", step, done))
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// step makes one call.
func (h *history) step() string {
	m := &h.model
	switch n := h.rand.IntN(20); {
	case n < 8:
		return h.append(max(m.last(), m.newest)+1, "append")
	case n < 9:
		return h.append(max(m.last(), m.newest)+2+h.rand.Uint64N(50), "append with a gap")
	case n < 11 && m.last() > m.newest: // a new leader's entries replace a tail that was not committed
		from := max(m.first(), m.newest+1) + h.rand.Uint64N(m.last()-max(m.first(), m.newest+1)+1)
		h.must(h.store.Log().DeleteRange(from, m.last()))
		m.keep(0, from-1)
		return fmt.Sprintf("truncate from %d", from)
	case n < 14 && m.last() > 0:
		return h.compact()
	case n < 16 && m.at(m.last()) != nil && m.last() > m.newest:
		index := max(m.first(), m.newest+1)
		index += h.rand.Uint64N(m.last() - index + 1)
		if m.at(index).Term < m.term {
			return "nothing: raft replaces such an entry before it applies any"
		}
		return h.snapshot(index, m.at(index).Term, "snapshot of its own")
	case n < 17:
		m.nextTerm++
		return h.snapshot(m.newest+1+h.rand.Uint64N(60), m.nextTerm, "snapshot received")
	case n < 18:
		m.record++
		h.must(h.store.Stable().SetUint64(currentTerm, m.record))
		return "new term"
	default:
		closeStore(h.T, h.store)
		h.store = open(h.T, h.cfg)
		if m.newest > 0 { // what is in the log counts, not what was
			m.snapshot(m.newest, m.term)
		}
		return "reopen"
	}
}

func (h *history) append(from uint64, name string) string {
	if h.rand.IntN(3) == 0 || h.model.nextTerm == 0 {
		h.model.nextTerm++
	}
	logs := entries(from, from+h.rand.Uint64N(40), h.model.nextTerm)
	for _, log := range logs {
		log.Data = bytes.Repeat([]byte{byte(log.Index)}, h.rand.IntN(2000))
	}
	h.must(h.store.Log().StoreLogs(logs))
	h.model.append(logs)
	return fmt.Sprintf("%s %d to %d of term %d", name, from, logs[len(logs)-1].Index, h.model.nextTerm)
}

// compact deletes from the head as raft does after a snapshot, mostly just up to it.
func (h *history) compact() string {
	m := &h.model
	upTo := h.rand.Uint64N(m.newest + 1)
	if h.rand.IntN(2) == 0 {
		upTo = m.newest
	}
	h.must(h.store.Log().DeleteRange(m.first(), upTo))
	name := fmt.Sprintf("compact from %d to %d", m.first(), upTo)
	if upTo == m.newest && m.known && m.at(upTo) != nil {
		upTo--
	}
	if upTo >= m.first() {
		m.keep(upTo+1, ^uint64(0))
	}
	return name
}

func (h *history) snapshot(index, term uint64, name string) string {
	snapshot(h.T, h.store, index, term)
	h.model.snapshot(index, term)
	return fmt.Sprintf("%s, index %d, term %d", name, index, term)
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) check(after string) {
	h.Helper()
	m := &h.model
	if first, last := bounds(h.T, h.store.Log()); first != m.first() || last != m.last() {
		h.Errorf("after %s: log from %d to %d, want %d to %d", after, first, last, m.first(), m.last())
	}
	if term, err := h.store.Stable().GetUint64(currentTerm); err != nil || term != m.record {
		h.Errorf("after %s: term %d, %v, want %d", after, term, err, m.record)
	}
	for index := m.first() - min(m.first(), 60); index <= max(m.last(), m.newest)+3; index++ {
		var got raft.Log
		err := h.store.Log().GetLog(index, &got)
		want := m.want(index)
		if want == nil {
			if err != raft.ErrLogNotFound {
				h.Errorf("after %s: entry %d of term %d, %v, want none", after, index, got.Term, err)
			}
			continue
		}
		if err != nil || got.Index != index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
			h.Errorf("after %s: entry %d: term %d, %v, %v, want term %d, %v", after, index, got.Term, got.Type, err, want.Term, want.Type)
		}
	}
}

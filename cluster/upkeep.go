package cluster

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// readable says which committed entries a read has to wait for. Upkeep is none of them: every read answers the same before
// and after it (see ProposeUpkeep), so that the readers of a node whose disk or turn comes last do not wait for its share of that work.
type readable struct {
	// Written by the goroutine that applies, visible first: whoever has read scanned finds every entry up to it told.
	visible atomic.Uint64 // the last entry that is no upkeep
	scanned atomic.Uint64 // the last entry
}

// scan takes in committed entries, before they are applied.
func (r *readable) scan(logs []*raft.Log) {
	for _, l := range logs {
		if !isUpkeep(l) && l.Index > r.visible.Load() {
			r.visible.Store(l.Index)
		}
	}
	r.passed(logs[len(logs)-1].Index)
}

// restored takes in a snapshot, which may hold anything.
func (r *readable) restored(index uint64) {
	r.visible.Store(max(index, r.visible.Load()))
	r.passed(index)
}

func (r *readable) passed(index uint64) { r.scanned.Store(max(index, r.scanned.Load())) }

// last returns the last entry up to commit that a read has to wait for. What is committed and not scanned yet may be
// anything.
func (r *readable) last(commit uint64) uint64 {
	if commit > r.scanned.Load() {
		return commit
	}
	return min(commit, r.visible.Load())
}

func isUpkeep(l *raft.Log) bool {
	return l.Type == raft.LogCommand && len(l.Data) > 0 && l.Data[0] == kindUpkeep
}

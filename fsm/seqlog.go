package fsm

import (
	"slices"
	"sort"
)

const seqRun = 512

// seqLog keeps the recorded sessions in the order of their creation. Sequence numbers only grow, so it is a sorted list of runs that
// is appended to at its end; a run that empties goes, and sparse neighbours merge: 8 bytes a session, at worst 32.
type seqLog struct {
	runs []seqRange
}

type seqRange struct {
	base uint64 // sequence number of the run's deltas' zero
	run  *seqRunData
}

type seqRunData struct {
	n      int
	deltas [seqRun]uint32
	slots  [seqRun]uint32
}

// append adds a session whose number is greater than all before.
func (l *seqLog) append(seq uint64, slot uint32) {
	last := len(l.runs) - 1
	if last < 0 || l.runs[last].run.n == seqRun || seq-l.runs[last].base > 1<<32-1 {
		l.runs = append(l.runs, seqRange{base: seq, run: &seqRunData{}})
		last++
	}
	r := l.runs[last]
	r.run.deltas[r.run.n] = uint32(seq - r.base)
	r.run.slots[r.run.n] = slot
	r.run.n++
}

// seqCursor is a position in the log: valid while nothing changes.
type seqCursor struct{ run, at int }

// seek returns the position of the first session with at least this number.
func (l *seqLog) seek(seq uint64) seqCursor {
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].base > seq }) - 1
	if i < 0 {
		return seqCursor{}
	}
	r := l.runs[i]
	if seq-r.base > 1<<32-1 {
		return seqCursor{run: i + 1}
	}
	at, _ := slices.BinarySearch(r.run.deltas[:r.run.n], uint32(seq-r.base))
	return l.normal(seqCursor{run: i, at: at})
}

func (l *seqLog) normal(c seqCursor) seqCursor {
	if c.run < len(l.runs) && c.at == l.runs[c.run].run.n {
		return seqCursor{run: c.run + 1}
	}
	return c
}

func (l *seqLog) next(c seqCursor) seqCursor { return l.normal(seqCursor{run: c.run, at: c.at + 1}) }

// get returns the session at a position; false at the end.
func (l *seqLog) get(c seqCursor) (seq uint64, slot uint32, ok bool) {
	if c.run >= len(l.runs) {
		return 0, 0, false
	}
	r := l.runs[c.run]
	return r.base + uint64(r.run.deltas[c.at]), r.run.slots[c.at], true
}

// find returns the slot of a recorded session, or 0.
func (l *seqLog) find(seq uint64) uint32 {
	found, slot, ok := l.get(l.seek(seq))
	if !ok || found != seq {
		return 0
	}
	return slot
}

// remove takes out a session that is there.
func (l *seqLog) remove(seq uint64) {
	c := l.seek(seq)
	r := l.runs[c.run].run
	copy(r.deltas[c.at:r.n], r.deltas[c.at+1:r.n])
	copy(r.slots[c.at:r.n], r.slots[c.at+1:r.n])
	r.n--
	switch {
	case r.n == 0:
		l.runs = slices.Delete(l.runs, c.run, c.run+1)
	case r.n <= seqRun/4:
		l.mergeNext(c.run)
		if c.run > 0 {
			l.mergeNext(c.run - 1)
		}
	}
}

// mergeNext moves the next run into run i when both fit with room to spare.
func (l *seqLog) mergeNext(i int) {
	if i+1 >= len(l.runs) {
		return
	}
	a, b := l.runs[i], l.runs[i+1]
	if a.run.n+b.run.n > seqRun*3/4 || b.base+uint64(b.run.deltas[b.run.n-1])-a.base > 1<<32-1 {
		return
	}
	shift := uint32(b.base - a.base)
	for j := range b.run.n {
		a.run.deltas[a.run.n+j] = b.run.deltas[j] + shift
		a.run.slots[a.run.n+j] = b.run.slots[j]
	}
	a.run.n += b.run.n
	l.runs = slices.Delete(l.runs, i+1, i+2)
}

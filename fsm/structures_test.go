package fsm

import (
	"bytes"
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// These structures are too deep inside for the histories of the other tests, which are small, to reach their edges.

func TestTableFollowsAMap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var table table
	want := map[uint64]uint32{} // by hash: few of them in few shards, so that probes run into one another and around the end
	hashes := make([]uint64, 3000)
	for i := range hashes {
		hashes[i] = random.Uint64N(3)<<56 | random.Uint64N(64)<<26 | uint64(i)
	}
	for slot := uint32(1); slot < 60_000; slot++ {
		hash := hashes[random.IntN(len(hashes))]
		old, there := want[hash]
		switch {
		case !there:
			table.insert(hash, slot)
			want[hash] = slot
		case random.IntN(3) == 0:
			table.replace(hash, old, slot)
			want[hash] = slot
		default:
			table.remove(hash, old)
			delete(want, hash)
		}
		probe := hashes[random.IntN(len(hashes))]
		got := table.find(probe, func(s uint32) bool { return s == want[probe] })
		if got != want[probe] || table.n != len(want) {
			t.Fatalf("step %d: found %d of %d, want %d of %d", slot, got, table.n, want[probe], len(want))
		}
	}
}

func TestSeqLogFollowsASortedList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var log seqLog
	var want []uint64
	last, jumps := uint64(0), 0
	check := func() {
		t.Helper()
		var got []uint64
		for c := log.seek(0); ; c = log.next(c) {
			seq, slot, ok := log.get(c)
			if !ok {
				break
			}
			if slot != uint32(seq)|1 {
				t.Fatalf("%d has slot %d", seq, slot)
			}
			got = append(got, seq)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d in the log, want %d", len(got), len(want))
		}
		if most := len(want)/(seqRun/8) + 2 + jumps; len(log.runs) > most {
			t.Fatalf("%d runs for %d sessions: they do not merge", len(log.runs), len(want))
		}
	}
	for round := range 40 {
		for range random.IntN(2000) {
			last += 1 + random.Uint64N(3)
			if random.IntN(5000) == 0 {
				last += 1 << 33 // beyond what one run can span
				jumps++
			}
			log.append(last, uint32(last)|1)
			want = append(want, last)
		}
		for n := random.IntN(len(want) + 1); n > 0; n-- {
			i := random.IntN(len(want))
			if round%3 == 0 {
				i = min(i, 5) // rather the oldest
			}
			log.remove(want[i])
			want = slices.Delete(want, i, i+1)
		}
		check()
		probe := random.Uint64N(last + 2)
		seq, _, ok := log.get(log.seek(probe))
		if i, _ := slices.BinarySearch(want, probe); ok != (i < len(want)) || ok && seq != want[i] {
			t.Fatalf("seek %d found %d %v", probe, seq, ok)
		}
		if _, there := slices.BinarySearch(want, probe); (log.find(probe) != 0) != there {
			t.Fatalf("find %d: got %v, want %v", probe, !there, there)
		}
	}
}

func TestHeapFollowsASortedList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 9))
	var s sessions
	h := deadlineHeap{sessions: &s, which: 1}
	keys := map[uint32]int64{}
	for range 3000 {
		slot := s.recs.grow(0)
		s.links.grow(0)
		random := random.Uint64()
		copy(s.recs.at(slot).id[:], []byte{byte(random) % 3, 0, 0, 0, byte(random >> 8), byte(slot >> 8), byte(slot)})
	}
	order := func(a, b uint32) int {
		return cmp.Or(cmp.Compare(keys[a], keys[b]), bytes.Compare(s.recs.at(a).id[:], s.recs.at(b).id[:]))
	}
	for step := range 40_000 {
		slot := 1 + random.Uint32N(3000)
		key, there := keys[slot]
		switch {
		case !there:
			keys[slot] = int64(random.IntN(500))
			h.push(slot, keys[slot])
		case random.IntN(3) == 0:
			keys[slot] = key + int64(random.IntN(100))
			h.later(slot, keys[slot])
		case random.IntN(3) > 0 || step > 30_000:
			delete(keys, slot)
			h.remove(slot)
		}
		if step%400 != 0 {
			continue
		}
		if int(h.n) != len(keys) {
			t.Fatalf("step %d: %d in the heap, want %d", step, h.n, len(keys))
		}
		for i := range h.n {
			item := h.at(i)
			if item.key != keys[item.slot] || s.links.at(item.slot).heapPos[1] != i || i > 0 && h.less(item, h.at((i-1)/heapArity)) {
				t.Fatalf("step %d: item %d is out of order", step, i)
			}
		}
	}
	for _, want := range slices.SortedFunc(maps.Keys(keys), order) {
		slot, key, ok := h.min()
		if !ok || slot != want || key != keys[want] {
			t.Fatalf("got session %d, want %d", slot, want)
		}
		h.remove(slot)
	}
	if _, _, ok := h.min(); ok || len(h.pages) > 2 {
		t.Fatalf("an empty heap has %d pages", len(h.pages))
	}
}

func TestArenaKeepsBlobsWhileASnapshotMayReadThem(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	type snapshot struct {
		generation uint64
		frozen     frozenArena
		blobs      map[blobRef][]byte
	}
	var a arena
	var sharing sharing
	var running []snapshot
	now := map[blobRef][]byte{}
	for step := range 6000 {
		oldest, newest := sharing.bounds()
		a.settle(oldest)
		for range random.IntN(8) {
			b := bytes.Repeat([]byte{byte(step)}, random.IntN(1+maxBlobBytes>>random.IntN(14)))
			if ref := a.put(b); ref != 0 {
				if _, used := now[ref]; used {
					t.Fatalf("step %d: blob %d was given out twice", step, ref)
				}
				now[ref] = b
			}
		}
		for ref, b := range now {
			if random.IntN(3) == 0 {
				break
			}
			if !bytes.Equal(a.get(ref), b) {
				t.Fatalf("step %d: a blob has changed", step)
			}
			a.drop(ref, newest)
			delete(now, ref)
		}
		switch {
		case random.IntN(20) == 0 && len(running) < 3:
			copied := map[blobRef][]byte{}
			for ref, b := range now {
				copied[ref] = b
			}
			running = append(running, snapshot{sharing.begin(), a.freeze(), copied})
		case random.IntN(20) == 0 && len(running) > 0:
			i := random.IntN(len(running))
			for ref, b := range running[i].blobs {
				if !bytes.Equal(running[i].frozen.get(ref), b) {
					t.Fatalf("step %d: a snapshot's blob has changed", step)
				}
			}
			sharing.end(running[i].generation)
			running = slices.Delete(running, i, i+1)
		}
	}
	for _, s := range running {
		sharing.end(s.generation)
	}
	for len(a.deferred) > 0 {
		a.settle(0)
	}
	occupied := int64(0)
	for ref := range now {
		occupied += int64(blobSizes[ref.class()])
	}
	if a.bytes != occupied {
		t.Fatalf("%d bytes are counted, %d are occupied", a.bytes, occupied)
	}
}

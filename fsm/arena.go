package fsm

import (
	"encoding/binary"
	"slices"
)

// blobRef names a blob of an arena: class in the upper 5 bits, index in the lower 27. 0 = no blob, or an empty one.
type blobRef uint32

const (
	blobIndexBits  = 27
	blobHeader     = 2 // length
	deferredPage   = 1000
	deferredEffort = 4096 // blobs freed late per entry: bounds the work after a snapshot's end
)

// blobSizes are the sizes of a blob with its header. The largest holds a session's attributes at their limit.
var blobSizes = [...]int{
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 17408,
}

// arena keeps the byte strings of variable length: names, password hashes, user agents, attributes. Blobs never change
// once written, so a snapshot needs only the directories of slabs; a blob freed while a snapshot may still read it is
// used again after that snapshot's end only. Slabs are never given back: a class keeps its high-water mark.
type arena struct {
	classes  [len(blobSizes)]blobClass
	bytes    int64           // occupied, headers and slack included
	deferred []*deferredRefs // freed while a snapshot ran, oldest first
}

type blobClass struct {
	slabs [][]byte
	next  uint32 // first index never used
	free  uint32 // first free index + 1; each free blob holds the next one's
}

type deferredRefs struct {
	newest uint64 // the newest snapshot that may read them
	n      int
	refs   [deferredPage]blobRef
}

// slabLen is the number of blobs in a slab, a power of two: slabs of 16 to 280 KiB.
func slabLen(class int) uint32 {
	switch size := blobSizes[class]; {
	case size <= 64:
		return 1024
	case size <= 256:
		return 256
	case size <= 1024:
		return 64
	}
	return 16
}

func (a *arena) cell(class int, index uint32) []byte {
	return slabCell(a.classes[class].slabs, class, index)
}

func slabCell(slabs [][]byte, class int, index uint32) []byte {
	n, size := slabLen(class), blobSizes[class]
	at := int(index%n) * size
	return slabs[index/n][at : at+size : at+size]
}

// put stores a copy of b, at most maxBlobBytes long.
func (a *arena) put(b []byte) blobRef {
	if len(b) == 0 {
		return 0
	}
	class, _ := slices.BinarySearch(blobSizes[:], len(b)+blobHeader)
	index := a.take(class)
	cell := a.cell(class, index)
	binary.LittleEndian.PutUint16(cell, uint16(len(b)))
	copy(cell[blobHeader:], b)
	a.bytes += int64(blobSizes[class])
	return blobRef(uint32(class)<<blobIndexBits | index)
}

func (a *arena) take(class int) uint32 {
	c := &a.classes[class]
	if c.free != 0 {
		index := c.free - 1
		c.free = binary.LittleEndian.Uint32(a.cell(class, index))
		return index
	}
	if c.next == 0 {
		c.next = 1 // index 0 of class 0 would be ref 0
	}
	n := slabLen(class)
	if int(c.next/n) == len(c.slabs) {
		c.slabs = append(c.slabs, make([]byte, int(n)*blobSizes[class]))
	}
	c.next++
	return c.next - 1
}

// get returns a blob's bytes: valid until it is freed, never to be written.
func (a *arena) get(ref blobRef) []byte {
	if ref == 0 {
		return nil
	}
	return blobBytes(a.cell(ref.class(), ref.index()))
}

func blobBytes(cell []byte) []byte {
	n := int(binary.LittleEndian.Uint16(cell))
	return cell[blobHeader : blobHeader+n : blobHeader+n]
}

func (r blobRef) class() int    { return int(r >> blobIndexBits) }
func (r blobRef) index() uint32 { return uint32(r) & (1<<blobIndexBits - 1) }

// drop frees a blob; shared is the newest running snapshot, 0 when there is none.
func (a *arena) drop(ref blobRef, shared uint64) {
	if ref == 0 {
		return
	}
	a.bytes -= int64(blobSizes[ref.class()])
	if shared == 0 {
		a.recycle(ref)
		return
	}
	last := len(a.deferred) - 1
	if last < 0 || a.deferred[last].n == deferredPage {
		a.deferred = append(a.deferred, &deferredRefs{})
		last++
	}
	page := a.deferred[last]
	page.newest = shared
	page.refs[page.n] = ref
	page.n++
}

func (a *arena) recycle(ref blobRef) {
	c := &a.classes[ref.class()]
	binary.LittleEndian.PutUint32(a.cell(ref.class(), ref.index()), c.free)
	c.free = ref.index() + 1
}

// settle recycles some of the blobs that no snapshot reads any more; oldest is the oldest running one, 0 when there is none.
func (a *arena) settle(oldest uint64) {
	for effort := deferredEffort; effort > 0 && len(a.deferred) > 0; {
		page := a.deferred[0]
		if oldest != 0 && page.newest >= oldest {
			return
		}
		for ; page.n > 0 && effort > 0; effort-- {
			page.n--
			a.recycle(page.refs[page.n])
		}
		if page.n == 0 {
			a.deferred = slices.Delete(a.deferred, 0, 1)
		}
	}
}

// freeze returns the blobs as they are now.
func (a *arena) freeze() frozenArena {
	var f frozenArena
	for i := range a.classes {
		f.slabs[i] = a.classes[i].slabs
	}
	return f
}

// frozenArena reads the blobs that existed at its making.
type frozenArena struct {
	slabs [len(blobSizes)][][]byte
}

func (f *frozenArena) get(ref blobRef) []byte {
	if ref == 0 {
		return nil
	}
	return blobBytes(slabCell(f.slabs[ref.class()], ref.class(), ref.index()))
}

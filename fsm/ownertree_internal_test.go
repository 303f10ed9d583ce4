package fsm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// grove is an owner's tree beside a slice that holds the same sessions.
type grove struct {
	t      *testing.T
	random *rand.Rand
	tree   ownerTree
	root   uint32
	in     []uint32
	out    []uint32
	seq    uint64
}

// newGrove has sessions under three policies of few last uses, and, with few priorities, of trees that lean.
func newGrove(t *testing.T, seed uint64, priorities uint32) *grove {
	g := &grove{t: t, random: rand.New(rand.NewPCG(seed, 77)), tree: ownerTree{sessions: &sessions{}, kind: int(seed % ownerKinds)}}
	for range 60 {
		slot := g.tree.sessions.recs.grow(0)
		g.tree.sessions.links.grow(0)
		r := g.rec(slot)
		r.policy = uint8(g.random.IntN(3))
		if g.random.IntN(4) == 0 {
			r.flags = sessionPermanent
		}
		binary.LittleEndian.PutUint32(r.id[8:], g.random.Uint32N(priorities))
		g.out = append(g.out, slot)
	}
	return g
}

func (g *grove) rec(slot uint32) *sessionRec { return g.tree.sessions.recs.at(slot) }

// take moves a random session between the two lists.
func (g *grove) take(from, to *[]uint32) uint32 {
	i := g.random.IntN(len(*from))
	slot := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	*to = append(*to, slot)
	return slot
}

// step adds a session, takes one out, or uses one.
func (g *grove) step() {
	switch n := g.random.IntN(3); {
	case n == 0 && len(g.out) > 0:
		slot := g.take(&g.out, &g.in)
		g.seq++
		g.rec(slot).seq, g.rec(slot).lastUseMS = g.seq, g.random.Int64N(20)
		if g.random.IntN(2) == 0 {
			g.root = g.tree.append(g.root, slot)
		} else {
			g.root = g.tree.insert(g.root, slot)
		}
	case n == 1 && len(g.in) > 0:
		g.root = g.tree.remove(g.root, g.take(&g.in, &g.out))
	case n == 2 && len(g.in) > 0:
		slot := g.in[g.random.IntN(len(g.in))]
		g.root = g.tree.remove(g.root, slot)
		g.rec(slot).lastUseMS += g.random.Int64N(5)
		g.root = g.tree.insert(g.root, slot)
	}
}

// under is what the tree should say of a policy's permanent or other sessions, and their order.
func (g *grove) under(of kin) (want ownerRange, order []uint32) {
	for _, slot := range g.in {
		if g.tree.place(slot) == of {
			order = append(order, slot)
		}
	}
	slices.SortFunc(order, func(a, b uint32) int {
		x, y := g.rec(a), g.rec(b)
		return cmp.Or(cmp.Compare(x.lastUseMS, y.lastUseMS), cmp.Compare(x.seq, y.seq))
	})
	if len(order) > 0 {
		want = ownerRange{count: uint32(len(order)), idle: order[0], first: g.eldest(order)}
	}
	return want, order
}

func (g *grove) eldest(of []uint32) uint32 {
	if len(of) == 0 {
		return 0
	}
	return slices.MinFunc(of, func(a, b uint32) int { return cmp.Compare(g.rec(a).seq, g.rec(b).seq) })
}

// walk returns the sessions of a subtree in order, and holds every node to its sums and its place.
func (g *grove) walk(root uint32) []uint32 {
	if root == 0 {
		return nil
	}
	k := *g.tree.link(root)
	for _, child := range []uint32{k.left, k.right} {
		if child != 0 && g.tree.above(child, root) {
			g.t.Fatalf("session %d stands below %d", child, root)
		}
	}
	all := append(append(g.walk(k.left), root), g.walk(k.right)...)
	if int(k.size) != len(all) || k.oldest != g.eldest(all) {
		g.t.Fatalf("the node of session %d says %d sessions, the oldest %d; it has %v", root, k.size, k.oldest, all)
	}
	return all
}

// check compares all that the tree tells with the slice.
func (g *grove) check(step string) {
	g.t.Helper()
	all := g.walk(g.root)
	if !slices.IsSortedFunc(all, func(a, b uint32) int { return map[bool]int{true: -1, false: 1}[g.tree.less(a, b)] }) {
		g.t.Fatalf("%s: %v is out of order", step, all)
	}
	if int(g.tree.size(g.root)) != len(g.in) || g.tree.oldest(g.root) != g.eldest(g.in) {
		g.t.Fatalf("%s: %d sessions, the oldest %d; want %d and %d", step, g.tree.size(g.root), g.tree.oldest(g.root), len(g.in), g.eldest(g.in))
	}
	for of := range kinOf(4, false) {
		want, order := g.under(of)
		if got := g.tree.under(g.root, of); got != want {
			g.t.Fatalf("%s: of kin %d got %+v, want %+v", step, of, got, want)
		}
		var seen []uint32
		most := g.random.IntN(len(order) + 1)
		whole := g.tree.each(g.root, of, func(slot uint32) bool {
			seen = append(seen, slot)
			return len(seen) <= most
		})
		if whole != (most >= len(order)) || !slices.Equal(seen, order[:min(most+1, len(order))]) {
			g.t.Fatalf("%s: of kin %d visited %v of %v, told %v", step, of, seen, order, whole)
		}
	}
}

// TestOwnerTreesFollowASlice: sums, order and shape, for trees that are balanced and for such as lean.
func TestOwnerTreesFollowASlice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		for _, priorities := range []uint32{1, 4, 1 << 31} {
			g := newGrove(t, seed, priorities)
			for n := range 400 {
				g.step()
				g.check(fmt.Sprintf("seed %d, %d priorities, step %d", seed, priorities, n))
			}
		}
	}
}

package fsm

import "encoding/binary"

// The trees of an owner: a user's sessions, and an address's.
const (
	ofUser = iota
	ofAddress
	ownerKinds
)

// ownerLink is a session's place in the tree of one owner.
type ownerLink struct {
	left, right uint32
	size        uint32 // of the subtree
	oldest      uint32 // the subtree's session of the lowest sequence number
}

// ownerTree holds sessions of one owner in the order (policy, permanence, last use, sequence number), so that those under one policy which are
// permanent, and those which are not, are ranges whose size, longest unused and oldest session are found in O(log n). It is a treap whose priorities are bits of the sessions'
// random ids: its shape is a function of what it holds. A tree is known by its root's slot, 0 when it is empty.
type ownerTree struct {
	sessions *sessions
	kind     int
}

func (t ownerTree) link(slot uint32) *ownerLink { return &t.sessions.links.at(slot).owner[t.kind] }

func (t ownerTree) size(root uint32) uint32 {
	if root == 0 {
		return 0
	}
	return t.link(root).size
}

func (t ownerTree) less(a, b uint32) bool {
	x, y := t.sessions.recs.at(a), t.sessions.recs.at(b)
	switch {
	case x.policy != y.policy:
		return x.policy < y.policy
	case x.permanent() != y.permanent():
		return y.permanent()
	case x.lastUseMS != y.lastUseMS:
		return x.lastUseMS < y.lastUseMS
	}
	return x.seq < y.seq
}

// above tells whether a stands nearer to the root than b.
func (t ownerTree) above(a, b uint32) bool {
	x, y := t.sessions.recs.at(a), t.sessions.recs.at(b)
	p, q := binary.LittleEndian.Uint32(x.id[8:]), binary.LittleEndian.Uint32(y.id[8:])
	if p != q {
		return p > q
	}
	return x.seq < y.seq
}

// older returns the session of the lower sequence number; 0 is none.
func (t ownerTree) older(a, b uint32) uint32 {
	if a == 0 || b != 0 && t.sessions.recs.at(b).seq < t.sessions.recs.at(a).seq {
		return b
	}
	return a
}

func (t ownerTree) oldest(root uint32) uint32 {
	if root == 0 {
		return 0
	}
	return t.link(root).oldest
}

// settle computes what a node knows of its subtree.
func (t ownerTree) settle(n uint32) uint32 {
	k := t.link(n)
	k.size = 1 + t.size(k.left) + t.size(k.right)
	k.oldest = t.older(n, t.older(t.oldest(k.left), t.oldest(k.right)))
	return n
}

// insert adds a session that is not there and returns the new root.
func (t ownerTree) insert(root, slot uint32) uint32 {
	if root == 0 || t.above(slot, root) {
		k := t.link(slot)
		k.left, k.right = t.split(root, slot)
		return t.settle(slot)
	}
	if k := t.link(root); t.less(slot, root) {
		k.left = t.insert(k.left, slot)
	} else {
		k.right = t.insert(k.right, slot)
	}
	return t.settle(root)
}

// append adds the session that was created last. It is the way of every log-in, so it reads nothing beside its path: each subtree grows by one, and
// its oldest session stays the oldest.
func (t ownerTree) append(root, slot uint32) uint32 {
	if root == 0 || t.above(slot, root) {
		return t.insert(root, slot)
	}
	k := t.link(root)
	if t.less(slot, root) {
		k.left = t.append(k.left, slot)
	} else {
		k.right = t.append(k.right, slot)
	}
	k.size++
	return root
}

// split divides a tree into what stands before the session at and what stands after it.
func (t ownerTree) split(root, at uint32) (before, after uint32) {
	if root == 0 {
		return 0, 0
	}
	k := t.link(root)
	if t.less(root, at) {
		k.right, after = t.split(k.right, at)
		return t.settle(root), after
	}
	before, k.left = t.split(k.left, at)
	return before, t.settle(root)
}

// remove takes out a session that is there and returns the new root.
func (t ownerTree) remove(root, slot uint32) uint32 {
	k := t.link(root)
	if root == slot {
		return t.merge(k.left, k.right)
	}
	if t.less(slot, root) {
		k.left = t.remove(k.left, slot)
	} else {
		k.right = t.remove(k.right, slot)
	}
	return t.settle(root)
}

// merge joins two trees, all of a before all of b.
func (t ownerTree) merge(a, b uint32) uint32 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	case t.above(a, b):
		k := t.link(a)
		k.right = t.merge(k.right, b)
		return t.settle(a)
	}
	k := t.link(b)
	k.left = t.merge(a, k.left)
	return t.settle(b)
}

// ownerRange is what a tree knows of its sessions under one policy.
type ownerRange struct {
	count uint32
	idle  uint32 // the one unused for longest; 0 = there are none
	first uint32 // the one created first
}

// kin are the sessions under one policy that are permanent, or those that are not. In a tree they are a range, the permanent
// ones of a policy behind its others.
type kin uint

func kinOf(policy uint8, permanent bool) kin { return kin(2*uint(policy) + uint(ring(permanent))) }

func (t ownerTree) place(n uint32) kin {
	r := t.sessions.recs.at(n)
	return kinOf(r.policy, r.permanent())
}

// under returns the range of some kin.
func (t ownerTree) under(root uint32, of kin) (r ownerRange) {
	at := t.place
	for root != 0 && at(root) != of {
		if at(root) < of {
			root = t.link(root).right
		} else {
			root = t.link(root).left
		}
	}
	if root == 0 {
		return r
	}
	r = ownerRange{count: 1, idle: root, first: root}
	take := func(n, subtree uint32) {
		r.count += 1 + t.size(subtree)
		r.first = t.older(r.first, t.older(n, t.oldest(subtree)))
	}
	for n := t.link(root).left; n != 0; {
		k := t.link(n)
		if at(n) != of {
			n = k.right
			continue
		}
		take(n, k.right)
		r.idle, n = n, k.left
	}
	for n := t.link(root).right; n != 0; {
		k := t.link(n)
		if at(n) != of {
			n = k.left
			continue
		}
		take(n, k.left)
		n = k.right
	}
	return r
}

// each visits the sessions of that range in order, until visit returns false; then it returns false too.
func (t ownerTree) each(root uint32, of kin, visit func(slot uint32) bool) bool {
	if root == 0 {
		return true
	}
	k, at := *t.link(root), t.place(root)
	if at >= of && !t.each(k.left, of, visit) {
		return false
	}
	if at == of && !visit(root) {
		return false
	}
	return at > of || t.each(k.right, of, visit)
}

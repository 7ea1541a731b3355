package fib

import (
	"math/bits"
	"slices"
)

// stride is the bits of the key a node decides. 2^6 children are one word.
const stride = 6

// A node is six bits of the trie. Within it a prefix of length l (0 to 5) whose
// bits are c has heap index 2^l + c, so that the parent of h is h/2:
//
//	length 0              1
//	length 1        2           3
//	length 2     4     5     6     7      …  up to 63; 64 + c is child c
//
// Both slices are without gaps, in the order of the bits.
type node struct {
	gen      uint64 // of the transaction that owns the node
	prefixes uint64 // heap indices with a value; bit 0 is never set
	children uint64
	values   []uint32
	kids     []*node
}

// above[h] is every heap index strictly above h, below[h] strictly below it.
var above, below = heapMasks()

func heapMasks() (up [128]uint64, down [64]uint64) {
	for h := 2; h < len(up); h++ {
		for a := h / 2; a > 0; a /= 2 {
			up[h] |= 1 << a
			if h < len(down) {
				down[a] |= 1 << h
			}
		}
	}
	return up, down
}

// heapIndex is that of the prefix of n < stride bits in front of chunk.
func heapIndex(chunk uint64, n int) uint64 { return 1<<n | chunk>>(stride-n) }

// chunks is the set of children below the prefix of n bits with index h.
func chunks(h uint64, n int) uint64 {
	width := uint64(1) << (stride - n)
	return (1<<width - 1) << (h*width - 1<<stride)
}

// rank is how many bits of set come before bit i.
func rank(set, i uint64) int { return bits.OnesCount64(set & (1<<i - 1)) }

func has(set, i uint64) bool { return set>>i&1 != 0 }

// longest is the value of the longest prefix in m, a part of n.prefixes.
func (n *node) longest(m uint64) uint32 {
	return n.values[rank(n.prefixes, uint64(bits.Len64(m)-1))]
}

func (n *node) kid(chunk uint64) *node {
	if !has(n.children, chunk) {
		return nil
	}
	return n.kids[rank(n.children, chunk)]
}

// owned is n, or a copy of n, that transaction gen may change.
func (n *node) owned(gen uint64) *node {
	if n.gen == gen {
		return n
	}
	return &node{gen, n.prefixes, n.children, slices.Clone(n.values), slices.Clone(n.kids)}
}

// ownedKid is the child of an owned node, made if missing.
func (n *node) ownedKid(gen, chunk uint64) *node {
	i := rank(n.children, chunk)
	if !has(n.children, chunk) {
		n.children |= 1 << chunk
		n.kids = slices.Insert(n.kids, i, &node{gen: gen})
	}
	n.kids[i] = n.kids[i].owned(gen)
	return n.kids[i]
}

// put sets a value of an owned node.
func (n *node) put(h uint64, v uint32) {
	i := rank(n.prefixes, h)
	if has(n.prefixes, h) {
		n.values[i] = v
		return
	}
	n.prefixes |= 1 << h
	n.values = slices.Insert(n.values, i, v)
}

// remove takes out the prefix of rest more bits. The result is nil when
// nothing is left.
func (n *node) remove(gen uint64, k key, rest int) *node {
	n = n.owned(gen)
	if rest < stride {
		h := heapIndex(k.chunk(), rest)
		i := rank(n.prefixes, h)
		n.prefixes &^= 1 << h
		n.values = slices.Delete(n.values, i, i+1)
	} else if kid := n.kid(k.chunk()).remove(gen, k.next(), rest-stride); kid != nil {
		n.kids[rank(n.children, k.chunk())] = kid
	} else {
		i := rank(n.children, k.chunk())
		n.children &^= 1 << k.chunk()
		n.kids = slices.Delete(n.kids, i, i+1)
	}
	if n.prefixes|n.children == 0 {
		return nil
	}
	return n
}

// replaceBelow gives every prefix strictly below that of rest more bits the
// value fn makes of its old one. What has none below it is not copied.
func (n *node) replaceBelow(gen uint64, k key, rest int, fn func(uint32) uint32) *node {
	if rest < stride {
		h := heapIndex(k.chunk(), rest)
		return n.replace(gen, below[h], chunks(h, rest), fn)
	}
	kid := n.kid(k.chunk())
	if kid == nil {
		return n
	}
	next := kid.replaceBelow(gen, k.next(), rest-stride, fn)
	if next != kid {
		n = n.owned(gen)
		n.kids[rank(n.children, k.chunk())] = next
	}
	return n
}

// replace does so for the given prefixes, and all of the given children.
func (n *node) replace(gen, prefixes, children uint64, fn func(uint32) uint32) *node {
	prefixes &= n.prefixes
	children &= n.children
	if prefixes|children == 0 {
		return n
	}
	n = n.owned(gen)
	for ; prefixes != 0; prefixes &= prefixes - 1 {
		i := rank(n.prefixes, uint64(bits.TrailingZeros64(prefixes)))
		n.values[i] = fn(n.values[i])
	}
	for ; children != 0; children &= children - 1 {
		i := rank(n.children, uint64(bits.TrailingZeros64(children)))
		n.kids[i] = n.kids[i].replace(gen, ^uint64(0), ^uint64(0), fn)
	}
	return n
}

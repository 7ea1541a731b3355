package fib

import "encoding/binary"

// lpm maps prefixes to pair indices: a tree-bitmap of six bits a step, which
// shares what did not change with the version it was copied from. The prefix
// ::/0 is always in it.
type lpm struct{ root *node }

func newLPM(root uint32) lpm {
	n := &node{}
	n.put(1, root)
	return lpm{n}
}

// A key is the bits of an address that are still to be looked at, first bit at
// the top.
type key struct{ hi, lo uint64 }

func keyOf(a *[16]byte) key {
	return key{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func (k key) chunk() uint64 { return k.hi >> (64 - stride) }

func (k key) next() key { return key{k.hi<<stride | k.lo>>(64-stride), k.lo << stride} }

// lookup is the value of the longest prefix that a is in.
func (l *lpm) lookup(a *[16]byte) uint32 {
	k := keyOf(a)
	at, found := l.root, uint64(1)
	for n := l.root; n != nil; {
		c := k.chunk()
		if m := n.prefixes & above[1<<stride|c]; m != 0 {
			at, found = n, m
		}
		n = n.kid(c)
		k = k.next()
	}
	return at.longest(found)
}

// cover is the value of the longest prefix strictly above a/plen, plen > 0.
func (l *lpm) cover(a *[16]byte, plen int) uint32 {
	k := keyOf(a)
	at, found := l.root, uint64(1)
	for n := l.root; n != nil; {
		h := 1<<stride | k.chunk()
		if plen < stride {
			h = heapIndex(k.chunk(), plen)
		}
		if m := n.prefixes & above[h]; m != 0 {
			at, found = n, m
		}
		if plen < stride {
			break
		}
		n = n.kid(k.chunk())
		k, plen = k.next(), plen-stride
	}
	return at.longest(found)
}

// get is the value of a/plen itself.
func (l *lpm) get(a *[16]byte, plen int) (v uint32, ok bool) {
	k, n := keyOf(a), l.root
	for ; n != nil && plen >= stride; plen -= stride {
		n = n.kid(k.chunk())
		k = k.next()
	}
	if n == nil {
		return 0, false
	}
	h := heapIndex(k.chunk(), plen)
	if !has(n.prefixes, h) {
		return 0, false
	}
	return n.values[rank(n.prefixes, h)], true
}

// matches calls fn for every prefix that a is in, shortest first.
func (l *lpm) matches(a *[16]byte, fn func(plen int, v uint32)) {
	k := keyOf(a)
	for n, base := l.root, 0; n != nil; base += stride {
		for i := range stride {
			if h := heapIndex(k.chunk(), i); has(n.prefixes, h) {
				fn(base+i, n.values[rank(n.prefixes, h)])
			}
		}
		n = n.kid(k.chunk())
		k = k.next()
	}
}

// set gives a/plen the value v, for transaction gen.
func (l *lpm) set(gen uint64, a *[16]byte, plen int, v uint32) {
	k := keyOf(a)
	l.root = l.root.owned(gen)
	n := l.root
	for ; plen >= stride; plen -= stride {
		n = n.ownedKid(gen, k.chunk())
		k = k.next()
	}
	n.put(heapIndex(k.chunk(), plen), v)
}

// remove takes out a/plen, which is there and is not ::/0.
func (l *lpm) remove(gen uint64, a *[16]byte, plen int) {
	l.root = l.root.remove(gen, keyOf(a), plen)
}

// replaceBelow gives every prefix strictly below a/plen the value fn makes of
// its old one.
func (l *lpm) replaceBelow(gen uint64, a *[16]byte, plen int, fn func(uint32) uint32) {
	l.root = l.root.replaceBelow(gen, keyOf(a), plen, fn)
}

package fib

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"unsafe"
)

// A trie maps every address to a value. It decides eight bits a step, down to
// blocks that decide up to 32 bits at once:
//
//	page   256 entries, one for each byte. The first two bytes have pages.
//	node   spans of bytes with the same entry: a bit for each byte that begins
//	       one, how many begin before each 64 of them, and the entries
//	leaf   up to four or eight spans of the next 32 bits: where the second and
//	       following begin, then the values, then how many there are
//
// A block is there only where addresses differ, and it is a leaf if that says
// it all, so that the same prefixes make the same trie in whatever order they
// came. Values are on every address they are for: prefixes themselves are
// nowhere, but in the pairs that the values name.
type trie struct {
	*region
	root entry // a page
}

// An entry is a value, or the block that decides further.
type entry uint32

const (
	isNode entry = 1 << 31 // or a page
	isLeaf entry = 1 << 30
	isBig  entry = 1 << 29 // of a leaf: it has up to eight spans
	kind   entry = 7 << 29
)

func (e entry) value() bool   { return e&kind == 0 }
func (e entry) node() bool    { return e&isNode != 0 }
func (e entry) leaf() bool    { return e&isLeaf != 0 }
func (e entry) block() uint32 { return uint32(e &^ kind) }

const (
	pageDepth = 2  // the first depth, in bytes, at which nodes are not pages
	leafDepth = 12 // the last depth at which there are 32 bits left for a leaf

	// In words.
	fanout     = 256
	nodeHead   = 9 // bits, ranks
	nodeRanks  = 8
	smallSpans = 4
	bigSpans   = 8
)

// The lookup reads blocks through a pointer: the indices are what the writer
// put there, and checking them costs a third of the time.

// base is where blocks are.
func (t *trie) base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(t.mem)) }

// locate is where the block of e is.
func locate(base unsafe.Pointer, e entry) unsafe.Pointer {
	return unsafe.Add(base, uintptr(e<<3)*4) // which leaves out the kind: a half-line is 2³ words
}

// word is the i-th of a block.
func word(block unsafe.Pointer, i uintptr) uint32 {
	return *(*uint32)(unsafe.Add(block, i*4))
}

// lookup is the value for a.
func (t *trie) lookup(a *[16]byte) uint32 {
	base := t.base()
	e := entry(word(locate(base, t.root), uintptr(a[0])))
	depth := 1
	if e.node() {
		e = entry(word(locate(base, e), uintptr(a[1])))
		for depth = pageDepth; e.node(); depth++ {
			e = below(base, e, uintptr(a[depth&15]))
		}
	}
	if e.leaf() {
		e = search(base, e, binary.BigEndian.Uint32(a[depth:]))
	}
	runtime.KeepAlive(t.region)
	return uint32(e)
}

// below is a node's entry for byte b: that of the last span to begin at or
// before it.
func below(base unsafe.Pointer, e entry, b uintptr) entry {
	n := locate(base, e)
	begins := *(*uint64)(unsafe.Add(n, b>>6*8)) << (^b & 63)
	rank := uintptr(*(*uint8)(unsafe.Add(n, nodeRanks*4+b>>6)))
	return entry(word(n, nodeHead-1+rank+uintptr(bits.OnesCount64(begins))))
}

// search is a leaf's value for the next 32 bits: a binary search without
// branches, of which a small leaf skips the first step.
func search(base unsafe.Pointer, e entry, x uint32) entry {
	n := locate(base, e)
	big := uintptr(e&isBig) >> 27 // four or zero
	i := reached(x, word(n, 3)) * 4 & big
	i += reached(x, word(n, i+1)) * 2
	i += reached(x, word(n, i))
	return entry(word(n, i+3+big))
}

// reached is 1 if x is at or after where a span begins.
func reached(x, begin uint32) uintptr { return uintptr((uint64(begin) - 1 - uint64(x)) >> 63) }

// Lookups in a batch have a lane each. All take a step before one takes the
// next, so that the processor waits for many cache misses at once.
type lanes struct {
	base unsafe.Pointer
	dst  []*[16]byte
	at   *[batchSize]uint32 // entries, and in the end values

	list  [batchSize]uint8 // which of them go on
	depth [batchSize]uint8
}

const mask = batchSize - 1 // keeps indices within, for the compiler to see

// addr is that of lane i. Lanes are no more than addresses.
func (l *lanes) addr(i uint) *[16]byte {
	return *(**[16]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(l.dst)), uintptr(i)*unsafe.Sizeof(l.dst[0])))
}

// lookupBatch puts the value for each of dst into out, which is as long.
func (t *trie) lookupBatch(dst []*[16]byte, out *[batchSize]uint32) {
	if len(dst) > batchSize {
		panic("fib: batch too large")
	}
	l := lanes{base: t.base(), dst: dst, at: out}
	n := l.start(t.root)
	for d := pageDepth; n > 0; d++ {
		n = l.step(n, d)
	}
	l.finish()
	runtime.KeepAlive(t.region)
}

// start passes the pages. It returns how many lanes go on.
func (l *lanes) start(root entry) (n int) {
	pages := locate(l.base, root)
	for i, a := range l.dst {
		e, d := entry(word(pages, uintptr(a[0]))), uint8(1)
		if e.node() {
			e, d = entry(word(locate(l.base, e), uintptr(a[1]))), pageDepth
		}
		l.at[i&mask], l.depth[i&mask] = uint32(e), d
		l.list[n&mask] = uint8(i)
		n += int(e >> 31)
	}
	return n
}

// step takes n lanes through their nodes at depth d.
func (l *lanes) step(n, d int) (more int) {
	base, at := l.base, l.at
	for k := range n {
		i := uint(l.list[k&mask]) & mask
		e := below(base, entry(at[i]), uintptr(l.addr(i)[d&15]))
		at[i], l.depth[i] = uint32(e), uint8(d+1)
		l.list[more&mask] = uint8(i)
		more += int(e >> 31)
	}
	return more
}

// finish searches the leaves.
func (l *lanes) finish() {
	n := 0
	for i := range l.dst {
		l.list[n&mask] = uint8(i)
		n += int(l.at[i&mask] >> 30 & 1)
	}
	for _, i := range l.list[:n] {
		i := uint(i) & mask
		x := binary.BigEndian.Uint32(l.addr(i)[l.depth[i]&15:])
		l.at[i] = uint32(search(l.base, entry(l.at[i]), x))
	}
}

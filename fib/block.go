package fib

import (
	"math/bits"
	"unsafe"
)

// A span is the addresses from one on that have the same entry, up to the next
// span. Within a block, begin counts the next 32 bits of the address; the spans
// of a node begin with a byte.
type span struct {
	begin uint32
	entry entry
}

// one byte, in the next 32 bits.
const byteShift = 24

// spans appends those of e to list.
func (a *arena) spans(list []span, e entry, depth int) []span {
	switch {
	case e.value():
		return append(list, span{0, e})
	case e.leaf():
		return a.leafSpans(list, e)
	case depth < pageDepth:
		return a.pageSpans(list, e)
	}
	return a.nodeSpans(list, e)
}

func (a *arena) leafSpans(list []span, e entry) []span {
	most := mostSpans(e)
	w := a.block(e.block(), 2*most)
	list = append(list, span{0, entry(w[most-1])})
	for i := range int(w[2*most-1]) - 1 {
		list = append(list, span{w[i], entry(w[most+i])})
	}
	return list
}

// some is a value that some of the addresses of e have.
func (a *arena) some(e entry, depth int) entry {
	for ; !e.value(); depth++ {
		switch n := e.block(); {
		case e.leaf():
			e = entry(a.block(n, bigSpans)[mostSpans(e)-1])
		case depth < pageDepth:
			e = entry(a.block(n, 1)[0])
		default:
			e = entry(a.block(n, nodeHead+1)[nodeHead])
		}
	}
	return e
}

// mostSpans is how many a leaf has room for.
func mostSpans(e entry) int {
	if e&isBig != 0 {
		return bigSpans
	}
	return smallSpans
}

func (a *arena) pageSpans(list []span, e entry) []span {
	for b, w := range a.block(e.block(), fanout) {
		if b == 0 || entry(w) != list[len(list)-1].entry {
			list = append(list, span{uint32(b) << byteShift, entry(w)})
		}
	}
	return list
}

func (a *arena) nodeSpans(list []span, e entry) []span {
	n := a.count(e)
	w := a.block(e.block(), nodeHead+n)
	i := nodeHead
	for k, set := range begins(w) {
		for ; set != 0; set &= set - 1 {
			b := uint32(64*k + bits.TrailingZeros64(set))
			list = append(list, span{b << byteShift, entry(w[i])})
			i++
		}
	}
	return list
}

// begins is a node's bits: the bytes at which a span begins.
func begins(w []uint32) *[4]uint64 { return (*[4]uint64)(unsafe.Pointer(&w[0])) }

// ranks is how many spans of a node begin before each 64 bytes.
func ranks(w []uint32) *[4]uint8 { return (*[4]uint8)(unsafe.Pointer(&w[nodeRanks])) }

// count is how many spans a node has.
func (a *arena) count(e entry) int {
	w := a.block(e.block(), nodeHead)
	return int(ranks(w)[3]) + bits.OnesCount64(begins(w)[3])
}

// few reports whether a node or page has no more spans than a leaf may have.
func (a *arena) few(e entry, depth int) bool {
	if depth >= pageDepth {
		return a.count(e) <= bigSpans
	}
	n := 1
	w := a.block(e.block(), fanout)
	for i := 1; i < fanout && n <= bigSpans; i++ {
		if w[i] != w[i-1] {
			n++
		}
	}
	return n <= bigSpans
}

// slot is a node's or page's word for byte b.
func (a *arena) slot(e entry, depth int, b byte) *uint32 {
	if depth < pageDepth {
		return &a.block(e.block(), fanout)[b]
	}
	w := a.block(e.block(), nodeHead)
	set := begins(w)[b/64] << (^b & 63)
	i := nodeHead - 1 + int(ranks(w)[b/64]) + bits.OnesCount64(set)
	return &a.block(e.block(), i+1)[i]
}

// leafClass is that of a leaf with n spans.
func leafClass(n int) class {
	if n <= smallSpans {
		return classOf(2 * smallSpans)
	}
	return classOf(2 * bigSpans)
}

// size is the class of a block.
func (a *arena) size(e entry, depth int) class {
	switch {
	case e.leaf():
		return classOf(2 * mostSpans(e))
	case depth < pageDepth:
		return classOf(fanout)
	}
	return classOf(nodeHead + a.count(e))
}

// writeLeaf fills a leaf, and repeats the last span where one is missing.
func (a *arena) writeLeaf(i uint32, list []span) entry {
	e := entry(i) | isLeaf
	if len(list) > smallSpans {
		e |= isBig
	}
	most := mostSpans(e)
	w := a.block(i, 2*most)
	for k := range most {
		s := list[min(k, len(list)-1)]
		w[most-1+k] = uint32(s.entry)
		if k > 0 {
			w[k-1] = s.begin
		}
	}
	for k := len(list); k < most; k++ {
		w[k-1] = ^uint32(0)
	}
	w[2*most-1] = uint32(len(list))
	return e
}

func (a *arena) writeNode(i uint32, list []span, depth int) entry {
	if depth < pageDepth {
		w := a.block(i, fanout)
		for k, s := range list {
			end := uint32(fanout)
			if k+1 < len(list) {
				end = list[k+1].begin >> byteShift
			}
			for b := s.begin >> byteShift; b < end; b++ {
				w[b] = uint32(s.entry)
			}
		}
		return entry(i) | isNode
	}
	w := a.block(i, nodeHead+len(list))
	set := begins(w)
	*set = [4]uint64{}
	for k, s := range list {
		b := s.begin >> byteShift
		set[b/64] |= 1 << (b % 64)
		w[nodeHead+k] = uint32(s.entry)
	}
	n := 0
	for k := range set {
		ranks(w)[k] = uint8(n)
		n += bits.OnesCount64(set[k])
	}
	return entry(i) | isNode
}

package fib

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// An edit leads all addresses in a/plen to another pair, where they went through
// one. It copies the blocks on the way there that others can see.
//
// A value is counted once for every span of a block that has it.
type edit struct {
	*Txn
	a        *[16]byte
	plen     int
	from, to uint32
	moved    map[uint32]uint32 // other pairs, old to new; nil: none yet
}

// move is the pair that stands for what i stood for, on the new ground.
func (x *edit) move(i uint32) uint32 {
	if i == x.from {
		return x.to
	}
	to, ok := x.moved[i]
	if !ok {
		p := x.t.pairs.at(i)
		p.cover = x.move(p.cover)
		to = x.intern(p)
		if x.moved == nil {
			x.moved = make(map[uint32]uint32)
		}
		x.moved[i] = to
	}
	return to
}

// apply does it to e, which is about the addresses that agree with the prefix
// in depth bytes. A value that it takes or returns is the caller's to count.
func (x *edit) apply(e entry, depth int) entry {
	rest := x.plen - 8*depth
	if rest <= 0 {
		return x.whole(e, depth)
	}
	if rest <= 8 || !e.node() && rest <= 32 && depth <= leafDepth {
		width := ^uint32(0) >> rest
		return x.reform(e, depth, false, next32(x.a, depth)&^width, width, func(kid entry) entry { return x.whole(kid, depth+1) })
	}
	b := x.a[depth]
	become := func(kid entry) entry { return x.apply(kid, depth+1) }
	if e.node() {
		if kid := entry(*x.t.slot(e, depth, b)); !kid.value() {
			next := x.apply(kid, depth+1)
			if next.node() || next.leaf() && !x.t.few(e, depth) {
				return x.patch(e, depth, b, next)
			}
			become = func(entry) entry { return next }
		}
	}
	return x.reform(e, depth, true, uint32(b)<<byteShift, 1<<byteShift-1, become)
}

// next32 is the 32 bits of a after depth bytes, or what there is of them.
func next32(a *[16]byte, depth int) uint32 {
	if depth <= leafDepth {
		return binary.BigEndian.Uint32(a[depth:])
	}
	return uint32(binary.BigEndian.Uint64(a[8:]) << (8 * (depth - 8)) >> 32)
}

// whole does it to all of e. Values that differ still do afterwards, since what
// becomes of a pair tells it from others: so the spans stay as they are.
func (x *edit) whole(e entry, depth int) entry {
	if e.value() {
		return entry(x.move(uint32(e)))
	}
	list := x.t.spans(x.t.borrow(), e, depth)
	changed := false
	for i, s := range list {
		next := x.whole(s.entry, depth+1)
		if next != s.entry {
			changed = true
			x.count(s.entry, -1)
			x.count(next, 1)
			list[i].entry = next
		}
	}
	if changed {
		e = x.write(e, list, depth, e.leaf())
	}
	x.t.giveBack(list)
	return e
}

// patch gives e, which has a block at byte b, another one there.
func (x *edit) patch(e entry, depth int, b byte, kid entry) entry {
	if entry(*x.t.slot(e, depth, b)) == kid {
		return e
	}
	if !x.t.owns(e.block()) {
		c := x.t.size(e, depth)
		i, n := x.t.alloc(c), int(c.halves())*halfLine
		copy(x.t.block(i, n), x.t.block(e.block(), n))
		x.drop(e, depth)
		e = entry(i) | e&kind
	}
	*x.t.slot(e, depth, b) = uint32(kid)
	return e
}

// reform puts into e what become makes of it from begin to begin+width, and
// gives it the form that this takes. With further, that may be blocks.
func (x *edit) reform(e entry, depth int, further bool, begin, width uint32, become func(entry) entry) entry {
	list := x.t.spans(x.t.borrow(), e, depth)
	if e.value() {
		x.count(e, 1)
	}
	if further && e.leaf() {
		list = x.explode(list, depth)
	}
	list = x.splice(list, begin, begin+width, become)
	switch leaf, ok := x.flatten(list, depth); {
	case len(list) == 1 && depth > 0:
		x.count(list[0].entry, -1)
		x.drop(e, depth)
		e = list[0].entry
	case ok:
		e = x.write(e, leaf, depth, true)
		x.t.giveBack(leaf)
	default:
		if !e.node() && !further {
			list = x.explode(list, depth)
		}
		e = x.write(e, list, depth, false)
	}
	x.t.giveBack(list)
	return e
}

// splice has become change what is between begin and last, cuts spans that
// reach beyond, and joins equal ones. It returns a new list, and takes the old.
func (x *edit) splice(list []span, begin, last uint32, become func(entry) entry) []span {
	from, _ := slices.BinarySearchFunc(list, begin, func(s span, at uint32) int { return cmp.Compare(s.begin, at) })
	from = max(0, from-1) // one before may reach into it
	to := from            // the first after it
	for to < len(list) && list[to].begin <= last {
		to++
	}
	next := append(x.t.borrow(), list[:from]...)
	add := func(at uint32, e entry) {
		if n := len(next); n > 0 && next[n-1].entry == e {
			x.count(e, -1) // joined: it has one span less
			return
		}
		next = append(next, span{at, e})
	}
	for i := from; i < to; i++ {
		s, end := list[i], ^uint32(0) // its last address
		if i+1 < len(list) {
			end = list[i+1].begin - 1
		}
		if end < begin {
			add(s.begin, s.entry)
			continue
		}
		if s.begin < begin {
			x.count(s.entry, 1)
			add(s.begin, s.entry)
		}
		made := become(s.entry)
		x.count(made, 1)
		add(max(s.begin, begin), made)
		if end > last {
			x.count(s.entry, 1)
			add(last+1, s.entry)
		}
		x.count(s.entry, -1)
	}
	if to < len(list) {
		add(list[to].begin, list[to].entry)
		next = append(next, list[to+1:]...)
	}
	x.t.giveBack(list)
	return next
}

// explode has every span begin with a byte: what is within one goes into a
// block of its own. It takes list.
func (x *edit) explode(list []span, depth int) []span {
	next := x.t.borrow()
	for i := 0; i < len(list); {
		b := list[i].begin >> byteShift << byteShift
		end := i + 1 // of those within the byte
		for end < len(list) && list[end].begin>>byteShift == b>>byteShift {
			end++
		}
		if list[i].begin == b && end == i+1 {
			next = append(next, list[i])
			i = end
			continue
		}
		inner := x.t.borrow()
		if list[i].begin != b {
			inner = append(inner, span{0, list[i-1].entry})
			x.count(list[i-1].entry, 1)
		}
		for _, s := range list[i:end] {
			inner = append(inner, span{s.begin << 8, s.entry})
		}
		next = append(next, span{b, x.plant(inner, depth+1)})
		after := b + 1<<byteShift
		if after != 0 && (end == len(list) || list[end].begin>>byteShift != after>>byteShift) {
			next = append(next, span{after, list[end-1].entry})
			x.count(list[end-1].entry, 1)
		}
		i = end
	}
	x.t.giveBack(list)
	return next
}

// plant makes a new block. It takes list.
func (x *edit) plant(list []span, depth int) entry {
	leaf := len(list) <= bigSpans && depth <= leafDepth
	if !leaf {
		list = x.explode(list, depth)
	}
	e := x.write(0, list, depth, leaf)
	x.t.giveBack(list)
	return e
}

// flatten is what a leaf would have to say in place of a node with list; ok is
// false if one can't. With ok, blocks in list have been dropped.
func (x *edit) flatten(list []span, depth int) (flat []span, ok bool) {
	if len(list) < 2 || len(list) > bigSpans || depth == 0 || depth > leafDepth {
		return nil, false
	}
	flat = x.t.borrow()
	inner := x.t.borrow()
	joined := x.t.borrow()
	ok = true
	for _, s := range list {
		if s.entry.node() {
			ok = false
			break
		}
		inner = x.t.spans(inner[:0], s.entry, depth+1)
		for _, in := range inner {
			ok = ok && in.begin&0xff == 0
			if n := len(flat); n > 0 && flat[n-1].entry == in.entry {
				joined = append(joined, in)
				continue
			}
			flat = append(flat, span{s.begin | in.begin>>8, in.entry})
		}
	}
	ok = ok && len(flat) <= bigSpans
	if ok {
		for _, s := range joined {
			x.count(s.entry, -1)
		}
		for _, s := range list {
			x.drop(s.entry, depth+1)
		}
	}
	x.t.giveBack(inner)
	x.t.giveBack(joined)
	if !ok {
		x.t.giveBack(flat)
		flat = nil
	}
	return flat, ok
}

// write puts list into the block of old if that is the transaction's own and of
// the right size, or else into a new one.
func (x *edit) write(old entry, list []span, depth int, leaf bool) entry {
	c := classOf(nodeHead + len(list))
	switch {
	case leaf:
		c = leafClass(len(list))
	case depth < pageDepth:
		c = classOf(fanout)
	}
	i := old.block()
	if old.value() || !x.t.owns(i) || x.t.size(old, depth) != c {
		i = x.t.alloc(c)
		x.drop(old, depth)
	}
	if leaf {
		return x.t.writeLeaf(i, list)
	}
	return x.t.writeNode(i, list, depth)
}

// drop gives up the block of e, if it has one.
func (x *edit) drop(e entry, depth int) {
	if e.value() {
		return
	}
	f := freed{e.block(), x.t.size(e, depth)}
	if x.t.giveUp(f) {
		x.retired.blocks = append(x.retired.blocks, f)
	}
}

// count is how many more spans have e, if it is a value.
func (x *edit) count(e entry, more int) {
	if e.value() {
		x.t.pairs.name(uint32(e), more)
	}
}

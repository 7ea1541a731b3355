package fib

import "slices"

// An edit makes the changes of a batch in one pass over the trie, however many
// there are. It copies the blocks on its way that others can see, and builds
// those that are new from what all their addresses lead to.
//
// A value is counted once for every span of a block that has it.
type edit struct{ *Txn }

// A scope is the addresses that a change is about: all lead to another pair
// where they went through one. What becomes of a pair depends on nothing else,
// since the chain of each of them passes through that one exactly once.
type scope struct {
	last  addr
	plen  uint8
	to    uint32            // what becomes of the pair of the prefix, and of what covers it
	moved map[uint32]uint32 // of longer prefixes, old to new; nil: none yet
}

// enter begins the scope of a change, where addresses had value v until now.
func (x *edit) enter(c *change, v entry) {
	ps := &x.t.pairs
	own := uint32(v)
	for ps.plens[own] > c.plen {
		own = ps.covers[own]
	}
	cover := own
	for ps.plens[cover] == c.plen {
		cover = ps.covers[cover]
	}
	wanted := x.t.wanted(c)
	to := x.chain(wanted, x.move(cover), int(c.plen))
	if len(wanted) > 0 {
		x.t.prefixes++
	}
	if own != cover {
		x.t.prefixes--
	}
	if to == own && len(x.t.scopes) == 0 {
		return // as it is
	}
	x.t.scopes = append(x.t.scopes, scope{c.last(int(c.plen)), c.plen, to, nil})
}

// leave ends the scopes from the n-th on that end before a.
func (x *edit) leave(n int, a addr) {
	for len(x.t.scopes) > n && x.t.scopes[len(x.t.scopes)-1].last.less(a) {
		x.t.scopes = x.t.scopes[:len(x.t.scopes)-1]
	}
}

// move is the pair that stands for what i stood for, in the scope under way.
func (x *edit) move(i uint32) uint32 {
	if len(x.t.scopes) == 0 {
		return i
	}
	s := &x.t.scopes[len(x.t.scopes)-1]
	if x.t.pairs.plens[i] <= s.plen {
		return s.to
	}
	to, ok := s.moved[i]
	if !ok {
		p := x.t.pairs.at(i)
		p.cover = x.move(p.cover)
		to = x.intern(p)
		if s.moved == nil {
			s.moved = make(map[uint32]uint32)
		}
		s.moved[i] = to
	}
	return to
}

// apply makes changes to e, which is about all addresses that agree with theirs
// in depth bytes; they are longer than that. A value that it takes or returns is
// the caller's to count. It may move the changes about.
func (x *edit) apply(e entry, depth int, changes []change) entry {
	if e.node() && len(x.t.scopes) == 0 {
		e, changes = x.descend(e, depth, changes)
	}
	switch {
	case len(changes) == 0:
		return e
	case e.node():
		return x.merge(e, depth, changes)
	}
	return x.plant(e, depth, changes)
}

// descend makes those changes that are within a block below e. It returns what
// becomes of e, and the changes that are left.
func (x *edit) descend(e entry, depth int, changes []change) (entry, []change) {
	left := changes[:0]
	for len(changes) > 0 && e.node() {
		c, limit := &changes[0], 8*depth+8
		b := c.byte(depth)
		n := within(changes, c.last(min(int(c.plen), limit)))
		kid := entry(*x.t.slot(e, depth, b))
		if int(c.plen) <= limit || kid.value() {
			left = append(left, changes[:n]...)
		} else if next := x.apply(kid, depth+1, changes[:n]); next == kid {
			// Nothing has changed, or what has is in a block of the transaction's own.
		} else if next.node() || next.leaf() && !x.t.few(e, depth) {
			e = x.patch(e, depth, b, next)
		} else {
			e = x.exchange(e, depth, b, next)
		}
		changes = changes[n:]
	}
	return e, append(left, changes...)
}

// within is how many changes, from the first on, begin up to last.
func within(changes []change, last addr) (n int) {
	for n < len(changes) && !last.less(changes[n].addr) {
		n++
	}
	return n
}

// whole is e when all of it is in the scope under way. Values that differ still
// do afterwards, since what becomes of a pair tells it from others: so the spans
// stay as they are.
func (x *edit) whole(e entry, depth int) entry {
	if len(x.t.scopes) == 0 {
		return e
	}
	if e.value() {
		return entry(x.move(uint32(e)))
	}
	list := x.t.spans(x.t.borrow(), e, depth)
	changed := false
	for i, s := range list {
		next := x.whole(s.entry, depth+1)
		if next != s.entry {
			changed = true
			x.count(next, 1)
			x.count(s.entry, -1)
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

// exchange gives e, which has a block at byte b, something there that may change
// its form.
func (x *edit) exchange(e entry, depth int, b byte, kid entry) entry {
	old, list := x.t.spans(x.t.borrow(), e, depth), x.t.borrow()
	for _, s := range old {
		if s.begin == uint32(b)<<byteShift {
			s.entry = kid
			x.count(kid, 1)
		}
		list = x.join(list, s)
	}
	e = x.form(e, list, depth)
	x.t.giveBack(old)
	x.t.giveBack(list)
	return e
}

// join appends s, which has been counted, or takes it back if the span before
// says the same.
func (x *edit) join(list []span, s span) []span {
	if n := len(list); n > 0 && list[n-1].entry == s.entry {
		x.count(s.entry, -1)
		return list
	}
	return append(list, s)
}

// merge makes changes to a node. Spans that no change is about stay as they are,
// unless all of it is in a scope.
func (x *edit) merge(e entry, depth int, changes []change) entry {
	old, list := x.t.spans(x.t.borrow(), e, depth), x.t.borrow()
	base, limit := changes[0].first(8*depth), 8*depth+8
	put := func(at addr, e entry, inside []change) {
		var kid entry
		if len(inside) > 0 {
			kid = x.apply(e, depth+1, inside)
		} else {
			kid = x.whole(e, depth+1)
		}
		x.count(kid, 1)
		list = x.join(list, span{at.next32(depth), kid})
	}
	done := 0
	for len(changes) > 0 {
		from, to, n := 0, len(old), len(changes)
		w := window{base, base.last(8 * depth)}
		if len(x.t.scopes) == 0 {
			from, to, n = touched(old, done, changes, depth)
			w.first = base.plus(old[from].begin, depth)
			if to < len(old) {
				w.last = base.plus(old[to].begin, depth).previous()
			}
		}
		list = x.follow(list, old[done:from])
		x.pieces(w, old[from:to], depth, limit, changes[:n], put)
		x.uncount(old[from:to])
		done, changes = to, changes[n:]
	}
	list = x.follow(list, old[done:])
	if !slices.Equal(list, old) {
		e = x.form(e, list, depth)
	}
	x.t.giveBack(old)
	x.t.giveBack(list)
	return e
}

// follow appends spans that stay.
func (x *edit) follow(list, more []span) []span {
	if len(more) == 0 {
		return list
	}
	return append(x.join(list, more[0]), more[1:]...)
}

// touched is which spans of a node, from the done-th on, the first n changes are
// about. The others are about later ones.
func touched(list []span, done int, changes []change, depth int) (from, to, n int) {
	from = done + after(list[done:], changes[0].next32(depth)) - 1
	for to = from + 1; n < len(changes) && (to == len(list) || changes[n].next32(depth) < list[to].begin); n++ {
		last := changes[n].last(int(changes[n].plen)).next32(depth)
		to += after(list[to:], last)
	}
	return from, to, n
}

// after is the first span to begin behind at.
func after(list []span, at uint32) int {
	i, _ := slices.BinarySearchFunc(list, at, func(s span, at uint32) int {
		if s.begin <= at {
			return -1
		}
		return 1
	})
	return i
}

// A window is a run of addresses.
type window struct{ first, last addr }

// pieces calls fn for the parts of a window, which has spans old. Each is of one
// span, and in the same scopes. Changes longer than limit make none: those
// within one prefix of that length are one piece.
func (x *edit) pieces(w window, old []span, depth, limit int, changes []change, fn func(at addr, e entry, inside []change)) {
	outer, base := len(x.t.scopes), w.first.first(8*depth)
	for at := w.first; ; {
		x.leave(outer, at)
		for len(changes) > 0 && changes[0].addr == at && int(changes[0].plen) <= limit {
			x.enter(&changes[0], x.t.some(old[0].entry, depth+1))
			changes = changes[1:]
		}
		end, n := w.last, 0
		if len(old) > 1 {
			end = base.plus(old[1].begin, depth).previous()
		}
		if n := len(x.t.scopes); n > outer {
			end = end.min(x.t.scopes[n-1].last)
		}
		if len(changes) > 0 {
			if next := changes[0].first(limit); next != at {
				end = end.min(next.previous())
			} else {
				end = at.last(limit)
				n = within(changes, end)
			}
		}
		fn(at, old[0].entry, changes[:n])
		changes = changes[n:]
		if end == w.last {
			break
		}
		at = end.next()
		if len(old) > 1 && base.plus(old[1].begin, depth) == at {
			old = old[1:]
		}
	}
	x.t.scopes = x.t.scopes[:outer]
}

// form gives e list, in the form that this takes.
func (x *edit) form(e entry, list []span, depth int) entry {
	if len(list) == 1 && depth > 0 {
		x.count(list[0].entry, -1)
		x.drop(e, depth)
		return list[0].entry
	}
	if leaf, ok := x.flatten(list, depth); ok {
		e = x.write(e, leaf, depth, true)
		x.t.giveBack(leaf)
		return e
	}
	return x.write(e, list, depth, false)
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

// write puts list into the block of old if that is a node, the transaction's own
// and of the right size, or else into a new one. So a leaf that changes is
// another entry: the node above sees by that whether it may become a leaf now.
func (x *edit) write(old entry, list []span, depth int, leaf bool) entry {
	c := classOf(nodeHead + len(list))
	switch {
	case leaf:
		c = leafClass(len(list))
	case depth < pageDepth:
		c = classOf(fanout)
	}
	i := old.block()
	if leaf || old.value() || !x.t.owns(i) || x.t.size(old, depth) != c {
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

// uncount is for spans that are no longer.
func (x *edit) uncount(list []span) {
	for _, s := range list {
		x.count(s.entry, -1)
	}
}

package fib

// A place is where addresses begin to lead to another pair.
type place struct {
	addr
	value entry
}

// plant makes changes to a value or a leaf: it works out what all addresses lead
// to then, and builds the blocks that say so.
func (x *edit) plant(e entry, depth int, changes []change) entry {
	old := x.t.spans(x.t.borrow(), e, depth)
	base := changes[0].first(8 * depth)
	places := x.t.places[:0]
	x.pieces(window{base, base.last(8 * depth)}, old, depth, 128, changes, func(at addr, e entry, _ []change) {
		v := entry(x.move(uint32(e)))
		if n := len(places); n == 0 || places[n-1].value != v {
			places = append(places, place{at, v})
		}
	})
	if made := places[0].value; !same(places, old, base, depth) {
		if len(places) > 1 {
			made = x.build(e, places[0].value, places[1:], depth)
		} else {
			x.drop(e, depth)
		}
		if e.leaf() {
			x.uncount(old)
		}
		e = made
	}
	x.t.places = places
	x.t.giveBack(old)
	return e
}

// same reports whether places are where the spans of a leaf begin.
func same(places []place, list []span, base addr, depth int) bool {
	if len(places) != len(list) {
		return false
	}
	for i, p := range places {
		if s := list[i]; p.value != s.entry || p.addr != base.plus(s.begin, depth) {
			return false
		}
	}
	return true
}

// build makes the block for addresses that lead to first, and from each of the
// places on to something else. It takes the place of old.
func (x *edit) build(old, first entry, places []place, depth int) entry {
	list, leaf := x.t.borrow(), fit(places, depth)
	if leaf {
		list = append(list, span{0, first})
		for _, p := range places {
			list = append(list, span{p.next32(depth), p.value})
		}
	} else {
		list = x.byBytes(list, first, places, depth)
	}
	for _, s := range list {
		x.count(s.entry, 1)
	}
	e := x.write(old, list, depth, leaf)
	x.t.giveBack(list)
	return e
}

// fit reports whether a leaf can say it.
func fit(places []place, depth int) bool {
	if len(places) >= bigSpans || depth == 0 || depth > leafDepth {
		return false
	}
	for _, p := range places {
		if !p.begins(8*depth + 32) {
			return false
		}
	}
	return true
}

// byBytes appends the spans of a node. What differs within a byte goes into a
// block of its own.
func (x *edit) byBytes(list []span, v entry, places []place, depth int) []span {
	const nothing = fanout
	next := 0 // the byte from which on v has yet to be said
	for len(places) > 0 {
		b, n := places[0].byte(depth), 1
		for n < len(places) && places[n].byte(depth) == b {
			n++
		}
		in := places[:n]
		places = places[n:]
		if next < int(b) {
			list = append(list, span{uint32(next) << byteShift, v})
		}
		if in[0].begins(8*depth + 8) {
			v, in = in[0].value, in[1:]
		}
		kid := v
		next = nothing
		if len(in) > 0 {
			kid = x.build(0, v, in, depth+1)
			v, next = in[len(in)-1].value, int(b)+1
		}
		list = append(list, span{uint32(b) << byteShift, kid})
	}
	if next < nothing {
		list = append(list, span{uint32(next) << byteShift, v})
	}
	return list
}

package fib

import (
	"cmp"
	"net/netip"
	"slices"
)

// A change is what a prefix shall have.
type change struct {
	addr
	plen       uint8
	candidates uint32 // where they begin in a batch; slot 0 ends them
}

// order is where c is in a batch: covering prefixes come first, and of changes to
// one prefix the last one recorded is the last.
func (c change) order(d change) int {
	if c.hi != d.hi { // as a rule
		return cmp.Compare(c.hi, d.hi)
	}
	return cmp.Or(cmp.Compare(c.lo, d.lo), cmp.Compare(c.plen, d.plen), cmp.Compare(c.candidates, d.candidates))
}

// A batch is the changes of a transaction that the trie has yet to hear of, and
// room to work them in. Small, it is kept for the next one.
type batch struct {
	changes []change
	groups  []GroupID
	scopes  []scope  // under way, each within the one before it
	places  []place  // under way
	spare   [][]span // for lists
}

// record adds what p shall have.
func (x *Txn) record(p netip.Prefix, candidates ...GroupID) {
	b := &x.t.batch
	if len(b.changes) >= most {
		x.flush()
	}
	b.changes = append(b.changes, change{addrOf(p.Addr().As16()), uint8(p.Bits()), uint32(len(b.groups))})
	b.groups = append(append(b.groups, candidates...), 0)
}

// wanted is the candidates of a change; none is to take the prefix out.
func (b *batch) wanted(c *change) []GroupID {
	all := b.groups[c.candidates:]
	return all[:slices.Index(all, 0)]
}

// inOrder is the changes in order, one to a prefix.
func (b *batch) inOrder() []change {
	slices.SortFunc(b.changes, change.order)
	all := b.changes[:1]
	for _, c := range b.changes[1:] {
		if last := &all[len(all)-1]; last.addr == c.addr && last.plen == c.plen {
			*last = c
		} else {
			all = append(all, c)
		}
	}
	return all
}

// flush makes the changes.
func (x *Txn) flush() {
	b := &x.t.batch
	if len(b.changes) == 0 {
		return
	}
	e := edit{x}
	if top := e.apply(x.next.prefixes.root, 0, b.inOrder()); top != x.next.prefixes.root {
		x.next.prefixes.root = top
		x.changed = true
	}
	x.next.prefixes.region = x.t.region // it may have grown
	x.sweep()
	b.changes, b.groups = b.changes[:0], b.groups[:0]
}

const (
	// most is how many changes a batch has: what they need stays in the cache.
	most = 16384
	// kept is how many entries a list has room for between transactions.
	kept = 256
)

// end lets go of what a long batch needed.
func (b *batch) end() {
	if cap(b.changes) > kept {
		b.spare = nil
	}
	b.changes, b.groups = emptied(b.changes), emptied(b.groups)
	clear(b.scopes[:cap(b.scopes)]) // their maps
	b.scopes, b.places = emptied(b.scopes), emptied(b.places)
}

// emptied is the list without its entries, and not at all if it was a long one.
func emptied[T any](list []T) []T {
	if cap(list) > kept {
		return nil
	}
	return list[:0]
}

// borrow is an empty list, to be given back.
func (b *batch) borrow() []span {
	n := len(b.spare)
	if n == 0 {
		return make([]span, 0, bigSpans)
	}
	list := b.spare[n-1]
	b.spare = b.spare[:n-1]
	return list
}

func (b *batch) giveBack(list []span) { b.spare = append(b.spare, list[:0]) }

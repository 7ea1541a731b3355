package fib

import (
	"net/netip"

	"github.com/router6d/router6d/ifmgr"
)

// A Txn is the next Snapshot in the making. It ends with the function it was
// given to.
type Txn struct {
	t         *Table
	next      Snapshot // shares all that has not changed with what is published
	gen       uint64
	changed   bool
	displaced []*Nexthop        // to be released once nobody sees them
	dropped   []GroupID         // free once the transaction is over
	moved     map[uint32]uint32 // of the rebase under way, old pair to new
}

// Group is what a slot holds now.
func (x *Txn) Group(g GroupID) *Group {
	x.t.slots.check(g)
	return x.next.groups.at(uint32(g))
}

// NewGroup makes a slot. A Forward or Deliver group without nexthops is an
// emptied one, which lookups step over. NewGroup takes nhs.
func (x *Txn) NewGroup(v Verdict, nhs ...*Nexthop) GroupID {
	g := x.t.slots.take()
	x.replace(g, &Group{}, newGroup(v, nhs))
	return g
}

// Rewrite gives a slot new content. It takes nhs, of which some may be in the
// slot already: those stay.
func (x *Txn) Rewrite(g GroupID, v Verdict, nhs ...*Nexthop) {
	x.replace(g, x.Group(g), newGroup(v, nhs))
}

// Drop ends a slot, which no prefix may name. Its number comes back in a later
// transaction.
func (x *Txn) Drop(g GroupID) {
	old := x.Group(g)
	if x.t.slots.named[g] != 0 {
		panic("fib: drop of a slot that prefixes name")
	}
	x.replace(g, old, &Group{})
	x.t.slots.named[g] = -1
	x.dropped = append(x.dropped, g)
}

// SetSource says which address Snapshot.Source is.
func (x *Txn) SetSource(a netip.Addr) {
	if x.next.source != a {
		x.next.source = a
		x.changed = true
	}
}

func (x *Txn) freeDropped() {
	for _, g := range x.dropped {
		x.next.groups.set(x.gen, uint32(g), nil)
	}
	x.t.slots.free = append(x.t.slots.free, x.dropped...)
}

// Withdraw takes every nexthop on the interface out of its slot, and returns
// how many slots that were. What it costs depends on them alone, not on how
// many prefixes name them.
func (x *Txn) Withdraw(id ifmgr.ID) (slots int) {
	gone := func(nh *Nexthop) bool { return nh.ID() == id }
	using := x.t.slots.using[id]
	slots = len(using)
	for g := range using {
		old := x.next.groups.at(uint32(g))
		x.replace(g, old, old.without(gone))
	}
	return slots
}

// replace puts next into the slot that holds old, and keeps the books.
func (x *Txn) replace(g GroupID, old, next *Group) {
	s := &x.t.slots
	for _, nh := range old.nexthops {
		s.left(g, nh.ID())
		if !next.holds(nh) {
			x.displaced = append(x.displaced, nh)
		}
	}
	for _, nh := range next.nexthops {
		s.leads(g, nh.ID())
	}
	s.held += len(next.nexthops) - len(old.nexthops)
	x.next.groups.set(x.gen, uint32(g), next)
	x.changed = true
}

// Set gives p its candidates, the best first. A lookup takes the first that is
// not emptied, or else what covers p. Without candidates it is Delete.
func (x *Txn) Set(p netip.Prefix, candidates ...GroupID) {
	for _, g := range candidates {
		x.t.slots.check(g)
	}
	switch {
	case len(candidates) == 0:
		x.Delete(p)
	case p.Bits() == 0:
		x.setRoot(pair{candidates[0], x.chain(candidates[1:], lastResort)})
	default:
		a := p.Addr().As16()
		cover := x.next.prefixes.cover(&a, p.Bits())
		x.setPrefix(&a, p.Bits(), x.chain(candidates, cover), cover)
	}
}

func (x *Txn) setPrefix(a *[16]byte, plen int, to, cover uint32) {
	from, known := x.next.prefixes.get(a, plen)
	if known && from == to {
		return
	}
	x.t.pairs.retain(to)
	if known {
		x.t.pairs.release(from)
	} else {
		x.t.prefixes++
		from = cover
	}
	x.next.prefixes.set(x.gen, a, plen, to)
	x.rebase(a, plen, from, to)
}

// Delete takes p out of the table, if it is there.
func (x *Txn) Delete(p netip.Prefix) {
	if p.Bits() == 0 {
		x.setRoot(pair{})
		return
	}
	a := p.Addr().As16()
	from, known := x.next.prefixes.get(&a, p.Bits())
	if !known {
		return
	}
	x.t.prefixes--
	x.t.pairs.release(from)
	x.next.prefixes.remove(x.gen, &a, p.Bits())
	x.rebase(&a, p.Bits(), from, x.next.prefixes.cover(&a, p.Bits()))
}

// setRoot changes the pair of ::/0 in place. All chains end in it by index, so
// that no other prefix notices.
func (x *Txn) setRoot(to pair) {
	from := x.next.pairs.at(root)
	if from == to {
		return
	}
	x.t.slots.name(to.slot)
	x.t.slots.unname(from.slot)
	x.t.pairs.retain(to.cover)
	x.t.pairs.release(from.cover)
	x.next.pairs.set(x.gen, root, to)
	x.t.prefixes += occupied(to) - occupied(from)
	x.sweep()
	x.changed = true
}

// occupied is 1 if the root pair stands for a default route, else 0.
func occupied(p pair) int {
	if p.slot == 0 {
		return 0
	}
	return 1
}

// rebase leads all prefixes below a/plen to pair "to", where they went through
// pair "from". Since the chain of each of them passes through from exactly
// once, what becomes of a pair depends on nothing else, and is worked out once.
func (x *Txn) rebase(a *[16]byte, plen int, from, to uint32) {
	x.moved = map[uint32]uint32{from: to}
	x.next.prefixes.replaceBelow(x.gen, a, plen, func(old uint32) uint32 {
		i := x.move(old)
		x.t.pairs.retain(i)
		x.t.pairs.release(old)
		return i
	})
	x.sweep()
	x.changed = true
}

// move is the pair that stands for what i stood for, on the new ground.
func (x *Txn) move(i uint32) uint32 {
	if to, ok := x.moved[i]; ok {
		return to
	}
	p := x.next.pairs.at(i)
	to := x.intern(pair{p.slot, x.move(p.cover)})
	x.moved[i] = to
	return to
}

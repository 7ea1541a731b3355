package fib

import (
	"net/netip"

	"github.com/router6d/router6d/ifmgr"
)

// A Txn is the next Snapshot in the making. It ends with the function it was
// given to.
type Txn struct {
	t       *Table
	next    Snapshot // shares all that has not changed with what is published
	gen     uint64
	changed bool
	retired retired
	dropped []GroupID // free once the transaction is over
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
	x.flush()
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
			x.retired.nexthops = append(x.retired.nexthops, nh)
		}
	}
	for _, nh := range next.nexthops {
		s.leads(g, nh.ID())
	}
	s.held += len(next.nexthops) - len(old.nexthops)
	x.next.groups.set(x.gen, uint32(g), next)
	if g == x.next.root.slot {
		x.next.groups.set(x.gen, uint32(rootSlot), next)
	}
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
		x.setRoot(pair{slot: candidates[0], cover: x.chain(candidates[1:], lastResort, 0)})
	default:
		x.record(p, candidates...)
	}
}

// Delete takes p out of the table, if it is there.
func (x *Txn) Delete(p netip.Prefix) {
	if p.Bits() == 0 {
		x.setRoot(pair{})
		return
	}
	x.record(p)
}

// setRoot changes the pair of ::/0 in place. All chains end in it by index, so
// that no other prefix notices.
func (x *Txn) setRoot(to pair) {
	from := x.next.root
	if from == to {
		return
	}
	x.t.slots.name(to.slot)
	x.t.slots.unname(from.slot)
	x.t.pairs.name(to.cover, 1)
	x.t.pairs.name(from.cover, -1)
	x.next.root = to
	x.next.groups.set(x.gen, uint32(rootSlot), x.next.groups.at(uint32(to.slot)))
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

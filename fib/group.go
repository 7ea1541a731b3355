package fib

import "slices"

// A Verdict is what happens to a packet.
type Verdict uint8

const (
	// Unreachable refuses with an error: no route. It is the zero value.
	Unreachable Verdict = iota
	// Prohibit refuses with an error: administratively prohibited.
	Prohibit
	// Blackhole drops without a word.
	Blackhole
	// Deliver is for the router itself. The group's nexthop is the interface
	// that the address belongs to.
	Deliver
	// Forward sends to one of the group's nexthops.
	Forward
)

// String is the verdict's name in configuration and output.
func (v Verdict) String() string {
	return [...]string{"unreachable", "prohibit", "blackhole", "deliver", "forward"}[v]
}

// MaxNexthops is the most a group may have: a bucket names one in a byte.
const MaxNexthops = 256

// A GroupID names a slot of the group table. Slot 0 is Unreachable for ever, and
// slot 1 has what the first candidate of ::/0 has.
type GroupID uint32

// A Group is what a slot holds in one Snapshot. It never changes.
type Group struct {
	verdict  Verdict
	emptied  bool       // lookups step over it
	only     *Nexthop   // the nexthop of a group that has one
	buckets  *[256]byte // index into nexthops; nil unless there are several
	nexthops []*Nexthop
}

// newGroup refuses what a slot can't hold: nexthops on a refusal, several
// interfaces for one address.
func newGroup(v Verdict, nhs []*Nexthop) *Group {
	if len(nhs) > v.most() {
		panic("fib: too many nexthops for " + v.String())
	}
	g := &Group{verdict: v, emptied: v.leads() && len(nhs) == 0, nexthops: nhs}
	switch len(nhs) {
	case 0:
	case 1:
		g.only = nhs[0]
	default:
		g.buckets = fill(nhs)
	}
	return g
}

// most is how many nexthops a group with this verdict may have.
func (v Verdict) most() int {
	switch v {
	case Forward:
		return MaxNexthops
	case Deliver:
		return 1
	case Unreachable, Prohibit, Blackhole:
	}
	return 0
}

// leads reports whether groups with this verdict have nexthops.
func (v Verdict) leads() bool { return v >= Deliver }

// without is the group when the nexthops that gone picks have left.
func (g *Group) without(gone func(*Nexthop) bool) *Group {
	left := make([]*Nexthop, 0, len(g.nexthops))
	for _, nh := range g.nexthops {
		if !gone(nh) {
			left = append(left, nh)
		}
	}
	next := &Group{verdict: g.verdict, emptied: len(left) == 0, nexthops: left}
	switch len(left) {
	case 0:
	case 1:
		next.only = left[0]
	default:
		next.buckets = refill(g, left)
	}
	return next
}

// Verdict is what happens to a packet of this group.
func (g *Group) Verdict() Verdict { return g.verdict }

// Nexthop is the one that a flow takes; nil if the group is a refusal. Every
// hash leads to the same nexthop as long as that is in the group.
func (g *Group) Nexthop(hash uint32) *Nexthop {
	if g.buckets == nil {
		return g.only
	}
	return g.nexthops[g.buckets[hash>>24]]
}

// Nexthops is all of them. Borrowed.
func (g *Group) Nexthops() []*Nexthop { return g.nexthops }

// Emptied reports whether lookups step over the group: all that it led to has
// been withdrawn.
func (g *Group) Emptied() bool { return g.emptied }

func (g *Group) holds(nh *Nexthop) bool { return slices.Contains(g.nexthops, nh) }

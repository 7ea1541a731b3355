package fib

import (
	"net/netip"
	"sync/atomic"
)

// A Snapshot is the whole table at one generation. It never changes. Its
// nexthops are usable until the Guard it was loaded under is left.
type Snapshot struct {
	prefixes trie // to indices of pairs
	chains
	root    pair // that of ::/0
	groups  paged[*Group]
	source  netip.Addr
	gen     uint64
	retired *atomic.Bool // its grace period is over; only set in checked builds
}

// batchSize is how many lookups take their steps together.
const batchSize = 64

// Lookup is what happens to packets for dst. It is never nil and never an
// emptied group.
func (s *Snapshot) Lookup(dst *[16]byte) *Group {
	s.check()
	return s.group(s.prefixes.lookup(dst))
}

// LookupBatch looks up each of dst, as long as out has room.
func (s *Snapshot) LookupBatch(dst []*[16]byte, out []*Group) {
	s.check()
	n := min(len(dst), len(out))
	dst, out = dst[:n], out[:n]
	var found [batchSize]uint32
	for len(dst) > 0 {
		n := min(len(dst), batchSize)
		s.prefixes.lookupBatch(dst[:n], &found)
		for i := range out[:n] {
			out[i] = s.group(found[i])
		}
		dst, out = dst[n:], out[n:]
	}
}

func (s *Snapshot) check() {
	if checked && s.retired.Load() {
		panic("fib: lookup in a snapshot after its grace period")
	}
}

// group is what pair i leads to.
func (s *Snapshot) group(i uint32) *Group {
	if g := s.groups.at(uint32(s.slots[i])); !g.emptied {
		return g
	}
	return s.cover(i)
}

// cover is what pair i, whose slot is emptied, leads to.
func (s *Snapshot) cover(i uint32) *Group {
	for {
		i = s.pair(i).cover
		if g := s.groups.at(uint32(s.slots[i])); !g.emptied {
			return g
		}
	}
}

func (s *Snapshot) pair(i uint32) pair {
	if i == root {
		return s.root
	}
	return s.at(i)
}

// Generation counts publications.
func (s *Snapshot) Generation() uint64 { return s.gen }

// Source is an address of the router, for errors about packets from an
// interface that has none (RFC 4443 §2.2). Zero if the router has none at all.
func (s *Snapshot) Source() netip.Addr { return s.source }

// Group is what a slot holds; nil if there is no such slot.
func (s *Snapshot) Group(g GroupID) *Group {
	if int(g>>pageBits) >= len(s.groups.pages) {
		return nil
	}
	return s.groups.at(uint32(g))
}

// A Step is one candidate that a lookup looked at.
type Step struct {
	Prefix netip.Prefix // zero for the last resort: nothing matched
	Slot   GroupID
	Group  *Group
}

// Explain is what Lookup does, step by step: emptied groups first, the one that
// answers last.
func (s *Snapshot) Explain(dst netip.Addr) []Step {
	a := dst.As16()
	var steps []Step
	for i := s.prefixes.lookup(&a); ; {
		p := s.pair(i)
		st := Step{Slot: p.slot, Group: s.groups.at(uint32(p.slot))}
		if p.slot != 0 {
			st.Prefix = netip.PrefixFrom(netip.AddrFrom16(a), int(p.plen)).Masked()
		}
		steps = append(steps, st)
		if !st.Group.Emptied() {
			return steps
		}
		i = p.cover
	}
}

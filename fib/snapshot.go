package fib

import (
	"net/netip"
	"sync/atomic"
)

// A Snapshot is the whole table at one generation. It never changes. Its
// nexthops are usable until the Guard it was loaded under is left.
type Snapshot struct {
	prefixes lpm // to indices of pairs
	pairs    paged[pair]
	groups   paged[*Group]
	source   netip.Addr
	gen      uint64
	retired  *atomic.Bool // its grace period is over; only set in checked builds
}

// Lookup is what happens to packets for dst. It is never nil and never an
// emptied group.
func (s *Snapshot) Lookup(dst *[16]byte) *Group {
	if checked && s.retired.Load() {
		panic("fib: lookup in a snapshot after its grace period")
	}
	i := s.prefixes.lookup(dst)
	for {
		p := s.pairs.at(i)
		if g := s.groups.at(uint32(p.slot)); !g.Emptied() {
			return g
		}
		i = p.cover
	}
}

// LookupBatch looks up each of dst, as long as out has room.
func (s *Snapshot) LookupBatch(dst []*[16]byte, out []*Group) {
	for i := range min(len(dst), len(out)) {
		out[i] = s.Lookup(dst[i])
	}
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
	var found []match
	s.prefixes.matches(&a, func(plen int, i uint32) {
		found = append(found, match{netip.PrefixFrom(netip.AddrFrom16(a), plen).Masked(), i})
	})
	var steps []Step
	for i, n := found[len(found)-1].pair, len(found)-1; ; {
		if n > 0 && i == found[n-1].pair {
			n--
		}
		st := s.step(i, found[n].prefix)
		steps = append(steps, st)
		if !st.Group.Emptied() {
			return steps
		}
		i = s.pairs.at(i).cover
	}
}

// A match is a prefix that an address is in.
type match struct {
	prefix netip.Prefix
	pair   uint32
}

func (s *Snapshot) step(i uint32, p netip.Prefix) Step {
	slot := s.pairs.at(i).slot
	if slot == 0 {
		p = netip.Prefix{}
	}
	return Step{p, slot, s.groups.at(uint32(slot))}
}

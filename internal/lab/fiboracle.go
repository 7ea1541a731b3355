package lab

import (
	"maps"
	"net/netip"
	"slices"
)

// A LinearFIB is the slow twin of fib.Table: a list of prefixes, each with its
// candidate slots, and what is in the slots. The zero C is an emptied slot.
type LinearFIB[C comparable] struct {
	Routes []LinearRoute
	Slots  map[uint32]C
}

// A LinearRoute is a prefix and its candidates, the best first.
type LinearRoute struct {
	Prefix     netip.Prefix
	Candidates []uint32
}

// Lookup looks at everything: the first slot that is not emptied among the
// candidates of the longest prefix that a is in, or of the next longer one, and
// so on. The zero C means that there is none.
func (f *LinearFIB[C]) Lookup(a netip.Addr) C {
	var emptied C
	for plen := 128; plen >= 0; plen-- {
		for _, r := range f.Routes {
			if r.Prefix.Bits() != plen || !r.Prefix.Contains(a) {
				continue
			}
			for _, s := range r.Candidates {
				if c := f.Slots[s]; c != emptied {
					return c
				}
			}
		}
	}
	return emptied
}

// Set gives p its candidates.
func (f *LinearFIB[C]) Set(p netip.Prefix, candidates ...uint32) {
	f.Delete(p)
	f.Routes = append(f.Routes, LinearRoute{p, candidates})
}

// Delete takes p out.
func (f *LinearFIB[C]) Delete(p netip.Prefix) {
	f.Routes = slices.DeleteFunc(f.Routes, func(r LinearRoute) bool { return r.Prefix == p })
}

// Names reports whether a prefix has the slot among its candidates.
func (f *LinearFIB[C]) Names(slot uint32) bool {
	return slices.ContainsFunc(f.Routes, func(r LinearRoute) bool { return slices.Contains(r.Candidates, slot) })
}

// Clone is f as it is now.
func (f *LinearFIB[C]) Clone() *LinearFIB[C] {
	return &LinearFIB[C]{slices.Clone(f.Routes), maps.Clone(f.Slots)}
}

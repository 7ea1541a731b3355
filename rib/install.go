package rib

import (
	"net/netip"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/loop"
)

// sliceSize is how many prefixes one turn puts into the FIB: some milliseconds,
// so that a detach never waits long.
const sliceSize = 4096

// install puts the first of dirty into the FIB, and the rest on the queue.
func (r *RIB) install(t *loop.Turn, dirty []netip.Prefix) {
	now := dirty[:min(len(dirty), sliceSize)]
	r.fib.Update(t, func(x *fib.Txn) {
		for _, p := range now {
			r.put(t, x, p)
		}
		r.resolveAgain(t, x)
	})
	r.queue = append(r.queue, dirty[len(now):]...)
	r.later(t)
}

// later asks for a turn for the queue.
func (r *RIB) later(t *loop.Turn) {
	if r.deferred || len(r.queue) == 0 {
		return
	}
	r.deferred = true
	t.Defer(func(t *loop.Turn) {
		r.deferred = false
		next := r.queue[:min(len(r.queue), sliceSize)]
		r.queue = r.queue[len(next):]
		r.install(t, next)
	})
}

// Settled reports whether the FIB has heard of everything.
func (r *RIB) Settled(*loop.Turn) bool { return len(r.queue) == 0 }

// put makes the FIB say of p what the routes say now. It may be called more
// often than necessary.
func (r *RIB) put(t *loop.Turn, x *fib.Txn, p netip.Prefix) {
	e := r.entries[p]
	if e == nil {
		return
	}
	chain := e.candidates()
	if !slices.Equal(chain, e.chain) {
		groups := make([]fib.GroupID, len(chain))
		for i, s := range chain {
			s.prefixes++
			groups[i] = r.group(t, x, s)
		}
		x.Set(p, groups...)
		r.unchain(x, e.chain)
		e.chain = chain
	}
	if len(e.routes) == 0 {
		delete(r.entries, p)
		r.lengths[p.Bits()]--
	}
}

// candidates is the slots of the routes, each once, the best first.
func (e *entry) candidates() []*slot {
	chain := make([]*slot, 0, len(e.routes))
	for _, rt := range e.routes {
		if !slices.Contains(chain, rt.slot) {
			chain = append(chain, rt.slot)
		}
	}
	return chain
}

// group is the slot's group in the FIB, made if it has none.
func (r *RIB) group(t *loop.Turn, x *fib.Txn, s *slot) fib.GroupID {
	if s.group == 0 {
		hops, _ := r.resolve(s)
		s.group = x.NewGroup(s.target.verdict(), r.nexthops(t, nil, hops)...)
	}
	return s.group
}

// unchain ends the groups that p was the last to name.
func (r *RIB) unchain(x *fib.Txn, chain []*slot) {
	for _, s := range chain {
		if s.prefixes--; s.prefixes > 0 {
			continue
		}
		x.Drop(s.group)
		s.group = 0
		r.forgetUnused(s)
	}
}

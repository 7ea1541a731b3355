package rib

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/loop"
)

// A Status is a route and what has become of it.
type Status struct {
	Route
	Active bool   // packets take it
	Reason string // why not; or, of an active one, why not by all its paths
}

// All is every route, in the order of prefixes and then of preference.
func (r *RIB) All(t *loop.Turn) iter.Seq[Status] {
	return func(yield func(Status) bool) {
		for _, p := range slices.SortedFunc(maps.Keys(r.entries), netip.Prefix.Compare) {
			for _, st := range r.statuses(t, r.entries[p]) {
				if !yield(st) {
					return
				}
			}
		}
	}
}

func (r *RIB) statuses(t *loop.Turn, e *entry) []Status {
	all := make([]Status, len(e.routes))
	var active *route
	for i, rt := range e.routes {
		all[i] = Status{Route: rt.Route}
		st := &all[i]
		switch {
		case active != nil:
			st.Reason = behind(active)
		case !slices.Contains(e.chain, rt.slot):
			st.Reason = "not in the table yet"
		default:
			st.Active = !r.fib.Snapshot(t).Group(rt.slot.group).Emptied()
			st.Reason = r.reason(t, rt.slot)
		}
		if st.Active {
			active = rt
		}
	}
	return all
}

func behind(better *route) string {
	return fmt.Sprintf("less preferred than %v metric %d", better.Source, better.Metric)
}

// reason is what is wrong with a slot, in words; empty if nothing is.
func (r *RIB) reason(t *loop.Turn, s *slot) string {
	_, c := r.resolve(s)
	switch c.kind {
	case noInterface:
		if _, known := r.ifs.Lookup(t, c.iface); known {
			return fmt.Sprintf("interface %s is down", c.iface)
		}
		return fmt.Sprintf("no such interface %s", c.iface)
	case unreachable:
		return fmt.Sprintf("gateway %v unreachable", c.gw)
	case tooDeep:
		return fmt.Sprintf("gateway %v resolves through more than %d routes", c.gw, maxLevels)
	case loops:
		return fmt.Sprintf("gateway %v resolves in a loop", c.gw)
	case none:
	}
	return ""
}

// A Group is one target, the FIB slot it has, and what it leads to.
type Group struct {
	Slot     fib.GroupID // zero: not in the table yet
	Target   Target
	Nexthops []*fib.Nexthop // borrowed until the end of the turn
	Routes   int
	Reason   string // what is wrong with it
}

// Nexthops is every target, in the order of slots.
func (r *RIB) Nexthops(t *loop.Turn) []Group {
	all := make([]Group, 0, len(r.slots))
	for _, s := range r.slots {
		g := Group{Slot: s.group, Target: s.target, Routes: s.routes, Reason: r.reason(t, s)}
		if s.group != 0 {
			g.Nexthops = r.fib.Snapshot(t).Group(s.group).Nexthops()
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Compare(a.Slot, b.Slot) })
	return all
}

// A Step is one route that a lookup looked at.
type Step struct {
	fib.Step
	Route  Route  // zero for the last resort
	Reason string // why a packet does not take it, or not by all its paths
}

// Explain is what a lookup of dst does: the routes it steps over, and last the
// one that answers.
func (r *RIB) Explain(t *loop.Turn, dst netip.Addr) []Step {
	var steps []Step
	for _, f := range r.fib.Snapshot(t).Explain(dst) {
		st := Step{Step: f, Reason: "no route"}
		if e := r.entries[f.Prefix]; e != nil {
			st.Route, st.Reason = r.behindStep(t, e, f.Slot)
		}
		steps = append(steps, st)
	}
	return steps
}

// behindStep is the route that put a slot into the chain of e.
func (r *RIB) behindStep(t *loop.Turn, e *entry, g fib.GroupID) (Route, string) {
	for _, rt := range e.routes {
		if rt.slot.group == g {
			return rt.Route, r.reason(t, rt.slot)
		}
	}
	return Route{}, "withdrawn, and in the table for a moment"
}

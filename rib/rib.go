package rib

import (
	"net/netip"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// Interfaces is what the RIB needs of ifmgr.Manager.
type Interfaces interface {
	Acquire(t *loop.Turn, id ifmgr.ID, who ifmgr.Holder) (*ifmgr.Handle, error)
	Lookup(t *loop.Turn, name string) (ifmgr.ID, bool)
	Addresses(t *loop.Turn, id ifmgr.ID) []netip.Prefix
	OnLink(t *loop.Turn, id ifmgr.ID) []netip.Prefix
	Name(t *loop.Turn, id ifmgr.ID) string
}

// A RIB is every route on offer. It belongs to the loop.
type RIB struct {
	fib *fib.Table
	ifs Interfaces

	entries map[netip.Prefix]*entry
	lengths [129]int // entries by prefix length

	slots     map[string]*slot // by the text of the target
	named     map[string]map[*slot]struct{}
	recursive map[*slot]struct{}

	ports map[ifmgr.ID]*port
	up    map[string]ifmgr.ID // interfaces that lookups may return, by name

	queue    []netip.Prefix // entries the FIB has yet to hear of
	deferred bool           // a turn for the queue is on its way
}

// New returns a RIB without routes, which writes t.
func New(t *fib.Table, ifs Interfaces) *RIB {
	return &RIB{
		fib:       t,
		ifs:       ifs,
		entries:   make(map[netip.Prefix]*entry),
		slots:     make(map[string]*slot),
		named:     make(map[string]map[*slot]struct{}),
		recursive: make(map[*slot]struct{}),
		ports:     make(map[ifmgr.ID]*port),
		up:        make(map[string]ifmgr.ID),
	}
}

// An entry is one prefix and what is on offer for it.
type entry struct {
	routes []*route // the best first
	chain  []*slot  // as the FIB has it
}

// A route is a Route with its target's slot.
type route struct {
	Route
	slot *slot
}

// A slot is one target, for all routes that have it. It has a group in the FIB
// while prefixes there name it.
type slot struct {
	text     string
	target   Target
	routes   int         // that have the target
	prefixes int         // that name it in the FIB
	group    fib.GroupID // zero unless prefixes > 0
}

// find is the place of k among the routes.
func (e *entry) find(k Key) (i int, ok bool) {
	return slices.BinarySearchFunc(e.routes, k, func(rt *route, k Key) int {
		return rt.Key().preference(k)
	})
}

// lookup is the route with key k, or nil.
func (r *RIB) lookup(k Key) *route {
	e := r.entries[k.Prefix]
	if e == nil {
		return nil
	}
	if i, ok := e.find(k); ok {
		return e.routes[i]
	}
	return nil
}

// Get is the route with key k, if it is on offer.
func (r *RIB) Get(_ *loop.Turn, k Key) (Route, bool) {
	if rt := r.lookup(k); rt != nil {
		return rt.Route, true
	}
	return Route{}, false
}

// offer adds or replaces a route, and reports whether the FIB has to hear of it.
func (r *RIB) offer(o Route) bool {
	e := r.entries[o.Prefix]
	if e == nil {
		e = &entry{}
		r.entries[o.Prefix] = e
		r.lengths[o.Prefix.Bits()]++
	}
	rt := &route{o, r.intern(o.Target)}
	i, ok := e.find(o.Key())
	if !ok {
		e.routes = slices.Insert(e.routes, i, rt)
		return true
	}
	old := e.routes[i]
	e.routes[i] = rt
	r.unname(old.slot)
	return old.slot != rt.slot
}

// retract takes back a route that is on offer.
func (r *RIB) retract(k Key) {
	e := r.entries[k.Prefix]
	i, _ := e.find(k)
	r.unname(e.routes[i].slot)
	e.routes = slices.Delete(e.routes, i, i+1)
}

// intern is the slot of a target, with one more route.
func (r *RIB) intern(t Target) *slot {
	var buf [128]byte
	text := t.appendText(buf[:0])
	s := r.slots[string(text)]
	if s == nil {
		s = &slot{text: string(text), target: t}
		r.slots[s.text] = s
		r.index(s)
	}
	s.routes++
	return s
}

func (r *RIB) index(s *slot) {
	if recursive(s.target) {
		r.recursive[s] = struct{}{}
	}
	names(s.target, func(iface string) {
		if r.named[iface] == nil {
			r.named[iface] = make(map[*slot]struct{})
		}
		r.named[iface][s] = struct{}{}
	})
}

func (r *RIB) unname(s *slot) {
	s.routes--
	r.forgetUnused(s)
}

// forgetUnused drops a slot that neither routes nor the FIB have.
func (r *RIB) forgetUnused(s *slot) {
	if s.routes > 0 || s.prefixes > 0 {
		return
	}
	delete(r.slots, s.text)
	delete(r.recursive, s)
	names(s.target, func(iface string) {
		delete(r.named[iface], s)
		if len(r.named[iface]) == 0 {
			delete(r.named, iface)
		}
	})
}

package rib

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// maxLevels is how many routes a gateway may be resolved through.
const maxLevels = 8

// A hop is a nexthop that ought to be.
type hop struct {
	id     ifmgr.ID
	gw     netip.Addr
	weight uint8
	limit  uint8 // hop limit of the route; zero: the interface's
}

// A cause is why a path leads nowhere. The greater one is the worse.
type cause struct {
	kind  causeKind
	iface string
	gw    netip.Addr
}

type causeKind uint8

const (
	none causeKind = iota
	noInterface
	unreachable
	tooDeep
	loops
)

func (c cause) worse(o cause) cause {
	if o.kind > c.kind {
		return o
	}
	return c
}

// resolve is where a slot leads now, and the worst of what is wrong with it. It
// depends on the routes and the interfaces alone, not on other slots' groups,
// so the order in which slots are resolved does not matter.
func (r *RIB) resolve(s *slot) ([]hop, cause) {
	return r.through(s, nil)
}

// through resolves a slot on behalf of those in seen.
func (r *RIB) through(s *slot, seen []*slot) ([]hop, cause) {
	if slices.Contains(seen, s) {
		return nil, cause{kind: loops}
	}
	if len(seen) > maxLevels {
		return nil, cause{kind: tooDeep}
	}
	seen = append(seen, s)
	switch target := s.target.(type) {
	case Local:
		return r.direct(Path{Iface: target.Iface, Weight: 1})
	case Paths:
		return r.paths(target, seen)
	}
	return nil, cause{}
}

func (r *RIB) paths(paths Paths, seen []*slot) (all []hop, why cause) {
	for _, p := range paths {
		resolve := r.direct
		if p.Iface == "" {
			resolve = func(p Path) ([]hop, cause) { return r.gateway(p, seen) }
		}
		hops, c := resolve(p)
		all = merge(all, hops)
		if len(hops) == 0 {
			why = why.worse(c)
		}
	}
	return all, why
}

// direct resolves a path that names its interface.
func (r *RIB) direct(p Path) ([]hop, cause) {
	id, up := r.up[p.Iface]
	if !up {
		return nil, cause{kind: noInterface, iface: p.Iface}
	}
	return []hop{{id, p.Gateway, p.Weight, p.HopLimit}}, cause{}
}

// gateway resolves a path by the routes to its gateway, as a lookup would go;
// only that the default route leads to no router of ours.
func (r *RIB) gateway(p Path, seen []*slot) ([]hop, cause) {
	for plen := 128; plen > 0; plen-- {
		if r.lengths[plen] == 0 {
			continue
		}
		prefix, _ := p.Gateway.Prefix(plen)
		e := r.entries[prefix]
		if e == nil {
			continue
		}
		hops, answers, c := r.firstLive(e, seen)
		if answers {
			return onward(hops, p), cause{kind: c.kind, gw: p.Gateway}
		}
	}
	return nil, cause{kind: unreachable, gw: p.Gateway}
}

// firstLive is where the first route of e leads that leads anywhere. A refusal
// and the router itself answer too: they end the search without a hop.
func (r *RIB) firstLive(e *entry, seen []*slot) (hops []hop, answers bool, c cause) {
	for _, rt := range e.routes {
		if _, ok := rt.Target.(Refuse); ok {
			return nil, true, cause{kind: unreachable}
		}
		hops, c = r.through(rt.slot, seen)
		if _, ok := rt.Target.(Local); ok && len(hops) > 0 {
			return nil, true, cause{kind: unreachable}
		}
		if len(hops) > 0 || c.kind >= tooDeep {
			return hops, true, c
		}
	}
	return nil, false, cause{}
}

// onward is the hops that path p takes to its gateway: to the gateway itself
// where it is on link, and with the hop limit of the gateway's route if p has none.
func onward(hops []hop, p Path) []hop {
	hops = slices.Clone(hops)
	for i := range hops {
		if !hops[i].gw.IsValid() {
			hops[i].gw = p.Gateway
		}
		hops[i].weight = uint8(min(255, uint(hops[i].weight)*uint(p.Weight)))
		hops[i].limit = cmp.Or(p.HopLimit, hops[i].limit)
	}
	return hops
}

// merge adds hops to all. Two paths that come to the same way out add up, with the
// greater hop limit: what could go further arrives.
func merge(all, hops []hop) []hop {
	for _, h := range hops {
		i := slices.IndexFunc(all, func(o hop) bool { return o.id == h.id && o.gw == h.gw })
		if i >= 0 {
			all[i].weight = uint8(min(255, uint(all[i].weight)+uint(h.weight)))
			all[i].limit = max(all[i].limit, h.limit)
		} else if len(all) < fib.MaxNexthops {
			all = append(all, h)
		}
	}
	return all
}

// refresh gives the slot's group the content it ought to have.
func (r *RIB) refresh(t *loop.Turn, x *fib.Txn, s *slot) {
	if s.group == 0 {
		return
	}
	hops, _ := r.resolve(s)
	have := x.Group(s.group).Nexthops()
	if !slices.EqualFunc(have, hops, leadsTo) {
		x.Rewrite(s.group, s.target.verdict(), r.nexthops(t, have, hops)...)
	}
}

// resolveAgain refreshes the slots whose content other routes decide. There are
// few, so nobody keeps track of which routes those are.
func (r *RIB) resolveAgain(t *loop.Turn, x *fib.Txn) {
	for s := range r.recursive {
		r.refresh(t, x, s)
	}
}

func leadsTo(n *fib.Nexthop, h hop) bool {
	return n.ID() == h.id && n.Gateway() == h.gw && n.Weight() == h.weight && n.RouteHopLimit() == h.limit
}

// nexthops makes hops real: by those the group has, or by taking hold of the
// interface, which the gate may refuse.
func (r *RIB) nexthops(t *loop.Turn, have []*fib.Nexthop, hops []hop) []*fib.Nexthop {
	nhs := make([]*fib.Nexthop, 0, len(hops))
	for _, h := range hops {
		i := slices.IndexFunc(have, func(n *fib.Nexthop) bool { return leadsTo(n, h) })
		if i >= 0 {
			nhs = append(nhs, have[i])
		} else if handle, err := r.ifs.Acquire(t, h.id, ifmgr.Route); err == nil {
			nhs = append(nhs, fib.NewNexthop(handle, h.gw, h.weight, h.limit))
		}
	}
	return nhs
}

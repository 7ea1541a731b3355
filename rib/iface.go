package rib

import (
	"net/netip"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// A port is an interface that has been up, and the routes it brought along.
type port struct {
	name   string
	source netip.Addr // an address of the router; zero if there is none here
	routes []Key
}

// Up lets routes lead through an interface: those that name it, and those that
// its addresses make.
func (r *RIB) Up(t *loop.Turn, id ifmgr.ID) {
	p := r.ports[id]
	if p == nil {
		p = &port{name: r.ifs.Name(t, id)}
		r.ports[id] = p
	}
	r.up[p.name] = id
	dirty := r.connect(p, r.ifs.OnLink(t, id), r.ifs.Addresses(t, id))
	r.fib.Update(t, func(x *fib.Txn) {
		for s := range r.named[p.name] {
			r.refresh(t, x, s)
		}
		r.settle(t, x, dirty)
	})
}

// settle ends a change of interfaces.
func (r *RIB) settle(t *loop.Turn, x *fib.Txn, dirty []netip.Prefix) {
	for _, p := range dirty {
		r.put(t, x, p)
	}
	r.resolveAgain(t, x)
	x.SetSource(r.source())
}

// connect offers the routes that the addresses make, and takes back those of
// addresses that are no longer there.
func (r *RIB) connect(p *port, onLink, addrs []netip.Prefix) (dirty []netip.Prefix) {
	want := connected(p.name, onLink, addrs)
	p.source = netip.Addr{}
	if len(addrs) > 0 {
		p.source = addrs[0].Addr()
	}
	p.routes = slices.DeleteFunc(p.routes, func(k Key) bool {
		i := slices.IndexFunc(want, func(o Route) bool {
			return o.Prefix == k.Prefix && o.Target.String() == r.lookup(k).slot.text
		})
		if i >= 0 {
			want = slices.Delete(want, i, i+1)
			return false
		}
		r.retract(k)
		dirty = append(dirty, k.Prefix)
		return true
	})
	for _, o := range want {
		p.routes = append(p.routes, r.offerBehind(o))
		dirty = append(dirty, o.Prefix)
	}
	return dirty
}

// offerBehind offers a route behind others of the same kind: two interfaces may
// be on the same link, and the one that came first is preferred.
func (r *RIB) offerBehind(o Route) Key {
	for r.lookup(o.Key()) != nil {
		o.Metric++
	}
	r.offer(o)
	return o.Key()
}

// connected is the routes that an interface makes: what is on link, the addresses
// that are in use, and the subnet-router anycast address (RFC 4291 §2.6.1), but
// where two routers share a /127 (RFC 6164 §5).
func connected(name string, onLink, addrs []netip.Prefix) (routes []Route) {
	add := func(p netip.Prefix, t Target) {
		o := Route{Prefix: p, Source: Connected, Target: t}
		if !slices.ContainsFunc(routes, func(x Route) bool { return x.Prefix == p && x.Target.String() == t.String() }) {
			routes = append(routes, o)
		}
	}
	for _, p := range onLink {
		add(p, Paths{{Iface: name, Weight: 1}})
	}
	for _, a := range addrs {
		if a.Bits() < 127 {
			add(netip.PrefixFrom(a.Masked().Addr(), 128), Local{name})
		}
		add(netip.PrefixFrom(a.Addr(), 128), Local{name})
	}
	return routes
}

// source is an address of the router: of the oldest interface that is up.
func (r *RIB) source() (a netip.Addr) {
	var oldest ifmgr.ID
	for _, id := range r.up {
		if p := r.ports[id]; p.source.IsValid() && (oldest == 0 || id < oldest) {
			oldest, a = id, p.source
		}
	}
	return a
}

// A Withdrawal is what the withdrawal of an interface concerned.
type Withdrawal struct {
	Routes int // routes whose target lost the interface
	Slots  int // FIB slots rewritten
}

// Withdraw takes an interface out of the FIB: when it returns, no new lookup
// finds it. What it costs depends on how many targets lead there, not on how
// many routes have them.
func (r *RIB) Withdraw(t *loop.Turn, id ifmgr.ID) Withdrawal {
	p := r.ports[id]
	if p == nil {
		return Withdrawal{}
	}
	if r.up[p.name] == id {
		delete(r.up, p.name)
	}
	w := Withdrawal{Routes: r.leading(t, id)}
	r.fib.Update(t, func(x *fib.Txn) {
		w.Slots = x.Withdraw(id)
		r.settle(t, x, nil)
	})
	return w
}

// leading counts the routes whose target leads through an interface.
func (r *RIB) leading(t *loop.Turn, id ifmgr.ID) (routes int) {
	on := func(n *fib.Nexthop) bool { return n.ID() == id }
	now := r.fib.Snapshot(t)
	count := func(s *slot) {
		if s.group != 0 && slices.ContainsFunc(now.Group(s.group).Nexthops(), on) {
			routes += s.routes
		}
	}
	for s := range r.named[r.ports[id].name] {
		count(s)
	}
	for s := range r.recursive {
		if _, counted := r.named[r.ports[id].name][s]; !counted {
			count(s)
		}
	}
	return routes
}

// Forget takes back the routes that an interface brought along, which is gone.
func (r *RIB) Forget(t *loop.Turn, id ifmgr.ID) {
	p := r.ports[id]
	if p == nil {
		return
	}
	r.Withdraw(t, id) // nothing to do, as a rule
	dirty := r.connect(p, nil, nil)
	delete(r.ports, id)
	r.fib.Update(t, func(x *fib.Txn) { r.settle(t, x, dirty) })
}

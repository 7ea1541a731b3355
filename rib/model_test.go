package rib

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// A model is what a RIB means, without anything to make it fast: a map of
// routes, the names of interfaces that are up, and a search through all of it.
type model struct {
	routes map[Key]Route
	up     map[string]bool
}

// answer is that of the longest prefix with a route that is alive.
func (m *model) answer(dst netip.Addr) string {
	for _, o := range m.matching(dst, 0) {
		if v := o.Target.verdict(); v < fib.Deliver {
			return v.String()
		}
		if hops, _ := m.hops(o.Target, nil); len(hops) > 0 {
			var text []string
			for _, h := range hops {
				text = append(text, hopText(h.iface, h.gw, h.weight, h.limit))
			}
			return answerText(o.Target.verdict(), text)
		}
	}
	return fib.Unreachable.String()
}

// matching is the routes to dst, the best first.
func (m *model) matching(dst netip.Addr, shortest int) (all []Route) {
	for _, o := range m.routes {
		if o.Prefix.Contains(dst) && o.Prefix.Bits() >= shortest {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Route) int {
		if a.Prefix.Bits() != b.Prefix.Bits() {
			return b.Prefix.Bits() - a.Prefix.Bits()
		}
		if a.Source != b.Source {
			return int(a.Source) - int(b.Source)
		}
		return int(a.Metric) - int(b.Metric)
	})
	return all
}

type modelHop struct {
	iface  string
	gw     netip.Addr
	weight uint8
	limit  uint8
}

// hops is where a target leads. A loop, or a gateway too many routes away, ends
// the search for whoever comes through it.
func (m *model) hops(target Target, seen []string) (hops []modelHop, hopeless bool) {
	if slices.Contains(seen, target.String()) || len(seen) > 8 {
		return nil, true
	}
	seen = append(slices.Clone(seen), target.String())
	var paths Paths
	switch target := target.(type) {
	case Local:
		paths = Paths{{Iface: target.Iface, Weight: 1}}
	case Paths:
		paths = target
	}
	for _, p := range paths {
		more, bad := m.path(p, seen)
		hopeless = hopeless || bad
		for _, h := range more {
			i := slices.IndexFunc(hops, func(o modelHop) bool { return o.iface == h.iface && o.gw == h.gw })
			if i >= 0 {
				hops[i].weight += h.weight
				hops[i].limit = max(hops[i].limit, h.limit)
			} else {
				hops = append(hops, h)
			}
		}
	}
	return hops, hopeless && len(hops) == 0
}

func (m *model) path(p Path, seen []string) (hops []modelHop, hopeless bool) {
	if p.Iface != "" {
		if m.up[p.Iface] {
			hops = []modelHop{{p.Iface, p.Gateway, p.Weight, p.HopLimit}}
		}
		return hops, false
	}
	for _, o := range m.matching(p.Gateway, 1) {
		if o.Target.verdict() < fib.Deliver {
			return nil, false
		}
		found, bad := m.hops(o.Target, seen)
		if bad {
			return nil, true
		}
		if len(found) == 0 {
			continue
		}
		if _, ourselves := o.Target.(Local); ourselves {
			return nil, false
		}
		for _, h := range found {
			if !h.gw.IsValid() {
				h.gw = p.Gateway
			}
			h.weight *= p.Weight
			if p.HopLimit != 0 {
				h.limit = p.HopLimit
			}
			hops = append(hops, h)
		}
		return hops, false
	}
	return nil, false
}

// A journey takes a RIB and its model through the same changes.
type journey struct {
	*fixture
	model
	rt     *rapid.T
	ids    map[string]ifmgr.ID
	brings map[string][]Route // by an interface that has been up
	addrs  map[string][]string
}

var (
	ifaces   = []string{"eth0", "eth1", "ppp0"}
	addrSets = [][]string{
		{}, {"2001:db8:1::1/64"}, {"2001:db8:1::2/64", "2001:db8:4::1/48"}, {"2001:db8:2::/127"}, {"2001:db8:3::1/128", "2001:db8:3::2/64"},
	}
	prefixes = []string{
		"::/0", "::/1", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/64", "2001:db8:1::9/128", "2001:db8:1::1/128",
		"2001:db8:e::/48", "2001:db8:f::/48", "2001:db8:f::/64",
	}
	gateways = []string{
		"2001:db8:1::9", "2001:db8:2::1", "2001:db8:3::5", "2001:db8:e::1", "2001:db8:f::1", "2001:db8:1::1", "2001:db9::1",
	}
	probes = []string{
		"::1", "2001:db8::1", "2001:db8:1::", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::9", "2001:db8:1:1::1", "2001:db8:2::", "2001:db8:2::1",
		"2001:db8:3::1", "2001:db8:3::2", "2001:db8:3::", "2001:db8:4::", "2001:db8:4::77", "2001:db8:e::5", "2001:db8:f::5", "2001:db8:f:1::5", "9000::1",
	}
)

func (j *journey) n(n int) int { return rapid.IntRange(0, n-1).Draw(j.rt, "n") }

func pick[T any](j *journey, from []T) T { return from[j.n(len(from))] }

func (j *journey) target() Target {
	switch j.n(8) {
	case 0:
		return Refuse{fib.Verdict(j.n(3))}
	case 1:
		return Local{pick(j, ifaces)}
	}
	var paths Paths
	for range 1 + j.n(3) {
		p := Path{Weight: uint8(1 + j.n(2)), HopLimit: uint8(j.n(3))}
		if j.n(2) == 0 {
			p.Iface = pick(j, ifaces)
		}
		if p.Iface == "" || j.n(2) == 0 {
			p.Gateway = netip.MustParseAddr(pick(j, gateways))
		}
		if !slices.ContainsFunc(paths, func(o Path) bool { return o.order(p) == 0 }) {
			paths = append(paths, p)
		}
	}
	return paths.canonical()
}

func (j *journey) update() {
	u := Update{Source: pick(j, []Source{Static, Kernel}), Replace: j.n(6) == 0}
	for k := range j.routes {
		if k.Source == u.Source && u.Replace {
			delete(j.routes, k)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(j.routes), Key.compare) {
		if k.Source == u.Source && j.n(4) == 0 {
			u.Withdraw = append(u.Withdraw, k)
			delete(j.routes, k)
		}
	}
	for range j.n(4) {
		o := Route{Prefix: netip.MustParsePrefix(pick(j, prefixes)), Source: u.Source, Metric: uint32(j.n(2)), Target: j.target()}
		if !slices.ContainsFunc(u.Set, func(x Route) bool { return x.Key() == o.Key() }) {
			u.Set = append(u.Set, o)
			j.routes[o.Key()] = o
		}
	}
	j.apply(u)
}

func (k Key) compare(o Key) int {
	if c := k.Prefix.Compare(o.Prefix); c != 0 {
		return c
	}
	return k.preference(o)
}

// bring notes the routes that an interface brings along when it is first up.
func (j *journey) bring(name string) {
	j.up[name] = true
	if _, known := j.brings[name]; known {
		return
	}
	j.brings[name] = nil
	for _, s := range j.addrs[name] {
		a := netip.MustParsePrefix(s)
		host := netip.PrefixFrom(a.Addr(), 128)
		if a.Bits() < 128 {
			j.connected(name, a.Masked(), Paths{{Iface: name, Weight: 1}})
		}
		if a.Bits() < 127 && a.Masked().Addr() != a.Addr() {
			j.connected(name, netip.PrefixFrom(a.Masked().Addr(), 128), Local{name})
		}
		j.connected(name, host, Local{name})
	}
}

func (j *journey) connected(name string, p netip.Prefix, t Target) {
	o := Route{Prefix: p, Source: Connected, Target: t}
	for {
		if _, taken := j.routes[o.Key()]; !taken {
			break
		}
		o.Metric++
	}
	j.routes[o.Key()] = o
	j.brings[name] = append(j.brings[name], o)
}

func (j *journey) iface() {
	name := pick(j, ifaces)
	id, attached := j.ids[name]
	switch {
	case !attached:
		up := j.n(3) > 0
		j.addrs[name] = j.freeAddrs()
		if up {
			j.bring(name)
		}
		j.ids[name] = j.attach(name, up, j.addrs[name]...)
	case j.n(3) == 0:
		j.detach(id)
		for _, o := range j.brings[name] {
			delete(j.routes, o.Key())
		}
		delete(j.brings, name)
		delete(j.ids, name)
		delete(j.up, name)
	case j.up[name]:
		j.carrier(id, false)
		delete(j.up, name)
	default:
		j.bring(name)
		j.carrier(id, true)
	}
}

// freeAddrs is addresses that no other interface has.
func (j *journey) freeAddrs() []string {
	set := pick(j, addrSets)
	for name := range j.ids {
		if slices.ContainsFunc(set, func(a string) bool { return slices.Contains(j.addrs[name], a) }) {
			return nil
		}
	}
	return set
}

func (j *journey) check() {
	j.t.Helper()
	j.turn(func(t *loop.Turn) {
		for _, p := range probes {
			dst := netip.MustParseAddr(p)
			if got, want := j.answerIn(t, dst), j.model.answer(dst); got != want {
				j.t.Errorf("%v: %s, want %s", dst, got, want)
			}
		}
		if err := j.books(t); err != nil {
			j.t.Errorf("books: %v", err)
		}
		j.statuses(t)
	})
}

// statuses are every route, in order, and at most one a prefix is active.
func (j *journey) statuses(t *loop.Turn) {
	var last Key
	active, n := map[netip.Prefix]int{}, 0
	for st := range j.rib.All(t) {
		n++
		if st.Key().compare(last) <= 0 && n > 1 {
			j.t.Errorf("%v comes after %v", st.Key(), last)
		}
		last = st.Key()
		if !st.Active && st.Reason == "" {
			j.t.Errorf("%v is not active, for no reason", last)
		}
		if st.Active {
			active[st.Prefix]++
		}
	}
	for p, k := range active {
		if k != 1 {
			j.t.Errorf("%v has %d active routes", p, k)
		}
	}
	if want := len(j.routes); n != want {
		j.t.Errorf("%d routes, want %d", n, want)
	}
	for _, p := range probes {
		steps := j.rib.Explain(t, netip.MustParseAddr(p))
		for i, st := range steps {
			if last := i == len(steps)-1; last != !st.Group.Emptied() || !last && (st.Reason == "" || !st.Route.Prefix.IsValid()) {
				j.t.Errorf("explain %v: step %d of %d is %+v", p, i+1, len(steps), st)
			}
		}
	}
}

func (j *journey) end() {
	for _, src := range []Source{Static, Kernel} {
		j.apply(Update{Source: src, Replace: true})
	}
	for _, id := range j.ids {
		j.detach(id)
	}
	j.turn(func(t *loop.Turn) {
		got := j.fib.Stats(t)
		if want := (fib.Stats{Pairs: 2, Generation: got.Generation, Memory: got.Memory}); got != want {
			j.t.Errorf("stats at the end = %+v, want %+v", got, want)
		}
		if len(j.rib.entries)+len(j.rib.slots)+len(j.rib.named)+len(j.rib.recursive)+len(j.rib.ports)+len(j.rib.up) > 0 {
			j.t.Errorf("the rib is not empty at the end: %+v", j.rib)
		}
		if a := j.fib.Snapshot(t).Source(); a.IsValid() {
			j.t.Errorf("source = %v without interfaces", a)
		}
	})
}

func TestRIBAnswersAsTheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		j := &journey{
			fixture: newFixture(rt), rt: rt,
			model: model{routes: map[Key]Route{}, up: map[string]bool{}},
			ids:   map[string]ifmgr.ID{}, brings: map[string][]Route{}, addrs: map[string][]string{},
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if j.n(2) == 0 {
				j.iface()
			} else {
				j.update()
			}
			j.check()
		}
		j.end()
	})
}

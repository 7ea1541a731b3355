package config

import "net/netip"

// claims is what a file may give once only, with the line where it was given.
type claims struct {
	owned  map[home]owner
	routes map[routeKey]int
	vlans  map[vlanKey]owner
	ports  map[portKey]int
	ipv4s  map[string]owner // by session
}

// home is an address in the realm where it must be unique: its link if it is link-local (RFC 4291 §2.5.6), else everywhere.
type home struct {
	addr netip.Addr
	link string // the interface, or empty for everywhere
}

type owner struct {
	iface string
	line  int
}

type vlanKey struct {
	lower string
	VLAN
}

type portKey struct {
	Transport
	port uint16
}

type routeKey struct {
	prefix netip.Prefix
	metric uint32
}

func newClaims() claims {
	return claims{owned: map[home]owner{}, routes: map[routeKey]int{}, vlans: map[vlanKey]owner{}, ipv4s: map[string]owner{}, ports: map[portKey]int{}}
}

func homeOf(a netip.Addr, iface string) home {
	if a.IsLinkLocalUnicast() {
		return home{a, iface}
	}
	return home{addr: a}
}

// own claims the router's addresses on an interface.
func (c claims) own(iface string) func(netip.Prefix, int) error {
	return func(p netip.Prefix, line int) error {
		at := homeOf(p.Addr(), iface)
		if first, ok := c.owned[at]; ok {
			return wrong("keep one of the two", "the router has %s already, on interface %s, line %d", p.Addr(), first.iface, first.line)
		}
		c.owned[at] = owner{iface, line}
		return nil
	}
}

// kernel claims the addresses of the kernel's end of an interface. The two ends are two nodes on one link, and duplicate
// address detection would find the second (RFC 4862 §5.4).
func (c claims) kernel(iface string) func(netip.Prefix, int) error {
	unique := once[netip.Prefix]("address")
	return func(p netip.Prefix, line int) error {
		if first, ok := c.owned[homeOf(p.Addr(), iface)]; ok && first.iface == iface {
			return wrong("give each end of the wire an address of its own",
				"the router's end has %s already, line %d", p.Addr(), first.line)
		}
		return unique(netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), line)
	}
}

// gateway says whether a path leads to the router itself.
func (c claims) gateway(p Path) error {
	if own, ok := c.owned[homeOf(p.Via, p.Dev)]; ok {
		return wrong("name a neighbor", "gateway %s is the router itself, on interface %s, line %d", p.Via, own.iface, own.line)
	}
	return nil
}

// ipv4 claims the IPv4 of a session.
func (c claims) ipv4(i Interface) error {
	if first, ok := c.ipv4s[i.Lower]; ok && i.Lower != "" {
		return wrong("keep one of the two", "the IPv4 of %s is interface %s already, line %d", i.Lower, first.iface, first.line)
	}
	c.ipv4s[i.Lower] = owner{i.Name, i.Line}
	return nil
}

// route claims a prefix with a metric.
func (c claims) route(r Route) error {
	if !r.Prefix.IsValid() {
		return nil
	}
	key := routeKey{r.Prefix, r.Metric}
	if line, ok := c.routes[key]; ok {
		return wrong("give one another metric, or make one route of the two, with paths",
			"there is a route to %s with metric %d already, on line %d", r.Prefix, r.Metric, line)
	}
	c.routes[key] = r.Line
	return nil
}

// vlan claims a tag on the lower interface.
func (c claims) vlan(i Interface) error {
	key := vlanKey{i.Lower, i.ofType().VLAN}
	if first, ok := c.vlans[key]; ok {
		return wrong("keep one of the two", "VLAN %d on %s is interface %s already, line %d", i.VLAN.ID, i.Lower, first.iface, first.line)
	}
	c.vlans[key] = owner{i.Name, i.Line}
	return nil
}

// port claims the port of a service.
func (c claims) port(over Transport, port uint16, line int) error {
	key := portKey{over, port}
	if first, ok := c.ports[key]; ok {
		return wrong("give one another port", "%s port %d is that of the service on line %d already", over, port, first)
	}
	c.ports[key] = line
	return nil
}

// once refuses the second of two equal values.
func once[T comparable](what string) func(T, int) error {
	seen := map[T]int{}
	return func(p T, line int) error {
		if first, ok := seen[p]; ok {
			return wrong("keep one of the two", "the %s is already on line %d", what, first)
		}
		seen[p] = line
		return nil
	}
}

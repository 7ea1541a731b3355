package config

import (
	"net"
	"net/netip"
	"strings"
)

var linkLocal = netip.MustParsePrefix("fe80::/10")

// ParseAddress parses an address of a node with the prefix length of its link, as 2001:db8:1::1/64.
func ParseAddress(s string) (netip.Prefix, error) {
	a, p, err := parsePrefix(s, "write it with its link, as 2001:db8:1::1/64")
	if err == nil {
		err = checkUnicast(a)
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	// RFC 4291 §2.6.1: all routers on the link answer to it. RFC 6164: not on a link between two routers.
	if p.Bits() < 127 && p.Masked().Addr() == a {
		return netip.Prefix{}, wrong("give it a host part, as "+netip.PrefixFrom(a.Next(), p.Bits()).String(),
			"%s is the subnet-router anycast address of its link", s)
	}
	return p, nil
}

// ParseRoutePrefix parses where a route leads, as 2001:db8:2::/64.
func ParseRoutePrefix(s string) (netip.Prefix, error) {
	if s == "default" || s == "any" {
		return netip.Prefix{}, wrong(`write "::/0"`, "%s is not a prefix", show(s))
	}
	a, p, err := parsePrefix(s, "write it with its length, as 2001:db8:2::/64")
	switch {
	case err != nil:
		return netip.Prefix{}, err
	case p.Masked() != p:
		return netip.Prefix{}, wrong("write "+p.Masked().String(), "%s has bits set behind its length", s)
	case a.IsMulticast() && p.Bits() >= 8:
		return netip.Prefix{}, wrong("use a unicast prefix", "%s is multicast, which is not routed by prefix", s)
	case linkLocal.Contains(a) && p.Bits() >= linkLocal.Bits():
		return netip.Prefix{}, wrong("use a global or unique local prefix", "%s is link-local, and never leaves its link", s)
	case p.IsSingleIP() && (a.IsLoopback() || a.IsUnspecified()):
		return netip.Prefix{}, wrong("use a global or unique local prefix", "%s is no destination on a network", s)
	}
	return p, nil
}

// ParseGateway parses the address of a neighbor to send through.
func ParseGateway(s string) (netip.Addr, error) {
	if strings.Contains(s, "/") {
		return netip.Addr{}, wrong("write it without a length, as fe80::1", "%s is not a gateway address", show(s))
	}
	a, err := parseAddr(s)
	if err != nil {
		return netip.Addr{}, err
	}
	return a, checkUnicast(a)
}

// parseHost parses an address that is reached from more than one link.
func parseHost(s string) (netip.Addr, error) {
	if strings.Contains(s, "/") {
		return netip.Addr{}, wrong("write it without a length, as 2001:db8:1::1", "%s is not an address", show(s))
	}
	a, err := parseAddr(s)
	if err == nil {
		err = checkUnicast(a)
	}
	if err == nil && a.IsLinkLocalUnicast() {
		err = wrong("name the interface instead, or use a global address", "%s is link-local", s)
	}
	return a, err
}

// ParseListen parses where a server of the daemon's own listens. Which network that is reached through is not the
// router's business: it may be IPv4.
func ParseListen(s string) (netip.AddrPort, error) {
	const use = "write [::1]:9406 for this host alone, or [::]:9406 for every address"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, wrong(use, "%s is not an address with a port", show(s))
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, wrong(use, "%s is not an address", show(host))
	}
	n, err := parsePort(port)
	return netip.AddrPortFrom(a, n), err
}

// parsePrefix parses an address and its length, which go together in p; both are returned for the checks.
func parsePrefix(s, form string) (netip.Addr, netip.Prefix, error) {
	text, length, found := strings.Cut(s, "/")
	a, err := parseAddr(text)
	switch _, e := netip.ParseAddr(text); {
	case e != nil && !found:
		return a, netip.Prefix{}, wrong(form, "%s is not an IPv6 address", show(s))
	case err != nil:
		return a, netip.Prefix{}, err
	case !found:
		return a, netip.Prefix{}, wrong(form, "%s has no prefix length", s)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return a, p, wrong("use 0 to 128", "%s is not a prefix length", show(length))
	}
	return a, p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, wrong("write it as 2001:db8:1::1", "%s is not an IPv6 address", show(s))
	case a.Is4():
		return netip.Addr{}, wrong("router6d routes IPv6 only", "%s is an IPv4 address", s)
	case a.Is4In6():
		return netip.Addr{}, wrong("router6d routes IPv6 only", "%s is an IPv4 address written as IPv6", a.WithZone(""))
	case a.Zone() != "":
		return netip.Addr{}, wrong("write "+a.WithZone("").String()+", and name the interface with dev",
			"%s has a zone", show(s))
	}
	return a, nil
}

// checkUnicast says whether a can be the address of one node on a network.
func checkUnicast(a netip.Addr) error {
	const use = "use a unicast address, as 2001:db8:1::1"
	switch {
	case a.IsMulticast():
		return wrong(use, "%s is a multicast address", a)
	case a.IsUnspecified():
		return wrong(use, "%s is the unspecified address", a)
	case a.IsLoopback():
		return wrong(use, "%s is the loopback address", a)
	}
	return nil
}

package rib

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/router6d/router6d/fib"
)

// check returns r in canonical form, or says what is wrong with it.
func (r Route) check(source Source) (Route, error) {
	if r.Source == 0 {
		r.Source = source
	}
	if r.Source != source {
		return r, fmt.Errorf("route %v: offered by %v in an update of %v", r.Prefix, r.Source, source)
	}
	if err := checkPrefix(r.Prefix); err != nil {
		return r, fmt.Errorf("route %v: %w", r.Prefix, err)
	}
	var err error
	if r.Target, err = checkTarget(r.Target); err != nil {
		return r, fmt.Errorf("route %v: %w", r.Prefix, err)
	}
	return r, nil
}

func checkPrefix(p netip.Prefix) error {
	switch a := p.Addr(); {
	case !p.IsValid():
		return errors.New("not a prefix")
	case a.Is4() || a.Is4In6():
		return errors.New("not an IPv6 prefix")
	case p != p.Masked():
		return fmt.Errorf("bits set after the prefix length, want %v", p.Masked())
	case a.IsMulticast():
		return errors.New("multicast is not routed")
	case a.IsLinkLocalUnicast():
		return errors.New("link-local addresses are not routed")
	}
	return nil
}

func checkTarget(t Target) (Target, error) {
	switch t := t.(type) {
	case Paths:
		return checkPaths(t)
	case Local:
		return t, checkIface(t.Iface)
	case Refuse:
		if t.Verdict >= fib.Deliver {
			return t, fmt.Errorf("%v is not a refusal", t.Verdict)
		}
		return t, nil
	}
	return nil, errors.New("no target")
}

func checkPaths(p Paths) (Paths, error) {
	if len(p) == 0 {
		return p, errors.New("no paths")
	}
	if len(p) > fib.MaxNexthops {
		return p, fmt.Errorf("%d paths, want at most %d", len(p), fib.MaxNexthops)
	}
	p = p.canonical()
	for i, path := range p {
		if err := path.check(); err != nil {
			return p, err
		}
		if i > 0 && path.order(p[i-1]) == 0 {
			return p, fmt.Errorf("path %s is there twice", path.appendText(nil))
		}
	}
	return p, nil
}

func (p Path) check() error {
	if p.Iface == "" && !p.Gateway.IsValid() {
		return errors.New("a path needs an interface or a gateway")
	}
	if p.Iface == "" && p.Gateway.IsLinkLocalUnicast() {
		return fmt.Errorf("gateway %v is link-local and needs an interface", p.Gateway)
	}
	if p.Iface != "" {
		if err := checkIface(p.Iface); err != nil {
			return err
		}
	}
	if p.Gateway.IsValid() {
		return checkGateway(p.Gateway)
	}
	return nil
}

// checkIface keeps texts of targets unambiguous; whether there is such an
// interface is no question of whether the route is right.
func checkIface(name string) error {
	if name == "" {
		return errors.New("no interface")
	}
	if strings.ContainsAny(name, " ,\t\r\n") {
		return fmt.Errorf("interface name %q has a separator in it", name)
	}
	return nil
}

func checkGateway(a netip.Addr) error {
	switch {
	case a.Is4() || a.Is4In6():
		return fmt.Errorf("gateway %v is not an IPv6 address", a)
	case a.Zone() != "":
		return fmt.Errorf("gateway %v has a zone; name the interface instead", a)
	case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
		return fmt.Errorf("gateway %v is not the address of a router", a)
	}
	return nil
}

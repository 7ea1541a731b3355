package rib

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/router6d/router6d/fib"
)

// A Target is Paths, Local or Refuse; nothing else can be one. Its text is
// canonical: targets are equal if their texts are.
type Target interface {
	String() string
	verdict() fib.Verdict
	appendText(b []byte) []byte
}

// Paths leads to one of several ways out, by weight.
type Paths []Path

// A Path is one way out.
type Path struct {
	Iface   string     // empty: where other routes say the gateway is
	Gateway netip.Addr // zero: the destination is on link
	Weight  uint8      // share among the paths; zero means one
	// HopLimit is that of the router's own packets. Zero: that of the route to the
	// gateway, or else the interface's.
	HopLimit uint8
}

// Local is the router itself, by an address of one of its interfaces.
type Local struct{ Iface string }

// Refuse drops: Unreachable, Prohibit or Blackhole.
type Refuse struct{ Verdict fib.Verdict }

func (Paths) verdict() fib.Verdict    { return fib.Forward }
func (Local) verdict() fib.Verdict    { return fib.Deliver }
func (r Refuse) verdict() fib.Verdict { return r.Verdict }

// String is as in "via fe80::1 dev ppp0 weight 2, dev eth1 hop-limit 9".
func (p Paths) String() string { return string(p.appendText(nil)) }

// String is as in "local dev eth1".
func (l Local) String() string { return string(l.appendText(nil)) }

// String is the verdict's name.
func (r Refuse) String() string { return r.Verdict.String() }

func (r Refuse) appendText(b []byte) []byte { return append(b, r.Verdict.String()...) }

func (l Local) appendText(b []byte) []byte {
	return append(append(b, "local dev "...), l.Iface...)
}

func (p Paths) appendText(b []byte) []byte {
	for i, path := range p {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = path.appendText(b)
	}
	return b
}

func (p Path) appendText(b []byte) []byte {
	if p.Gateway.IsValid() {
		b = p.Gateway.AppendTo(append(b, "via "...))
	}
	if p.Gateway.IsValid() && p.Iface != "" {
		b = append(b, ' ')
	}
	if p.Iface != "" {
		b = append(append(b, "dev "...), p.Iface...)
	}
	if p.Weight > 1 {
		b = strconv.AppendUint(append(b, " weight "...), uint64(p.Weight), 10)
	}
	if p.HopLimit > 0 {
		b = strconv.AppendUint(append(b, " hop-limit "...), uint64(p.HopLimit), 10)
	}
	return b
}

// canonical is the paths in order, and with their weights.
func (p Paths) canonical() Paths {
	p = slices.Clone(p)
	for i := range p {
		p[i].Weight = max(p[i].Weight, 1)
	}
	slices.SortFunc(p, Path.order)
	return p
}

func (p Path) order(o Path) int {
	return cmp.Or(cmp.Compare(p.Iface, o.Iface), p.Gateway.Compare(o.Gateway))
}

// recursive reports whether other routes say where t leads.
func recursive(t Target) bool {
	p, ok := t.(Paths)
	return ok && slices.ContainsFunc(p, func(p Path) bool { return p.Iface == "" })
}

// names calls fn for every interface that t names.
func names(t Target, fn func(iface string)) {
	switch t := t.(type) {
	case Local:
		fn(t.Iface)
	case Paths:
		for _, p := range t {
			if p.Iface != "" {
				fn(p.Iface)
			}
		}
	}
}

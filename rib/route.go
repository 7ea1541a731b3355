package rib

import (
	"cmp"
	"fmt"
	"net/netip"
)

// A Source is who offers a route; the smaller one is preferred.
type Source uint8

const (
	// Connected routes come with the addresses of an interface.
	Connected Source = iota + 1
	// Static routes are configured.
	Static
	// Delegated routes cover prefixes delegated to this router.
	Delegated
	// Advertised routes are learnt from router advertisements.
	Advertised
	// Kernel routes are the kernel's, and so those of routing daemons.
	Kernel

	sources
)

// String is the source's name in output.
func (s Source) String() string {
	return [sources]string{"none", "connected", "static", "delegated", "advertised", "kernel"}[s]
}

// An Origin says where the operator said so, for a reload of the file.
type Origin uint8

const (
	// FromFile is what the configuration file says.
	FromFile Origin = iota
	// Runtime was added through the control socket.
	Runtime
)

// String is the origin's name in output.
func (o Origin) String() string { return [...]string{"file", "runtime"}[o] }

// A Route is one offer. Prefix, Source and Metric tell it from others.
type Route struct {
	Prefix netip.Prefix
	Source Source
	Metric uint32 // the smaller one is preferred among routes of one source
	Target Target
	Origin Origin
}

// Key is the route's identity.
func (r Route) Key() Key { return Key{r.Prefix, r.Source, r.Metric} }

// A Key is the identity of a Route.
type Key struct {
	Prefix netip.Prefix
	Source Source
	Metric uint32
}

// String is for messages.
func (k Key) String() string { return fmt.Sprintf("%v %v metric %d", k.Prefix, k.Source, k.Metric) }

// preference orders the routes of one prefix, the best first.
func (k Key) preference(o Key) int {
	return cmp.Or(cmp.Compare(k.Source, o.Source), cmp.Compare(k.Metric, o.Metric))
}

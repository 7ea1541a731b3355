package fib

import (
	"net/netip"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/link"
)

// A Nexthop is one way out, and part of one slot. It owns a Handle, so the
// interface outlives it; workers see only what they may use.
type Nexthop struct {
	h      *ifmgr.Handle
	port   link.Sender // h's, one step nearer
	gw     netip.Addr
	target [16]byte // gw once more, for senders
	weight uint8
	limit  uint8  // hop limit of the route; zero: the interface's
	key    uint64 // of the flows it attracts, see fill
}

// NewNexthop leads to gw on the interface of h, or to the packet's destination
// itself if gw is zero. Weight is its share among others; zero means one. HopLimit is
// that of the router's own packets; zero leaves it to the interface. NewNexthop takes h.
func NewNexthop(h *ifmgr.Handle, gw netip.Addr, weight, hopLimit uint8) *Nexthop {
	return &Nexthop{h, h.Port(), gw, gw.As16(), max(weight, 1), hopLimit, memberKey(h.Name(), gw)}
}

// Port is where packets are sent.
func (n *Nexthop) Port() link.Sender { return n.port }

// ID is the interface.
func (n *Nexthop) ID() ifmgr.ID { return n.h.ID() }

// Name is the interface's name.
func (n *Nexthop) Name() string { return n.h.Name() }

// MTU is the size in bytes of the largest packet the interface takes.
func (n *Nexthop) MTU() int { return n.h.MTU() }

// HopLimit is that of the router's own packets on this way: the route's, or else the
// interface's as it is now.
func (n *Nexthop) HopLimit() uint8 {
	if n.limit != 0 {
		return n.limit
	}
	return n.h.HopLimit()
}

// RouteHopLimit is the hop limit of the route; zero if it has none.
func (n *Nexthop) RouteHopLimit() uint8 { return n.limit }

// Gateway is the router to send to; zero if the destination is on link.
func (n *Nexthop) Gateway() netip.Addr { return n.gw }

// Target is the neighbor that a packet to dst is handed to: the gateway, or dst
// itself. Borrowed.
func (n *Nexthop) Target(dst *[16]byte) *[16]byte {
	if n.gw.IsValid() {
		return &n.target
	}
	return dst
}

// Weight is the nexthop's share among others of its group.
func (n *Nexthop) Weight() uint8 { return n.weight }

// Withdrawn is the generation from which on no lookup may return the
// interface; zero while lookups may.
func (n *Nexthop) Withdrawn() uint64 { return n.h.Withdrawn() }

// Traffic counts what passes the interface.
func (n *Nexthop) Traffic() *ifmgr.Traffic { return n.h.Traffic() }

// Interface is the interface, for whoever is inside the epoch of the lookup.
func (n *Nexthop) Interface() *ifmgr.Interface { return n.h.Interface }

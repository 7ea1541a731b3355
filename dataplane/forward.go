package dataplane

import (
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// forward does with a packet what its lookup says.
func (w *worker) forward(p *link.Packet, in *ifmgr.Interface, g *fib.Group) Drop {
	switch g.Verdict() {
	case fib.Forward:
		return w.transit(p, in, g)
	case fib.Deliver:
		return w.deliver(p, in)
	case fib.Prohibit:
		return w.refuse(Prohibited, p, in)
	case fib.Blackhole:
		return Blackholed
	case fib.Unreachable:
	}
	return w.refuse(NoRoute, p, in)
}

// transit is what RFC 8200 asks of a router, in the order in which the errors
// take precedence.
func (w *worker) transit(p *link.Packet, in *ifmgr.Interface, g *fib.Group) Drop {
	pkt := header.IPv6(p.Bytes())
	nh := g.Nexthop(w.flow(g, pkt))
	switch {
	case header.IsLinkLocal(pkt.SourceBytes()):
		return w.refuse(BeyondScope, p, in)
	case pkt.HopLimit() <= 1:
		return w.refuse(HopLimit, p, in)
	case nh.ID() == in.ID() && in.Neighbors() == nil:
		return w.refuse(SameLink, p, in)
	case p.WireSize() > nh.MTU():
		return w.refuseTooBig(p, in, nh.MTU())
	}
	if at := routingType0(pkt); at != 0 {
		return w.refuseAt(RoutingHeader, at, p, in)
	}
	if nh.ID() == in.ID() {
		w.redirect(p, pkt, in, nh)
	}
	pkt.SetHopLimit(pkt.HopLimit() - 1)
	return w.send(p, nh, in.ID())
}

// flow is the hash that picks one of several nexthops, RFC 6438.
func (w *worker) flow(g *fib.Group, pkt header.IPv6) uint32 {
	if len(g.Nexthops()) == 1 {
		return 0
	}
	return header.FlowHash(pkt, w.seed)
}

// routingType0 finds what RFC 5095 forbids: the offset of its Routing Type field,
// or 0. Packets without extension headers, nearly all, cost one comparison.
func routingType0(pkt header.IPv6) int {
	if !header.IsExtension(pkt.NextHeader()) {
		return 0
	}
	if u, _ := header.UpperLayer(pkt); u.Routing.Offset != 0 && u.Routing.Type == 0 {
		return u.Routing.Offset + 2
	}
	return 0
}

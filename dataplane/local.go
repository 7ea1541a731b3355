package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// deliver is a packet for the router itself: for one of its addresses, which
// need not be on the interface where it came in, or for a group.
func (w *worker) deliver(p *link.Packet, in *ifmgr.Interface) Drop {
	pkt := header.IPv6(p.Bytes())
	u, ok := header.UpperLayer(pkt)
	switch {
	case !ok:
		return Truncated
	case u.Routing.Offset != 0:
		// Only type 0 is forbidden, but nobody has this router as a waypoint: RFC
		// 8200 §4.4 has unrecognized types answered the same way.
		return w.refuse(RoutingHeader, p, in)
	case u.Fragmented && (u.NonFirst || u.More):
		return LocalFragment
	case u.Protocol == header.ProtoICMPv6:
		return w.deliverICMPv6(p, pkt, &u, in)
	case u.Protocol == header.ProtoNone:
		return LocalIgnored // RFC 8200 §4.7
	case u.Protocol == header.ProtoTCP, u.Protocol == header.ProtoUDP:
		return w.refuse(LocalPort, p, in)
	}
	return w.refuse(LocalHeader, p, in)
}

func (w *worker) deliverICMPv6(p *link.Packet, pkt header.IPv6, u *header.Upper, in *ifmgr.Interface) Drop {
	if p.Offload.Superframe() {
		return BadOffload // only TCP and UDP are cut into segments
	}
	p.CompleteChecksum()
	msg := pkt[u.Offset:]
	switch {
	case len(msg) < header.ICMPv6Size:
		return Truncated
	case header.Checksum(pkt.SourceBytes(), pkt.DestinationBytes(), header.ProtoICMPv6, msg) != 0:
		return LocalChecksum
	case header.ICMPv6(msg).Type() == header.TypeEchoRequest:
		return w.echo(p, pkt, in)
	case in.Neighbors() != nil && nd.IsND(header.ICMPv6(msg).Type()):
		return w.discover(p, u.Offset, u.Fragmented, in)
	}
	return LocalIgnored // errors about our own, and what hosts say to routers
}

// echo answers a ping, RFC 4443 §4.2: the request is consumed, and the reply
// made of its bytes is the router's own.
func (w *worker) echo(p *link.Packet, pkt header.IPv6, in *ifmgr.Interface) Drop {
	if !w.echoes.take(now()) {
		return EchoLimited
	}
	source := w.sourceFor(pkt, in)
	reply, ok := header.EchoReply(pkt, &source)
	if !ok {
		return LocalIgnored
	}
	reply.SetHopLimit(ownHopLimit)
	p.TrimFront(len(pkt) - len(reply))
	w.counters.add(consumed, 1)
	w.originate(p, in)
	return None
}

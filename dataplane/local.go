package dataplane

import (
	"net/netip"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// deliver is a packet for the router itself: for one of its addresses, which
// need not be on the interface where it came in, or for a group.
func (w *worker) deliver(p *link.Packet, in *ifmgr.Interface) Drop {
	pkt := header.IPv6(p.Bytes())
	r := header.Destination(pkt)
	switch r.Stop {
	case header.AtFragment:
		return w.reassemble(p, &r, in)
	case header.AtRouting: // nobody has this router as a waypoint
		return w.refuseAt(RoutingHeader, r.Pointer, p, in)
	case header.AtMisfit:
		return w.refuseAt(LocalField, r.Pointer, p, in)
	case header.AtLimit:
		return LocalLimit
	case header.AtOption:
		if !header.ReportsOption(pkt[r.Pointer], header.IsMulticast(pkt.DestinationBytes())) {
			return LocalOption
		}
		return w.refuseAt(LocalOption, r.Pointer, p, in)
	case header.AtUpperLayer:
	}
	switch r.Protocol {
	case header.ProtoICMPv6:
		return w.deliverICMPv6(p, r.Offset, in)
	case header.ProtoNone:
		return LocalIgnored // RFC 8200 §4.7
	case header.ProtoTCP, header.ProtoUDP:
		return w.deliverTransport(p, &r, in)
	}
	return w.refuseAt(LocalHeader, r.NextHeader, p, in)
}

// deliverICMPv6 is a message at an offset of the packet.
func (w *worker) deliverICMPv6(p *link.Packet, at int, in *ifmgr.Interface) Drop {
	if p.Offload.Superframe() {
		return BadOffload // only TCP and UDP are cut into segments
	}
	p.CompleteChecksum()
	pkt := header.IPv6(p.Bytes())
	msg := pkt[at:]
	switch {
	case len(msg) < header.ICMPv6Size:
		return Truncated
	case header.Checksum(pkt.SourceBytes(), pkt.DestinationBytes(), header.ProtoICMPv6, msg) != 0:
		return LocalChecksum
	case header.ICMPv6(msg).Type() == header.TypeEchoRequest:
		return w.echo(p, pkt, in)
	case header.IsError(header.ICMPv6(msg).Type()):
		return w.deliverError(p, at, in)
	case in.Neighbors() != nil && nd.Concerns(header.ICMPv6(msg).Type()):
		return w.discover(p, pkt, at, in)
	}
	return LocalIgnored // what hosts say to routers
}

// echo answers a ping, RFC 4443 §4.2: the request is consumed, and the reply
// made of its bytes is the router's own. What went to a group or to an anycast
// address is answered from the interface where it came in, and no other.
func (w *worker) echo(p *link.Packet, pkt header.IPv6, in *ifmgr.Interface) Drop {
	if !w.echoes.Take(now()) {
		return EchoLimited
	}
	source := w.sourceFor(pkt, in, netip.Addr{})
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

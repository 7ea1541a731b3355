package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// A Delivery is a packet to one of the router's own global addresses, for its TCP or
// UDP: a segment, a datagram, or an ICMPv6 error, which may be about one. The router's
// own checks are behind it. Borrowed.
type Delivery struct {
	Packet    header.IPv6 // extension headers included
	Protocol  uint8       // of the header at Offset: TCP, UDP or ICMPv6
	Offset    int
	Size      int    // of a superframe: bytes of payload in each of its segments; zero: it is none
	Interface string // where it came in
	OffWire   bool   // it has not been on a wire: its checksum is not complete
}

// Upper is the header at Offset, and what follows.
func (m *Delivery) Upper() []byte { return m.Packet[m.Offset:] }

// ChecksumFits reports whether the checksum of the upper layer is that of the
// packet. What has not been on a wire has nothing to check.
func (m *Delivery) ChecksumFits() bool {
	return m.OffWire ||
		header.Checksum(m.Packet.SourceBytes(), m.Packet.DestinationBytes(), m.Protocol, m.Upper()) == 0
}

// Serve has deliver given what is for the router's own TCP and UDP, on the goroutine of
// any worker and under its guard: it copies, and never waits. It returns LocalPort if
// that is nobody's, and None if it is taken. Called before there are interfaces.
func (p *Plane) Serve(deliver func(Delivery) Drop) { p.transport = deliver }

// deliverTransport is a TCP segment or a UDP datagram to the router.
func (w *worker) deliverTransport(p *link.Packet, r *header.Reached, in *ifmgr.Interface) Drop {
	pkt := header.IPv6(p.Bytes())
	if w.plane.transport == nil || header.IsLinkLocal(pkt.DestinationBytes()) || !w.isOwn(pkt, in) {
		return w.refuse(LocalPort, p, in)
	}
	why := w.plane.transport(Delivery{
		Packet: pkt, Protocol: r.Protocol, Offset: r.Offset, Size: p.Offload.SegmentSize(),
		Interface: in.Name(), OffWire: p.Offload.PartialChecksum(),
	})
	switch why {
	case None:
		w.counters.add(consumed, p.Segments())
	case LocalPort:
		return w.refuse(LocalPort, p, in)
	default:
	}
	return why
}

// deliverError is an ICMPv6 error to the router, whose checksum was checked.
func (w *worker) deliverError(p *link.Packet, at int, in *ifmgr.Interface) Drop {
	if w.plane.transport == nil {
		return LocalIgnored
	}
	why := w.plane.transport(Delivery{
		Packet: header.IPv6(p.Bytes()), Protocol: header.ProtoICMPv6, Offset: at, Interface: in.Name(),
	})
	switch why {
	case None:
		w.counters.add(consumed, 1)
	case LocalPort:
		return LocalIgnored // not about anything of ours
	default:
	}
	return why
}

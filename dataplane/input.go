package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// acceptBatch checks what was received and collects the destinations of what
// may go on.
func (w *worker) acceptBatch() {
	direct := tally{in: w.in.Interface}
	for i := range w.batch.Len() {
		p := w.batch.At(i)
		n := p.Segments()
		direct.add(w.in.Interface, p)
		w.counters.add(received, n)
		waiting := w.n
		why := w.accept(p, w.in.Interface)
		w.counters.drop(why, n)
		if w.tapping() && w.n == waiting { // what waits for its lookup is told of later
			w.tell(&w.seen[waiting], p, Inbound, why)
		}
	}
	direct.flush()
	w.stacked.flush()
}

// A tally is what one interface received in a batch.
type tally struct {
	in             *ifmgr.Interface
	packets, bytes int
}

func (c *tally) add(in *ifmgr.Interface, p *link.Packet) {
	if c.in != in {
		c.flush()
		c.in = in
	}
	c.packets += p.Segments()
	c.bytes += len(p.Bytes())
}

func (c *tally) flush() {
	if c.packets > 0 {
		c.in.Traffic().RxPackets.Add(uint64(c.packets))
		c.in.Traffic().RxBytes.Add(uint64(c.bytes))
	}
	*c = tally{}
}

// accept is RFC 8200 §3 and RFC 4291 §2.5–2.7: may this packet be looked at?
// What is for the link itself is dealt with here, the rest waits for its lookup.
func (w *worker) accept(p *link.Packet, in *ifmgr.Interface) Drop {
	if in.Neighbors() != nil {
		return w.acceptFrame(p, in)
	}
	if b := p.Bytes(); len(b) == 0 || b[0]>>4 != 6 {
		return w.acceptStacked(NotIPv6, p, in)
	}
	if w.tapping() {
		w.see(&w.seen[w.n], p, in, Inbound)
	}
	return w.acceptIPv6(p, in, false)
}

// acceptIPv6 takes what says that it is IPv6. What came in a frame to a group is
// for the group: a unicast packet in it would be taken by everybody (RFC 1122
// §3.3.6), but the other way round is fine (RFC 6085).
func (w *worker) acceptIPv6(p *link.Packet, in *ifmgr.Interface, toGroup bool) Drop {
	b := p.Bytes()
	if len(b) == 0 || b[0]>>4 != 6 {
		return NotIPv6
	}
	pkt, ok := header.ParseIPv6(b)
	if !ok {
		return Truncated
	}
	p.Trim(len(pkt)) // RFC 8200 §3: links may pad, the payload length says where it ends
	if p.Offload.Bad() || p.Offload.Superframe() && len(pkt) < len(b) {
		return BadOffload // no link has padded what it has not carried yet
	}
	src, dst := pkt.SourceBytes(), pkt.DestinationBytes()
	switch {
	case header.IsMulticast(src), header.IsLoopback(src):
		return BadSource
	case header.IsUnspecified(dst), header.IsLoopback(dst):
		return BadDestination
	case header.IsMulticast(dst):
		return w.acceptGroup(p, pkt, in)
	case toGroup:
		return GroupFrame
	case header.IsUnspecified(src): // only neighbor discovery, to a group, may have it
		return BadSource
	case header.IsLinkLocal(dst):
		return w.acceptLinkLocal(p, pkt, in)
	}
	w.here[w.n] = arrival{p, in}
	w.dst[w.n] = dst
	w.n++
	return None
}

// acceptStacked offers what is not IPv6 to the ports stacked on this one: what
// one of them claims came in through it. What nobody claims ends, for a reason.
func (w *worker) acceptStacked(why Drop, p *link.Packet, in *ifmgr.Interface) Drop {
	for _, u := range in.Uppers(w.guard) {
		switch u.Port.Claim(p) {
		case link.Ours:
			w.stacked.add(u.Interface, p)
			return w.accept(p, u.Interface)
		case link.Consumed:
			w.counters.add(consumed, p.Segments())
			return w.acceptNot(None, p, in)
		case link.Overflow:
			return w.acceptNot(SessionFull, p, in)
		case link.Unready:
			return w.acceptNot(NoSession, p, in)
		case link.NotOurs:
		}
	}
	return w.acceptNot(why, p, in)
}

// acceptNot ends what can't be looked at further.
func (w *worker) acceptNot(why Drop, p *link.Packet, in *ifmgr.Interface) Drop {
	if w.tapping() {
		w.see(&w.seen[w.n], p, in, Inbound)
	}
	return why
}

// acceptGroup takes what is for the groups every router is in on its links, RFC
// 4291 §2.8. Interface-local groups reach no other node, so what comes from one
// is not for them (erratum 3480). Multicast is not forwarded.
func (w *worker) acceptGroup(p *link.Packet, pkt header.IPv6, in *ifmgr.Interface) Drop {
	dst := pkt.DestinationBytes()
	switch {
	case *dst == header.AllNodes, *dst == header.AllRouters, *dst == header.AllRoutersSite:
		return w.deliver(p, in)
	case *dst == header.AllMLDv2Routers:
		return LocalIgnored
	case header.IsSolicitedNode(dst):
		if in.Neighbors() == nil {
			return LocalIgnored // nothing to resolve on a point-to-point link
		}
		return w.deliver(p, in)
	}
	return Multicast
}

// acceptLinkLocal takes what is for the router's own address on this link. There
// is no other node on a point-to-point link to send the rest to, and on another
// one who sent it finds that node himself.
func (w *worker) acceptLinkLocal(p *link.Packet, pkt header.IPv6, in *ifmgr.Interface) Drop {
	switch {
	case in.Addrs().Own(pkt.Destination()):
		return w.deliver(p, in)
	case in.Addrs().Discovery(pkt.DestinationBytes()) != 0:
		return LocalIgnored // RFC 4862 §5.4: tentative, or somebody else's
	}
	return w.refuse(LinkLocalTarget, p, in)
}

package dataplane

import (
	"bytes"
	"net/netip"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// ownHopLimit in a packet of the router's own stands for that of the route it takes,
// or else of the interface it leaves through. Only the lookup that sends it can tell.
const ownHopLimit = 0

// An answer is the ICMPv6 error that a reason for refusing calls for.
type answer struct{ typ, code uint8 }

// answers is the table of RFC 4443 §3. Reasons that are not here are silent.
var answers = [drops]answer{
	LinkLocalTarget: {header.TypeDestinationUnreachable, header.CodeAddressUnreachable},
	RoutingHeader:   {header.TypeParameterProblem, header.CodeErroneousField},
	NoRoute:         {header.TypeDestinationUnreachable, header.CodeNoRoute},
	Prohibited:      {header.TypeDestinationUnreachable, header.CodeProhibited},
	BeyondScope:     {header.TypeDestinationUnreachable, header.CodeBeyondScope},
	HopLimit:        {header.TypeTimeExceeded, header.CodeHopLimit},
	SameLink:        {header.TypeDestinationUnreachable, header.CodeAddressUnreachable},
	TooBig:          {header.TypePacketTooBig, 0},
	FragmentLength:  {header.TypeParameterProblem, header.CodeErroneousField},
	FragmentChain:   {header.TypeParameterProblem, header.CodeIncompleteChain},
	LocalField:      {header.TypeParameterProblem, header.CodeErroneousField},
	LocalOption:     {header.TypeParameterProblem, header.CodeUnrecognizedOption},
	LocalHeader:     {header.TypeParameterProblem, header.CodeUnrecognizedNextHeader},
	LocalPort:       {header.TypeDestinationUnreachable, header.CodePortUnreachable},
	NeighborUnknown: {header.TypeDestinationUnreachable, header.CodeAddressUnreachable},
}

// refuse answers the packet as its reason wants, and returns the reason.
func (w *worker) refuse(why Drop, p *link.Packet, in *ifmgr.Interface) Drop {
	w.answer(answers[why], 0, p, in)
	return why
}

// refuseAt is refuse with the offset of what is wrong, RFC 4443 §3.4.
func (w *worker) refuseAt(why Drop, pointer int, p *link.Packet, in *ifmgr.Interface) Drop {
	w.answer(answers[why], uint32(pointer), p, in)
	return why
}

// refuseTooBig tells the sender what would have fitted.
func (w *worker) refuseTooBig(p *link.Packet, in *ifmgr.Interface, mtu int) Drop {
	w.answer(answers[TooBig], uint32(mtu), p, in)
	return TooBig
}

// answer originates one ICMPv6 error about p, if RFC 4443 §2.4 permits.
func (w *worker) answer(a answer, param uint32, p *link.Packet, in *ifmgr.Interface) {
	p.CompleteChecksum() // what is quoted is what would have been on the wire
	pkt := header.IPv6(p.Bytes())
	switch {
	case !header.MayAnswer(pkt, a.typ, a.code):
		return
	case a.typ == header.TypeDestinationUnreachable && !in.Unreachables():
		return
	}
	if !w.errors.Take(now()) {
		w.counters.add(errorsLimited, 1)
		return
	}
	size := min(header.MinMTU, header.IPv6Size+header.ICMPv6Size+len(pkt))
	e := w.batch.Originate(size)
	src := w.sourceFor(pkt, in, w.routes.Source())
	header.AppendError(e.Bytes()[:0], &src, pkt.SourceBytes(), ownHopLimit, a.typ, a.code, param, pkt)
	w.counters.add(errorsSent, 1)
	w.originate(e, in)
}

// originate sends a packet of the router's own that answers one from in, in
// fragments if its way out is too narrow.
func (w *worker) originate(p *link.Packet, in *ifmgr.Interface) {
	why := w.route(p, in)
	if why == TooBig {
		w.later = append(w.later, postponed{bytes.Clone(p.Bytes()), in, w.originateCut})
		return
	}
	w.settle(p, in, why)
}

// settle counts a packet of the router's own.
func (w *worker) settle(p *link.Packet, in *ifmgr.Interface, why Drop) {
	w.counters.add(originated, 1)
	w.counters.drop(why, 1)
	w.tellLate(p, in, Outbound, why)
}

// route looks up a packet of the router's own. It may go back where it came
// from: it answers what came. RFC 4007 §9: link-local addresses never leave.
func (w *worker) route(p *link.Packet, in *ifmgr.Interface) Drop {
	pkt := header.IPv6(p.Bytes())
	if header.IsUnspecified(pkt.SourceBytes()) {
		return NoSource // all addresses of the link are still tentative
	}
	if header.IsLinkLocal(pkt.SourceBytes()) || header.IsLinkLocal(pkt.DestinationBytes()) {
		return w.leaveBack(p, in)
	}
	nh, why := w.resolve(pkt)
	if why != None {
		return why
	}
	return w.leaveBy(p, nh)
}

// resolve is where a packet of the router's own leaves, by the one lookup that says
// with which hop limit and MTU as well.
func (w *worker) resolve(pkt header.IPv6) (*fib.Nexthop, Drop) {
	g := w.routes.Lookup(pkt.DestinationBytes())
	switch g.Verdict() {
	case fib.Forward:
		return g.Nexthop(w.flow(g, pkt)), None
	case fib.Prohibit:
		return nil, Prohibited
	case fib.Blackhole:
		return nil, Blackholed
	case fib.Deliver:
		return nil, LocalIgnored // the router has no one to talk to in itself
	case fib.Unreachable:
	}
	return nil, NoRoute
}

// leaveBy sends where a lookup says.
func (w *worker) leaveBy(p *link.Packet, nh *fib.Nexthop) Drop {
	fillHopLimit(header.IPv6(p.Bytes()), nh.HopLimit())
	if p.WireSize() > nh.MTU() {
		return TooBig
	}
	return w.send(p, nh, 0)
}

// leaveBack sends on the link that is answered, without a lookup.
func (w *worker) leaveBack(p *link.Packet, in *ifmgr.Interface) Drop {
	pkt := header.IPv6(p.Bytes())
	fillHopLimit(pkt, in.HopLimit())
	if p.WireSize() > in.MTU() {
		return TooBig
	}
	return w.reach(p, in, pkt.DestinationBytes(), 0)
}

func fillHopLimit(pkt header.IPv6, limit uint8) {
	if pkt.HopLimit() == ownHopLimit {
		pkt.SetHopLimit(limit)
	}
}

// sourceFor is where an answer to pkt comes from, RFC 4443 §2.2: the address that
// was asked; else one of the interface where pkt came in, of the scope of who
// gets the answer; else also, if that is one; else the link-local one, which every
// interface has.
func (w *worker) sourceFor(pkt header.IPv6, in *ifmgr.Interface, also netip.Addr) [16]byte {
	if w.isOwn(pkt, in) {
		return *pkt.DestinationBytes()
	}
	if !header.IsLinkLocal(pkt.SourceBytes()) {
		for _, a := range [...]netip.Addr{in.Addrs().Source(), also} {
			if a.IsValid() {
				return a.As16()
			}
		}
	}
	return in.Addrs().LinkLocal().As16()
}

// isOwn reports whether pkt went to a unicast address of the router. Groups and
// anycast addresses are nobody's own.
func (w *worker) isOwn(pkt header.IPv6, in *ifmgr.Interface) bool {
	dst := pkt.DestinationBytes()
	if header.IsLinkLocal(dst) {
		return in.Addrs().Own(pkt.Destination())
	}
	return w.hasAddress(dst)
}

// hasAddress reports whether the router has a global address now: on an interface
// that is up, not as an anycast address, and not tentative.
func (w *worker) hasAddress(a *[16]byte) bool {
	g := w.routes.Lookup(a)
	return g.Verdict() == fib.Deliver && g.Nexthop(0).Interface().Addrs().Own(netip.AddrFrom16(*a))
}

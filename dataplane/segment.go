package dataplane

import (
	"cmp"
	"net/netip"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// A Segment is what the router's own TCP has to send, or a datagram of its UDP. It says
// nothing of where: all of that is looked up when it is sent. Borrowed.
type Segment struct {
	Pieces [][]byte // IPv6 header first; a hop limit of zero leaves it to the way out

	// Checksum is the offset of a TCP header whose checksum is still that of the
	// pseudo-header alone; zero: it is complete. Such a segment may have any length:
	// it is cut into as many as the way out wants, of a payload of Size at most, if
	// that is not zero.
	Checksum, Size int

	// Fragment has what is too long for the way out, or for its path, leave in
	// fragments, RFC 8200 §4.5. It has no extension headers.
	Fragment bool

	PathMTU int  // of the destination, as far as it is known; zero: it is not
	Reached bool // the peer has confirmed data since: RFC 4861 §7.3.1
}

// An Outcome is what became of a Segment.
type Outcome struct {
	Drop Drop // None: a device took it, or neighbor discovery keeps it
	Via  Via  // what was looked up; zero: there was no way
}

// A Via is an interface for as long as it is up: one that has been away is another.
type Via struct {
	ID     ifmgr.ID
	Raised uint64
}

func viaOf(nh *fib.Nexthop) Via { return Via{nh.ID(), nh.Interface().Raised()} }

// Send sends a segment. Nexthop, hop limit, MTU and whether the router has the
// source come from one snapshot under one guard.
func (j *Injector) Send(s *Segment) Outcome {
	w := j.w
	p := w.batch.Gather(s.Pieces...)
	w.enter()
	out := w.dispatch(p, s)
	if refused := w.leave(); refused != None {
		out.Drop = refused
	}
	return out
}

// dispatch puts a segment on its way, and counts it, or its fragments.
func (w *worker) dispatch(p *link.Packet, s *Segment) Outcome {
	nh, why := w.direct(p, s)
	out := Outcome{Drop: why}
	if nh != nil {
		out.Via = viaOf(nh)
	}
	if why == TooBig && s.Fragment {
		out.Drop = w.fragment(p, nh)
		return out
	}
	if why == None {
		out.Drop = w.send(p, nh, 0)
	}
	w.counters.add(originated, p.Segments())
	w.counters.drop(out.Drop, p.Segments())
	return out
}

// direct looks up where a segment leaves, and has it fit. There is a way if the reason
// for which it can't is that it does not fit.
func (w *worker) direct(p *link.Packet, s *Segment) (*fib.Nexthop, Drop) {
	pkt, ok := header.ParseIPv6(p.Bytes())
	if !ok {
		return nil, Truncated
	}
	if s.Checksum != 0 {
		p.LeaveTCP(s.Checksum, s.Size)
	}
	if why := w.unsendable(pkt); why != None {
		return nil, why
	}
	nh, why := w.resolve(pkt)
	if why != None {
		return nil, why
	}
	if fault.NoGuard {
		w.guard.Leave()
	}
	fault.Hold(w.in.Name())
	fillHopLimit(pkt, nh.HopLimit())
	if !fit(p, s, nh.MTU()) {
		return nh, TooBig
	}
	if n := nh.Interface().Neighbors(); n != nil && s.Reached {
		n.Reached(nh.Target(pkt.DestinationBytes()))
	}
	return nh, None
}

// fragment sends a datagram in fragments by the way that was looked up for it. It
// returns why one of them was not sent: then there is no datagram.
func (w *worker) fragment(p *link.Packet, nh *fib.Nexthop) (why Drop) {
	w.cut(header.IPv6(p.Bytes()), func(f *link.Packet) {
		d := w.leaveBy(f, nh)
		w.counters.add(originated, 1)
		w.counters.drop(d, 1)
		if d != None {
			why = d
		}
	})
	return why
}

// fit has a segment fit through its way out and, as far as that is known, through
// its path: by cutting it, and by not asking for more in a SYN (RFC 9293 §3.7.1).
func fit(p *link.Packet, s *Segment, mtu int) bool {
	if s.Checksum == 0 {
		most := min(mtu, link.MaxPacket) - header.IPv6Size - header.TCPSize
		header.ClampMSS(header.IPv6(p.Bytes()), uint16(most))
	}
	if s.PathMTU != 0 {
		mtu = min(mtu, s.PathMTU)
	}
	if p.WireSize() > mtu && s.Checksum != 0 {
		headers := s.Checksum + header.TCP(p.Bytes()[s.Checksum:]).DataOffset()
		p.LeaveTCP(s.Checksum, mtu-headers)
	}
	return p.WireSize() <= mtu
}

// unsendable is why a segment is not to be looked up: addresses that no lookup can
// do anything with, or a source that is not the router's, or no longer.
func (w *worker) unsendable(pkt header.IPv6) Drop {
	if why := unroutable(pkt); why != None {
		return why
	}
	if !w.hasAddress(pkt.SourceBytes()) {
		return SourceLeft
	}
	return None
}

// A Way is where packets to a destination leave now.
type Way struct {
	Via       Via
	Interface string
	Gateway   netip.Addr // zero: on link
	Source    netip.Addr // that the router sends from; zero: it has none
	MTU       int
	HopLimit  uint8
	Drop      Drop // why there is none; None: there is
}

// Way looks up a destination as Send would. From is the source, if that is known.
func (j *Injector) Way(from, to netip.Addr) Way {
	w := j.w
	w.guard = w.reader.Enter()
	w.routes = w.fib.Load(w.guard)
	defer func() { w.forget(); w.guard.Leave() }()
	return w.way(from, to)
}

func (w *worker) way(from, to netip.Addr) Way {
	f := header.IPv6Fields{Source: to.As16(), Destination: to.As16()}
	if from.IsValid() {
		f.Source = from.As16()
	}
	var pkt [header.IPv6Size]byte
	header.PutIPv6(pkt[:], &f)
	if why := unroutable(pkt[:]); why != None {
		return Way{Drop: why}
	}
	nh, why := w.resolve(pkt[:])
	if why != None {
		return Way{Drop: why}
	}
	y := Way{Via: viaOf(nh), Interface: nh.Name(), Gateway: nh.Gateway(), MTU: nh.MTU(), HopLimit: nh.HopLimit()}
	y.Source = cmp.Or(nh.Interface().Addrs().Source(), w.routes.Source())
	switch {
	case from.IsValid() && !w.hasAddress(&f.Source):
		y.Drop = SourceLeft
	case !y.Source.IsValid():
		y.Drop = NoSource
	}
	return y
}

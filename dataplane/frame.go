package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// acceptFrame takes an Ethernet frame. What it carries besides IPv6 is offered to
// the ports stacked on this one, which look at the stations themselves.
func (w *worker) acceptFrame(p *link.Packet, in *ifmgr.Interface) Drop {
	b := p.Bytes()
	if len(b) < header.EthernetSize {
		return w.acceptNot(Truncated, p, in)
	}
	f := header.Ethernet(b)
	own, _ := in.Ethernet()
	toGroup := header.IsGroupMAC(f.Destination())
	mine := toGroup || *f.Destination() == own
	switch {
	case f.Type() != header.EtherTypeIPv6 && mine:
		return w.acceptStacked(NotIPv6, p, in)
	case f.Type() != header.EtherTypeIPv6:
		return w.acceptStacked(OtherStation, p, in)
	case !mine:
		return w.acceptNot(OtherStation, p, in)
	case in.Disabled():
		return w.acceptNot(InterfaceDisabled, p, in)
	}
	if w.tapping() {
		w.see(&w.seen[w.n], p, in, Inbound)
	}
	p.TrimFront(header.EthernetSize)
	return w.acceptIPv6(p, in, toGroup)
}

// station is who sent the frame in which a packet came. The frame's header is
// still in front of it, as long as nothing was put there.
func station(p *link.Packet) header.MAC {
	f := header.Ethernet(p.Prepend(header.EthernetSize))
	mac := *f.Source()
	p.TrimFront(header.EthernetSize)
	return mac
}

// reach puts a packet on its way to a neighbor, in a frame if the interface has
// frames. It came in through from, or is the router's own.
func (w *worker) reach(p *link.Packet, via *ifmgr.Interface, target *[16]byte, from ifmgr.ID) Drop {
	n := via.Neighbors()
	if n == nil {
		w.push(p, via)
		return None
	}
	var to header.MAC
	known := true
	if header.IsMulticast(target) {
		to = header.GroupMAC(target)
	} else {
		to, known = n.Lookup(target)
	}
	if !known {
		return w.hold(p, n, target, from)
	}
	w.pushFrame(p, via, &to)
	return None
}

// hold leaves a packet with neighbor discovery, which finds out where it goes. It
// is in the account as held, and comes back as released.
func (w *worker) hold(p *link.Packet, n *ifmgr.Neighbors, target *[16]byte, from ifmgr.ID) Drop {
	if why := n.Hold(p, header.IPv6(p.Bytes()).SourceBytes(), target, from); why != 0 {
		return causes[why]
	}
	w.counters.add(held, p.Segments())
	return None
}

// pushFrame puts a packet into a frame to a station.
func (w *worker) pushFrame(p *link.Packet, via *ifmgr.Interface, to *header.MAC) {
	own, _ := via.Ethernet()
	header.PutEthernet(p.Prepend(header.EthernetSize), to, &own)
	w.push(p, via)
}

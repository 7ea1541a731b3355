package dataplane

import (
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// discover takes a message of neighbor discovery, or a query for listeners. What
// is not valid ends here, and so does what is of no concern: floods are the
// worker's, not the loop's. The checksum is right.
func (w *worker) discover(p *link.Packet, pkt header.IPv6, at int, in *ifmgr.Interface) Drop {
	n, m := in.Neighbors(), &w.message
	u, _ := header.UpperLayer(pkt)
	if why := nd.Parse(pkt, at, w.whole || u.Fragmented, m); why != nd.Valid {
		n.Discarded(why)
		return DiscoveryInvalid
	}
	m.From = station(p)
	switch m.Type {
	case header.TypeNeighborSolicitation:
		return w.solicited(in, n, m)
	case header.TypeNeighborAdvertisement:
		if _, _, asked := n.Peek(&m.Target); asked || in.Addrs().Discovery(&m.Target) != 0 {
			return w.told(n.Answer(m))
		}
	case header.TypeRouterSolicitation:
		if m.HasLinkLayer && !knows(n, m) {
			return w.told(n.Tell(m))
		}
	case header.TypeRouterAdvertisement, header.TypeMLDQuery:
		return w.told(n.Tell(m))
	}
	return LocalIgnored
}

// told is what becomes of a message that was copied for the loop, or was not.
func (w *worker) told(ok bool) Drop {
	if !ok {
		return DiscoveryFull
	}
	w.counters.add(consumed, 1)
	return None
}

// knows reports whether a message says nothing new of where its sender is.
func knows(n *ifmgr.Neighbors, m *nd.Message) bool {
	mac, known, _ := n.Peek(&m.Source)
	return known && mac == m.LinkLayer
}

// solicited answers for an address that is in use, RFC 4861 §7.2.4, and leaves to
// the loop what takes time: duplicate addresses, anycast, an asker that is to be
// found first.
func (w *worker) solicited(in *ifmgr.Interface, n *ifmgr.Neighbors, m *nd.Message) Drop {
	switch in.Addrs().Discovery(&m.Target) {
	case nd.Ready:
	case nd.Tentative, nd.Anycast:
		return w.told(n.Answer(m))
	default:
		return LocalIgnored
	}
	to, known := m.LinkLayer, m.HasLinkLayer
	switch {
	case header.IsUnspecified(&m.Source):
		if !w.announces.Take(now()) {
			return DiscoveryFull
		}
		to = header.GroupMAC(&header.AllNodes)
		w.advertise(in, m, &header.AllNodes, &to, false)
	case !known:
		if to, known = n.Lookup(&m.Source); !known {
			return w.told(n.Tell(m))
		}
		fallthrough
	default:
		w.advertise(in, m, &m.Source, &to, true)
	}
	w.counters.add(consumed, 1)
	if m.HasLinkLayer && !knows(n, m) {
		m.Answered = true
		n.Tell(m) // if there is no room, it is asked when a packet wants to go there
	}
	return None
}

// advertise originates a Neighbor Advertisement.
func (w *worker) advertise(in *ifmgr.Interface, m *nd.Message, dst *[16]byte, to *header.MAC, solicited bool) {
	own, _ := in.Ethernet()
	e := w.batch.Originate(nd.AdvertisementSize)
	nd.AppendAdvertisement(e.Bytes()[:0], &m.Target, dst, &m.Target, &own, solicited, true)
	w.counters.add(originated, 1)
	w.pushFrame(e, in, to)
}

// redirect tells the sender of a packet that goes back to its link of the better
// first hop, RFC 4861 §8.2: who is on that link itself, and a next hop whose
// link-local address is known, or the destination.
func (w *worker) redirect(p *link.Packet, pkt header.IPv6, in *ifmgr.Interface, nh *fib.Nexthop) {
	n, from := in.Neighbors(), in.Addrs().LinkLocal()
	target := nh.Target(pkt.DestinationBytes())
	switch {
	case !from.IsValid(), nh.Gateway().IsValid() && !header.IsLinkLocal(target):
		return
	case !w.isNeighbor(pkt.SourceBytes(), in):
		return
	}
	mac, known, _ := n.Peek(target)
	if known && mac == station(p) || !w.redirects.Take(now()) {
		return
	}
	e := w.batch.Originate(header.MinMTU)
	src := from.As16()
	e.Trim(len(nd.AppendRedirect(e.Bytes()[:0], &src, target, &mac, known, pkt)))
	w.counters.add(originated, 1)
	w.counters.drop(w.reach(e, in, pkt.SourceBytes(), 0), 1)
}

// isNeighbor reports whether an address is on the link of an interface.
func (w *worker) isNeighbor(a *[16]byte, in *ifmgr.Interface) bool {
	g := w.routes.Lookup(a)
	if g.Verdict() != fib.Forward {
		return false
	}
	for _, nh := range g.Nexthops() {
		if nh.ID() == in.ID() && !nh.Gateway().IsValid() {
			return true
		}
	}
	return false
}

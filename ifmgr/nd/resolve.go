package nd

import (
	"time"

	"github.com/router6d/router6d/internal/header"
)

// take resolves a neighbor's MAC, RFC 4861 §7.2.2.
func (in Hold) take(m *Machine, now time.Time) {
	n := m.neighbors[in.Target]
	switch {
	case !m.up: // what is known of static neighbors is of no use now
		m.refuse(in.Packet, Stopped)
		return
	case n != nil && n.state != Incomplete: // it was found while the packet was under way
		m.out.Released = append(m.out.Released, Release{in.Packet, n.mac})
		m.sentTo(now, n)
		return
	case !m.maySolicit(), m.addresses[in.Target] != nil, !isNeighbor(&in.Target):
		m.refuse(in.Packet, Stopped)
		return
	}
	if n == nil {
		if n = m.resolve(now, &in.Target, &in.Source); n == nil {
			m.refuse(in.Packet, Overflow)
			return
		}
	}
	m.hold(now, n, in.Packet)
}

// resolve begins to ask for a neighbor, unless that is done too often.
func (m *Machine) resolve(now time.Time, target, source *[16]byte) *neighbor {
	if !m.solicits.Take(now) {
		m.statistics.Suppressed++
		m.strain(now, 1)
		return nil
	}
	n := m.create(target, asked)
	n.source = *source
	m.become(now, n, Incomplete)
	return n
}

// isNeighbor reports whether a can be somebody's address on the link.
func isNeighbor(a *[16]byte) bool {
	return !header.IsMulticast(a) && !header.IsUnspecified(a) && !header.IsLoopback(a)
}

// hold keeps a packet until the neighbor is found. A newer one takes the place of
// an older, RFC 4861 §7.2.2.
func (m *Machine) hold(now time.Time, n *neighbor, p Held) {
	for len(n.held) > 0 && (len(n.held) >= maxHeldPackets || m.held+p.Size() > maxHeld) {
		m.refuse(n.held[0], Overflow)
		m.held -= n.held[0].Size()
		n.held = n.held[1:]
	}
	if m.held+p.Size() > maxHeld {
		m.refuse(p, Overflow)
		m.strain(now, 1)
		return
	}
	n.held = append(n.held, p)
	m.held += p.Size()
}

// solicit asks everybody for a neighbor that is not known.
func (m *Machine) solicit(now time.Time, n *neighbor) {
	if n.tries >= maxMulticastSolicit {
		m.statistics.Unanswered++
		m.forget(n, NoAnswer)
		return
	}
	if n.tries == 0 || m.maySolicitAgain(now) { // the first one has been asked for
		m.sendSolicitation(n)
	}
	n.tries++
	m.set(&n.timer, now.Add(n.retrans), func(now time.Time) { m.solicit(now, n) })
}

func (m *Machine) maySolicitAgain(now time.Time) bool {
	if m.solicits.Take(now) {
		return true
	}
	m.statistics.Suppressed++
	return false
}

// sendSolicitation asks everybody.
func (m *Machine) sendSolicitation(n *neighbor) {
	source, ok := m.sourceFor(&n.source)
	if !ok {
		return
	}
	group := header.SolicitedNode(&n.addr)
	m.sendGroup(solicitation(&source, &group, &n.addr, &m.mac, nil), &group)
	m.statistics.Solicited++
}

// probe asks a neighbor at the MAC that it had, RFC 4861 §7.3.3.
func (m *Machine) probe(now time.Time, n *neighbor) {
	if n.tries >= maxUnicastSolicit {
		m.become(now, n, Unreachable)
		return
	}
	if source, ok := m.sourceFor(&n.source); ok {
		m.out.Send = append(m.out.Send, Frame{n.mac, solicitation(&source, &n.addr, &n.addr, &m.mac, nil)})
		m.statistics.Probed++
	}
	n.tries++
	m.set(&n.timer, now.Add(n.retrans), func(now time.Time) { m.probe(now, n) })
}

// searchOn asks everybody for a neighbor that is not where it was, at intervals
// that grow, as long as somebody sends to it: RFC 7048 §3.
func (m *Machine) searchOn(now time.Time, n *neighbor) {
	if n.tries > 0 && !n.adjacency.used.Load() {
		m.forget(n, NoAnswer)
		return
	}
	m.publish(n) // the mark of use begins anew
	if m.maySolicitAgain(now) {
		m.sendSolicitation(n)
	}
	n.tries++
	m.set(&n.timer, now.Add(n.retrans), func(now time.Time) { m.searchOn(now, n) })
	n.retrans = min(n.retrans*backoffMultiple, maxRetransTimer)
}

// maySolicit reports whether there is an address to ask from.
func (m *Machine) maySolicit() bool {
	_, ok := m.sourceFor(&[16]byte{})
	return ok
}

// sourceFor is where a solicitation comes from, RFC 4861 §7.2.2: the source of the
// packet that caused it, if that is the router's; else its link-local address, else
// any of this link.
func (m *Machine) sourceFor(of *[16]byte) (a [16]byte, ok bool) {
	if x := m.addresses[*of]; x != nil && x.usable() {
		return *of, true
	}
	for _, x := range m.ordered() {
		if x.usable() {
			if header.IsLinkLocal(&x.addr) {
				return x.addr, true
			}
			a, ok = x.addr, true
		}
	}
	return a, ok
}

package nd

import (
	"time"

	"github.com/router6d/router6d/internal/header"
)

// sentTo follows a packet that went to a neighbor.
func (m *Machine) sentTo(now time.Time, n *neighbor) {
	if n.state == Stale {
		m.become(now, n, Delay)
	}
}

func (in Used) take(m *Machine, now time.Time) {
	if n := m.neighbors[in.Target]; n != nil {
		m.sentTo(now, n)
	}
}

// take is a hint, RFC 4861 §7.3.1: it confirms what is known, and finds nobody.
func (in Reached) take(m *Machine, now time.Time) {
	if n := m.neighbors[in.Target]; n != nil && n.state != Incomplete && n.state != Static {
		m.enter(n, answered)
		m.become(now, n, Reachable)
	}
}

// learn takes what the sender of a message says of itself, RFC 4861 §7.2.3 and
// §6.2.6. Who is not on this link is no neighbor, whatever he says: RFC 5942 §4.
func (m *Machine) learn(now time.Time, in *Message) {
	n := m.neighbors[in.Source]
	switch {
	case n != nil && n.state == Static:
		return
	case n != nil && in.Type == header.TypeRouterSolicitation:
		n.router = false // RFC 4861 §6.2.6
	case n != nil && in.Type == header.TypeRouterAdvertisement:
		n.router = true
	}
	switch {
	case !in.HasLinkLayer, header.IsUnspecified(&in.Source), m.addresses[in.Source] != nil:
		return
	case n == nil && !m.onLink(&in.Source):
		return
	case n == nil:
		n = m.create(&in.Source, heard)
		n.router = in.Router
	case n.state != Incomplete && n.mac == in.LinkLayer:
		return
	case n.state == Incomplete:
		m.enter(n, heard)
	}
	n.mac = in.LinkLayer
	m.become(now, n, Stale)
	if len(n.held) > 0 {
		m.become(now, n, Delay) // what is released now is sent
	}
	m.release(n)
}

// advertised takes a Neighbor Advertisement, RFC 4861 §7.2.5.
func (m *Machine) advertised(now time.Time, in *Message) {
	if a := m.addresses[in.Target]; a != nil {
		m.claimed(now, a, in)
		return
	}
	n := m.neighbors[in.Target]
	switch {
	case n == nil, n.state == Static:
	case n.state == Incomplete:
		m.found(now, n, in)
	default:
		m.confirmed(now, n, in)
	}
}

// found ends a resolution.
func (m *Machine) found(now time.Time, n *neighbor, in *Message) {
	n.router = in.Router
	if !in.HasLinkLayer {
		return
	}
	n.mac = in.LinkLayer
	s := Stale
	if in.Solicited {
		s = Reachable
	} else {
		m.enter(n, heard)
	}
	m.become(now, n, s)
	if s == Stale && len(n.held) > 0 {
		m.become(now, n, Delay)
	}
	m.release(n)
}

// confirmed is an advertisement about a neighbor whose MAC is known.
func (m *Machine) confirmed(now time.Time, n *neighbor, in *Message) {
	other := in.HasLinkLayer && in.LinkLayer != n.mac
	if other && !in.Override {
		if n.state == Reachable {
			m.become(now, n, Stale)
		}
		return
	}
	n.router = in.Router
	if other {
		n.mac = in.LinkLayer
	}
	switch {
	case in.Solicited:
		m.become(now, n, Reachable)
	case other:
		m.become(now, n, Stale)
	}
}

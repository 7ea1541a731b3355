package nd

import (
	"time"

	"github.com/router6d/router6d/internal/header"
)

// solicited takes a Neighbor Solicitation: what it says of its sender, and what it
// asks for, RFC 4861 §7.2.3 and RFC 4862 §5.4.3.
func (m *Machine) solicited(now time.Time, in *Message) {
	a := m.addresses[in.Target]
	switch {
	case a == nil, a.state == Duplicate:
		return
	case a.state == Tentative:
		m.asked(now, a, in)
		return
	}
	if !header.IsUnspecified(&in.Source) {
		m.learn(now, in)
	}
	switch {
	case in.Answered:
	case a.state == Anycast:
		m.answerLater(now, in)
	default:
		m.answer(now, in, true)
	}
}

// asked is a solicitation for an address that the router asks for itself. From ::
// it is of somebody who wants it too, unless it is our own: then it has our nonce,
// RFC 7527 §4.1.
func (m *Machine) asked(now time.Time, a *address, in *Message) {
	own := a.sent > 0 && in.HasNonce && in.Nonce == a.nonce
	if header.IsUnspecified(&in.Source) && !own {
		m.duplicate(now, a, in.From)
	}
}

// answer sends a Neighbor Advertisement, RFC 4861 §7.2.4: to who asked, or to all
// if he has no address yet.
func (m *Machine) answer(now time.Time, in *Message, override bool) {
	source, ok := m.answerFrom(&in.Target)
	if !ok {
		return
	}
	if header.IsUnspecified(&in.Source) {
		if m.announces.Take(now) {
			m.sendGroup(AppendAdvertisement(nil, &source, &header.AllNodes, &in.Target, &m.mac, false, override), &header.AllNodes)
			m.statistics.Advertised++
		}
		return
	}
	pkt := AppendAdvertisement(nil, &source, &in.Source, &in.Target, &m.mac, true, override)
	m.statistics.Advertised++
	switch n := m.neighbors[in.Source]; {
	case in.HasLinkLayer:
		m.out.Send = append(m.out.Send, Frame{in.LinkLayer, pkt})
	case n != nil && n.state != Incomplete:
		m.out.Send = append(m.out.Send, Frame{n.mac, pkt})
		m.sentTo(now, n)
	default:
		m.answerHeld(now, n, in, pkt)
	}
}

// answerHeld finds out first where the answer goes.
func (m *Machine) answerHeld(now time.Time, n *neighbor, in *Message, pkt []byte) {
	if n == nil && m.onLink(&in.Source) && m.addresses[in.Source] == nil {
		n = m.resolve(now, &in.Source, &in.Target)
	}
	if n != nil {
		n.reply = pkt
	}
}

// answerFrom is the source of an advertisement: the target itself, unless that is
// an anycast address, which is never a source (RFC 4291 §2.6).
func (m *Machine) answerFrom(target *[16]byte) ([16]byte, bool) {
	if m.addresses[*target].state == Ready {
		return *target, true
	}
	return m.sourceFor(&[16]byte{})
}

// A pending is an advertisement that waits.
type pending struct{ source, target [16]byte }

// answerLater answers for an anycast address: other routers do so too, and the
// first one is taken. So it comes after a random time, and overrides nothing, RFC
// 4861 §7.2.7.
func (m *Machine) answerLater(now time.Time, in *Message) {
	p := pending{in.Source, in.Target}
	if m.anycast[p] != nil {
		return
	}
	if len(m.anycast) >= maxAnycast {
		m.strain(now, 1)
		return
	}
	t, msg := new(timer), *in
	m.anycast[p] = t
	m.set(t, now.Add(m.within(maxAnycastDelay)), func(now time.Time) {
		delete(m.anycast, p)
		if m.addresses[msg.Target] != nil { // it may have been taken back
			m.answer(now, &msg, false)
		}
	})
}

// announceMAC tells everybody that the router has another MAC, RFC 4861 §7.2.6.
func (m *Machine) announceMAC(now time.Time) {
	at := now
	for _, a := range m.ordered() {
		joined := m.groups[header.SolicitedNode(&a.addr)] != nil // else it begins yet
		if a.state == Ready || a.state == Anycast && joined {
			a.sent = 0
			when := at
			if next := a.told.Add(retransTimer); when.Before(next) {
				when = next
			}
			m.set(&a.timer, when, func(now time.Time) { m.announce(now, a) })
			at = at.Add(announceApart)
		}
	}
	m.expire(now)
}

// announceApart is between advertisements for several addresses, RFC 4861 §7.2.6.
const announceApart = 20 * time.Millisecond

// announce sends an unsolicited Neighbor Advertisement for an address in use, and
// repeats it a few times. Those for anycast addresses override nothing.
func (m *Machine) announce(now time.Time, a *address) {
	source, ok := m.answerFrom(&a.addr)
	if !ok || a.sent >= maxNeighborAdvertisement {
		return
	}
	m.sendGroup(AppendAdvertisement(nil, &source, &header.AllNodes, &a.addr, &m.mac, false, a.state == Ready), &header.AllNodes)
	m.statistics.Advertised++
	a.told = now
	if a.sent++; a.sent < maxNeighborAdvertisement {
		m.set(&a.timer, now.Add(retransTimer), func(now time.Time) { m.announce(now, a) })
	}
}

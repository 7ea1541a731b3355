package nd

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// An AddressState is whether an address is the router's.
type AddressState uint8

const (
	// Tentative: others are being asked. The address is not in use, RFC 4862 §5.4.
	Tentative AddressState = iota + 1
	// Ready is in use.
	Ready
	// Duplicate is somebody else's. It stays so until there is carrier anew, or
	// addresses are set.
	Duplicate
	// Anycast is that of all routers on a link, RFC 4291 §2.6.1: in use, never a
	// source, and nobody is asked.
	Anycast
)

// String is the state's name in lower case.
func (s AddressState) String() string {
	return [...]string{"none", "tentative", "ready", "duplicate", "anycast"}[s]
}

// An address is one of the router's on this link.
type address struct {
	addr   [16]byte
	prefix netip.Prefix
	state  AddressState
	timer  timer
	sent   int // solicitations, then advertisements
	nonce  [6]byte

	told    time.Time // when it was last advertised to all, unasked
	claimed time.Time // when somebody else was last told of
}

// usable reports whether packets may come from a.
func (a *address) usable() bool { return a.state == Ready }

// take sets the addresses. The subnet-router anycast address of each prefix is
// one of them, but for /127 (RFC 6164 §5).
func (in Addresses) take(m *Machine, now time.Time) {
	want := map[[16]byte]*address{}
	for _, p := range in {
		if first := p.Masked().Addr(); p.Bits() < 127 && !p.Addr().IsLinkLocalUnicast() && first != p.Addr() {
			want[first.As16()] = &address{addr: first.As16(), prefix: p, state: Anycast}
		}
	}
	for _, p := range in {
		want[p.Addr().As16()] = &address{addr: p.Addr().As16(), prefix: p, state: Tentative}
	}
	for _, old := range m.ordered() {
		x := want[old.addr]
		if x != nil && (x.state == Anycast) == (old.state == Anycast) && old.state != Duplicate {
			old.prefix = x.prefix
			delete(want, old.addr)
			continue
		}
		m.cancel(&old.timer)
		delete(m.addresses, old.addr)
		m.leave(now, header.SolicitedNode(&old.addr))
	}
	for _, a := range want {
		m.addresses[a.addr] = a
		if n := m.neighbors[a.addr]; n != nil {
			m.forget(n, Stopped)
		}
	}
	if m.disabled {
		Up{m.mac}.take(m, now)
		return
	}
	for _, a := range m.ordered() {
		if want[a.addr] == a {
			m.begin(a, now)
		}
	}
	m.expire(now)
}

// ordered is the addresses in their order.
func (m *Machine) ordered() []*address {
	return slices.SortedFunc(maps.Values(m.addresses), func(a, b *address) int {
		return slices.Compare(a.addr[:], b.addr[:])
	})
}

// onLink reports whether a can be a neighbor's address: link-local, or in the
// prefix of one of the router's.
func (m *Machine) onLink(a *[16]byte) bool {
	if header.IsLinkLocal(a) {
		return true
	}
	x := netip.AddrFrom16(*a)
	for _, own := range m.addresses {
		if own.prefix.Contains(x) {
			return true
		}
	}
	return false
}

// restart begins when there is carrier. What an interface says first waits for a
// random time, RFC 4862 §5.4.2; what others say is heard.
func (m *Machine) restart(now time.Time) {
	at := now
	if m.dadTransmits > 0 {
		at = now.Add(m.within(maxRtrSolicitationDelay))
	}
	m.set(&m.listener.begin, at, func(now time.Time) {
		for _, g := range always {
			m.join(now, g)
		}
	})
	for _, a := range m.ordered() {
		m.begin(a, at)
	}
	m.expire(now)
}

// stopAddresses ends all that is under way. Addresses are tentative until there is
// carrier again.
func (m *Machine) stopAddresses() {
	for _, a := range m.addresses {
		m.cancel(&a.timer)
		if a.state != Anycast {
			a.state = Tentative
		}
	}
	for _, t := range m.anycast {
		m.cancel(t)
	}
	clear(m.anycast)
}

// begin joins at a moment the group that an address needs, and asks whether it is
// taken, RFC 4862 §5.4.2.
func (m *Machine) begin(a *address, at time.Time) {
	if !m.up {
		return
	}
	if a.state != Anycast {
		a.state, a.sent = Tentative, 0
	}
	m.set(&a.timer, at, func(now time.Time) {
		m.join(now, header.SolicitedNode(&a.addr))
		if a.state != Anycast {
			m.ask(now, a)
		}
	})
}

// ask sends a solicitation for a tentative address, or has waited long enough.
func (m *Machine) ask(now time.Time, a *address) {
	if a.sent >= m.dadTransmits {
		m.ready(now, a)
		return
	}
	for i := range a.nonce {
		a.nonce[i] = byte(m.random.Uint32())
	}
	group := header.SolicitedNode(&a.addr)
	m.sendGroup(solicitation(&[16]byte{}, &group, &a.addr, &m.mac, &a.nonce), &group)
	a.sent++
	m.set(&a.timer, now.Add(retransTimer), func(now time.Time) { m.ask(now, a) })
}

// ready is an address that nobody else has. The others on the link hear of it: a
// router that begins may have another MAC than the one before it.
func (m *Machine) ready(now time.Time, a *address) {
	a.state = Ready
	m.event(AddressReady, &a.addr, header.MAC{})
	if header.IsLinkLocal(&a.addr) {
		m.announceGroups(now) // RFC 3590: what was reported from :: may have been ignored
	}
	a.sent = maxNeighborAdvertisement - 1
	m.announce(now, a)
}

// duplicate is an address that somebody else has, RFC 4862 §5.4.5.
func (m *Machine) duplicate(now time.Time, a *address, by header.MAC) {
	a.state = Duplicate
	m.cancel(&a.timer)
	m.event(AddressDuplicate, &a.addr, by)
	if a.addr == header.LinkLocalOf(&m.mac) {
		m.disable(a, by)
		return
	}
	m.leave(now, header.SolicitedNode(&a.addr))
}

// disable ends IPv6 on the link: somebody has an address that is made of the router's
// MAC, and so, as a rule, that MAC. Another address would be of no use. It ends when
// the carrier goes, when there is another MAC, or when addresses are set.
func (m *Machine) disable(a *address, by header.MAC) {
	m.stop()
	a.state, m.disabled = Duplicate, true
	m.event(Disabled, &a.addr, by)
}

// claimInterval is how often people are told that an address is claimed.
const claimInterval = time.Minute

// claimed is an advertisement of somebody else for an address of the router's. A
// tentative one is then not the router's, RFC 4862 §5.4.4; one in use stays.
func (m *Machine) claimed(now time.Time, a *address, in *Message) {
	switch {
	case in.From == m.mac && (a.state != Tentative || a.sent == 0):
		// Our own, come back. Who has our MAC too is heard when he answers our question:
		// then we have not said for a second that the address is ours.
	case a.state == Tentative:
		m.duplicate(now, a, in.From)
	case a.state == Ready && (a.claimed.IsZero() || now.Sub(a.claimed) >= claimInterval):
		a.claimed = now
		m.event(AddressClaimed, &a.addr, in.From)
	}
}

// An Address is one of the router's on the link, for people.
type Address struct {
	Addr  netip.Addr
	State AddressState
}

// Addresses is the router's own, in order, anycast ones included.
func (m *Machine) Addresses() []Address {
	var all []Address
	for _, a := range m.ordered() {
		all = append(all, Address{netip.AddrFrom16(a.addr), a.state})
	}
	return all
}

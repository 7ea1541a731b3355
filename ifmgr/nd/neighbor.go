package nd

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// State is what is known of whether a neighbor can be reached.
type State uint8

const (
	// Incomplete is being resolved: packets are held.
	Incomplete State = iota + 1
	// Reachable has answered a short while ago.
	Reachable
	// Stale had a MAC, and nobody knows whether it is still there. Packets go.
	Stale
	// Delay has been sent a packet since, and has a moment to answer it.
	Delay
	// Probe is asked, at the MAC it had.
	Probe
	// Unreachable did not answer that. Packets still go there, while everybody on
	// the link is asked, ever less often, RFC 7048 §3.
	Unreachable
	// Static was configured.
	Static

	states
)

var stateNames = [states]string{"none", "incomplete", "reachable", "stale", "delay", "probe", "unreachable", "static"}

// String is the state's name in lower case.
func (s State) String() string { return stateNames[s] }

// States lists every state.
func States() []State {
	return []State{Incomplete, Reachable, Stale, Delay, Probe, Unreachable, Static}
}

// A neighbor is one entry of RFC 4861's neighbor cache.
type neighbor struct {
	addr   [16]byte
	mac    header.MAC // zero while Incomplete
	state  State
	since  time.Time
	router bool // IsRouter, RFC 4861 §5.1

	timer   timer
	tries   int           // solicitations since the state began
	retrans time.Duration // until the next one
	source  [16]byte      // solicitations come from here, if that is the router's
	held    []Held        // only while Incomplete, as is reply
	reply   []byte        // of the machine's own: the newest

	adjacency *adjacency // what senders see of it
	pool      poolKind
	place     *list.Element // in the pool
}

// create makes the entry of a neighbor that has none.
func (m *Machine) create(addr *[16]byte, kind poolKind) *neighbor {
	n := &neighbor{addr: *addr}
	m.enter(n, kind)
	m.neighbors[*addr] = n
	return n
}

// forget ends an entry. What it holds is refused.
func (m *Machine) forget(n *neighbor, why Cause) {
	m.cancel(&n.timer)
	m.table.remove(&n.addr)
	delete(m.neighbors, n.addr)
	m.pools[n.pool].Remove(n.place)
	for _, p := range n.held {
		m.refuse(p, why)
		m.held -= p.Size()
	}
	n.held = nil
}

func (m *Machine) refuse(p Held, why Cause) {
	m.out.Refused = append(m.out.Refused, Refusal{p, why})
}

// become moves a neighbor to a state. What RFC 4861 Appendix C does on entering
// it is done here.
func (m *Machine) become(now time.Time, n *neighbor, s State) {
	was, used := n.state, n.adjacency != nil && n.adjacency.used.Load()
	n.state, n.since, n.tries, n.retrans = s, now, 0, retransTimer
	m.cancel(&n.timer)
	m.publish(n)
	if used && s != Stale { // which is to tell of the next use
		n.adjacency.used.Store(true) // or it would have to go first, until the next packet
	}
	switch s {
	case Incomplete:
		m.solicit(now, n)
	case Reachable:
		if was == Incomplete || was == Probe || was == Unreachable {
			m.enter(n, answered) // it was asked: whoever says unasked that he was is worth no more than before
		} else {
			m.enter(n, n.pool)
		}
		m.set(&n.timer, now.Add(m.reachableTime()), func(now time.Time) { m.become(now, n, Stale) })
	case Stale:
		m.set(&n.timer, now.Add(staleTime), func(time.Time) { m.forget(n, NoAnswer) })
	case Delay:
		m.set(&n.timer, now.Add(delayFirstProbe), func(now time.Time) { m.become(now, n, Probe) })
	case Probe:
		m.probe(now, n)
	case Unreachable:
		m.searchOn(now, n)
	case Static:
		m.enter(n, static)
	}
}

// reachableTime is random, RFC 4861 §6.3.2: ½ to 1½ of the base.
func (m *Machine) reachableTime() time.Duration {
	return baseReachableTime/2 + m.within(baseReachableTime)
}

// publish shows senders what is known of a neighbor. They tell of the first use
// of one that has to be asked then.
func (m *Machine) publish(n *neighbor) {
	n.adjacency = &adjacency{
		target: n.addr, mac: n.mac, known: n.state != Incomplete,
		watched: n.state == Stale,
	}
	m.table.put(n.adjacency)
}

// release sends what waited for the neighbor's MAC.
func (m *Machine) release(n *neighbor) {
	for _, p := range n.held {
		m.out.Released = append(m.out.Released, Release{p, n.mac})
		m.held -= p.Size()
	}
	if n.reply != nil {
		m.out.Send = append(m.out.Send, Frame{n.mac, n.reply})
	}
	n.held, n.reply = nil, nil
}

func (in Statics) take(m *Machine, now time.Time) {
	for _, n := range m.sorted() {
		if _, stays := in[netip.AddrFrom16(n.addr)]; n.state == Static && !stays {
			m.forget(n, Stopped)
		}
	}
	for a, mac := range in {
		addr := a.As16()
		n := m.neighbors[addr]
		switch {
		case n != nil && n.state == Static && n.mac == mac:
			continue
		case n == nil && m.pools[static].Len() >= maxStatics:
			continue
		case n == nil:
			n = m.create(&addr, static)
		}
		n.mac = mac
		m.become(now, n, Static)
		m.release(n)
	}
}

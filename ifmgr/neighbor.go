package ifmgr

import (
	crand "crypto/rand"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// Neighbors is neighbor discovery on one Ethernet interface: the machine on the
// loop, the table that workers look into, and the inbox from them to it. It is
// part of the interface and ends with it.
//
//	worker ──Lookup──▶ Table ◀─────────────┐
//	   │                                   │
//	   └──Hold, Tell──▶ inbox ──turn──▶ Machine ──Hooks.Transmit──▶ port
type Neighbors struct {
	*nd.Table
	inbox   inbox
	invalid [256]atomic.Uint64 // messages discarded, by nd.Invalid

	// Owned by the loop.
	m       *Manager
	i       *Interface
	machine *nd.Machine
	wake    time.Time
	timer   *loop.Timer
	ended   bool // what it has counted is the manager's
}

// A Held is a packet that waits for a neighbor's MAC, as it was before it got an
// Ethernet header.
type Held struct {
	Packet  []byte
	Offload link.Offload
	From    ID // where it came in; zero: it is the router's own
}

// Size implements nd.Held.
func (h *Held) Size() int { return cap(h.Packet) }

// newNeighbors is for an interface without carrier, whose addresses are set.
func newNeighbors(t *loop.Turn, m *Manager, i *Interface, s Settings) *Neighbors {
	n := &Neighbors{m: m, i: i}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	n.machine = nd.New(nd.Config{
		DADTransmits: s.DADTransmits, Random: rand.New(rand.NewChaCha8(seed)),
		Used: func(target *[16]byte) bool { return n.note(&n.inbox.waiting.used, target) },
	})
	n.Table = n.machine.Table()
	n.step(t, nd.Addresses(i.addrs.Load().prefixes))
	n.step(t, nd.Statics(s.Neighbors))
	return n
}

// Hold copies a packet for a neighbor that Lookup did not find. It came in through
// from, or is the router's own. What it returns is why it does not: Overflow is no
// room, Stopped the end of the interface; zero: it does.
func (n *Neighbors) Hold(p *link.Packet, source, target *[16]byte, from ID) nd.Cause {
	b := &n.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nd.Stopped
	case len(b.waiting.holds) == maxHolds:
		b.waiting.lost++
		return nd.Overflow
	}
	held := &Held{Packet: append([]byte(nil), p.Bytes()...), Offload: p.Offload, From: from}
	b.waiting.holds = append(b.waiting.holds, nd.Hold{Target: *target, Source: *source, Packet: held})
	n.post()
	return 0
}

// Answer copies a message about the neighbor, or the address of the router's, that
// is its target. False means that there is no room, or that several say something
// about it already.
func (n *Neighbors) Answer(msg *nd.Message) bool { return n.put(msg, (*letters).answer) }

// Tell copies another message. False means that there is no room.
func (n *Neighbors) Tell(msg *nd.Message) bool { return n.put(msg, (*letters).other) }

func (n *Neighbors) put(msg *nd.Message, add func(*letters, *nd.Message) bool) bool {
	b := &n.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return false
	case !add(&b.waiting, msg):
		b.waiting.lost++
		return false
	}
	n.post()
	return true
}

// Reached is a hint of an upper layer that a neighbor answers, RFC 4861 §7.3.1.
// From any goroutine; once a round trip is enough.
func (n *Neighbors) Reached(target *[16]byte) { n.note(&n.inbox.waiting.reached, target) }

// note puts a neighbor on a list for the machine; false if there is no room.
func (n *Neighbors) note(list *[][16]byte, target *[16]byte) bool {
	b := &n.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(*list) == maxNotes {
		return false
	}
	*list = append(*list, *target)
	n.post()
	return true
}

// post asks for a turn, unless one is to come. The inbox is locked.
func (n *Neighbors) post() {
	if !n.inbox.posted {
		n.inbox.posted = true
		n.m.loop.Notify(n.drain)
	}
}

// Discarded counts a message that is not valid.
func (n *Neighbors) Discarded(why nd.Invalid) { n.invalid[why].Add(1) }

// drain takes what is in the inbox. If there was more than that, the next turn
// comes after a pause.
func (n *Neighbors) drain(t *loop.Turn) {
	in := n.inbox.take()
	for _, a := range in.used {
		n.step(t, nd.Used{Target: a})
	}
	for _, a := range in.reached {
		n.step(t, nd.Reached{Target: a})
	}
	for i := range in.answers {
		n.step(t, &in.answers[i])
	}
	for i := range in.others {
		n.step(t, &in.others[i])
	}
	for _, h := range in.holds {
		n.step(t, h)
	}
	if in.lost > 0 {
		n.step(t, nd.Lost{N: in.lost})
		t.At(t.Now().Add(pause), n.drain)
	}
	n.sleep(t)
}

// step has the machine take an input, and does what comes of it.
func (n *Neighbors) step(t *loop.Turn, in nd.Input) {
	out := n.machine.Step(t.Now(), in)
	n.wake = out.Wake
	if len(out.Send)+len(out.Released)+len(out.Refused) > 0 {
		n.m.hooks.Transmit(t, n.i, out)
	}
	addresses := false
	for _, e := range out.Events {
		n.log(e)
		switch e.Kind {
		case nd.AddressReady, nd.AddressDuplicate:
			addresses = true
		case nd.Disabled:
			n.m.disable(t, n.i)
		case nd.Enabled:
			n.m.enable(t, n.i)
		case nd.AddressClaimed, nd.Overloaded, nd.AtEase:
		}
	}
	if addresses {
		n.refresh()
		if n.i.routable() {
			n.m.hooks.Up(t, n.i.id)
		}
	}
}

// sleep has the machine called when it wants to be.
func (n *Neighbors) sleep(t *loop.Turn) {
	n.timer.Stop(t)
	if n.i.state < Draining {
		n.timer = t.At(n.wake, func(t *loop.Turn) {
			n.step(t, nil)
			n.sleep(t)
		})
	}
}

// refresh shows workers which addresses are in use.
func (n *Neighbors) refresh() {
	n.i.addrs.Store(newAddrs(n.i.addrs.Load().prefixes, n.machine.Addresses()))
}

func (n *Neighbors) log(e nd.Event) {
	name, id, peer := n.i.name, uint64(n.i.id), net.HardwareAddr(e.MAC[:])
	switch log := n.m.log; e.Kind {
	case nd.AddressReady:
		log.Info("address in use", zap.String("iface", name), zap.Uint64("id", id), zap.Stringer("address", e.Addr))
	case nd.AddressDuplicate:
		log.Error("address is somebody else's", zap.String("iface", name), zap.Uint64("id", id),
			zap.Stringer("address", e.Addr), zap.Stringer("peer", peer))
	case nd.AddressClaimed:
		log.Warn("address claimed by somebody else", zap.String("iface", name), zap.Uint64("id", id),
			zap.Stringer("address", e.Addr), zap.Stringer("peer", peer))
	case nd.Overloaded:
		log.Warn("neighbor discovery overloaded", zap.String("iface", name), zap.Uint64("id", id))
	case nd.AtEase:
		log.Info("neighbor discovery at ease", zap.String("iface", name), zap.Uint64("id", id))
	case nd.Disabled:
		log.Error("interface disabled", zap.String("iface", name), zap.Uint64("id", id),
			zap.Stringer("address", e.Addr), zap.Stringer("peer", peer))
	case nd.Enabled:
		log.Info("interface enabled", zap.String("iface", name), zap.Uint64("id", id))
	}
}

// up begins when there is carrier.
func (n *Neighbors) up(t *loop.Turn) {
	mac, _ := n.i.Ethernet()
	n.step(t, nd.Up{MAC: mac})
	n.sleep(t)
}

// down ends what is under way. Nothing is held any more, nobody is known.
func (n *Neighbors) down(t *loop.Turn) {
	n.step(t, nd.Down{})
	n.refresh()
	n.sleep(t)
}

// look follows the MAC of the port.
func (n *Neighbors) look(t *loop.Turn) {
	mac, _ := n.i.Ethernet()
	n.step(t, nd.HardwareAddr{MAC: mac})
	n.sleep(t)
}

// end ends neighbor discovery in the turn that withdraws the interface: nothing
// is held any more, and nothing will be. It tells how many packets were. Neighbors
// that are known stay in the table, for those who are still looking.
func (n *Neighbors) end(t *loop.Turn) (purged int) {
	in := n.inbox.close()
	held := n.machine.Close()
	n.m.discovered.add(n.info())
	n.ended = true
	for _, h := range in.holds {
		held = append(held, nd.Refusal{Packet: h.Packet, Cause: nd.Stopped})
	}
	n.timer.Stop(t)
	n.m.hooks.Transmit(t, n.i, nd.Output{Refused: held})
	return len(held)
}

// A Discovery is what neighbor discovery of an interface has done, for people.
type Discovery struct {
	nd.Stats
	Addresses []nd.Address      // the router's
	Invalid   map[string]uint64 // messages discarded, by reason
}

func (n *Neighbors) info() *Discovery {
	d := &Discovery{Stats: n.machine.Stats(), Addresses: n.machine.Addresses(), Invalid: map[string]uint64{}}
	for _, why := range nd.Invalids() {
		d.Invalid[why.String()] = n.invalid[why].Load()
	}
	return d
}

// add sums what is counted, not what there is now.
func (d *Discovery) add(o *Discovery) {
	d.Solicited += o.Solicited
	d.Probed += o.Probed
	d.Suppressed += o.Suppressed
	d.Evicted += o.Evicted
	d.Lost += o.Lost
	d.Unanswered += o.Unanswered
	for why, n := range o.Invalid {
		d.Invalid[why] += n
	}
}

// Discovered is what neighbor discovery of all interfaces has counted, ended ones
// included.
func (m *Manager) Discovered(*loop.Turn) *Discovery {
	d := &Discovery{Invalid: map[string]uint64{}}
	for _, why := range nd.Invalids() {
		d.Invalid[why.String()] = 0
	}
	d.add(&m.discovered)
	for _, i := range m.ifaces {
		if i.neighbors != nil && !i.neighbors.ended {
			d.add(i.neighbors.info())
		}
	}
	return d
}

// Neighbors is who is known on an interface, in the order of addresses; nil where
// there is no neighbor discovery.
func (m *Manager) Neighbors(_ *loop.Turn, id ID) []nd.Neighbor {
	if i := m.ifaces[id]; i != nil && i.neighbors != nil {
		return i.neighbors.machine.All()
	}
	return nil
}

// SetNeighbors replaces the neighbors of an interface that were configured.
func (m *Manager) SetNeighbors(t *loop.Turn, id ID, c config.Interface) {
	if i := m.Find(t, id); i != nil && i.neighbors != nil {
		i.neighbors.step(t, nd.Statics(neighborsOf(c)))
		i.neighbors.sleep(t)
	}
}

func neighborsOf(c config.Interface) map[netip.Addr][6]byte {
	all := map[netip.Addr][6]byte{}
	for _, n := range c.Neighbors {
		all[n.Address] = n.MAC
	}
	return all
}

package nd

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/rate"
)

// Protocol constants, RFC 4861 §10.
const (
	maxMulticastSolicit      = 3
	maxUnicastSolicit        = 3
	maxAnycastDelay          = time.Second
	maxNeighborAdvertisement = 3
	maxRtrSolicitationDelay  = time.Second
	baseReachableTime        = 30 * time.Second
	retransTimer             = time.Second
	delayFirstProbe          = 5 * time.Second
)

// RFC 7048 §4, for neighbors that do not answer any more.
const (
	backoffMultiple = 3
	maxRetransTimer = 60 * time.Second
)

// staleTime is how long a neighbor is remembered that nobody sends to.
const staleTime = 10 * time.Minute

// idle is the longest that a Machine sleeps.
const idle = time.Hour

// Config is what a Machine begins with.
type Config struct {
	// DADTransmits is how many solicitations ask whether an address is taken, RFC
	// 4862 §5.1; zero: none, every address is the router's at once.
	DADTransmits int
	// Random is for delays, nonces and the Table. Taken.
	Random *rand.Rand
	// Used is called by those who look into the Table, on their goroutines: the
	// Machine is to have Used as an input. It must not block; false if it can't be.
	Used func(target *[16]byte) bool
}

// A Machine is neighbor discovery on one link. It is used by one goroutine; only
// its Table is read by others. Its memory is bounded, see limit.go.
type Machine struct {
	dadTransmits int
	random       *rand.Rand
	table        *Table

	up       bool // has carrier, and is not disabled
	disabled bool // has carrier
	mac      header.MAC

	neighbors map[[16]byte]*neighbor
	pools     [pools]pool
	held      int // bytes, of all neighbors

	addresses map[[16]byte]*address
	anycast   map[pending]*timer // advertisements that wait for their random delay
	groups    map[[16]byte]*group
	listener  listener

	solicits   rate.Limiter // multicast solicitations
	announces  rate.Limiter // advertisements to all nodes
	overload   overload
	timers     timers
	out        Output
	statistics Stats
}

// New returns a Machine of a link without carrier.
func New(c Config) *Machine {
	return &Machine{
		dadTransmits: c.DADTransmits, random: c.Random, table: newTable(c.Random, c.Used),
		neighbors: map[[16]byte]*neighbor{},
		addresses: map[[16]byte]*address{},
		anycast:   map[pending]*timer{},
		groups:    map[[16]byte]*group{},
		listener:  newListener(),
		solicits:  rate.NewLimiter(solicitRate, solicitBurst),
		announces: rate.NewLimiter(announceRate, announceBurst),
	}
}

// Table is what senders look into.
func (m *Machine) Table() *Table { return m.table }

// An Input is one thing that happens: one of the types below, or nil if only time
// has passed.
type Input interface {
	take(m *Machine, now time.Time)
}

// Up is carrier, or a new beginning: what was learned is forgotten, and addresses
// are tentative again.
type Up struct{ MAC header.MAC }

// Down is the loss of carrier. What was held is given up.
type Down struct{}

// HardwareAddr is another MAC for the router.
type HardwareAddr struct{ MAC header.MAC }

// Addresses are the router's own on this link, all of them, each with the length
// of its link's prefix. Those that stay are not asked about again.
type Addresses []netip.Prefix

// Statics are the neighbors that were configured, all of them. They are not
// resolved, and nothing that is received changes them.
type Statics map[netip.Addr]header.MAC

// Hold is a packet for a neighbor whose MAC is not known.
type Hold struct {
	Target [16]byte
	Source [16]byte // of the packet: solicitations come from it, if it is the router's
	Packet Held
}

// A Held is a packet as its owner keeps it.
type Held interface {
	// Size is what it takes of memory, in bytes.
	Size() int
}

// Used is the first packet to a neighbor that was not heard of for a while.
type Used struct{ Target [16]byte }

// Reached is a hint of an upper layer: the neighbor has answered to something
// that was sent to it, RFC 4861 §7.3.1.
type Reached struct{ Target [16]byte }

// Lost are things that happened and did not come here: there were too many.
type Lost struct{ N int }

// Output is what a step leads to. It is borrowed until the next one.
type Output struct {
	Send     []Frame
	Released []Release
	Refused  []Refusal
	Events   []Event
	// Wake is when the Machine wants to be called at the latest. It is always set.
	Wake time.Time
}

// A Frame is a packet of the router's own to a station or a group on the link.
type Frame struct {
	To     header.MAC
	Packet []byte // from the IPv6 header on
}

// A Release is a packet that was held and may go.
type Release struct {
	Packet Held
	To     header.MAC
}

// A Refusal is a packet that was held, or was to be, and does not go.
type Refusal struct {
	Packet Held
	Cause  Cause
}

// A Cause is why a packet was not held any longer.
type Cause uint8

const (
	// NoAnswer: nobody has that address, RFC 4861 §7.2.2.
	NoAnswer Cause = iota + 1
	// Overflow: too much is held already, or too many are asked for.
	Overflow
	// Stopped: the link has no carrier or has ended, or the router has no address on it.
	Stopped
)

// An Event is something people want to know.
type Event struct {
	Kind EventKind
	Addr netip.Addr
	MAC  header.MAC // of the other one
}

// An EventKind is what has happened.
type EventKind uint8

const (
	// AddressReady: nobody else has the address.
	AddressReady EventKind = iota + 1
	// AddressDuplicate: somebody else has it. The router does not use it.
	AddressDuplicate
	// AddressClaimed: somebody says that he has an address that is in use here.
	AddressClaimed
	// Overloaded: more is asked for than is resolved, RFC 6583.
	Overloaded
	// AtEase: no longer.
	AtEase
	// Disabled: nothing is sent or taken any more, RFC 4862 §5.4.5. The address is made of
	// the router's MAC, and somebody else's.
	Disabled
	// Enabled: no longer. All begins anew, or will with the next carrier.
	Enabled
)

// Step takes what has happened, if in is not nil, and what has come due.
func (m *Machine) Step(now time.Time, in Input) Output {
	m.out = Output{Send: m.out.Send[:0], Released: m.out.Released[:0], Refused: m.out.Refused[:0], Events: m.out.Events[:0]}
	m.expire(now)
	if in != nil {
		in.take(m, now)
	}
	m.out.Wake = now.Add(idle)
	if len(m.timers) > 0 && m.timers[0].when.Before(m.out.Wake) {
		m.out.Wake = m.timers[0].when
	}
	return m.out
}

func (in Up) take(m *Machine, now time.Time) {
	m.stop()
	m.up, m.mac = true, in.MAC
	m.restart(now)
}

func (Down) take(m *Machine, _ time.Time) { m.stop() }

func (m *Machine) stop() {
	for _, n := range m.sorted() {
		if n.state != Static {
			m.forget(n, Stopped)
		}
	}
	m.up = false
	if m.disabled {
		m.disabled = false
		m.event(Enabled, nil, header.MAC{})
	}
	m.stopAddresses()
	m.stopListening()
	m.calm()
}

// Close ends the Machine, and returns what was held. Its Table stays as it is, for
// those who are still looking.
func (m *Machine) Close() (held []Refusal) {
	for _, n := range m.sorted() {
		for _, p := range n.held {
			held = append(held, Refusal{p, Stopped})
		}
		n.held = nil
	}
	m.up, m.held = false, 0
	return held
}

func (in HardwareAddr) take(m *Machine, now time.Time) {
	switch {
	case in.MAC == m.mac:
	case m.disabled:
		Up(in).take(m, now)
	case m.up:
		m.mac = in.MAC
		m.announceMAC(now)
	}
}

func (in *Message) take(m *Machine, now time.Time) {
	if !m.up {
		return
	}
	switch in.Type {
	case header.TypeNeighborSolicitation:
		m.solicited(now, in)
	case header.TypeNeighborAdvertisement:
		m.advertised(now, in)
	case header.TypeRouterSolicitation, header.TypeRouterAdvertisement:
		m.learn(now, in)
	case header.TypeMLDQuery:
		m.queried(now, in)
	}
}

// sendGroup sends a packet of the router's own to a group.
func (m *Machine) sendGroup(pkt []byte, group *[16]byte) {
	m.out.Send = append(m.out.Send, Frame{header.GroupMAC(group), pkt})
}

func (m *Machine) event(kind EventKind, a *[16]byte, mac header.MAC) {
	e := Event{Kind: kind, MAC: mac}
	if a != nil {
		e.Addr = netip.AddrFrom16(*a)
	}
	m.out.Events = append(m.out.Events, e)
}

// within is a random time up to d.
func (m *Machine) within(d time.Duration) time.Duration {
	return time.Duration(m.random.Int64N(int64(d) + 1))
}

// sorted is all neighbors in the order of their addresses, so that a step with
// the same inputs does the same things.
func (m *Machine) sorted() []*neighbor {
	return slices.SortedFunc(maps.Values(m.neighbors), func(a, b *neighbor) int {
		return slices.Compare(a.addr[:], b.addr[:])
	})
}

// Stats counts what a Machine has done, and has.
type Stats struct {
	Neighbors [states]int // now, by State

	HeldPackets, HeldBytes int // now

	Solicited  uint64 // multicast solicitations sent
	Probed     uint64 // unicast ones
	Advertised uint64
	Suppressed uint64 // resolutions not begun, or solicitations not repeated: the rate limit
	Evicted    uint64 // neighbors forgotten to make room for others
	Unanswered uint64 // resolutions that nobody has answered
	Lost       uint64 // see Lost
	Overloaded bool
	Disabled   bool
}

// Stats is the count so far.
func (m *Machine) Stats() Stats {
	s := m.statistics
	s.Overloaded, s.Disabled, s.HeldBytes = m.overload.on, m.disabled, m.held
	for _, n := range m.neighbors {
		s.Neighbors[n.state]++
		s.HeldPackets += len(n.held)
	}
	return s
}

// A Neighbor is one neighbor, for people.
type Neighbor struct {
	Addr   netip.Addr
	MAC    header.MAC // zero while Incomplete
	State  State
	Since  time.Time // of the state
	Router bool
	Held   int // packets
}

// All is every neighbor, in the order of addresses.
func (m *Machine) All() []Neighbor {
	var all []Neighbor
	for _, n := range m.sorted() {
		all = append(all, Neighbor{netip.AddrFrom16(n.addr), n.mac, n.state, n.since, n.router, len(n.held)})
	}
	return all
}

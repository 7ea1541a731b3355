package ifmgr

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// An ID is an interface's identity. It is never used again; zero is nobody. A
// name or a kernel index is only a label.
type ID uint64

// State is where an interface is in its life.
type State uint8

const (
	// Down is attached, without carrier.
	Down State = iota + 1
	// Up is attached and in use.
	Up
	// Draining waits for readers, then for holders. Nothing new takes hold.
	Draining
	// Orphaned is past the deadline: the device is dead, the descriptor's
	// number stays taken until the last holder has gone.
	Orphaned
	// Detached is the end.
	Detached
)

// String is the state's name in lower case.
func (s State) String() string {
	return [...]string{"none", "down", "up", "draining", "orphaned", "detached"}[s]
}

var (
	// ErrNotFound means that no interface has this ID or name.
	ErrNotFound = errors.New("no such interface")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("interface exists")
	// ErrAddressTaken means that another interface has the address.
	ErrAddressTaken = errors.New("address is taken")
	// ErrDown means that the interface takes no routes now.
	ErrDown = errors.New("interface is down")
	// ErrNoIPv6 means that the interface carries none, and takes no routes.
	ErrNoIPv6 = errors.New("interface carries no IPv6")
	// ErrDraining means that the interface is on its way out.
	ErrDraining = errors.New("interface is draining")
)

// An Interface is one incarnation of an interface, as readers see it: whoever
// is inside an epoch and was led here by a lookup, or has a Handle, may use all
// of it. What it has is in it by value or behind a pointer that only it owns, so
// that no part can go before the whole.
type Interface struct {
	id       ID
	name     string
	port     link.Port
	kind     config.Type
	fromFile bool

	mtu       atomic.Uint32
	hopLimit  atomic.Uint32
	withdrawn atomic.Uint64 // FIB generation; zero while lookups may return it
	raised    atomic.Uint64 // times that it has come up
	disabled  atomic.Bool   // takes no IPv6, whatever its state

	noUnreachables atomic.Bool
	addrs          atomic.Pointer[Addrs]
	uppers         atomic.Pointer[[]*Upper] // nil while nothing is stacked on it
	frames         link.Ethernet            // the port; nil if it has none
	neighbors      *Neighbors               // nil of a port without frames
	traffic        Traffic

	refs atomic.Int64          // handles, and one of the manager's own until the grace period is over
	held [holders]atomic.Int64 // handles by what they are for
	idle func()                // called once, by whoever releases last

	// Owned by the loop.
	state  State
	since  time.Time
	device Device
	mac    config.MAC // the port's, as at the last Check; zero where there is no Ethernet
	lower  *Handle    // the port under a stacked one
	detach *detaching // set once Draining
}

// ID is the interface's identity.
func (i *Interface) ID() ID { return i.id }

// Name is the interface's name: a label, which may come again.
func (i *Interface) Name() string { return i.name }

// Port is the interface's port without its off switches.
func (i *Interface) Port() link.Sender { return i.port }

// Receivers is the port's queues; none for one that has none, as a port stacked on
// another.
func (i *Interface) Receivers() []link.Receiver {
	switch p := i.port.(type) {
	case link.Queued:
		return p.Receivers()
	case link.Receiver:
		return []link.Receiver{p}
	}
	return nil
}

// MTU is the size in bytes of the largest packet the interface takes.
func (i *Interface) MTU() int { return int(i.mtu.Load()) }

// HopLimit is that of the router's own packets leaving here.
func (i *Interface) HopLimit() uint8 { return uint8(i.hopLimit.Load()) }

// Unreachables reports whether who sends in here is told that something could not be
// delivered, RFC 4443 §3.1.
func (i *Interface) Unreachables() bool { return !i.noUnreachables.Load() }

// Ethernet is the interface's own MAC; ok is false for a port without frames.
func (i *Interface) Ethernet() (mac [6]byte, ok bool) {
	if i.frames == nil {
		return mac, false
	}
	return i.frames.HardwareAddr(), true
}

// Neighbors is neighbor discovery on the interface; nil for a port without frames.
func (i *Interface) Neighbors() *Neighbors { return i.neighbors }

// Addrs is the router's own addresses on the interface. Borrowed.
func (i *Interface) Addrs() *Addrs { return i.addrs.Load() }

// Traffic counts what passes the interface.
func (i *Interface) Traffic() *Traffic { return &i.traffic }

// Uppers is the ports stacked on this one, the first stacked first. Borrowed.
func (i *Interface) Uppers(epoch.Guard) []*Upper { return i.stacked() }

func (i *Interface) stacked() []*Upper {
	if all := i.uppers.Load(); all != nil {
		return *all
	}
	return nil
}

// Disabled reports whether the interface takes no IPv6: somebody else on the link
// has its hardware address, RFC 4862 §5.4.5. What is stacked on it goes on.
func (i *Interface) Disabled() bool { return i.disabled.Load() }

// routable reports whether lookups may return the interface.
func (i *Interface) routable() bool { return i.state == Up && !i.disabled.Load() }

// Withdrawn is the FIB generation from which on no lookup may return the
// interface; zero while lookups may. It judges lookups, and decides nothing.
func (i *Interface) Withdrawn() uint64 { return i.withdrawn.Load() }

// Raised is how many times the interface has come up. Whoever remembers that can tell
// that it was away: what was sent to a session that ended may be lost, and the next one
// is the same interface.
func (i *Interface) Raised() uint64 { return i.raised.Load() }

// Traffic counts packets in wire segments, so that a superframe counts as all
// its parts. Updated once a batch.
type Traffic struct {
	RxPackets, RxBytes atomic.Uint64
	TxPackets, TxBytes atomic.Uint64
	TxErrors           atomic.Uint64 // handed to the device and not taken
	RxMissed           atomic.Uint64 // the kernel had no room for, of ports that can tell; at the last Info
}

// Counts is a reading of Traffic.
type Counts struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	TxErrors, RxMissed uint64
}

// Read is what has passed so far.
func (c *Traffic) Read() Counts {
	return Counts{
		RxPackets: c.RxPackets.Load(), RxBytes: c.RxBytes.Load(),
		TxPackets: c.TxPackets.Load(), TxBytes: c.TxBytes.Load(),
		TxErrors: c.TxErrors.Load(), RxMissed: c.RxMissed.Load(),
	}
}

func (i *Interface) release() {
	if n := i.refs.Add(-1); n == 0 {
		i.idle()
	} else if n < 0 {
		panic("ifmgr: " + i.name + " released too often")
	}
}

// Hooks is how the rest of the router follows interfaces. All are called in
// turns, in the order of an interface's life.
type Hooks struct {
	// Attached starts whoever reads from the port.
	Attached func(*loop.Turn, ID)
	// Up lets lookups return the interface.
	Up func(*loop.Turn, ID)
	// Withdraw, on return, has made sure that no new lookup finds the interface.
	// It tells how many routes and FIB slots that concerned.
	Withdraw func(*loop.Turn, ID) (routes, slots int)
	// Ended drops what is still known about an interface, and has its ledger.
	Ended func(*loop.Turn, Result)
	// Transmit sends what neighbor discovery has to send, and deals with what it held.
	// Borrows. Nil: nothing is sent.
	Transmit func(*loop.Turn, *Interface, nd.Output)
	// Generation is that of the FIB now.
	Generation func(*loop.Turn) uint64
}

// A Manager owns all interfaces. Its methods that take a Turn are plain code
// on the loop.
type Manager struct {
	loop     *loop.Loop
	log      *zap.Logger
	hooks    Hooks
	timeout  time.Duration // from Detach to orphaned
	silences silences

	last       ID
	ifaces     map[ID]*Interface // until Detached
	names      map[string]*claim // by configured name
	devices    map[deviceKey]ID  // by where the kernel has it; no ports in memory
	blackhole  *Handle
	totals     Totals
	discovered Discovery         // of interfaces that have ended
	lines      map[string]*line  // of PPPoE interfaces, which may not be there now
	sessions   string            // where those that are open are noted; empty: nowhere
	arenas     *link.Pool        // for frames that the loop sends
	came       func(name string) // told when an interface of that name is attached; may be nil
	freed      func(name string) // told when it has ended; may be nil
}

// New returns a Manager without interfaces. A detach that takes longer than
// timeout ends with the interface orphaned.
func New(l *loop.Loop, log *zap.Logger, timeout time.Duration) *Manager {
	m := &Manager{
		loop: l, log: log, timeout: timeout,
		ifaces:   map[ID]*Interface{},
		names:    map[string]*claim{},
		devices:  map[deviceKey]ID{},
		lines:    map[string]*line{},
		arenas:   link.NewPool(1),
		silences: silences{now: map[int]*record{}},

		discovered: Discovery{Invalid: map[string]uint64{}},
	}
	m.blackhole = newBlackhole()
	return m
}

// Hook sets the hooks, before the first Attach.
func (m *Manager) Hook(h Hooks) {
	if h.Transmit == nil {
		h.Transmit = func(*loop.Turn, *Interface, nd.Output) {}
	}
	m.hooks = h
}

// Acquire is the gate, the only way to take hold of an interface: one that is
// draining gives out nothing more, and one that is not Up takes no routes. The
// caller owns the Handle.
func (m *Manager) Acquire(_ *loop.Turn, id ID, who Holder) (*Handle, error) {
	i := m.ifaces[id]
	if err := i.gate(who); err != nil {
		m.totals.Refused++
		return nil, err
	}
	return i.acquire(who), nil
}

func (i *Interface) gate(who Holder) error {
	switch {
	case i == nil:
		return ErrNotFound
	case i.state >= Draining:
		return fmt.Errorf("%s: %w", i.name, ErrDraining)
	case who == Route && i.kind == config.TypeIPv4:
		return fmt.Errorf("%s: %w", i.name, ErrNoIPv6)
	case who == Route && !i.routable():
		return fmt.Errorf("%s: %w", i.name, ErrDown)
	}
	return nil
}

func (i *Interface) acquire(who Holder) *Handle {
	i.refs.Add(1)
	i.held[who].Add(1)
	return &Handle{Interface: i, who: who}
}

// Lookup finds the interface that has a name now: attached, not draining.
func (m *Manager) Lookup(_ *loop.Turn, name string) (ID, bool) {
	c := m.names[name]
	if c == nil || c.ifc == nil || c.ifc.state >= Draining {
		return 0, false
	}
	return c.ifc.id, true
}

// Find is an interface that is attached and not on its way out, or nil; for this
// turn.
func (m *Manager) Find(_ *loop.Turn, id ID) *Interface {
	if i := m.ifaces[id]; i != nil && i.state < Draining {
		return i
	}
	return nil
}

// Name is an interface's name, empty for one that has ended.
func (m *Manager) Name(_ *loop.Turn, id ID) string {
	if i := m.ifaces[id]; i != nil {
		return i.name
	}
	return ""
}

// OnLink is the global prefixes of an interface's link.
func (m *Manager) OnLink(_ *loop.Turn, id ID) []netip.Prefix {
	if i := m.ifaces[id]; i != nil {
		return i.addrs.Load().onLink()
	}
	return nil
}

// Addresses is the router's own global addresses on an interface that are in use,
// each with the length of its link's prefix.
func (m *Manager) Addresses(_ *loop.Turn, id ID) []netip.Prefix {
	if i := m.ifaces[id]; i != nil {
		return i.addrs.Load().global()
	}
	return nil
}

// Info describes an interface, for people.
type Info struct {
	ID        ID
	Name      string
	Type      config.Type // empty for a port in memory
	FromFile  bool        // the configuration file has it
	State     State
	Disabled  bool      // see Interface.Disabled
	Since     time.Time // of the state
	MTU       int
	HopLimit  uint8
	MAC       config.MAC // the router's; zero where there is no Ethernet
	Addresses []netip.Prefix
	Device    Device
	Lower     string      // name of the interface it is stacked on
	VLAN      config.VLAN // zero if it is none
	Held      map[string]int64
	Traffic   *Traffic   // live
	Discovery *Discovery // nil where there are no neighbors
}

// All describes every interface, in the order they were attached.
func (m *Manager) All(*loop.Turn) []Info {
	var all []Info
	for _, i := range m.ifaces {
		all = append(all, i.info())
	}
	slices.SortFunc(all, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// noteMissed asks the port how much it was not given. In turns.
func (i *Interface) noteMissed() {
	if p, ok := i.port.(interface{ Missed() uint64 }); ok {
		i.traffic.RxMissed.Store(p.Missed())
	}
}

func (i *Interface) info() Info {
	i.noteMissed()
	in := Info{
		ID: i.id, Name: i.name, Type: i.kind, FromFile: i.fromFile, State: i.state, Disabled: i.disabled.Load(), Since: i.since,
		MTU: int(i.mtu.Load()), HopLimit: uint8(i.hopLimit.Load()),
		MAC: i.mac, Addresses: i.addrs.Load().prefixes,
		Device:  i.device,
		Held:    i.holding(),
		Traffic: &i.traffic,
	}
	if i.lower != nil {
		in.Lower = i.lower.Name()
	}
	if i.neighbors != nil {
		in.Discovery = i.neighbors.info()
	}
	if v, ok := i.port.(*vlan); ok {
		in.VLAN = v.tag
	}
	return in
}

// holding counts the handles that are out, by what they are for.
func (i *Interface) holding() map[string]int64 {
	held := map[string]int64{}
	for who := range holders {
		if n := i.held[who].Load(); n != 0 {
			held[who.String()] = n
		}
	}
	return held
}

// Totals counts ends of interfaces.
type Totals struct {
	Attached, Clean, Orphaned uint64
	Refused                   uint64 // by the gate

	// Of clean detaches, all together.
	Withdraw, Grace, Hold, Close time.Duration
}

func (c *Totals) clean(res *Result) {
	c.Clean++
	c.Withdraw += res.Withdraw
	c.Grace += res.Grace
	c.Hold += res.Hold
	c.Close += res.Close
}

// Totals is the count so far.
func (m *Manager) Totals(*loop.Turn) Totals { return m.totals }

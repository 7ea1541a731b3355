package ifmgr

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

const (
	minMTU          = 1280 // RFC 8200 §5
	defaultHopLimit = 64   // RFC 1700, as everybody sends
)

// Settings is what an interface begins with.
type Settings struct {
	Name      string
	Type      config.Type // for people
	MTU       int
	HopLimit  uint8          // zero: 64
	Addresses []netip.Prefix // the router's own; without a link-local one, one is made
	// NoUnreachables: who sends in here is not told that it could not be delivered.
	NoUnreachables bool
	// DADTransmits is how often others on an Ethernet link are asked whether an
	// address is taken, before it is used; zero: not at all. RFC 4862 §5.1.
	DADTransmits int
	Neighbors    map[netip.Addr][6]byte // that are known, on an Ethernet link
	FromFile     bool                   // the configuration file has it
	Up           bool                   // has carrier; ports that can tell are asked again
	Device       Device                 // where the kernel has it; zero for a port in memory
}

// A claim is a name in use: reserved, attached or draining.
type claim struct {
	ifc  *Interface    // nil while only reserved
	free chan struct{} // closed when the name is free
}

// Reserve takes a name for an interface that is being prepared. If the one that
// has it is on its way out, nothing is taken, and free is closed when it is worth
// asking again.
func (m *Manager) Reserve(t *loop.Turn, name string) (free <-chan struct{}, err error) {
	c := m.names[name]
	if c == nil {
		m.names[name] = &claim{free: make(chan struct{})}
		return nil, nil
	}
	if c.ifc != nil {
		m.Check(t, c.ifc.id) // its device may be gone, and the message about it on its way
		if c.ifc.state >= Draining {
			return c.free, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", name, ErrExists)
}

// Unreserve gives back a name that did not become an interface.
func (m *Manager) Unreserve(_ *loop.Turn, name string) {
	if c := m.names[name]; c != nil && c.ifc == nil {
		m.freeName(name)
	}
}

func (m *Manager) freeName(name string) {
	close(m.names[name].free)
	delete(m.names, name)
}

// Attach makes p an interface. It takes p, unless it fails. The name is reserved
// or not in use.
func (m *Manager) Attach(t *loop.Turn, p link.Port, s Settings) (ID, error) {
	if err := m.admit(t, s); err != nil {
		return 0, err
	}
	return m.attach(t, p, s, nil), nil
}

// Stack makes u an interface on top of another one: what u claims of the
// lower one's packets, and those stacked before it do not, comes in through it.
// It takes u, unless it fails.
func (m *Manager) Stack(t *loop.Turn, lower ID, u link.Upper, s Settings) (ID, error) {
	if err := m.admit(t, s); err != nil {
		return 0, err
	}
	h, err := m.Acquire(t, lower, Stacked)
	if err != nil {
		return 0, err
	}
	return m.attach(t, u, s, h), nil
}

// admit refuses a name or an address that is another interface's. The address
// of one that is draining is free: lookups no longer lead to it.
func (m *Manager) admit(t *loop.Turn, s Settings) error {
	if c := m.names[s.Name]; c != nil && c.ifc != nil {
		return fmt.Errorf("%s: %w", s.Name, ErrExists)
	}
	for _, p := range s.Addresses {
		if err := m.admitAddress(t, nil, p.Addr()); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// admitAddress refuses an address that another interface has than whose.
func (m *Manager) admitAddress(t *loop.Turn, whose *Interface, a netip.Addr) error {
	i := m.owner(a)
	if i == nil || i == whose {
		return nil
	}
	if m.Check(t, i.id); i.state < Draining { // not just gone
		return fmt.Errorf("%s: %w: it is %s's", a, ErrAddressTaken, i.name)
	}
	return nil
}

// owner is the interface that has an address. Link-local ones are each link's
// own affair.
func (m *Manager) owner(a netip.Addr) *Interface {
	if a.IsLinkLocalUnicast() {
		return nil
	}
	for _, i := range m.ifaces {
		if i.state < Draining && i.addrs.Load().Own(a) {
			return i
		}
	}
	return nil
}

func (m *Manager) attach(t *loop.Turn, p link.Port, s Settings, lower *Handle) ID {
	m.last++
	i := newIface(m.last, p, s)
	i.since, i.lower = t.Now(), lower
	if _, ok := i.Ethernet(); ok {
		i.neighbors = newNeighbors(t, m, i, s)
		i.neighbors.refresh()
	}
	i.idle = func() { m.loop.Notify(func(*loop.Turn) { m.left(i) }) }
	m.ifaces[i.id] = i
	if m.names[s.Name] == nil {
		m.names[s.Name] = &claim{free: make(chan struct{})}
	}
	m.names[s.Name].ifc = i
	m.noteDevice(i, s.Device)
	m.totals.Attached++
	m.log.Info("interface attached", zap.String("iface", i.name), zap.Uint64("id", uint64(i.id)),
		zap.Int("mtu", s.MTU), zap.Stringer("state", i.state), zap.String("device", i.where()))
	m.hooks.Attached(t, i.id)
	if lower != nil {
		lower.stack(&Upper{Interface: i, Port: p.(link.Upper), handle: i.acquire(Stacked)})
	}
	if m.came != nil {
		m.came(i.name)
	}
	if s.Up {
		m.Carrier(t, i.id, true)
	}
	m.Check(t, i.id) // what is in s was true a moment ago
	return i.id
}

// where is what the interface is on.
func (i *Interface) where() string {
	if i.lower != nil {
		return "on " + i.lower.Name()
	}
	return i.device.String()
}

func newIface(id ID, p link.Port, s Settings) *Interface {
	i := &Interface{id: id, name: s.Name, port: p, kind: s.Type, mac: macOf(p), fromFile: s.FromFile, state: Down}
	i.frames, _ = p.(link.Ethernet)
	i.refs.Store(1) // the manager's own, given up after the grace period of Detach
	i.mtu.Store(uint32(s.MTU))
	if s.HopLimit == 0 {
		s.HopLimit = defaultHopLimit
	}
	i.hopLimit.Store(uint32(s.HopLimit))
	i.noUnreachables.Store(s.NoUnreachables)
	i.addrs.Store(newAddrs(withLinkLocal(s.Addresses, p), nil))
	return i
}

// An Upper is a port stacked on another, as the lower one's worker sees it.
type Upper struct {
	*Interface
	Port link.Upper

	handle *Handle // released when no reader sees the Upper any more
}

// stack puts u behind those that are on i already.
func (i *Interface) stack(u *Upper) {
	all := append(slices.Clone(i.stacked()), u)
	i.uppers.Store(&all)
}

// above is the interfaces stacked on i, for the loop to go through.
func (i *Interface) above() (all []*Interface) {
	for _, u := range i.stacked() {
		if u.Interface != i { // one that takes what it receives itself, as a handover
			all = append(all, u.Interface)
		}
	}
	return all
}

// unstack takes an interface off i, in the turn that withdraws it.
func (i *Interface) unstack(t *loop.Turn, upper *Interface) {
	var rest []*Upper
	for _, u := range i.stacked() {
		if u.Interface == upper {
			t.AfterGrace(func(*loop.Turn) { u.handle.Release() })
		} else {
			rest = append(rest, u)
		}
	}
	if rest == nil {
		i.uppers.Store(nil) // what most have, and look at for each packet
		return
	}
	i.uppers.Store(&rest)
}

// Addrs is the router's own addresses on one interface. It never changes.
type Addrs struct {
	prefixes  []netip.Prefix // those that are not in use included
	own       map[netip.Addr]bool
	source    netip.Addr
	linkLocal netip.Addr
	discovery map[[16]byte]nd.AddressState // nil where there is no neighbor discovery
}

// newAddrs is the addresses of an interface, of which one is link-local. All are
// in use, unless neighbor discovery says which are.
func newAddrs(prefixes []netip.Prefix, discovered []nd.Address) *Addrs {
	a := &Addrs{prefixes: prefixes, own: map[netip.Addr]bool{}}
	for _, p := range prefixes {
		a.own[p.Addr()] = discovered == nil
	}
	if discovered != nil {
		a.discovery = map[[16]byte]nd.AddressState{}
	}
	for _, d := range discovered {
		a.own[d.Addr] = d.State == nd.Ready
		a.discovery[d.Addr.As16()] = d.State
	}
	for _, p := range prefixes {
		switch {
		case !a.own[p.Addr()]:
		case isLinkLocal(p):
			a.linkLocal = cmp.Or(a.linkLocal, p.Addr())
		default:
			a.source = cmp.Or(a.source, p.Addr())
		}
	}
	return a
}

func isLinkLocal(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() }

// withLinkLocal is addresses and, if none of them is link-local, one that is made:
// every interface has one (RFC 4291 §2.1).
func withLinkLocal(addresses []netip.Prefix, p link.Port) []netip.Prefix {
	addresses = slices.Clone(addresses)
	if slices.ContainsFunc(addresses, isLinkLocal) {
		return addresses
	}
	if e, ok := p.(link.Ethernet); ok {
		mac := e.HardwareAddr()
		// Hosts have a router's as their default route, so it is to be the same after a
		// restart, as the MAC is; and a router has no reason to hide that.
		return append(addresses, netip.PrefixFrom(netip.AddrFrom16(header.LinkLocalOf(&mac)), 64))
	}
	return append(addresses, newLinkLocal())
}

// newLinkLocal makes an address for an interface without frames. The interface
// identifier is random (RFC 7136 §5 gives its bits no meaning) and as short-lived
// as the interface.
func newLinkLocal() netip.Prefix {
	a := [16]byte{0: 0xfe, 1: 0x80}
	rand.Read(a[8:]) // never fails
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// Own reports whether x is one of the addresses, and in use.
func (a *Addrs) Own(x netip.Addr) bool { return a.own[x] }

// Discovery is what neighbor discovery makes of an address; zero if it is none of
// the router's here.
func (a *Addrs) Discovery(x *[16]byte) nd.AddressState { return a.discovery[*x] }

// Source is a global address that is in use; the zero Addr where there is none.
func (a *Addrs) Source() netip.Addr { return a.source }

// LinkLocal is the link-local address; the zero Addr while that is not in use.
func (a *Addrs) LinkLocal() netip.Addr { return a.linkLocal }

// global is the addresses that are in use without the link-local ones.
func (a *Addrs) global() []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(a.prefixes), func(p netip.Prefix) bool {
		return isLinkLocal(p) || !a.own[p.Addr()]
	})
}

// onLink is the prefixes that the link has, whether the addresses in them are in
// use or not.
func (a *Addrs) onLink() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range a.prefixes {
		if !isLinkLocal(p) && p.Bits() < 128 && !slices.Contains(all, p.Masked()) {
			all = append(all, p.Masked())
		}
	}
	return all
}

// newBlackhole makes the permanent interface that stands in where there must
// be one: the router's own packets come in through it. It has all that an
// interface has, is never Up, and never ends.
func newBlackhole() *Handle {
	i := newIface(0, discard{}, Settings{Name: "blackhole", MTU: minMTU})
	i.refs.Store(0) // its Handle is the only reference
	i.idle = func() { panic("ifmgr: blackhole released") }
	return i.acquire(Worker)
}

// Blackhole is the permanent interface. It can't be detached, routed to or
// released.
func (m *Manager) Blackhole() *Handle { return m.blackhole }

// discard is a port that loses everything.
type discard struct{}

func (discard) Send(v *link.Vector) error { v.Reset(); return nil }
func (discard) Interrupt()                {}
func (discard) Close() error              { return nil }
func (discard) Sever() error              { return nil }

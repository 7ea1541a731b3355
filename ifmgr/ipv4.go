package ifmgr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ppp"
)

// tcp4Overhead is what an MTU has over an MSS of IPv4.
const tcp4Overhead = header.IPv4Size + header.TCPSize

// A handover is the IPv4 of a session as an interface: a TUN device whose other end
// is the kernel's, which does with IPv4 what it likes. It is stacked on the session's
// interface, and ends with it. The router looks at none of the packets.
//
//	line's worker ─▶ dialer.Claim ─▶ handover.Claim ─▶ device
//	device ─▶ the handover's own worker ─▶ outward.Claim ─▶ dialer.send4
//
// The kernel's end is set up on a goroutine of its own, which may have to wait for
// the kernel, and then the interface has carrier.
type handover struct {
	*link.TUN
	m       *Manager
	d       *dialer
	settled atomic.Pointer[pppoe.Session] // the kernel's end is set up for it; nil: no carrier

	// Owned by the loop.
	i            *Interface // nil until it is attached
	defaultRoute bool
	busy         bool           // the goroutine is at work
	done         *pppoe.Session // it was set up for that, or tried; nil at first
	has          kernel4        // of the goroutines, one after the other; zero: nothing
}

// kernel4 is what the kernel's end has been given.
type kernel4 struct{ own, peer netip.Addr }

// openIPv4 makes the device of the handover that c describes, without an address.
func (m *Manager) openIPv4(c config.Interface) (*handover, Settings, error) {
	s := settingsOf(c)
	s.MTU = pppoe.DefaultMTU // until it is agreed upon
	t, err := link.CreateTUN(c.Name, 1)
	if err != nil {
		return nil, s, err
	}
	h := &handover{TUN: t, m: m, defaultRoute: c.DefaultRoute}
	l, err := netlink.LinkByName(c.Name)
	if err == nil {
		s.Device = Device{Name: c.Name, Index: l.Attrs().Index, NSID: ownNSID}
		err = errors.Join(
			t.RefuseOffloads(),
			t.SetCarrier(false),
			netlink.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE), // IPv6 is the router's
			netlink.LinkSetMTU(l, s.MTU),
			netlink.LinkSetTxQLen(l, config.DefaultTxQueueLen),
			netlink.LinkSetUp(l),
		)
	}
	if err != nil {
		return nil, s, errors.Join(fmt.Errorf("interface %s: %w", c.Name, err), t.Close())
	}
	return h, s, nil
}

// sessionUnder is the session that c is to be on.
func (m *Manager) sessionUnder(t *loop.Turn, c config.Interface) (*dialer, error) {
	id, ok := m.Lookup(t, c.Lower)
	if !ok {
		return nil, fmt.Errorf("interface %s: %s: %w", c.Name, c.Lower, link.ErrNotExist)
	}
	under := m.ifaces[id]
	d, ok := under.port.(*dialer)
	switch {
	case !ok:
		return nil, fmt.Errorf("interface %s: %s has no session: its type is %s", c.Name, c.Lower, under.kind)
	case d.four != nil:
		return nil, fmt.Errorf("interface %s: IPv4 of %s: %w: it is %s", c.Name, c.Lower, ErrExists, d.four.i.name)
	}
	return d, nil
}

// attachIPv4 attaches a handover to its session.
func (m *Manager) attachIPv4(t *loop.Turn, c config.Interface, h *handover, s Settings) (ID, error) {
	d, err := m.sessionUnder(t, c)
	if err != nil {
		return 0, err
	}
	h.d = d
	id, err := m.Stack(t, d.i.id, h, s)
	if err != nil {
		return 0, err
	}
	h.i = m.ifaces[id]
	h.i.stack(&Upper{Interface: h.i, Port: outward{h}, handle: h.i.acquire(Stacked)})
	d.four = h
	d.step(t, pppoe.WantIPv4(true))
	h.look(t)
	return id, nil
}

// end is part of the turn that withdraws the handover.
func (h *handover) end(t *loop.Turn, cause error) {
	if h.i == nil {
		return
	}
	h.settled.Store(nil)
	h.i.unstack(t, h.i)
	h.d.four = nil
	if !errors.Is(cause, ErrLower) { // otherwise there is no session any more, and the next has IPv4 again
		h.d.step(t, pppoe.WantIPv4(false))
	}
}

// Claim implements link.Upper: IPv4 that came in the session goes to the kernel.
func (h *handover) Claim(p *link.Packet) link.Claim {
	size, ok := header.IPv4Length(p.Bytes())
	if !ok {
		return link.NotOurs
	}
	s := h.settled.Load()
	if s == nil {
		return link.Unready
	}
	if !p.Offload.Superframe() {
		p.Trim(size)
		clamp4(p, s.MTU)
	}
	h.count(p, h.TUN.Send(p.Alone()))
	return link.Consumed
}

// count is of what goes out to the kernel, which no outbox has seen.
func (h *handover) count(p *link.Packet, err error) {
	if err != nil {
		h.i.traffic.TxErrors.Add(uint64(p.Segments()))
		return
	}
	h.i.traffic.TxPackets.Add(uint64(p.Segments()))
	h.i.traffic.TxBytes.Add(uint64(len(p.Bytes())))
}

func clamp4(p *link.Packet, mtu int) {
	if !p.Offload.PartialChecksum() {
		header.ClampMSS4(p.Bytes(), uint16(mtu-tcp4Overhead))
	}
}

// outward is the way from the kernel into the session.
type outward struct{ *handover }

// Claim implements link.Upper.
func (o outward) Claim(p *link.Packet) link.Claim {
	if _, ok := header.IPv4Length(p.Bytes()); !ok {
		return link.NotOurs
	}
	if errors.Is(o.d.send4(p), link.ErrNoSession) {
		return link.Unready
	}
	return link.Consumed
}

// send4 sends an IPv4 packet through the session.
func (d *dialer) send4(p *link.Packet) error {
	s := d.session4.Load()
	switch {
	case d.severed.Load():
		return link.ErrSevered
	case s == nil:
		return link.ErrNoSession
	}
	clamp4(p, s.MTU)
	d.wrap(p, s, ppp.ProtoIPv4)
	err := d.lower.Send(p.Alone())
	p.TrimFront(encapsulation)
	if err == nil {
		d.i.traffic.TxPackets.Add(1)
		d.i.traffic.TxBytes.Add(uint64(len(p.Bytes())))
	}
	return err
}

// Probe is how the device is, and whether IPv4 flows.
func (h *handover) Probe() error {
	if err := h.TUN.Probe(); err != nil {
		return err
	}
	if h.settled.Load() == nil {
		return link.ErrDown
	}
	return nil
}

// look has the kernel's end be as the session is. One goroutine at a time is at it,
// and looks again when it is done. It holds the interface.
func (h *handover) look(t *loop.Turn) {
	want := h.d.session4.Load()
	if want == nil && h.settled.Swap(nil) != nil {
		h.m.Carrier(t, h.i.id, false)
	}
	if h.busy || want == h.done || h.i.state >= Draining {
		return
	}
	h.busy, h.done = true, want
	handle, index := h.i.acquire(Setup), h.i.device.Index
	go func() {
		err := h.setUp(index, want)
		h.m.loop.Notify(func(t *loop.Turn) {
			h.busy = false
			handle.Release()
			h.wasSetUp(t, want, err)
		})
	}()
}

// wasSetUp gives the interface its carrier, if nothing has changed meanwhile.
func (h *handover) wasSetUp(t *loop.Turn, s *pppoe.Session, err error) {
	if h.i.state >= Draining {
		return
	}
	if err != nil {
		h.m.log.Warn("ipv4 not handed over", zap.String("iface", h.i.name), zap.Uint64("id", uint64(h.i.id)), zap.Error(err))
	}
	if s != nil && s == h.d.session4.Load() {
		h.settled.Store(s)
		h.m.SetMTU(t, h.i.id, s.MTU)
		h.m.log.Info("ipv4 handed over", zap.String("iface", h.i.name), zap.Uint64("id", uint64(h.i.id)),
			zap.Uint16("session", s.ID), zap.Stringer("address", s.IPv4.Own), zap.Stringer("peer", s.IPv4.Peer), zap.Int("mtu", s.MTU),
			zap.Stringers("dns", named(s.IPv4.DNS)))
		h.m.Check(t, h.i.id)
	}
	h.look(t)
}

// named is the addresses that are there.
func named(all [2]netip.Addr) (some []netip.Addr) {
	for _, a := range all {
		if a.IsValid() {
			some = append(some, a)
		}
	}
	return some
}

// setUp gives the kernel's end what the session has. Without one it loses its
// carrier, and no more: the address stays until there is another, and connections
// with it.
func (h *handover) setUp(index int, s *pppoe.Session) error {
	if s == nil {
		return h.SetCarrier(false)
	}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	var errs []error
	want := kernel4{s.IPv4.Own, s.IPv4.Peer}
	if h.has != want && h.has != (kernel4{}) {
		errs = append(errs, netlink.AddrDel(l, h.has.address()))
	}
	errs = append(errs, netlink.LinkSetMTU(l, s.MTU), h.SetCarrier(true), netlink.AddrReplace(l, want.address()))
	h.has = want
	if h.defaultRoute {
		errs = append(errs, routeDefault(l))
	}
	return errors.Join(errs...)
}

// routeDefault leads what goes nowhere else into l, unless that is so already. The
// default route of somebody else stays.
func routeDefault(l netlink.Link) error {
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: everything, Scope: netlink.SCOPE_LINK}
	now, err := netlink.RouteListFiltered(netlink.FAMILY_V4, r, netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST)
	if err == nil && len(now) == 0 {
		err = netlink.RouteAdd(r)
	}
	if err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	return nil
}

// address is what the kernel calls it: one of a link with two ends.
func (k kernel4) address() *netlink.Addr {
	a := &netlink.Addr{IPNet: ip4Net(k.own)}
	if k.peer.IsValid() && k.peer != k.own {
		a.Peer = ip4Net(k.peer)
	}
	return a
}

func ip4Net(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

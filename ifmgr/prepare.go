package ifmgr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// Add makes the interface that c describes. It waits for an older one of the
// same name to end, prepares the device on the caller's goroutine, and attaches
// it in one turn. When it fails, nothing is left, the name is free again.
func (m *Manager) Add(ctx context.Context, c config.Interface) (id ID, err error) {
	p, err := m.Prepare(ctx, c)
	if err != nil {
		return 0, err
	}
	err = m.loop.Do(ctx, func(t *loop.Turn) error {
		id, err = p.Attach(t)
		return err
	})
	if err != nil {
		return 0, errors.Join(err, p.Discard())
	}
	p.Settle(ctx)
	return id, nil
}

// A Prepared is a device that is ready to become an interface, and the name it
// will have. Somebody attaches or discards it.
type Prepared struct {
	m        *Manager
	config   config.Interface
	port     link.Port // nil of what is stacked, which is made when it is attached
	secret   string    // of a PPPoE session
	handover *handover // the port, if it is one
	settings Settings
	ifc      *Interface // once attached
}

// Prepare waits for an older interface of the same name to end, reserves the
// name, opens the device and sets it up. When it fails, nothing is left.
func (m *Manager) Prepare(ctx context.Context, c config.Interface) (*Prepared, error) {
	if err := m.reserve(ctx, c.Name); err != nil {
		return nil, err
	}
	p := &Prepared{m: m, config: c}
	switch c.Type {
	case config.TypeVLAN:
		return p, nil
	case config.TypePPPoE:
		var err error
		if p.secret, err = c.PPPoE.Secret(); err != nil {
			m.unreserve(c.Name)
			return nil, fmt.Errorf("interface %s: %w", c.Name, err)
		}
		return p, nil
	case config.TypeIPv4:
		return p, p.openIPv4(ctx)
	}
	port, settings, err := prepare(c)
	if err != nil {
		m.unreserve(c.Name)
		return nil, err
	}
	if s, ok := port.(*link.PacketSocket); ok && c.MAC == (config.MAC{}) {
		port = m.silence(s, settings.Device)
	}
	p.port, p.settings = port, settings
	return p, nil
}

// openIPv4 opens the device of a session's IPv4, if the session is there.
func (p *Prepared) openIPv4(ctx context.Context) error {
	err := p.m.loop.Do(ctx, func(t *loop.Turn) error {
		_, err := p.m.sessionUnder(t, p.config)
		return err
	})
	if err == nil {
		p.handover, p.settings, err = p.m.openIPv4(p.config)
	}
	if err != nil {
		p.m.unreserve(p.config.Name)
		return err
	}
	p.port = p.handover
	return nil
}

// Attach makes it an interface. If it fails, the Prepared is as it was.
func (p *Prepared) Attach(t *loop.Turn) (id ID, err error) {
	switch p.config.Type {
	case config.TypeVLAN:
		id, err = p.m.attachVLAN(t, p.config)
	case config.TypePPPoE:
		id, err = p.m.attachPPPoE(t, p.config, p.secret)
	case config.TypeIPv4:
		id, err = p.m.attachIPv4(t, p.config, p.handover, p.settings)
	default: // a device's; one without a type is a TUN
		id, err = p.m.Attach(t, p.port, p.settings)
	}
	p.ifc = p.m.ifaces[id]
	return id, err
}

// Settle looks at the device once more: changes are told from its Attach on, and
// those since it was prepared were nobody's.
func (p *Prepared) Settle(ctx context.Context) { p.m.locate(ctx, p.ifc) }

// Discard ends the device and frees the name.
func (p *Prepared) Discard() (err error) {
	if p.port != nil {
		err = p.port.Close()
	}
	p.m.unreserve(p.config.Name)
	return err
}

// unreserve is waited for, so that the caller may try again.
func (m *Manager) unreserve(name string) {
	// Fails only at the end.
	_ = m.loop.Do(context.Background(), func(t *loop.Turn) error {
		m.Unreserve(t, name)
		return nil
	})
}

func (m *Manager) reserve(ctx context.Context, name string) error {
	for {
		var free <-chan struct{}
		err := m.loop.Do(ctx, func(t *loop.Turn) (err error) {
			free, err = m.Reserve(t, name)
			return err
		})
		if err != nil || free == nil {
			return err
		}
		select {
		case <-free:
		case <-ctx.Done():
			return fmt.Errorf("%s: waiting for the one before it to end: %w", name, ctx.Err())
		}
	}
}

// A device is a port that is on a device of the kernel's.
type device interface {
	link.Port
	Name() string // the kernel's, when it was opened
	prober
}

// open opens the device of an interface under a name.
func open(c config.Interface, name string) (device, error) {
	n := queues(c.Queues)
	switch {
	case c.Type == config.TypePacket:
		return opened(link.OpenPacketSocket(name, c.MAC, n))
	case c.Type == config.TypeTAP && c.Mode == config.ModeAttach:
		return opened(link.AttachTAP(name, c.MAC, n))
	case c.Type == config.TypeTAP:
		return opened(link.CreateTAP(name, c.MAC, n))
	case c.Mode == config.ModeAttach:
		return opened(link.AttachTUN(name, n))
	}
	return opened(link.CreateTUN(name, n))
}

// opened keeps a nil pointer from being a device.
func opened[D device](d D, err error) (device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// settingsOf is what c itself says of the interface.
func settingsOf(c config.Interface) Settings {
	return Settings{
		Name: c.Name, Type: c.Type, MTU: c.MTU, HopLimit: c.HopLimit, Addresses: c.Addresses, FromFile: c.Line != 0,
		NoUnreachables: c.NoUnreachables, DADTransmits: c.DADTransmits, Neighbors: neighborsOf(c),
	}
}

// prepare opens the device and does to its kernel side what c says.
func prepare(c config.Interface) (device, Settings, error) {
	s := settingsOf(c)
	if c.Type == config.TypeTAP && c.MAC == (config.MAC{}) {
		c.MAC = chooseMAC(c.Name, "router")
	}
	if c.Mode == config.ModeAttach {
		return attachDevice(s, c)
	}
	k := config.Kernel{TxQueueLen: config.DefaultTxQueueLen}
	if c.Kernel != nil {
		k = *c.Kernel
	}
	if c.Type == config.TypeTAP && k.MAC == (config.MAC{}) {
		k.MAC = chooseMAC(c.Name, "kernel")
	}
	c.Kernel = &k
	if k.Netns.Path() == "" {
		return createHere(s, c)
	}
	return createIn(s, c)
}

// queues is how many workers a device gets. A CPU for the stack at each end of a
// flow is left to those: on two CPUs a second worker only takes from them.
func queues(asked int) int {
	const most = 8
	if asked > 0 {
		return asked
	}
	return min(max(1, runtime.GOMAXPROCS(0)/2), most) // GOMAXPROCS knows the limit of the cgroup
}

// attachDevice takes a persistent device as it is.
func attachDevice(s Settings, c config.Interface) (device, Settings, error) {
	t, err := open(c, s.Name)
	if err != nil {
		return nil, s, err
	}
	if q, ok := t.(link.Queued); ok && len(q.Receivers()) < c.Queues {
		return nil, s, errors.Join(fmt.Errorf("attach %s %s: %d queues: it was made without multi_queue", s.Type, s.Name, c.Queues), t.Close())
	}
	l, err := netlink.LinkByName(s.Name)
	if err != nil {
		return nil, s, errors.Join(fmt.Errorf("attach %s: %w", s.Name, err), t.Close())
	}
	s.MTU = l.Attrs().MTU
	s.Device = Device{Name: s.Name, Index: l.Attrs().Index, NSID: ownNSID, Kept: true}
	s.Up = t.Probe() == nil
	return t, s, nil
}

// createHere makes a device in the router's own namespace.
func createHere(s Settings, c config.Interface) (device, Settings, error) {
	t, err := open(c, s.Name)
	if err != nil {
		return nil, s, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, s, errors.Join(err, t.Close())
	}
	defer h.Close()
	s.Device = Device{Name: s.Name, NSID: ownNSID}
	return finishCreate(t, s, c.Kernel, h)
}

// createIn makes a device here and moves it: a descriptor opened in the other
// namespace would keep that namespace alive for ever.
func createIn(s Settings, c config.Interface) (device, Settings, error) {
	k := c.Kernel
	ns, err := os.Open(k.Netns.Path())
	if err != nil {
		return nil, s, fmt.Errorf("interface %s: network namespace %s: %w", s.Name, k.Netns, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, s, fmt.Errorf("interface %s: enter network namespace %s: needs CAP_SYS_ADMIN "+
			"(in a container, leave netns out and move the device from the host with deploy/move-end): %w", s.Name, k.Netns, err)
	}
	defer h.Close()
	t, err := open(c, "r6-%d") // whatever is free
	if err != nil {
		return nil, s, fmt.Errorf("interface %s: %w", s.Name, err)
	}
	s.Device = Device{Name: s.Name, Netns: k.Netns.String()}
	if s.Device.NSID, err = move(t.Name(), ns, s.Name); err != nil {
		return nil, s, errors.Join(fmt.Errorf("interface %s: move to network namespace %s: %w", s.Name, k.Netns, err), t.Close())
	}
	return finishCreate(t, s, k, h)
}

// move puts the device into ns under its new name, in one request, and returns
// the number under which messages about ns arrive.
func move(device string, ns *os.File, name string) (nsid int, err error) {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return 0, err
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(l.Attrs().Index)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(ns.Fd()))))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return 0, fmt.Errorf("%s: %w", name, link.ErrBusy)
		}
		return 0, err
	}
	return nsidOf(ns)
}

// nsidOf is the number that marks messages about ns; the namespace gets one if
// it has none.
func nsidOf(ns *os.File) (int, error) {
	own, err := isOwn(ns)
	if own || err != nil {
		return ownNSID, err
	}
	id, err := netlink.GetNetNsIdByFd(int(ns.Fd()))
	if err != nil || id >= 0 {
		return id, err
	}
	if err := netlink.SetNetNsIdByFd(int(ns.Fd()), -1); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, err
	}
	return netlink.GetNetNsIdByFd(int(ns.Fd()))
}

func isOwn(ns *os.File) (bool, error) {
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	st, err := ns.Stat()
	return err == nil && os.SameFile(own, st), err
}

// finishCreate sets up the kernel's end through h, or closes t.
func finishCreate(t device, s Settings, k *config.Kernel, h *netlink.Handle) (device, Settings, error) {
	index, err := setUp(h, s, k)
	if err != nil {
		return nil, s, errors.Join(fmt.Errorf("interface %s: %w", s.Name, err), t.Close())
	}
	s.Device.Index = index
	s.Up = t.Probe() == nil
	return t, s, nil
}

func setUp(h *netlink.Handle, s Settings, k *config.Kernel) (index int, err error) {
	l, err := h.LinkByName(s.Name)
	if err != nil {
		return 0, err
	}
	if err := h.LinkSetMTU(l, s.MTU); err != nil {
		return 0, fmt.Errorf("mtu %d: %w", s.MTU, err)
	}
	if k.MAC != (config.MAC{}) {
		if err := h.LinkSetHardwareAddr(l, k.MAC[:]); err != nil {
			return 0, fmt.Errorf("mac %s: %w", k.MAC, err)
		}
	}
	if err := h.LinkSetTxQLen(l, k.TxQueueLen); err != nil {
		return 0, fmt.Errorf("txqueuelen %d: %w", k.TxQueueLen, err)
	}
	for _, a := range k.Addresses {
		if err := addAddress(h, l, a); err != nil {
			return 0, err
		}
	}
	if err := h.LinkSetUp(l); err != nil {
		return 0, fmt.Errorf("set up: %w", err)
	}
	for _, p := range k.Routes {
		if err := h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(p)}); err != nil {
			return 0, fmt.Errorf("kernel route %s: %w", p, err)
		}
	}
	for _, a := range k.Addresses {
		awaitAddress(h, a.Addr())
	}
	return l.Attrs().Index, nil
}

const (
	addressInterval = time.Millisecond // between questions
	addressPatience = time.Second      // more than a busy machine needs
)

// awaitAddress returns when the kernel has taken an address into use. It does
// that on a work queue some time after it has said that the address is there
// (addrconf_dad_work in Linux's net/ipv6/addrconf.c), and drops what is for it
// until then. One that is late is not an error.
func awaitAddress(h *netlink.Handle, a netip.Addr) {
	tick := time.NewTicker(addressInterval)
	defer tick.Stop()
	for deadline := time.Now().Add(addressPatience); time.Now().Before(deadline); <-tick.C {
		routes, err := h.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
	}
}

func addAddress(h *netlink.Handle, l netlink.Link, a netip.Prefix) error {
	// No duplicate detection: the other end of the wire is us, and we know.
	err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD})
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("kernel address %s: IPv6 is off in that namespace, set net.ipv6.conf.all.disable_ipv6=0 (docker: --sysctl): %w", a, err)
	}
	if err != nil {
		return fmt.Errorf("kernel address %s: %w", a, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)}
}

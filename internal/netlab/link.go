package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	patience        = 10 * time.Second // with a kernel that is busy
	addressInterval = time.Millisecond // between questions: it does not tell
)

// ErrNoLink is the error about a device that is not there.
var ErrNoLink = errors.New("no such device")

// A Link is what the kernel says of a device, at one moment.
type Link struct {
	Name    string
	Index   int
	Kind    string // "veth", "tun"; "device" for those without a kind
	MTU     int
	Up      bool // set up by its administrator
	Carrier bool // and something is at the other end
	Flags   net.Flags
	Address net.HardwareAddr // nil on a TUN
	Stats   LinkStats
}

// LinkStats counts as the device does: what a TUN transmits, its owner reads.
type LinkStats struct {
	RxPackets, RxBytes, RxDropped uint64
	TxPackets, TxBytes, TxDropped uint64
}

// Link returns the facts of a device, or ErrNoLink.
func (n *Namespace) Link(name string) (Link, error) {
	var l Link
	err := n.withLink("read", name, func(dev netlink.Link) error {
		l = facts(dev)
		return nil
	})
	return l, err
}

// Links lists the devices of the namespace, in order of their indexes.
func (n *Namespace) Links() ([]Link, error) {
	var links []Link
	err := n.Do(func() error {
		devs, err := netlink.LinkList()
		for _, dev := range devs {
			links = append(links, facts(dev))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list devices in %s: %w", n.name, err)
	}
	return links, nil
}

// SetUp sets a device up.
func (n *Namespace) SetUp(name string) error {
	return n.withLink("set up", name, netlink.LinkSetUp)
}

// SetDown sets a device down. The kernel takes its IPv6 addresses and routes.
func (n *Namespace) SetDown(name string) error {
	return n.withLink("set down", name, netlink.LinkSetDown)
}

// SetMTU changes the MTU of a device. Under 1280 the kernel ends IPv6 on it.
func (n *Namespace) SetMTU(name string, mtu int) error {
	return n.withLink("set mtu", name, func(dev netlink.Link) error {
		return netlink.LinkSetMTU(dev, mtu)
	})
}

// Rename changes the name of a device.
func (n *Namespace) Rename(name, to string) error {
	return n.withLink("rename", name, func(dev netlink.Link) error {
		return netlink.LinkSetName(dev, to)
	})
}

// MoveLink gives a device to another namespace. It arrives there set down.
func (n *Namespace) MoveLink(name string, to *Namespace) error {
	fd, err := to.open()
	if err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	defer closeFD(fd)
	return n.withLink("move", name, func(dev netlink.Link) error {
		return netlink.LinkSetNsFd(dev, fd)
	})
}

// DeleteLink deletes a device.
func (n *Namespace) DeleteLink(name string) error {
	return n.withLink("delete", name, netlink.LinkDel)
}

// AddAddress gives a device an address, without duplicate address detection. If
// the device is up, the address is in use when AddAddress returns.
func (n *Namespace) AddAddress(name string, prefix netip.Prefix) error {
	return n.withLink("add address to", name, func(dev netlink.Link) error {
		err := netlink.AddrAdd(dev, &netlink.Addr{IPNet: ipNet(prefix), Flags: unix.IFA_F_NODAD})
		if err != nil || dev.Attrs().RawFlags&unix.IFF_UP == 0 {
			return err
		}
		return awaitAddress(prefix.Addr())
	})
}

// awaitAddress returns when the kernel takes packets for the address: it says that
// it has one before it does. Until then neighbor solicitations for it are dropped,
// and the next one comes a second later.
func awaitAddress(a netip.Addr) error {
	tick := time.NewTicker(addressInterval)
	defer tick.Stop()
	for until := clock() + patience; clock() < until; <-tick.C {
		routes, err := netlink.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
	}
	return fmt.Errorf("%v is not in use after %v", a, patience)
}

// DeleteAddress takes an address off a device.
func (n *Namespace) DeleteAddress(name string, prefix netip.Prefix) error {
	return n.withLink("delete address from", name, func(dev netlink.Link) error {
		return netlink.AddrDel(dev, &netlink.Addr{IPNet: ipNet(prefix)})
	})
}

// AddRoute adds a route over a device. Without a gateway (the zero Addr) the
// destinations are on the link.
func (n *Namespace) AddRoute(name string, to netip.Prefix, via netip.Addr) error {
	return n.withLink("add route over", name, func(dev netlink.Link) error {
		return netlink.RouteAdd(route(dev, to, via))
	})
}

// DeleteRoute takes away what AddRoute added.
func (n *Namespace) DeleteRoute(name string, to netip.Prefix, via netip.Addr) error {
	return n.withLink("delete route over", name, func(dev netlink.Link) error {
		return netlink.RouteDel(route(dev, to, via))
	})
}

// SetSysctl writes a setting of the namespace, as in
// SetSysctl("net/ipv6/conf/all/forwarding", "1"). Only those under net belong
// to a namespace: /proc/sys shows the thread's own.
func (n *Namespace) SetSysctl(key, value string) error {
	err := n.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
	})
	if err != nil {
		return fmt.Errorf("set sysctl in %s: %w", n.name, err)
	}
	return nil
}

// Connect lays a cable: a veth pair between two namespaces, both ends up.
func Connect(a *Namespace, nameA string, b *Namespace, nameB string) error {
	fd, err := b.open()
	if err != nil {
		return fmt.Errorf("connect %s to %s: %w", nameA, nameB, err)
	}
	defer closeFD(fd)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerNamespace = nameB, netlink.NsFd(fd)
	if err := a.Do(func() error { return netlink.LinkAdd(pair) }); err != nil {
		return fmt.Errorf("connect %s to %s: %w", nameA, nameB, err)
	}
	return errors.Join(a.SetUp(nameA), b.SetUp(nameB))
}

// AddBridge makes a bridge, up, on which the kernel says nothing by itself. It
// waits for the ports to run, so that the bridge forwards from the first frame.
func (n *Namespace) AddBridge(ctx context.Context, name string, ports ...string) error {
	for _, port := range ports {
		if _, err := n.WaitLink(ctx, port, func(l Link) bool { return l.Flags&net.FlagRunning != 0 }); err != nil {
			return err
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := n.Do(func() error { return netlink.LinkAdd(bridge) }); err != nil {
		return fmt.Errorf("add bridge %s in %s: %w", name, n.name, err)
	}
	for _, port := range ports {
		err := n.withLink("bridge", port, func(dev netlink.Link) error { return netlink.LinkSetMaster(dev, bridge) })
		if err != nil {
			return err
		}
	}
	return errors.Join(n.SetSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1"), n.SetUp(name))
}

// withLink runs fn in the namespace with the device of that name.
func (n *Namespace) withLink(what, name string, fn func(netlink.Link) error) error {
	err := n.Do(func() error {
		dev, err := netlink.LinkByName(name)
		if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
			return ErrNoLink
		}
		if err != nil {
			return err
		}
		return fn(dev)
	})
	if err != nil {
		return fmt.Errorf("%s %s in %s: %w", what, name, n.name, err)
	}
	return nil
}

func facts(dev netlink.Link) Link {
	a := dev.Attrs()
	l := Link{
		Name: a.Name, Index: a.Index, Kind: dev.Type(), MTU: a.MTU,
		Up:      a.RawFlags&unix.IFF_UP != 0,
		Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		Flags:   a.Flags, Address: a.HardwareAddr,
	}
	if s := a.Statistics; s != nil {
		l.Stats = LinkStats{
			RxPackets: s.RxPackets, RxBytes: s.RxBytes, RxDropped: s.RxDropped,
			TxPackets: s.TxPackets, TxBytes: s.TxBytes, TxDropped: s.TxDropped,
		}
	}
	return l
}

func route(dev netlink.Link, to netip.Prefix, via netip.Addr) *netlink.Route {
	r := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: ipNet(to.Masked())}
	if via.IsValid() {
		r.Gw = via.AsSlice()
	}
	return r
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

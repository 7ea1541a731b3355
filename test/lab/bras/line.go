package bras

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/internal/netlab"
)

// An Impairment spoils a line, in both directions. The zero value is a line that
// is as good as a wire.
type Impairment struct {
	Delay  time.Duration // of each frame, one way
	Jitter time.Duration // by which that varies: frames overtake each other
	Loss   float64       // percent of the frames
}

var deaf = Impairment{Loss: 100}

// Impair changes what becomes of frames on the line.
func (s *Server) Impair(i Impairment) {
	s.t.Helper()
	s.options.Impair = i
	s.impair()
}

// LinkDown sets the line's device at the client's end down: that of the guest stays
// up, behind a switch. User-Mode Linux is deaf for good once a frame of its own is
// refused by a device that is down.
func (s *Server) LinkDown() {
	s.t.Helper()
	s.must(s.options.Namespace.SetDown(s.options.Link))
	s.awaitFarEnd(false)
}

// LinkUp sets it up again.
func (s *Server) LinkUp() {
	s.t.Helper()
	s.must(s.options.Namespace.SetUp(s.options.Link))
	s.awaitFarEnd(true)
}

// awaitFarEnd waits until the switch has seen how the line is.
func (s *Server) awaitFarEnd(running bool) {
	s.t.Helper()
	_, err := s.options.Namespace.WaitLink(s.t.Context(), s.options.farEnd(),
		func(l netlab.Link) bool { return l.Flags&net.FlagRunning != 0 == running })
	s.must(err)
}

// lay makes the devices that the guest's lines end in. They stay when the guest
// has no power, without carrier.
func (s *Server) lay() {
	s.t.Helper()
	o := &s.options
	s.must(addTAP(o.Namespace, o.tap(), o.MTU))
	s.must(netlab.Connect(o.Namespace, o.Link, o.Namespace, o.farEnd()))
	for _, name := range []string{o.tap(), o.farEnd(), o.Link} {
		s.must(o.Namespace.SetMTU(name, o.MTU))
		s.must(o.Namespace.SetSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1")) // the kernel is silent on it
	}
	s.must(o.Namespace.SetUp(o.tap()))
	s.unplug()
	if o.Uplink == nil {
		return
	}
	s.must(netlab.Connect(o.Namespace, o.uplinkEnd(), o.Uplink, uplinkName))
	s.must(o.Namespace.SetSysctl("net/ipv6/conf/"+o.uplinkEnd()+"/disable_ipv6", "1"))
	s.must(cutSuperframes(o.Uplink, uplinkName))
	s.must(o.Uplink.AddAddress(uplinkName, netip.PrefixFrom(Internet, uplink.Bits())))
	for _, to := range []netip.Prefix{Customer, netip.PrefixFrom(Host, 128)} {
		s.must(o.Uplink.AddRoute(uplinkName, to, uplink.Addr()))
	}
}

// plug connects the guest, whose device is up, to the line.
func (s *Server) plug() {
	s.t.Helper()
	o := &s.options
	s.must(o.Namespace.SetUp(o.farEnd()))
	s.must(o.Namespace.AddBridge(s.t.Context(), o.bridge(), o.tap(), o.farEnd()))
}

// unplug takes the line's carrier.
func (s *Server) unplug() {
	s.t.Helper()
	s.must(s.options.Namespace.SetDown(s.options.farEnd()))
}

// lift takes the devices away.
func (s *Server) lift() {
	devices := []string{s.options.Link, s.options.tap(), s.options.bridge()}
	if s.options.Uplink != nil {
		devices = append(devices, s.options.uplinkEnd())
	}
	for _, name := range devices {
		if err := s.options.Namespace.DeleteLink(name); err != nil && !errors.Is(err, netlab.ErrNoLink) {
			s.t.Error(err)
		}
	}
}

// lines are the guest's ends, as its kernel wants them described.
func (s *Server) lines() []string {
	o := &s.options
	lines := []string{fmt.Sprintf("vec0:transport=tap,ifname=%s,mac=%s,depth=64,gro=0,mtu=%d", o.tap(), s.mac, o.MTU)}
	if o.Uplink != nil {
		// With an address of its own the guest would be another one after a power cut,
		// and the Internet would look for the old one for half a minute.
		lines = append(lines, fmt.Sprintf("vec1:transport=raw,mac=%s,depth=64,gro=0,ifname=%s", s.uplinkMAC, o.uplinkEnd()))
	}
	return lines
}

// addTAP makes a device as the guest's kernel opens it: frames have a virtio-net
// header.
func addTAP(ns *netlab.Namespace, name string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	err := ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR,
		})
	})
	if err != nil {
		return fmt.Errorf("add tap %s in %s: %w", name, ns.Name(), err)
	}
	return ns.SetMTU(name, mtu)
}

// cutSuperframes has the kernel send no frame longer than the MTU: the guest's
// buffers have no room for them.
func cutSuperframes(ns *netlab.Namespace, name string) error {
	err := ns.Do(func() error {
		dev, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetGSOMaxSegs(dev, 1)
	})
	if err != nil {
		return fmt.Errorf("limit %s in %s: %w", name, ns.Name(), err)
	}
	return nil
}

// impair has the guest spoil what it sends and, by way of another device, what it
// receives.
func (s *Server) impair() {
	s.t.Helper()
	i := s.options.Impair
	if s.silent {
		i = deaf
	}
	commands := []string{"{ tc qdisc delete dev vec0 root; tc qdisc delete dev vec0 ingress; ip link delete ifb0; } 2>/dev/null; true"}
	if i != (Impairment{}) {
		commands = append(commands,
			"ip link add ifb0 type ifb", "sysctl -qw net.ipv6.conf.ifb0.disable_ipv6=1", "ip link set ifb0 up",
			"tc qdisc add dev ifb0 root netem "+i.netem(),
			"tc qdisc add dev vec0 root netem "+i.netem(),
			"tc qdisc add dev vec0 ingress",
			"tc filter add dev vec0 ingress matchall action mirred egress redirect dev ifb0")
	}
	s.Run(strings.Join(commands, " && "))
}

// netem writes it for tc.
func (i Impairment) netem() string {
	return fmt.Sprintf("limit 10000 delay %dus %dus loss %g%%", i.Delay.Microseconds(), i.Jitter.Microseconds(), i.Loss)
}

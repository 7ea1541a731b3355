package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/netlab"
)

// vlanConfig puts VLANs onto the lan, and one into another.
const vlanConfig = `
  guests: {type: vlan, lower: lan, vlan: 7, addresses: [2001:db8:7::1/64, fe80::7/64]}
  trunk: {type: vlan, lower: lan, vlan: 9, protocol: 802.1ad}
  inner: {type: vlan, lower: trunk, vlan: 8, addresses: [2001:db8:98::1/64, fe80::98/64]}
`

// A tagged is a Linux host in a VLAN on the switch. The kernel has no 8021q here:
// tags come and go at its link, see netlab.TagLink.
type tagged struct {
	*netlab.Namespace
	iface  string // of the router
	router string
	addr   string
}

// plug puts a host with these tags on the switch.
func (l *lan) plug(t *testing.T, name, iface, router string, tags ...uint32) *tagged {
	t.Helper()
	h := &tagged{namespace(t, name), iface, router, strings.TrimSuffix(router, "1") + "a"}
	connect(t, h.Namespace, "eth0", l.sw, "to"+name)
	if err := h.TagLink("eth0", tags...); err != nil {
		t.Fatal(err)
	}
	ip(t, "-n sw link set to"+name+" master br0 up")
	address(t, h.Namespace, "eth0", h.addr+"/64")
	route(t, h.Namespace, "eth0", "::/0", router)
	return h
}

// plugBoth is a host in a VLAN, and one in a VLAN in another.
func (l *lan) plugBoth(t *testing.T) []*tagged {
	t.Helper()
	return []*tagged{
		l.plug(t, "c", "guests", "2001:db8:7::1", 0x8100_0007),
		l.plug(t, "d", "inner", "2001:db8:98::1", 0x88a8_0009, 0x8100_0008),
	}
}

func startVLANs(t *testing.T, kind string) *daemon {
	t.Helper()
	d := startLAN(t, kind+vlanConfig)
	d.awaitUp("inner", 0)
	d.awaitAddressOn(t, "guests", "2001:db8:7::1", "ready")
	d.awaitAddressOn(t, "inner", "2001:db8:98::1", "ready")
	return d
}

// Linux hosts in VLANs, one of them in a provider's, find the router and are found,
// beside hosts without tags on the same port. TCP passes, superframes and all.
func TestVLANs(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asPacket, "packet with queues": asQueues} {
		t.Run(name, func(t *testing.T) { vlans(t, kind) })
	}
}

func vlans(t *testing.T, kind string) {
	l := newLAN(t)
	hosts := l.plugBoth(t)
	d := startVLANs(t, kind)
	for _, h := range hosts {
		reaches(t, h.Namespace, redAddr)
		for _, to := range []string{h.router, redAddr, hostA} {
			ping(t, h.Namespace, to, "-c", "5", "-i", "0.01").want(t, 0, "5 received")
		}
		ping(t, l.red, h.addr, "-c", "5", "-i", "0.01").want(t, 0, "5 received")
		mtu := d.iface(h.iface).MTU
		ping(t, l.red, h.addr, "-s", fmt.Sprint(mtu-48), "-M", "do").want(t, 0, "1 received")
		if mtu < 1500 {
			ping(t, l.red, h.addr, "-s", "1452", "-M", "do").want(t, 1, fmt.Sprintf("mtu=%d", mtu))
		}
		if got := d.neighborOn(t, h.iface, h.addr); got.MAC != mac(t, h.Namespace, "eth0") {
			t.Errorf("%s = %+v, want it at %s", h.addr, got, mac(t, h.Namespace, "eth0"))
		}
		if out := must(t, h.Namespace, "ndisc6", "-q", "-r", "3", h.router, "eth0"); !strings.EqualFold(strings.TrimSpace(out), lanMAC) {
			t.Errorf("ndisc6 says %q, want %s", out, lanMAC)
		}
		tcpBothWays(t, h.Namespace, l.red)
	}
	d.lacksLoss(t)
}

// In VLANs too an address that a Linux host has is not the router's, and one that the
// router has is not a Linux host's.
//
// Proves:
//   - RFC 4862 §5.4.4 advertisement
//   - RFC 4862 §5.4.5 duplicate-not-assigned
func TestDuplicatesInVLANs(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	for _, h := range l.plugBoth(t) {
		address(t, h.Namespace, "eth0", h.router+"/64")
		settled(t, h.Namespace, h.router)
	}
	lay(t, asPacket)
	ip(t, "-n sw link set lan master br0")
	l.awaitForwarding(t)
	d := start(t, lanConfig+asPacket+vlanConfig)
	d.errors = append(d.errors, "address is somebody else's")
	for iface, addrs := range map[string][2]string{"guests": {"2001:db8:7::1", "fe80::7"}, "inner": {"2001:db8:98::1", "fe80::98"}} {
		d.awaitUp(iface, 0)
		d.awaitAddressOn(t, iface, addrs[0], "duplicate")
		d.awaitAddressOn(t, iface, addrs[1], "ready")
	}
	d.awaitAddress(t, lanRouter, "ready") // of another link
	for name, own := range map[string]string{"c": "fe80::7", "d": "fe80::98"} {
		ip(t, "-n "+name+" addr add "+own+"/64 dev eth0")
		eventually(t, name+" to give it up", func() error {
			if out := ip(t, "-n "+name+" -6 addr show dev eth0"); !strings.Contains(out, "dadfailed") {
				return errors.New(out)
			}
			return nil
		})
	}
}

// In VLANs too another MAC is found at once: that of a host that tells so, and the
// router's, which is that of the port below.
//
// Proves:
//   - RFC 4861 §7.2.5 na-override-address
//   - RFC 4861 §7.2.6 announce
func TestMACChangesInVLANs(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	hosts := l.plugBoth(t)
	d := startVLANs(t, asPacket)
	for _, h := range hosts {
		sysctl(t, h.Namespace, "net/ipv6/conf/eth0/ndisc_notify=1")
		reaches(t, l.red, h.addr)
		ip(t, "-n "+h.Name()+" link set eth0 address 02:00:00:00:aa:aa")
		reaches(t, l.red, h.addr)
		if n := d.neighborOn(t, h.iface, h.addr); n.MAC != "02:00:00:00:aa:aa" {
			t.Errorf("neighbor = %+v", n)
		}
		reaches(t, h.Namespace, redAddr)
	}
	ip(t, "link set lan address 02:00:00:00:bb:bb")
	for _, h := range hosts {
		eventually(t, "the host to know", func() error {
			out := must(t, h.Namespace, "ip", "-6", "neigh", "show", h.router)
			if !strings.Contains(out, "02:00:00:00:bb:bb") {
				return errors.New(out)
			}
			return nil
		})
		reaches(t, h.Namespace, redAddr)
	}
	d.lacksLoss(t)
}

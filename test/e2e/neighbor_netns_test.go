package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab"
)

// lanConfig is a router on a switch with Linux hosts, and with red behind it.
//
//	red ── [router] lan ══ sw: bridge ══ veth ── a, b
//
// MACs are 02:…:01 of the router, and what the kernel makes for hosts.
const lanConfig = `
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  lan: {addresses: [2001:db8:10::1/64, fe80::1/64], `

// The kinds of the router's port: a TAP with its other end in the switch, and a
// veth of the kernel's that leads there.
const (
	asTAP    = "type: tap, mac: 02:00:00:00:00:01, kernel: {netns: sw}}"
	asPacket = "type: packet}"
	asQueues = "type: packet, queues: 3}"
)

const (
	lanRouter = "2001:db8:10::1"
	hostA     = "2001:db8:10::a"
	hostB     = "2001:db8:10::b"
	lanMAC    = "02:00:00:00:00:01"
)

// A lan is the switch of lanConfig, and who is on it.
type lan struct {
	red, sw, a, b *netlab.Namespace
}

// newLAN builds all but the router's port of the switch.
func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{namespace(t, "red"), namespace(t, "sw"), namespace(t, "a"), namespace(t, "b")}
	ip(t, "-n sw link add br0 type bridge forward_delay 0")
	ip(t, "-n sw link set br0 up")
	for i, host := range []*netlab.Namespace{l.a, l.b} {
		port := "to" + host.Name()
		connect(t, host, "eth0", l.sw, port)
		ip(t, "-n sw link set "+port+" master br0 up")
		address(t, host, "eth0", []string{hostA, hostB}[i]+"/64")
		route(t, host, "eth0", "::/0", lanRouter)
	}
	return l
}

// lay makes what a port of that kind needs.
func lay(t *testing.T, kind string) {
	t.Helper()
	if strings.HasPrefix(kind, "type: packet") {
		ip(t, "link add lan address 02:00:00:00:00:01 up type veth peer name lan netns sw")
		ip(t, "-n sw link set lan up")
		t.Cleanup(func() { ip(t, "link del lan") })
	}
}

// awaitForwarding waits until the switch passes what comes from the router's port.
func (l *lan) awaitForwarding(t *testing.T) {
	t.Helper()
	eventually(t, "the port to forward", func() error {
		if out := must(t, l.sw, "bridge", "link", "show", "dev", "lan"); !strings.Contains(out, "state forwarding") {
			return errors.New(out)
		}
		return nil
	})
}

// startLAN starts the router, puts its port into the switch, and waits until its
// addresses are in use.
func startLAN(t *testing.T, kind string) *daemon {
	t.Helper()
	lay(t, kind)
	d := start(t, lanConfig+kind)
	ip(t, "-n sw link set lan master br0")
	d.await("interface up", func(x line) bool { return x.Iface == "lan" })
	for _, a := range []string{lanRouter, "fe80::1"} {
		d.awaitAddress(t, a, "ready")
	}
	return d
}

// lan is what the router knows of the lan.
func (d *daemon) lan(t *testing.T) control.Neighbors {
	t.Helper()
	return d.link(t, "lan")
}

// link is what the router knows of the link of an interface.
func (d *daemon) link(t *testing.T, iface string) control.Neighbors {
	t.Helper()
	all, err := d.Neighbors(t.Context())
	i := slices.IndexFunc(all, func(n control.Neighbors) bool { return n.Interface == iface })
	if err != nil || i < 0 {
		t.Fatalf("neighbors = %+v, %v", all, err)
	}
	return all[i]
}

// awaitAddress waits until an address of the router's on the lan is in a state.
func (d *daemon) awaitAddress(t *testing.T, addr, state string) {
	t.Helper()
	d.awaitAddressOn(t, "lan", addr, state)
}

func (d *daemon) awaitAddressOn(t *testing.T, iface, addr, state string) {
	t.Helper()
	eventually(t, addr+" to be "+state, func() error {
		all := d.link(t, iface).Addresses
		if !slices.Contains(all, control.Address{Address: netip.MustParseAddr(addr), State: state}) {
			return fmt.Errorf("addresses: %v", all)
		}
		return nil
	})
}

// neighbor is what the router knows of one on the lan.
func (d *daemon) neighbor(t *testing.T, addr string) control.Neighbor {
	t.Helper()
	return d.neighborOn(t, "lan", addr)
}

func (d *daemon) neighborOn(t *testing.T, iface, addr string) control.Neighbor {
	t.Helper()
	all := d.link(t, iface).Neighbors
	if i := slices.IndexFunc(all, func(n control.Neighbor) bool { return n.Address.String() == addr }); i >= 0 {
		return all[i]
	}
	return control.Neighbor{}
}

func mac(t *testing.T, n *netlab.Namespace, dev string) string {
	t.Helper()
	return strings.TrimSpace(must(t, n, "cat", "/sys/class/net/"+dev+"/address"))
}

// lacksLoss checks that the account balances and that the packet path has dropped
// nothing for reasons of neighbor discovery.
func (d *daemon) lacksLoss(t *testing.T) {
	t.Helper()
	drops, err := d.Drops(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range drops {
		if strings.HasPrefix(x.Reason, "neighbor_") && x.Packets > 0 {
			t.Errorf("%d packets dropped: %s", x.Packets, x.Reason)
		}
	}
	if c, err := d.Counters(t.Context()); err != nil || !c.Balanced {
		t.Errorf("account = %+v, %v", c, err)
	}
}

// Linux hosts on a switch find the router, and are found by it.
//
// Proves:
//   - RFC 4861 §7.2.4 answer
//   - RFC 4861 §7.2.2 resolve
//   - RFC 4861 §7.2.3 ns-learn
func TestNeighborsOnALAN(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asPacket} {
		t.Run(name, func(t *testing.T) { neighborsOnALAN(t, kind) })
	}
}

func neighborsOnALAN(t *testing.T, kind string) {
	l := newLAN(t)
	d := startLAN(t, kind)
	for _, c := range []struct {
		name string
		from *netlab.Namespace
		to   string
	}{
		{"a host pings the router", l.a, lanRouter},
		{"a host pings the router's link-local address", l.b, "fe80::1%eth0"},
		{"a host pings through the router", l.a, redAddr},
		{"from beyond the router a host is pinged", l.red, hostB},
		{"all routers", l.a, "ff02::2%eth0"},
		{"the anycast address", l.a, "2001:db8:10::"},
		{"a host pings another, without the router", l.a, hostB},
	} {
		t.Run(c.name, func(t *testing.T) {
			reaches(t, c.from, c.to)
			ping(t, c.from, c.to, "-c", "5", "-i", "0.01").want(t, 0, "5 received")
		})
	}
	for addr, n := range map[string]*netlab.Namespace{hostA: l.a, hostB: l.b} {
		if got := d.neighbor(t, addr); got.MAC != mac(t, n, "eth0") || got.Router {
			t.Errorf("%s = %+v, want it at %s", addr, got, mac(t, n, "eth0"))
		}
	}
	out := must(t, l.a, "ndisc6", "-q", "-r", "3", lanRouter, "eth0")
	if !strings.EqualFold(strings.TrimSpace(out), lanMAC) {
		t.Errorf("ndisc6 says %q, want %s", out, lanMAC)
	}
	d.cli("show neighbors lan").want(t, 0, hostA, mac(t, l.a, "eth0"), "own ready", "own anycast")
	d.cli("show neighbors red").want(t, 1, "no interface red with neighbors")
	d.lacksLoss(t)
}

// TCP passes between a port with frames and one without, superframes and all.
func TestIperfOverEthernet(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asPacket, "packet with queues": asQueues} {
		t.Run(name, func(t *testing.T) { iperfOverEthernet(t, kind) })
	}
}

func iperfOverEthernet(t *testing.T, kind string) {
	l := newLAN(t)
	d := startLAN(t, kind)
	reaches(t, l.a, redAddr)
	tcpBothWays(t, l.a, l.red)
	d.lacksLoss(t)
}

// tcpBothWays has TCP pass from a host to red, and back.
func tcpBothWays(t *testing.T, host, red *netlab.Namespace) {
	t.Helper()
	for _, reverse := range []string{"", "-R"} {
		s := server(t, red)
		args := append([]string{"iperf3", "-6", "-c", redAddr, "-t", "1", "-P", "4"}, strings.Fields(reverse)...)
		r := run(t, host, args...)
		r.want(t, 0, "iperf Done")
		for _, s := range lines(r.out) {
			if strings.HasSuffix(s, "receiver") && strings.Contains(s, "SUM") {
				t.Log(s)
			}
		}
		s.kill()
	}
}

// A host that gets another MAC, and tells so, is found there at once.
//
// Proves:
//   - RFC 4861 §7.2.5 na-override-address
func TestNeighborChangesItsMAC(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asTAP)
	sysctl(t, l.a, "net/ipv6/conf/eth0/ndisc_notify=1")
	reaches(t, l.red, hostA)
	ip(t, "-n a link set eth0 address 02:00:00:00:aa:aa")
	reaches(t, l.red, hostA)
	if n := d.neighbor(t, hostA); n.MAC != "02:00:00:00:aa:aa" {
		t.Errorf("neighbor = %+v", n)
	}
}

// A host that is not there is asked for, and who wanted to go there is told.
//
// Proves:
//   - RFC 4861 §7.2.2 resolution-fails
//   - RFC 4443 §3.1 address-unreachable
func TestNeighborThatIsNotThere(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asTAP)
	reaches(t, l.red, hostA)
	ping(t, l.red, "2001:db8:10::dead").want(t, 1, "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Address unreachable")
	if c, err := d.Counters(t.Context()); err != nil || !c.Balanced || c.Held != c.Released {
		t.Errorf("account = %+v, %v", c, err)
	}
}

// settled waits until an address of a host is in use.
func settled(t *testing.T, host *netlab.Namespace, addr string) {
	t.Helper()
	eventually(t, "the host's address", func() error {
		if out := must(t, host, "ip", "-6", "addr", "show", "dev", "eth0", "-tentative"); !strings.Contains(out, addr+"/") {
			return errors.New(out)
		}
		return nil
	})
}

// RFC 4862 §5.4.5: an address that a Linux host has is not the router's; the other
// one is.
//
// Proves:
//   - RFC 4862 §5.4.4 advertisement
//   - RFC 4862 §5.4.5 duplicate-not-assigned
//   - RFC 4862 §5.4.5 duplicate-logged
func TestDuplicateOfARouterAddress(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	address(t, l.b, "eth0", lanRouter+"/64")
	settled(t, l.b, lanRouter)
	// The switch has to have the router's port before the router asks.
	plugged := make(chan struct{})
	go func() {
		defer close(plugged)
		for exec.Command("ip", "-n", "sw", "link", "set", "lan", "master", "br0").Run() != nil {
			select {
			case <-t.Context().Done():
				return
			default:
			}
		}
	}()
	d := start(t, lanConfig+asTAP)
	<-plugged
	d.errors = append(d.errors, "address is somebody else's")
	d.awaitAddress(t, lanRouter, "duplicate")
	d.awaitAddress(t, "fe80::1", "ready")
	d.await("address is somebody else's", func(x line) bool { return x.Iface == "lan" })
	ping(t, l.a, lanRouter).want(t, 0, "1 received") // the host's
	d.cli("show neighbors").want(t, 0, "own duplicate")
}

// RFC 4862 §5.4.5: on a link where a Linux host has the router's MAC, and so the
// link-local address that is made of it, the router's interface is disabled. What is on
// a VLAN goes on. When the host has another MAC, and the carrier was away, all begins
// anew.
//
// Proves:
//   - RFC 4862 §5.4.5 disable-interface
func TestDuplicateOfTheRoutersMAC(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	const made = "fe80::ff:fe00:1"
	ip(t, "-n b link set eth0 down")
	ip(t, "-n b link set eth0 address "+lanMAC+" up")
	settled(t, l.b, made)
	lay(t, asPacket)
	ip(t, "-n sw link set lan master br0")
	l.awaitForwarding(t)
	config := strings.Replace(lanConfig, ", fe80::1/64", "", 1)
	d := start(t, config+asPacket+"\n  on: {type: vlan, lower: lan, vlan: 7, addresses: [2001:db8:7::1/64]}\n")
	d.errors = append(d.errors, "address is somebody else's", "interface disabled")
	x := d.await("interface disabled", func(x line) bool { return x.Iface == "lan" })
	if x.Peer != lanMAC {
		t.Errorf("peer = %s, want %s", x.Peer, lanMAC)
	}
	for _, show := range []string{"show interfaces", "show neighbors lan"} {
		d.cli(show).want(t, 0, "disabled: somebody else on the link has its hardware address")
	}
	if i := d.iface("lan"); i.State != "up" || !i.Disabled || d.iface("on").State != "up" {
		t.Errorf("interfaces = %+v, %+v", i, d.iface("on"))
	}
	ping(t, l.red, hostA).want(t, 1, "Destination unreachable: No route")
	ping(t, l.a, lanRouter).want(t, 1, "100% packet loss")
	d.cli("show drops").want(t, 0, "interface_disabled")

	ip(t, "-n b link set eth0 down")
	ip(t, "-n b link set eth0 address 02:00:00:00:bb:bb up")
	ip(t, "-n sw link set lan down")
	d.awaitState("lan", "down")
	ip(t, "-n sw link set lan up")
	d.await("interface enabled", func(x line) bool { return x.Iface == "lan" })
	d.awaitAddress(t, made, "ready")
	reaches(t, l.a, redAddr)
}

// A Linux host that wants an address of the router's does not get it.
//
// Proves:
//   - RFC 4861 §7.2.4 to-unspecified
func TestDuplicateOfTheRoutersAddress(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asTAP)
	reaches(t, l.a, lanRouter)
	ip(t, "-n b addr add "+lanRouter+"/64 dev eth0")
	eventually(t, "the host to give it up", func() error {
		if out := must(t, l.b, "ip", "-6", "addr", "show", "dev", "eth0"); !strings.Contains(out, "dadfailed") {
			return errors.New(out)
		}
		return nil
	})
	ping(t, l.a, lanRouter).want(t, 0, "1 received")
	d.awaitAddress(t, lanRouter, "ready")
}

// A switch that looks into MLD passes the router what goes to its groups, because
// the router has told it, and answers its queries.
//
// Proves:
//   - RFC 4861 §7.2.1 join-groups
//   - RFC 4861 §7.2.1 join-by-mld
func TestMLDSnoopingSwitch(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	ip(t, "-n sw link set br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_startup_query_interval 100 mcast_query_interval 200 mcast_query_response_interval 100")
	address(t, l.sw, "br0", "fe80::5/64") // a querier has one
	d := startLAN(t, asTAP)
	want := []string{"ff02::2", "ff02::1:ff00:1", "ff02::1:ff00:0", "ff05::2"}
	eventually(t, "the switch to know the router's groups", func() error {
		out := must(t, l.sw, "bridge", "mdb", "show", "dev", "br0")
		for _, g := range want {
			if !slices.ContainsFunc(lines(out), func(s string) bool { return strings.Contains(s, "port lan grp "+g+" ") }) {
				return fmt.Errorf("%s is missing:\n%s", g, out)
			}
		}
		return nil
	})
	reaches(t, l.a, lanRouter)
	must(t, l.a, "ip", "-6", "neigh", "flush", "dev", "eth0")
	ping(t, l.a, lanRouter).want(t, 0, "1 received")
	d.lacksLoss(t)
}

// Another MAC of the router's is told to hosts, who follow at once.
func TestRouterChangesItsMAC(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asPacket)
	reaches(t, l.a, redAddr)
	ip(t, "link set lan address 02:00:00:00:bb:bb")
	d.await("interface mac changed", func(x line) bool { return x.Iface == "lan" })
	eventually(t, "the host to know", func() error {
		out := must(t, l.a, "ip", "-6", "neigh", "show", lanRouter)
		if !strings.Contains(out, "02:00:00:00:bb:bb") {
			return errors.New(out)
		}
		return nil
	})
	reaches(t, l.a, redAddr)
	d.lacksLoss(t)
}

// Linux hosts follow the router's redirects: to a Linux router on their link, and to a
// host there that they do not know to be one.
//
// Proves:
//   - RFC 4861 §8.2 redirect
//   - RFC 4861 §8.2 redirect-target-router
//   - RFC 4861 §8.2 redirect-target-host
func TestHostsFollowRedirects(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	const routerR, behindR = "fe80::ff:fe00:c", "2001:db8:77::1"
	r := namespace(t, "r")
	connect(t, r, "eth0", l.sw, "tor")
	ip(t, "-n sw link set tor master br0 up")
	sysctl(t, r, "net/ipv6/conf/all/forwarding=1")
	ip(t, "-n r link set eth0 down")
	ip(t, "-n r link set eth0 address 02:00:00:00:00:0c up")
	settled(t, r, routerR)
	address(t, r, "eth0", "2001:db8:10::c/64")
	address(t, r, "lo", behindR+"/128")
	lay(t, asPacket)
	ip(t, "-n sw link set lan master br0")
	d := start(t, lanConfig+asPacket+"\nroutes:\n  - {prefix: 2001:db8:77::/48, via: "+routerR+", dev: lan}\n")
	d.awaitUp("lan", 0)
	d.awaitAddress(t, "fe80::1", "ready")
	d.awaitAddress(t, lanRouter, "ready")

	// A host that knows of no prefix on its link sends all to the router.
	ip(t, "-n a addr flush dev eth0 scope global")
	address(t, l.a, "eth0", hostA+"/128")
	ip(t, "-n a -6 route replace ::/0 via fe80::1 dev eth0")
	for to, want := range map[string]string{behindR: "via " + routerR, hostB: "from"} {
		if out := ip(t, "-n a -6 route get "+to); !strings.Contains(out, "via fe80::1 ") {
			t.Fatalf("it goes %s, want by the router", out)
		}
		reaches(t, l.a, to)
		eventually(t, "the host to follow", func() error {
			run(t, l.a, "ping", "-n", "-c", "1", "-W", "1", to)
			out := ip(t, "-n a -6 route get "+to)
			if strings.Contains(out, "via fe80::1 ") || !strings.Contains(out, want) {
				return errors.New(out)
			}
			return nil
		})
	}
	d.lacksLoss(t)
}

// Containers on macvlans of one link are neighbors of a router on another.
func TestMacvlanContainers(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, asPacket)
	for i, name := range []string{"c1", "c2"} {
		c := namespace(t, name)
		ip(t, "-n b link add "+name+" link eth0 type macvlan mode bridge")
		ip(t, "-n b link set "+name+" netns "+name)
		ip(t, "-n "+name+" link set "+name+" up")
		addr := fmt.Sprintf("2001:db8:10::c%d", i+1)
		address(t, c, name, addr+"/64")
		route(t, c, name, "::/0", lanRouter)
		reaches(t, c, redAddr)
		reaches(t, l.red, addr)
		if n := d.neighbor(t, addr); n.MAC != mac(t, c, name) {
			t.Errorf("%s = %+v, want it at %s", addr, n, mac(t, c, name))
		}
	}
	d.lacksLoss(t)
}

// An interface that is deleted while packets wait for a neighbor ends at once, and
// says how many.
func TestDetachWithHeldPackets(t *testing.T) {
	privileged(t)
	for name, kind := range map[string]string{"tap": asTAP, "packet": asPacket} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			d := startLAN(t, kind)
			reaches(t, l.red, hostA)
			const n = 5
			for i := range n {
				if err := netlab.SendRaw(l.red, "red", lab.UDP(redAddr, "2001:db8:10::dead", uint16(i+1), 9, nil)); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the packets to be held", func() error {
				if got := d.neighbor(t, "2001:db8:10::dead"); got.Held != n {
					return fmt.Errorf("neighbor = %+v", got)
				}
				return nil
			})
			ledger, err := d.DeleteInterface(t.Context(), "lan")
			if err != nil || ledger.Result != "clean" || ledger.Purged != n || ledger.TotalSeconds > 1 {
				t.Errorf("ledger = %+v, %v", ledger, err)
			}
			if c, err := d.Counters(t.Context()); err != nil || !c.Balanced || c.Held != c.Released {
				t.Errorf("account = %+v, %v", c, err)
			}
		})
	}
}

// Interfaces come and go while packets to absent and to real neighbors are on their
// way, held and released.
func TestChurnDuringResolution(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := start(t, "interfaces:\n  red: {addresses: [2001:db8:1::1/64], kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ['::/0']}}\n")
	j, err := netlab.OpenInjector(l.red, "red")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var attacker sync.WaitGroup
	attacker.Go(func() {
		launchAttack(t, j, attack{packet: func(n uint64) []byte {
			to := hostA
			if n%2 == 0 {
				to = fmt.Sprintf("2001:db8:10::f:%x", n%500)
			}
			return lab.UDP(redAddr, to, 1, 9, nil)
		}}, done)
	})
	for range 20 {
		err := d.AddInterface(t.Context(), "lan", map[string]any{
			"type": "tap", "mac": lanMAC, "dad-transmits": 0,
			"addresses": []string{lanRouter + "/64", "fe80::1/64"}, "kernel": map[string]any{"netns": "sw"},
		})
		if err != nil {
			t.Fatal(err)
		}
		ip(t, "-n sw link set lan master br0")
		eventually(t, "packets to be held", func() error {
			if n := d.lan(t); n.Solicited == 0 {
				return errors.New("none yet")
			}
			return nil
		})
		if ledger, err := d.DeleteInterface(t.Context(), "lan"); err != nil || ledger.Result != "clean" {
			t.Fatalf("ledger = %+v, %v", ledger, err)
		}
	}
	close(done)
	attacker.Wait()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if c, err := d.Counters(t.Context()); err != nil || !c.Balanced || c.Held != c.Released || c.Held == 0 {
		t.Errorf("account = %+v, %v", c, err)
	}
	if e, err := d.Epoch(t.Context()); err != nil || e.LookupDeadTotal != 0 {
		t.Errorf("epoch = %+v, %v", e, err)
	}
}

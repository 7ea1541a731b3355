package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/control"
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
  lan:
    type: tap
    mac: 02:00:00:00:00:01
    addresses: [2001:db8:10::1/64, fe80::1/64]
    kernel: {netns: sw}
`

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

// plug puts the router's port into the switch.
func (l *lan) plug(t *testing.T) { t.Helper(); ip(t, "-n sw link set lan master br0") }

// startLAN starts the router, and waits until its addresses are in use.
func startLAN(t *testing.T, l *lan) *daemon {
	t.Helper()
	d := start(t, lanConfig)
	l.plug(t)
	for _, a := range []string{lanRouter, "fe80::1"} {
		d.awaitAddress(t, a, "ready")
	}
	return d
}

// lanOf is what the router knows of the lan.
func (d *daemon) lan(t *testing.T) control.Neighbors {
	t.Helper()
	all, err := d.Neighbors(t.Context())
	if err != nil || len(all) != 1 || all[0].Interface != "lan" {
		t.Fatalf("neighbors = %+v, %v", all, err)
	}
	return all[0]
}

// awaitAddress waits until an address of the router's is in a state.
func (d *daemon) awaitAddress(t *testing.T, addr, state string) {
	t.Helper()
	eventually(t, addr+" to be "+state, func() error {
		all := d.lan(t).Addresses
		if !slices.Contains(all, control.Address{Address: netip.MustParseAddr(addr), State: state}) {
			return fmt.Errorf("addresses: %v", all)
		}
		return nil
	})
}

// neighbor is what the router knows of one.
func (d *daemon) neighbor(t *testing.T, addr string) control.Neighbor {
	t.Helper()
	all := d.lan(t).Neighbors
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
	l := newLAN(t)
	d := startLAN(t, l)
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
func TestIperfOverTAP(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, l)
	reaches(t, l.a, redAddr)
	for _, reverse := range []string{"", "-R"} {
		s := server(t, l.red)
		args := append([]string{"iperf3", "-6", "-c", redAddr, "-t", "2"}, strings.Fields(reverse)...)
		run(t, l.a, args...).want(t, 0, "iperf Done")
		s.kill()
	}
	d.lacksLoss(t)
}

// A host that gets another MAC, and tells so, is found there at once.
//
// Proves:
//   - RFC 4861 §7.2.5 na-override-address
func TestNeighborChangesItsMAC(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, l)
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
	d := startLAN(t, l)
	reaches(t, l.red, hostA)
	ping(t, l.red, "2001:db8:10::dead").want(t, 1, "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Address unreachable")
	if c, err := d.Counters(t.Context()); err != nil || !c.Balanced || c.Held != c.Released {
		t.Errorf("account = %+v, %v", c, err)
	}
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
	eventually(t, "the host's address", func() error {
		if out := must(t, l.b, "ip", "-6", "addr", "show", "dev", "eth0"); strings.Contains(out, "tentative") {
			return errors.New(out)
		}
		return nil
	})
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
	d := start(t, lanConfig)
	<-plugged
	d.errors = append(d.errors, "address is somebody else's")
	d.awaitAddress(t, lanRouter, "duplicate")
	d.awaitAddress(t, "fe80::1", "ready")
	d.await("address is somebody else's", func(x line) bool { return x.Iface == "lan" })
	ping(t, l.a, lanRouter).want(t, 0, "1 received") // the host's
	d.cli("show neighbors").want(t, 0, "own duplicate")
}

// A Linux host that wants an address of the router's does not get it.
//
// Proves:
//   - RFC 4861 §7.2.4 to-unspecified
func TestDuplicateOfTheRoutersAddress(t *testing.T) {
	privileged(t)
	l := newLAN(t)
	d := startLAN(t, l)
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
	d := startLAN(t, l)
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

//go:build bench

package forward

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// A contestant is one who can carry packets from src to dst.
type contestant struct {
	name  string
	open  func(t testing.TB, s *scene, c *contestant)
	ways  int // interfaces that lead to dst
	table int // routes

	// Of one that is there for a comparison.
	loads  []string // that it runs, instead of all
	versus string   // the other one
	called string   // the comparison
}

func (c *contestant) extra() bool { return c.versus != "" }

var contestants = []*contestant{
	{name: "kernel", open: openKernel, ways: 1},
	{name: "plain", open: openRelay, ways: 1},
	{name: "engine", open: openRelay, ways: 1},
	{name: "wireguard", open: openRelay, ways: 1},
	{name: "gvisor", open: openRelay, ways: 1},
	{name: "router6d", open: openDaemon, ways: 1, table: 10},
	{
		name: "router6d_full", open: openDaemon, ways: 1, table: fullTable,
		loads: []string{"tcp1", "udp1200", "pps64table"}, versus: ours, called: "full_vs_10",
	},
	{
		name: "router6d_64if", open: openDaemon, ways: 63, table: 10,
		loads: []string{"tcp1", "tcp4", "pps64ways"}, versus: ours, called: "64if_vs_2",
	},
	{name: "router6d_tap", open: openTAP, ways: 1, loads: perPort, versus: ours, called: "tap_vs_tun"},
	{name: "router6d_packet", open: openPacket, ways: 1, loads: perPort, versus: "kernel", called: "packet_vs_kernel"},
	{name: "router6d_pppoe", open: openPPPoE, ways: 1, loads: perPort, versus: "router6d_packet", called: "pppoe_vs_packet"},
}

// perPort is what kinds of ports are compared in.
var perPort = []string{"tcp1", "tcp4", "udp1200", "pps64", "latency"}

const fullTable = 160_147

// openKernel forwards between two veth pairs, in a namespace of its own.
func openKernel(t testing.TB, s *scene, c *contestant) {
	router := s.connect(t, c.name)
	check(t, router.SetSysctl("net/ipv6/conf/all/forwarding", "1"))
	check(t, router.AddAddress("in", netip.PrefixFrom(routerSrc, 64)))
	check(t, router.AddAddress("out0", netip.PrefixFrom(routerDst, 64)))
	check(t, router.AddRoute("out0", everything, hostDst))
	s.furnish(t, routerSrc)
	s.address(t, macOf(t, router, "in"))
}

// connect lays veth pairs from both hosts to a router of that name.
func (s *scene) connect(t testing.TB, name string) (router *netlab.Namespace) {
	t.Helper()
	router = namespace(t, name)
	s.in, s.out = "veth0", []string{"veth1"}
	check(t, netlab.Connect(s.src, s.in, router, "in"))
	check(t, netlab.Connect(router, "out0", s.dst, s.out[0]))
	return router
}

// address notes what the generator puts in front: an Ethernet header.
func (s *scene) address(t testing.TB, router net.HardwareAddr) {
	t.Helper()
	s.linkHeader = append(append(append(s.linkHeader, router...), macOf(t, s.src, s.in)...), 0x86, 0xdd)
}

func macOf(t testing.TB, ns *netlab.Namespace, dev string) net.HardwareAddr {
	t.Helper()
	l, err := ns.Link(dev)
	check(t, err)
	return l.Address
}

// openRelay gives a relay's devices to the hosts.
func openRelay(t testing.TB, s *scene, c *contestant) {
	self := own(t)
	s.pid = startRelay(t, self, c.name)
	s.in, s.out = relayDevice(c.name, 0), []string{relayDevice(c.name, 1)}
	check(t, self.MoveLink(s.in, s.src))
	check(t, self.MoveLink(s.out[0], s.dst))
	s.furnish(t, netip.Addr{})
}

// startRelay starts this binary again, as the relay of that name.
func startRelay(t testing.TB, in *netlab.Namespace, name string) (pid int) {
	t.Helper()
	cmd := command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRelay+"="+name)
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe() // a relay lives as long as this is open
	check(t, err)
	ready, err := cmd.StdoutPipe()
	check(t, err)
	start(t, in, cmd)
	t.Cleanup(func() { _ = hold.Close() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%s did not start: %v", name, err)
	}
	return cmd.Process.Pid
}

// cpu is the CPU time that a process has used, of threads that have ended too.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	const sched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var ts unix.Timespec
	check(t, unix.ClockGettime(int32(^pid<<3|sched), &ts))
	return time.Duration(ts.Nano())
}

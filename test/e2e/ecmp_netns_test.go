package e2e

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

const ecmpConfig = `
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  a:
    addresses: [2001:db8:a::1/64]
    kernel: {netns: a, addresses: [2001:db8:a::2/64], routes: ["::/0"]}
  b:
    addresses: [2001:db8:b::1/64]
    kernel: {netns: b, addresses: [2001:db8:b::2/64], routes: ["::/0"]}
  c:
    addresses: [2001:db8:c::1/64]
    kernel: {netns: c, addresses: [2001:db8:c::2/64], routes: ["::/0"]}
routes:
  - prefix: 2001:db8:e::/48
    paths: [{dev: a}, {dev: b}, {dev: c}]
`

const (
	everywhere   = "2001:db8:e::1" // on lo of a, b and c
	flowCount    = 96              // that is, source ports
	packetsAFlow = 3
)

// sightings are where the packets of each flow arrived.
type sightings struct {
	mu    sync.Mutex
	by    map[int]map[string]int // source port, namespace
	total int
}

func (s *sightings) add(port int, ns string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[port] == nil {
		s.by[port] = map[string]int{}
	}
	s.by[port][ns]++
	s.total++
}

// take returns the way of each flow once want packets have arrived.
func (s *sightings) take(t *testing.T, want int) map[int]string {
	t.Helper()
	eventually(t, "wait for packets", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.total != want {
			return fmt.Errorf("%d of %d packets have arrived", s.total, want)
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	ways := map[int]string{}
	for port, by := range s.by {
		if len(by) != 1 {
			t.Errorf("flow %d arrived at %v, want one place", port, by)
		}
		for ns := range by {
			ways[port] = ns
		}
	}
	s.by, s.total = map[int]map[string]int{}, 0
	return ways
}

// listen notes what arrives in a namespace.
func (s *sightings) listen(t *testing.T, n *netlab.Namespace) {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(func() (err error) {
		c, err = net.ListenUDP("udp6", &net.UDPAddr{Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	growBuffer(t, c)
	var done sync.WaitGroup
	t.Cleanup(func() { _ = c.Close(); done.Wait() })
	done.Go(func() {
		for {
			var b [16]byte
			_, from, err := c.ReadFromUDPAddrPort(b[:])
			if err != nil {
				return // closed
			}
			s.add(int(from.Port()), n.Name())
		}
	})
}

// growBuffer makes room for all that a test sends at once.
func growBuffer(t *testing.T, c *net.UDPConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dialFlows opens a socket for each flow. The kernel gives each a flow label,
// which stays the same for as long as the socket is open.
func dialFlows(t *testing.T, n *netlab.Namespace) (flows []*net.UDPConn) {
	t.Helper()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(everywhere), 9))
	err := n.Do(func() error {
		for port := range flowCount {
			c, err := net.DialUDP("udp6", &net.UDPAddr{Port: 20_000 + port}, to)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = c.Close() })
			flows = append(flows, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return flows
}

// sendFlows sends some packets of each flow.
func sendFlows(t *testing.T, flows []*net.UDPConn) {
	t.Helper()
	for _, c := range flows {
		for range packetsAFlow {
			if _, err := c.Write([]byte("here")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestECMP(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	s := &sightings{by: map[int]map[string]int{}}
	for _, name := range []string{"a", "b", "c"} {
		n := namespace(t, name)
		address(t, n, "lo", everywhere+"/128")
		s.listen(t, n)
	}
	d := start(t, ecmpConfig)
	for _, way := range []string{"a", "b", "c"} {
		reaches(t, red, "2001:db8:"+way+"::2")
	}
	flows := dialFlows(t, red)

	sendFlows(t, flows)
	before := s.take(t, flowCount*packetsAFlow)
	count := map[string]int{}
	for _, way := range before {
		count[way]++
	}
	// 96 fair dice leave no way with less than 10 in a lifetime.
	for _, way := range []string{"a", "b", "c"} {
		if count[way] < 10 {
			t.Errorf("flows by way = %v, want them spread", count)
		}
	}

	sendFlows(t, flows)
	if again := s.take(t, flowCount*packetsAFlow); !maps.Equal(again, before) {
		t.Error("flows moved for no reason")
	}

	d.do("interface del b")
	sendFlows(t, flows)
	without := s.take(t, flowCount*packetsAFlow)
	moved := map[string]int{}
	for port, way := range before {
		switch {
		case way != "b" && without[port] != way:
			t.Errorf("flow %d was by %s, is by %s, and only b has gone", port, way, without[port])
		case way == "b":
			moved[without[port]]++
		}
	}
	if moved["a"] == 0 || moved["c"] == 0 || moved["b"] != 0 {
		t.Errorf("flows of b = %v, want them on a and c", moved)
	}

	d.do("interface add b --address 2001:db8:b::1/64 --netns b --kernel-address 2001:db8:b::2/64 --kernel-route ::/0")
	sendFlows(t, flows)
	for port, way := range s.take(t, flowCount*packetsAFlow) {
		if way != without[port] && way != "b" {
			t.Errorf("flow %d was by %s, is by %s, and only b has come", port, without[port], way)
		}
	}
}

// TestECMPByFlowLabel sends flows that differ in their label alone, RFC 6438, and
// in their source alone, as lookup --from shows them.
func TestECMPByFlowLabel(t *testing.T) {
	privileged(t)
	n := namespace(t, "wire")
	sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
	d := start(t, `
interfaces:
  red: {addresses: [2001:db8:1::1/64], kernel: {netns: wire}}
  a: {kernel: {netns: wire}}
  b: {kernel: {netns: wire}}
routes:
  - {prefix: 2001:db8:e::/48, paths: [{dev: a}, {dev: b}]}
`)
	w := startWire(t, "red", "a", "b")
	answers, sent := w.send(`[IPv6(`+from+`, dst="2001:db8:e::1", fl=n)/UDP(sport=9, dport=9) for n in range(1, 65)]`, 3)
	by := map[string]int{}
	for _, a := range answers {
		by[a.Dev]++
	}
	if by["a"] < 3*10 || by["b"] < 3*10 || by["a"]+by["b"] != sent || by["a"]%3 != 0 {
		t.Errorf("packets of 64 labels = %v, want them spread, and the 3 of each together", by)
	}
	for i := range 16 {
		source := fmt.Sprintf("2001:db8:1::%x", 0x100+i)
		want := ask[control.Lookup](d, "lookup 2001:db8:e::1 --from "+source)
		got, _ := w.send(`IPv6(src="`+source+`", dst="2001:db8:e::1", nh=59)`, 1)
		if len(got) != 1 || got[0].Dev != want.Interface {
			t.Errorf("a packet from %s came out as %+v, lookup says %s", source, got, want.Interface)
		}
	}
}

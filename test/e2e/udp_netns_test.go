package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// inBandUDP offers what there is over UDP, echo at two of the router's addresses only.
const inBandUDP = `
services:
  echo: {interfaces: [red], addresses: [2001:db8:1::1, 2001:db8:1::11], protocols: [udp]}
  discard: {interfaces: [red], protocols: [tcp, udp]}
interfaces:
  red:
    type: TYPE
    addresses: [2001:db8:1::1/64, 2001:db8:1::11/64, 2001:db8:1::12/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  blue:
    addresses: [2001:db8:2::1/64]
    kernel: {netns: blue, addresses: [2001:db8:2::2/64], routes: ["::/0"]}
`

// The router's own UDP serves the kernel's, on links with frames and without.
func TestServicesUDP(t *testing.T) {
	privileged(t)
	for _, kind := range []string{"tun", "tap"} {
		t.Run(kind, func(t *testing.T) {
			red, blue := namespace(t, "red"), namespace(t, "blue")
			d := start(t, strings.ReplaceAll(inBandUDP, "TYPE", kind))
			reaches(t, red, inBandAddr)
			reaches(t, blue, inBandAddr)
			t.Run("datagrams of any size come back as they went, from where they went", func(t *testing.T) {
				for _, to := range []string{inBandAddr, "2001:db8:1::11"} {
					c := dialUDP(t, red, to, 7) // takes no other's
					for _, size := range []int{0, 1, 1232, 1452, 1453, 9000, 60_000, 65_527} {
						if err := echoedOnce(c, size); err != nil {
							t.Errorf("%d bytes to %s: %v", size, to, err)
						}
					}
				}
			})
			t.Run("who is not served is told that nobody listens", func(t *testing.T) {
				for _, c := range []struct {
					from *netlab.Namespace
					to   string
					port int
				}{{blue, inBandAddr, 7}, {red, "2001:db8:1::12", 7}, {red, inBandAddr, 8}, {red, inBandAddr, 19}} {
					if err := echoedOnce(dialUDP(t, c.from, c.to, c.port), 100); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("to %s port %d: %v, want refused", c.to, c.port, err)
					}
				}
			})
			if kind == "tap" {
				return // what is left takes seconds, and is the same
			}
			t.Run("a scan finds what listens", func(t *testing.T) {
				r := run(t, red, "nmap", "-6", "-n", "-Pn", "-sU", "-T5", "--max-retries", "1", "--host-timeout", "20s", "-p", "7-9,19", inBandAddr)
				out := strings.Join(strings.Fields(r.out), " ")
				for _, line := range []string{"7/udp open ", "8/udp closed ", "9/udp open|filtered ", "19/udp closed "} {
					if !strings.Contains(out, line) {
						t.Errorf("no %q in\n%s", line, r.out)
					}
				}
			})
			t.Run("the interface ends and returns under it", func(t *testing.T) {
				stop, flooded := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(flooded)
					flood(red, 7, 4000, stop)
				}()
				id := d.awaitUp("red", 0).ID
				for range 3 {
					d.do("interface del red")
					d.do("interface add red --type tun --address 2001:db8:1::1/64 --netns red --kernel-address 2001:db8:1::2/64 --kernel-route ::/0")
					id = d.awaitUp("red", id).ID
				}
				close(stop)
				<-flooded
				reaches(t, red, inBandAddr)
				if err := echoedOnce(dialUDP(t, red, inBandAddr, 7), 9000); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A flood of datagrams is taken as far as its source may, and leaves nothing behind.
func TestServicesUDPFlood(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	namespace(t, "blue")
	d := start(t, strings.ReplaceAll(inBandUDP, "TYPE", "tun"))
	reaches(t, red, inBandAddr)
	before := d.memory()
	stop, sent := make(chan struct{}), make(chan int)
	go func() { sent <- flood(red, 9, 1000, stop) }()
	const enough = 100_000
	eventually(t, "see datagrams refused", func() error {
		if drops := d.drops(); drops["local_limited"] < enough {
			return fmt.Errorf("drops: %v", drops)
		}
		return nil
	})
	close(stop)
	drops := d.drops()
	t.Logf("%d sent, %d over the limit, %d too many at once; %d KiB before, %d after", <-sent, drops["local_limited"], drops["local_full"], before, d.memory())
	if grown := d.memory() - before; grown > 64<<10 {
		t.Errorf("the router has grown by %d KiB", grown)
	}
	eventually(t, "be served again", func() error { return echoedOnce(dialUDP(t, red, inBandAddr, 7), 100) })
}

// A path that is narrower than the router's own link is learnt from the kernel's
// Packet Too Big in between: one reply is lost, and the next is there, in fragments.
//
//	router ── red: the kernel forwards ══ 1280 ══ host: green
func TestServicesUDPOverNarrowPath(t *testing.T) {
	privileged(t)
	red, green := namespace(t, "red"), namespace(t, "green")
	namespace(t, "blue")
	sysctl(t, red, "net/ipv6/conf/all/forwarding=1")
	newBadLink(t, red, green) // not bad: never told
	must(t, red, "ip", "link", "set", "bad", "mtu", "1280", "up")
	must(t, green, "ip", "link", "set", "host", "up")
	route(t, red, "bad", "2001:db8:9::/64", "")
	address(t, green, "host", "2001:db8:9::2/64")
	route(t, green, "host", "::/0", "")
	d := start(t, strings.ReplaceAll(inBandUDP, "TYPE", "tun")+"routes:\n  - {prefix: 2001:db8:9::/64, dev: red}\n")
	d.kept = []string{"bad", "host"}
	reaches(t, green, inBandAddr)
	c := dialUDP(t, green, inBandAddr, 7)
	told := snmp(t, red, "Icmp6OutPktTooBigs")
	if _, err := c.Write(make([]byte, 1452)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "see the reply refused", func() error {
		if snmp(t, red, "Icmp6OutPktTooBigs") == told {
			return errors.New("none was too big")
		}
		return nil
	})
	eventually(t, "get a reply in fragments", func() error {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		return echoedOnce(c, 1452)
	})
	if n := snmp(t, green, "Ip6ReasmOKs"); n == 0 {
		t.Error("nothing came in fragments")
	}
	for _, size := range []int{1232, 1233, 9000, 60_000} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if err := echoedOnce(c, size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if n := snmp(t, red, "Icmp6OutPktTooBigs"); n != told+1 {
		t.Errorf("%d replies were too big, want 1", n-told)
	}
}

// dialUDP connects a socket from a namespace. What is too long for its link leaves in
// fragments.
func dialUDP(t *testing.T, n *netlab.Namespace, to string, port int) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := n.Do(func() (err error) {
		c, err = net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.ParseIP(to), Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// echoedOnce sends one datagram of size bytes, and wants it back.
func echoedOnce(c *net.UDPConn, size int) error {
	want := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(want) // never fails
	if _, err := c.Write(want); err != nil {
		return err
	}
	got := make([]byte, 1<<16)
	n, err := c.Read(got)
	if err != nil {
		return err
	}
	if !bytes.Equal(got[:n], want) {
		return fmt.Errorf("%d bytes came back that are not what was sent", n)
	}
	return nil
}

// flood sends datagrams until it is told to stop, and says how many.
func flood(from *netlab.Namespace, port, size int, stop <-chan struct{}) (sent int) {
	b := make([]byte, size)
	for {
		var c *net.UDPConn
		err := from.Do(func() (err error) {
			c, err = net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.ParseIP(inBandAddr), Port: port})
			return err
		})
		for err == nil {
			select {
			case <-stop:
				_ = c.Close()
				return sent
			default:
			}
			if _, err = c.Write(b); err == nil {
				sent++
			}
		}
		if c != nil {
			_ = c.Close() // there is no way: another one may find it
		}
		select {
		case <-stop:
			return sent
		case <-time.After(time.Millisecond):
		}
	}
}

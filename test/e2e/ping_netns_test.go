package e2e

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// refusals are the routes about which ping has something to say.
const refusals = standard + `
routes:
  - {prefix: 2001:db8:f000::/48, refuse: unreachable}
  - {prefix: 2001:db8:f001::/48, refuse: prohibit}
  - {prefix: 2001:db8:f002::/48, refuse: blackhole}
`

// Proves:
//   - RFC 4443 §4.2 responder
//   - RFC 4443 §4.2 reply-source
//   - RFC 4443 §4.2 reply-to-group
//   - RFC 4443 §4.2 reply-to-group-source
func TestPing(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, refusals)
	reaches(t, red, blueAddr)
	for _, c := range []struct {
		name, to, from string
	}{
		{"through the router", blueAddr, blueAddr},
		{"the router's address on the link", "2001:db8:1::1", "2001:db8:1::1"},
		{"the router's address on another link", "2001:db8:2::1", "2001:db8:2::1"},
		{"the anycast address of routers on the link", "2001:db8:1::", "2001:db8:1::1"},
		{"the anycast address of routers on another link", "2001:db8:2::", "2001:db8:"},
		{"all nodes on the link", "ff02::1%red", "fe80::"},
		{"all routers on the link", "ff02::2%red", "fe80::"},
		{"the link-local address", linkLocal(t, d, "red") + "%red", linkLocal(t, d, "red")},
	} {
		t.Run(c.name, func(t *testing.T) {
			ping(t, red, c.to).want(t, 0, "64 bytes from "+c.from, "1 received")
		})
	}
}

func linkLocal(t *testing.T, d *daemon, iface string) string {
	t.Helper()
	for _, a := range d.iface(iface).Addresses {
		if a.Addr().IsLinkLocalUnicast() {
			return a.Addr().String()
		}
	}
	t.Fatalf("%s has no link-local address", iface)
	return ""
}

// TestPingSaysWhatItSaysOfTheKernel pings through the router, and through a
// kernel that stands where the router does and has the same routes.
func TestPingSaysWhatItSaysOfTheKernel(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	start(t, refusals)
	oracle := kernelRouter(t)
	reaches(t, red, blueAddr)
	reaches(t, oracle, blueAddr)
	for _, c := range []struct {
		name, to, says string
		options        []string
	}{
		{"a host", blueAddr, "ttl=63", nil},
		{"the router", "2001:db8:1::1", "ttl=64", nil},
		{"the other end of the router", "2001:db8:2::1", "ttl=64", nil},
		{"anycast on the link", "2001:db8:1::", "64 bytes from 2001:db8:1::1", nil},
		{"hop limit 1", blueAddr, "From 2001:db8:1::1 icmp_seq=1 Time exceeded: Hop limit", []string{"-t", "1"}},
		{"hop limit 1 to the router", "2001:db8:1::1", "ttl=64", []string{"-t", "1"}},
		{"no route", "2001:db8:ffff::1", "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: No route", nil},
		{"unreachable route", "2001:db8:f000::1", "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: No route", nil},
		{"prohibit route", "2001:db8:f001::1", "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: Administratively prohibited", nil},
		{"blackhole route", "2001:db8:f002::1", "0 received", []string{"-W", "1"}},
		{"the router, in fragments", "2001:db8:1::1", "60008 bytes from", []string{"-s", "60000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := ping(t, red, c.to, c.options...), ping(t, oracle, c.to, c.options...)
			if g, w := untimed(got.out), untimed(want.out); g != w || got.code != want.code {
				t.Errorf("ping through the router, exit code %d:\n%s\nthrough the kernel, exit code %d:\n%s", got.code, g, want.code, w)
			}
			if !strings.Contains(got.out, c.says) {
				t.Errorf("ping says\n%s\nwant %q", got.out, c.says)
			}
		})
	}
}

// kernelRouter builds the lab with a Linux router, and returns its red namespace.
func kernelRouter(t *testing.T) *netlab.Namespace {
	t.Helper()
	red, blue, r := namespace(t, "kernel-red"), namespace(t, "kernel-blue"), namespace(t, "kernel-router")
	for _, n := range []*netlab.Namespace{red, blue, r} {
		sysctl(t, n, "net/ipv6/conf/all/accept_dad=0", "net/ipv6/conf/default/accept_dad=0")
	}
	sysctl(t, r, "net/ipv6/conf/all/forwarding=1")
	connect(t, red, "red", r, "r0")
	connect(t, blue, "blue", r, "r1")
	address(t, r, "r0", "2001:db8:1::1/64")
	address(t, r, "r1", "2001:db8:2::1/64")
	address(t, red, "red", "2001:db8:1::2/64")
	address(t, blue, "blue", "2001:db8:2::2/64")
	route(t, red, "red", "::/0", "2001:db8:1::1")
	route(t, blue, "blue", "::/0", "2001:db8:2::1")
	ip(t, "-n kernel-router route add unreachable 2001:db8:f000::/48")
	ip(t, "-n kernel-router route add prohibit 2001:db8:f001::/48")
	ip(t, "-n kernel-router route add blackhole 2001:db8:f002::/48")
	return red
}

var times = regexp.MustCompile(`time[= ][0-9.]+ ?ms|(?m)^rtt .*$`)

func untimed(text string) string { return times.ReplaceAllString(text, "") }

func TestTraceroute(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	start(t, standard)
	reaches(t, red, blueAddr)
	for _, program := range []string{"tracert6", "rltraceroute6"} {
		out := must(t, red, program, "-n", blueAddr)
		hops := lines(out)
		if len(hops) != 3 || !strings.HasPrefix(hops[1], " 1  2001:db8:1::1 ") || !strings.HasPrefix(hops[2], " 2  "+blueAddr+" ") {
			t.Errorf("%s says\n%s\nwant the router, then %s", program, out, blueAddr)
		}
	}
}

func TestNothingListensOnTheRouter(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	reaches(t, red, blueAddr)
	err := red.Do(func() error {
		c, err := net.Dial("udp6", "[2001:db8:1::1]:7")
		if err != nil {
			return err
		}
		defer c.Close() // nothing is to be written
		if _, err := c.Write([]byte("anyone?")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("UDP to the router = %v, want %v", err, unix.ECONNREFUSED)
	}
	err = red.Do(func() error {
		c, err := net.Dial("tcp6", "[2001:db8:2::1]:7")
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("TCP to the router = %v, want %v", err, unix.ECONNREFUSED)
	}
	if got := d.drops()["local_port"]; got != 2 {
		t.Errorf("local_port = %d, want 2", got)
	}
}

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// standard is the lab of configs/01: red is 2001:db8:1::2, blue is 2001:db8:2::2.
const standard = `
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  blue:
    addresses: [2001:db8:2::1/64]
    kernel: {netns: blue, addresses: [2001:db8:2::2/64], routes: ["::/0"]}
`

const (
	redAddr  = "2001:db8:1::2"
	blueAddr = "2001:db8:2::2"
)

// namespace makes a namespace for the time of the test.
func namespace(t *testing.T, name string) *netlab.Namespace {
	t.Helper()
	n, err := netlab.NewNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlab.Remove(name); err != nil {
			t.Error(err)
		}
	})
	return n
}

// sysctl sets what is written as key=value in the namespace.
func sysctl(t *testing.T, n *netlab.Namespace, settings ...string) {
	t.Helper()
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		if err := n.SetSysctl(key, value); err != nil {
			t.Fatal(err)
		}
	}
}

// address gives a device an address.
func address(t *testing.T, n *netlab.Namespace, dev, prefix string) {
	t.Helper()
	if err := n.AddAddress(dev, netip.MustParsePrefix(prefix)); err != nil {
		t.Fatal(err)
	}
}

// route adds a route; an empty gateway means that the prefix is on the link.
func route(t *testing.T, n *netlab.Namespace, dev, prefix, via string) {
	t.Helper()
	var gateway netip.Addr
	if via != "" {
		gateway = netip.MustParseAddr(via)
	}
	if err := n.AddRoute(dev, netip.MustParsePrefix(prefix), gateway); err != nil {
		t.Fatal(err)
	}
}

// link reads the facts of a device.
func link(t *testing.T, n *netlab.Namespace, dev string) netlab.Link {
	t.Helper()
	l, err := n.Link(dev)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect lays a cable.
func connect(t *testing.T, a *netlab.Namespace, devA string, b *netlab.Namespace, devB string) {
	t.Helper()
	if err := netlab.Connect(a, devA, b, devB); err != nil {
		t.Fatal(err)
	}
}

// ping pings once, and may fail; more words are options.
func ping(t *testing.T, n *netlab.Namespace, to string, options ...string) result {
	t.Helper()
	return run(t, n, append(append([]string{"ping", "-n", "-c", "1", "-W", "20"}, options...), to)...)
}

// reaches pings until there is an answer: for what has just been set up. The kernel
// takes an address into use on a work queue, some time after it has taken it, and
// sends on a persistent device up to a second after it has got carrier.
func reaches(t *testing.T, n *netlab.Namespace, to string) {
	t.Helper()
	eventually(t, "reach "+to, func() error {
		if r := ping(t, n, to, "-W", "1"); r.code != 0 {
			return errors.New(r.out + r.errout)
		}
		return nil
	})
}

// server starts an iperf3 server and waits until it listens. It is for one client: to
// serve the next it closes the port that it listens on and opens it again, and resets
// who comes between.
func server(t *testing.T, n *netlab.Namespace) *process {
	t.Helper()
	p := spawn(t, n, "iperf3", "-s", "-1", "--forceflush")
	eventually(t, "wait for iperf3", func() error {
		if !strings.Contains(p.out.String(), "listening") {
			return fmt.Errorf("%s%s", p.out.String(), p.errout.String())
		}
		return nil
	})
	return p
}

// checkNoDevices looks for TUN devices of a router, in our namespace and in all
// others. Persistent ones were made by the test.
func checkNoDevices(t *testing.T, kept ...string) {
	t.Helper()
	flags, err := filepath.Glob("/sys/class/net/*/tun_flags")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range flags {
		var f int
		b, err := os.ReadFile(path)
		if err == nil {
			_, err = fmt.Sscanf(string(b), "0x%x", &f)
		}
		if err != nil || f&unix.IFF_PERSIST == 0 {
			t.Errorf("device %s is left, flags %#x: %v", filepath.Base(filepath.Dir(path)), f, err)
		}
	}
	for _, name := range netlab.Names("") {
		n, err := netlab.OpenNamespace(name)
		if err != nil {
			t.Errorf("what is left of namespace %s: %v", name, err)
			continue
		}
		links, err := n.Links()
		if err != nil {
			t.Error(err)
		}
		for _, l := range links {
			if (l.Kind == "tun" || l.Kind == "tuntap") && !slices.Contains(kept, l.Name) {
				t.Errorf("device %s is left in namespace %s", l.Name, name)
			}
		}
	}
}

// lines splits text into lines.
func lines(text string) (all []string) {
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		all = append(all, s.Text())
	}
	return all
}

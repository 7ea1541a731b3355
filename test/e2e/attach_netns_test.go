package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const attachConfig = `
interfaces:
  lab0:
    mode: attach
    addresses: [2001:db8:1::1/64]
`

// tuntap makes the persistent device of configs/04 in our own namespace.
func tuntap(t *testing.T, options string) {
	t.Helper()
	ip(t, "tuntap add lab0 mode tun "+options)
	ip(t, "address add 2001:db8:1::2/64 dev lab0")
	ip(t, "link set lab0 up")
}

func removeTuntap(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { run(t, nil, "ip", "link", "del", "lab0") }) // it may be gone
}

func TestAttach(t *testing.T) {
	for _, options := range []string{"", "multi_queue"} {
		t.Run("mode tun "+options, func(t *testing.T) {
			privileged(t)
			removeTuntap(t)
			d := start(t, attachConfig)
			if all, err := d.Interfaces(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("interfaces = %v, %v, want none yet", all, err)
			}
			tuntap(t, options)
			id := d.awaitUp("lab0", 0).ID
			reaches(t, nil, "2001:db8:1::1")

			ip(t, "link del lab0")
			if l := d.awaitOf("interface detached", id); l.Cause != "device deleted by someone else" {
				t.Errorf("cause = %s", l.Cause)
			}
			tuntap(t, options)
			next := d.awaitUp("lab0", id).ID
			reaches(t, nil, "2001:db8:1::1")

			// Deleted and made again faster than anyone can look.
			ip(t, "link del lab0")
			tuntap(t, options)
			d.awaitUp("lab0", next)
			reaches(t, nil, "2001:db8:1::1")

			d.stop()
			if out := ip(t, "-d link show lab0"); out == "" {
				t.Error("lab0 went with the router")
			}
			// A second router takes it as well as the first.
			d = start(t, attachConfig)
			d.awaitUp("lab0", 0)
			reaches(t, nil, "2001:db8:1::1")
		})
	}
}

// TestAttachByCommand waits for a device that is not there, as a file does, and
// no more after interface del.
func TestAttachByCommand(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	d := start(t, "interfaces: {}")
	tuntap(t, "")
	d.do("interface add lab0 --mode attach --address 2001:db8:1::1/64")
	d.awaitUp("lab0", 0)
	reaches(t, nil, "2001:db8:1::1")
	d.do("interface del lab0")
	ip(t, "link show lab0") // is there still
	ip(t, "link set lab0 down")
	ip(t, "link set lab0 up")
	if _, err := d.find("lab0"); !errors.Is(err, errNoInterface) {
		t.Errorf("lab0 after interface del: %v, want %v", err, errNoInterface)
	}
}

func TestAttachWaitsForADeviceInUse(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	tuntap(t, "")
	holder := hold(t, "lab0", unix.IFF_VNET_HDR)
	d := start(t, attachConfig)
	l := d.await("interface not there yet", func(line) bool { return true })
	if l.Level != "warn" || l.Iface != "lab0" || l.Err == "" {
		t.Errorf("warning = %+v, want iface lab0 and an error", l)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	d.awaitUp("lab0", 0)
	reaches(t, nil, "2001:db8:1::1")
}

// TestAttachWaitsForAQueueInUse is a device that lets two have it at once. The
// kernel then keeps to what the first one asked for: no virtio-net header. With
// `ip tuntap add … multi_queue` the first one is ip itself, for a moment.
func TestAttachWaitsForAQueueInUse(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	tuntap(t, "multi_queue")
	holder := hold(t, "lab0", unix.IFF_MULTI_QUEUE)
	d := start(t, attachConfig)
	d.await("interface not there yet", func(l line) bool { return l.Level == "warn" && l.Iface == "lab0" })
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	d.awaitUp("lab0", 0)
	reaches(t, nil, "2001:db8:1::1")
	if n := d.drops()["not_ipv6"]; n != 0 {
		t.Errorf("not_ipv6 = %d, want none", n)
	}
}

// hold opens a device as another process would.
func hold(t *testing.T, dev string, flags uint16) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	ifr, err := unix.NewIfreq(dev)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAttachOfADeviceThatIsDown takes a device that is down, and follows it as it
// does others.
func TestAttachOfADeviceThatIsDown(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	ip(t, "tuntap add lab0 mode tun")
	d := start(t, attachConfig)
	d.awaitState("lab0", "down")
	id := d.iface("lab0").ID
	ip(t, "address add 2001:db8:1::2/64 dev lab0")
	ip(t, "link set lab0 up mtu 1400")
	d.awaitUp("lab0", 0)
	reaches(t, nil, "2001:db8:1::1")
	eventually(t, "wait for the MTU", func() error {
		if got := d.iface("lab0").MTU; got != 1400 {
			return fmt.Errorf("MTU is %d", got)
		}
		return nil
	})
	d.checkSame("lab0", id)
}

func TestRecreate(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, `
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  blue:
    recreate: true
    addresses: [2001:db8:2::1/64]
    kernel: {netns: blue, addresses: [2001:db8:2::2/64], routes: ["::/0"]}
`)
	id := d.awaitUp("blue", 0).ID
	for range 3 {
		deleteLink(t, blue, "blue")
		id = d.awaitUp("blue", id).ID
		reaches(t, red, blueAddr)
	}
	t.Run("a namespace that comes back", func(t *testing.T) {
		ip(t, "netns del blue")
		d.awaitOf("interface detached", id)
		l := d.await("interface not there yet", func(l line) bool { return l.Iface == "blue" })
		if l.Level != "warn" {
			t.Errorf("level = %s, want warn", l.Level)
		}
		ip(t, "netns add blue")
		id = d.awaitUp("blue", id).ID
		reaches(t, red, blueAddr)
	})
	t.Run("not after interface del", func(t *testing.T) {
		d.do("interface del blue")
		ping(t, red, blueAddr).want(t, 1, "Destination unreachable: No route")
		if _, err := d.find("blue"); !errors.Is(err, errNoInterface) {
			t.Errorf("blue after interface del: %v, want %v", err, errNoInterface)
		}
	})
	t.Run("not without recreate", func(t *testing.T) {
		id := d.iface("red").ID
		deleteLink(t, red, "red")
		d.awaitOf("interface detached", id)
		if _, err := d.find("red"); !errors.Is(err, errNoInterface) {
			t.Errorf("red after its end: %v, want %v", err, errNoInterface)
		}
	})
}

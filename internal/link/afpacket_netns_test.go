package link_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// cable lays a veth pair in the test's namespace, near and far, both up and with
// nothing of the kernel's on them.
func cable(t *testing.T) {
	t.Helper()
	check(t, self(t).SetSysctl("net/ipv6/conf/default/disable_ipv6", "1"))
	check(t, netlab.Connect(self(t), "near", self(t), "far"))
	t.Cleanup(func() {
		if exist("near") {
			check(t, self(t).DeleteLink("near"))
		}
	})
	for _, name := range []string{"near", "far"} {
		eventually(t, name+" to be up", func() bool { return device(t, name).Attrs().OperState == netlink.OperUp })
	}
}

// probes waits until the state of a link is that, which the kernel takes its time for.
func probes(t *testing.T, d interface{ Probe() error }, want error) {
	t.Helper()
	eventually(t, fmt.Sprintf("the link to be %v", want), func() bool { return errors.Is(d.Probe(), want) })
}

func openSocket(t *testing.T, name string, mac [6]byte) *link.PacketSocket {
	t.Helper()
	s, err := link.OpenPacketSocket(name, mac, 1)
	check(t, err)
	t.Cleanup(func() { _ = s.Close() }) // may be closed already
	return s
}

func TestPacketSocketCarriesFrames(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	d := openSocket(t, "near", [6]byte{})
	if mac := d.HardwareAddr(); !bytes.Equal(mac[:], device(t, "near").Attrs().HardwareAddr) || d.Name() != "near" {
		t.Errorf("it is %s with %x, want near with its address", d.Name(), mac)
	}
	check(t, d.Probe())
	for _, c := range []struct {
		name       string
		sent, want []byte
	}{
		{"plain", frame(100), frame(100)},
		{"larger than a slot", frame(3000), frame(3000)},
		{"a tag that the kernel takes out", frame(100, 0x8100_6064), frame(100, 0x8100_6064)},
		{"a tag, and larger than a slot", frame(3000, 0x8100_0064), frame(3000, 0x8100_0064)},
		{"a provider's tag, and a customer's", frame(100, 0x88a8_0007, 0x8100_0064), frame(100, 0x88a8_0007, 0x8100_0064)},
		{"priority alone", frame(100, 0x8100_e000), frame(100)},
		{"priority around a VLAN", frame(100, 0x88a8_e000, 0x8100_0064), frame(100, 0x8100_0064)},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, self(t).SetMTU("near", 9000))
			check(t, self(t).SetMTU("far", 9000))
			kernelSends(t, "far", c.sent)
			receive(t, d, c.want)
		})
	}

	heard, err := netlab.OpenCapture(self(t), "far", netlab.CaptureConfig{IgnoreOutgoing: true, AnyProtocol: true, Frames: true})
	check(t, err)
	defer heard.Close()
	b := link.BatchOf(frame(100), frame(101), frame(102))
	defer b.End()
	check(t, d.Send(&b.Vector))
	for i := range 3 {
		got := make([]byte, 2000)
		c, err := heard.Read(got)
		check(t, err)
		if !bytes.Equal(got[:c.Len], frame(100+i)) {
			t.Errorf("the other end received %x, want %x", got[:c.Len], frame(100+i))
		}
	}
	// What was sent does not come back.
	d.Interrupt()
	if err := d.Recv(link.NewBatch(link.NewPool(1))); !errors.Is(err, link.ErrInterrupted) {
		t.Errorf("recv = %v, want %v", err, link.ErrInterrupted)
	}
}

func TestPacketSocketRefuses(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	create(t, "r6t")
	for _, name := range []string{"lo", "r6t", "sixteen-letters-", "nobody"} {
		if _, err := link.OpenPacketSocket(name, ours, 1); err == nil || (name == "nobody") != errors.Is(err, link.ErrNotExist) {
			t.Errorf("open %s = %v", name, err)
		}
	}
}

func TestPacketSocketFollowsItsLink(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	d := openSocket(t, "near", [6]byte{})
	b := one(t, frame(8))
	for range 3 {
		check(t, self(t).SetDown("far"))
		probes(t, d, link.ErrDown)
		check(t, self(t).SetDown("near"))
		if err := d.Send(&b.Vector); !errors.Is(err, link.ErrDown) || b.Len() != 1 {
			t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), link.ErrDown)
		}
		check(t, self(t).SetUp("near"))
		check(t, self(t).SetUp("far"))
		probes(t, d, nil)
	}
	if err := d.Send(&b.Vector); err != nil || b.Len() != 0 {
		t.Errorf("send = %v, %d left, want nil, 0", err, b.Len())
	}
	kernelSends(t, "far", frame(200))
	receive(t, d, frame(200))

	mac := net.HardwareAddr{2, 0, 0, 0, 9, 9}
	check(t, netlink.LinkSetHardwareAddr(device(t, "near"), mac))
	check(t, d.Probe())
	if got := d.HardwareAddr(); !bytes.Equal(got[:], mac) {
		t.Errorf("address = %x, want %x", got, mac)
	}
	check(t, self(t).Rename("near", "renamed"))
	name, ns, err := d.Locate()
	check(t, err)
	check(t, ns.Close())
	if name != "renamed" {
		t.Errorf("it is %s, want renamed", name)
	}
	check(t, self(t).Rename("renamed", "near"))
}

// Another link of the same name or number is not this one.
func TestPacketSocketIsOfOneIncarnation(t *testing.T) {
	nstest.Privileged(t)
	there, err := netlab.NewNamespace("r6t-there")
	check(t, err)
	t.Cleanup(func() { check(t, there.Delete()) })
	for what, end := range map[string]func(){
		"deleted": func() { check(t, self(t).DeleteLink("far")) },
		"moved":   func() { check(t, self(t).MoveLink("near", there)) },
		"moved away and back": func() {
			check(t, self(t).MoveLink("near", there))
			check(t, there.MoveLink("near", self(t)))
			check(t, self(t).SetUp("near"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			nstest.NoLeaks(t)
			cable(t)
			d := openSocket(t, "near", [6]byte{})
			ended := parked(d)
			end()
			if err := d.Probe(); !errors.Is(err, link.ErrGone) {
				t.Errorf("probe = %v, want %v", err, link.ErrGone)
			}
			if _, _, err := d.Locate(); err == nil {
				t.Error("it was located")
			}
			b := one(t, frame(8))
			if err := d.Send(&b.Vector); !errors.Is(err, link.ErrGone) || b.Len() != 1 {
				t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), link.ErrGone)
			}
			d.Interrupt()
			if err := <-ended; !errors.Is(err, link.ErrInterrupted) {
				t.Errorf("recv = %v, want %v", err, link.ErrInterrupted)
			}
			check(t, d.Close())
			if what == "moved" {
				check(t, there.DeleteLink("near"))
			}
		})
	}
}

// With a MAC of its own the router is a node beside the kernel: the link passes up
// what is for it.
func TestPacketSocketWithItsOwnAddress(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	d := openSocket(t, "near", ours)
	if d.HardwareAddr() != ours {
		t.Errorf("address = %x, want %x", d.HardwareAddr(), ours)
	}
	if n := device(t, "near").Attrs(); n.Promisc == 0 && n.Allmulti == 0 {
		t.Errorf("link = %+v, want it to hear all", n)
	}
	kernelSends(t, "far", frame(100))
	receive(t, d, frame(100))
	check(t, d.Close())
	if n := device(t, "near").Attrs(); n.Promisc != 0 || n.Allmulti != 0 {
		t.Errorf("link = %+v, want it as it was", n)
	}
}

func TestPacketSocketIsSevered(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	d := openSocket(t, "near", ours)
	ended := parked(d)
	check(t, d.Sever())
	if err := <-ended; !errors.Is(err, link.ErrInterrupted) {
		t.Errorf("recv = %v, want %v", err, link.ErrInterrupted)
	}
	if n := device(t, "near").Attrs(); n.Promisc != 0 || n.Allmulti != 0 {
		t.Errorf("link = %+v, want the socket gone", n)
	}
	heard, err := netlab.OpenCapture(self(t), "far", netlab.CaptureConfig{IgnoreOutgoing: true, AnyProtocol: true, Frames: true})
	check(t, err)
	defer heard.Close()
	b := one(t, frame(8))
	if err := d.Send(&b.Vector); !errors.Is(err, link.ErrSevered) || b.Len() != 1 {
		t.Errorf("send = %v, %d left, want %v, 1", err, b.Len(), link.ErrSevered)
	}
	if err := d.Probe(); !errors.Is(err, link.ErrGone) {
		t.Errorf("probe = %v, want %v", err, link.ErrGone)
	}
	var st unix.Stat_t
	check(t, unix.Fstat(d.FD(), &st)) // the number is taken
	check(t, d.Sever())
	check(t, d.Close())
	check(t, d.Sever())
}

// openFar lays a veth pair in the caller's namespace, tun0 for its kernel, and opens
// the other end.
func openFar() (both, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tun0"
	pair := netlink.NewVeth(attrs)
	pair.PeerName = "port"
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/port/disable_ipv6", []byte("1"), 0); err != nil {
		return nil, err
	}
	port, err := netlink.LinkByName("port")
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(port); err != nil {
		return nil, err
	}
	return link.OpenPacketSocket("port", [6]byte{}, 1)
}

// Frames pass without allocations, in both directions, small and large.
func TestPacketSocketDoesNotAllocate(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	check(t, self(t).SetMTU("near", 9000))
	check(t, self(t).SetMTU("far", 9000))
	near, far := openSocket(t, "near", ours), openSocket(t, "far", ours)
	v := link.NewVLAN(near, link.CTag, 100)
	for _, size := range []int{100, 3000} {
		f := frame(size)
		in, out := link.NewBatch(link.NewPool(1)), link.NewBatch(link.NewPool(1))
		n := testing.AllocsPerRun(100, func() {
			out.Inject(f, f, f)
			check(t, v.Send(&out.Vector))
			out.End()
			for got := 0; got < 3; got += in.Len() {
				in.End()
				check(t, far.Recv(in))
			}
			in.End()
		})
		if n != 0 {
			t.Errorf("%v allocations for three frames of %d bytes, want none", n, size)
		}
	}
}

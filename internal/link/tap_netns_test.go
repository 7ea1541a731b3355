package link_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

var ours = [6]byte{2, 0, 0, 0, 0, 1}

// createTAP makes a TAP device that is gone at the end of the test.
func createTAP(t *testing.T, name string) *link.TAP {
	t.Helper()
	d, err := link.CreateTAP(name, ours, 1)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() }) // may be closed already
	return d
}

// frame is a packet of size bytes in an Ethernet frame from the kernel's end to
// ours, with tags.
func frame(size int, tags ...uint32) []byte {
	b := append(ours[:], 4, 0, 0, 0, 0, 2)
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint32(b, tag)
	}
	return append(append(b, 0x86, 0xdd), packet(size)...)
}

// kernelSends has the kernel put a frame on a device, as its own stack would.
func kernelSends(t *testing.T, name string, frame []byte) {
	t.Helper()
	j, err := netlab.OpenInjector(self(t), name)
	check(t, err)
	check(t, j.Send(binary.BigEndian.Uint16(frame[12:]), frame))
	check(t, j.Close())
}

func TestTAPCarriesFrames(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := createTAP(t, "r6t-%d")
	if d.Name() != "r6t-0" || d.HardwareAddr() != ours {
		t.Errorf("it is %s with %x, want r6t-0 with %x", d.Name(), d.HardwareAddr(), ours)
	}
	setUp(t, "r6t-0")
	check(t, d.Probe())
	if kernel := device(t, "r6t-0").Attrs().HardwareAddr; bytes.Equal(kernel, ours[:]) {
		t.Error("the kernel's end has our address")
	}

	kernelSends(t, "r6t-0", frame(100))
	receive(t, d, frame(100))
	// A tag that the kernel keeps beside the frame is in it when we read it.
	kernelSends(t, "r6t-0", frame(100, 0x8100_0064))
	receive(t, d, frame(100, 0x8100_0064))
	kernelSends(t, "r6t-0", frame(100, 0x8100_e000))
	receive(t, d, frame(100))

	heard, err := netlab.OpenCapture(self(t), "r6t-0", netlab.CaptureConfig{IgnoreOutgoing: true, AnyProtocol: true, Frames: true})
	check(t, err)
	defer heard.Close()
	b := one(t, frame(100))
	check(t, d.Send(&b.Vector))
	got := make([]byte, 2000)
	c, err := heard.Read(got)
	check(t, err)
	if !bytes.Equal(got[:c.Len], frame(100)) {
		t.Errorf("the kernel received %x, want %x", got[:c.Len], frame(100))
	}
}

func TestAttachTAPTakesAndLeaves(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	persist(t, "kept", netlink.TUNTAP_MODE_TAP, 0)
	persist(t, "tun", netlink.TUNTAP_MODE_TUN, 0)
	if _, err := link.AttachTAP("tun", ours, 1); err == nil {
		t.Error("a TUN was taken for a TAP")
	}
	if _, err := link.AttachTAP("nobody", ours, 1); !errors.Is(err, link.ErrNotExist) {
		t.Errorf("attach what is not there = %v, want %v", err, link.ErrNotExist)
	}
	if _, err := link.CreateTAP("kept", ours, 1); !errors.Is(err, link.ErrBusy) {
		t.Errorf("create what is kept = %v, want %v", err, link.ErrBusy)
	}
	for range 2 {
		d, err := link.AttachTAP("kept", ours, 1)
		check(t, err)
		setUp(t, "kept")
		kernelSends(t, "kept", frame(100))
		receive(t, d, frame(100))
		check(t, d.Close())
		if !exist("kept") {
			t.Fatal("it went with the port")
		}
	}
}

func TestTAPIsDeletedUnderAParkedReader(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := createTAP(t, "r6t")
	setUp(t, "r6t")
	deletedUnder(t, d, frame(8))
}

package netlab

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

// openTUN makes a TUN named tun0, up, and returns what its owner reads and
// writes.
func openTUN(t testing.TB, ns *Namespace) *os.File {
	t.Helper()
	fd := -1
	check(t, ns.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		req, err := unix.NewIfreq("tun0")
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}))
	tun := os.NewFile(uintptr(fd), "tun0")
	t.Cleanup(func() { _ = tun.Close() })
	check(t, ns.SetSysctl("net/ipv6/conf/tun0/addr_gen_mode", "1")) // it says nothing by itself
	check(t, ns.SetUp("tun0"))
	return tun
}

func tunLab(t testing.TB) (*Namespace, *os.File) {
	t.Helper()
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns := newNamespace(t, "r6t-tun")
	return ns, openTUN(t, ns)
}

func openCapture(t testing.TB, ns *Namespace, link string, config CaptureConfig) *Capture {
	t.Helper()
	c, err := OpenCapture(ns, link, config)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	check(t, c.SetReadDeadline(in(deadlineSpan)))
	return c
}

// packet is an IPv6 packet of next header 59, none, with a payload.
func packet(payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[5], b[6], b[7] = 0x60, byte(len(payload)), 59, 64
	copy(b[8:], addrA.AsSlice())
	copy(b[24:], addrB.AsSlice())
	return append(b, payload...)
}

func TestSendRawIsReadFromTheTUN(t *testing.T) {
	ns, tun := tunLab(t)
	check(t, tun.SetReadDeadline(in(deadlineSpan)))
	j, err := OpenInjector(ns, "tun0")
	check(t, err)
	defer func() { check(t, j.Close()) }()
	for _, c := range []struct {
		name      string
		etherType uint16
		bytes     []byte
	}{
		{"an IPv6 packet", EtherTypeIPv6, packet("hello")},
		{"one byte", EtherTypeIPv6, []byte{0x60}},
		{"noise", EtherTypeIPv6, bytes.Repeat([]byte{0xff}, 1500)},
		{"another protocol", 0x88b5, []byte("not IP at all")},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, j.Send(c.etherType, c.bytes))
			var b [2000]byte
			n, err := tun.Read(b[:])
			check(t, err)
			if !bytes.Equal(b[:n], c.bytes) {
				t.Errorf("read %x, want %x", b[:n], c.bytes)
			}
		})
	}
	if err := j.Send(EtherTypeIPv6, make([]byte, 1501)); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("above the MTU: %v, want %v", err, unix.EMSGSIZE)
	}
	check(t, SendRaw(ns, "tun0", packet("again")))
}

func TestCaptureSeesBothDirections(t *testing.T) {
	ns, tun := tunLab(t)
	began := time.Now()
	c := openCapture(t, ns, "tun0", CaptureConfig{})
	out, in := packet("out"), packet("in")
	check(t, SendRaw(ns, "tun0", out))
	_, err := tun.Write(in)
	check(t, err)
	for _, want := range []struct {
		bytes    []byte
		outgoing bool
	}{{out, true}, {in, false}} {
		var b [2000]byte
		p, err := c.Read(b[:])
		check(t, err)
		if !bytes.Equal(b[:p.Len], want.bytes) || p.Outgoing != want.outgoing || p.EtherType != EtherTypeIPv6 {
			t.Errorf("captured %+v %x, want outgoing %v %x", p, b[:p.Len], want.outgoing, want.bytes)
		}
		if p.Time.Before(began.Round(0)) || p.Time.After(time.Now().Round(0)) {
			t.Errorf("captured at %v, want between %v and now", p.Time, began)
		}
	}
}

func TestCaptureIgnoresOutgoing(t *testing.T) {
	ns, tun := tunLab(t)
	c := openCapture(t, ns, "tun0", CaptureConfig{IgnoreOutgoing: true})
	check(t, SendRaw(ns, "tun0", packet("out")))
	_, err := tun.Write(packet("in"))
	check(t, err)
	var b [2000]byte
	p, err := c.Read(b[:])
	check(t, err)
	if got, want := b[:p.Len], packet("in"); !bytes.Equal(got, want) {
		t.Errorf("captured %x, want %x", got, want)
	}
}

func TestCaptureReadsFrames(t *testing.T) {
	a, b := pair(t)
	c := openCapture(t, b, "right", CaptureConfig{Frames: true, AnyProtocol: true, IgnoreOutgoing: true})
	frame := append(bytes.Repeat([]byte{0xff}, 12), 0x88, 0x63, 1, 2, 3) // PPPoE discovery's EtherType
	j, err := OpenInjector(a, "left")
	check(t, err)
	defer func() { check(t, j.Close()) }()
	check(t, j.Send(0x8863, frame))
	for {
		var got [2000]byte
		p, err := c.Read(got[:])
		check(t, err)
		if p.EtherType != 0x8863 {
			continue // the kernel talks too
		}
		if !bytes.Equal(got[:p.Len], frame) {
			t.Errorf("captured %x, want %x", got[:p.Len], frame)
		}
		return
	}
}

func TestCaptureKnowsTags(t *testing.T) {
	a, b := pair(t)
	c := openCapture(t, b, "right", CaptureConfig{Frames: true, AnyProtocol: true, IgnoreOutgoing: true})
	j, err := OpenInjector(a, "left")
	check(t, err)
	defer func() { check(t, j.Close()) }()
	tagged := append(bytes.Repeat([]byte{0xff}, 12), 0x81, 0x00, 0x60, 0x07, 0x88, 0x63, 1, 2, 3) // priority 3, VLAN 7
	check(t, j.Send(0x8100, tagged))
	for {
		var got [2000]byte
		p, err := c.Read(got[:])
		check(t, err)
		if p.EtherType != 0x8863 {
			continue // the kernel talks too
		}
		if p.VLAN != 7 {
			t.Errorf("VLAN = %d, want 7", p.VLAN)
		}
		return
	}
}

func TestCaptureReadEnds(t *testing.T) {
	ns, tun := tunLab(t)
	c := openCapture(t, ns, "tun0", CaptureConfig{})
	var b [60]byte
	check(t, c.SetReadDeadline(past))
	if _, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v, want %v", err, os.ErrDeadlineExceeded)
	}
	check(t, c.SetReadDeadline(in(deadlineSpan)))
	_, err := tun.Write(packet("longer than the buffer is"))
	check(t, err)
	if p, err := c.Read(b[:]); !errors.Is(err, io.ErrShortBuffer) || p.Len != 65 {
		t.Errorf("Read = %+v, %v, want 65 bytes, %v", p, err, io.ErrShortBuffer)
	}
	ended := make(chan error)
	go func() {
		_, err := c.Read(b[:])
		ended <- err
	}()
	check(t, c.Close())
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read = %v, want %v", err, os.ErrClosed)
	}
}

func TestCaptureCountsDrops(t *testing.T) {
	ns, tun := tunLab(t)
	c := openCapture(t, ns, "tun0", CaptureConfig{})
	check(t, onFD(c.file, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	}))
	for range 100 {
		_, err := tun.Write(packet("many"))
		check(t, err)
	}
	first, err := c.Drops()
	check(t, err)
	second, err := c.Drops()
	check(t, err)
	if first == 0 || first != second {
		t.Errorf("drops = %d, then %d, want the same above 0", first, second)
	}
}

func TestProbeOverLinkLocalAddresses(t *testing.T) {
	a, b := pair(t)
	check(t, a.AddAddress("left", netip.MustParsePrefix("fe80::a/64")))
	check(t, b.AddAddress("right", netip.MustParsePrefix("fe80::b/64")))
	s, err := StartTCPSink(b, netip.MustParseAddrPort("[fe80::b%right]:7"))
	check(t, err)
	defer func() { check(t, s.Stop()) }()
	f, err := StartTCPFlow(t.Context(), a, netip.MustParseAddr("fe80::a%left"), netip.MustParseAddrPort("[fe80::b%left]:7"), 0)
	check(t, err)
	eventually(t, "it flows", func() bool { return s.Bytes() > 1<<20 })
	_, err = f.Stop(deadline(t))
	check(t, err)
}

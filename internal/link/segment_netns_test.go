package link_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// A cutter is the kernel as who cuts: it forwards from a device that takes
// superframes to one that does not.
type cutter struct {
	in  *link.TUN
	out int // descriptor of a TUN without offloads
}

func newCutter(t *testing.T) *cutter {
	t.Helper()
	ns, err := netlab.NewNamespace("cutter")
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	c := &cutter{}
	check(t, ns.Do(func() (err error) {
		if c.in, err = link.CreateTUN("in", 1); err != nil {
			return err
		}
		c.out, err = plainTUN("out")
		return err
	}))
	t.Cleanup(func() { check(t, c.in.Close()); check(t, unix.Close(c.out)) })
	check(t, ns.SetSysctl("net/ipv6/conf/all/forwarding", "1"))
	for _, dev := range []string{"in", "out"} {
		check(t, ns.SetUp(dev))
	}
	check(t, ns.AddRoute("in", netip.MustParsePrefix("2001:db8::/48"), netip.Addr{}))
	check(t, ns.AddRoute("out", netip.MustParsePrefix("2001:db8:2::/48"), netip.Addr{}))
	return c
}

// plainTUN is a TUN whose reader wants nothing left undone.
func plainTUN(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return fd, unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
}

// cut sends a packet and returns what comes out on the other side; nothing if it
// does not come in time.
func (c *cutter) cut(t *testing.T, vnet, pkt []byte, want int) (segments [][]byte) {
	t.Helper()
	b := link.BatchOfFrame(vnet, pkt)
	defer b.End()
	check(t, c.in.Send(&b.Vector))
	return c.read(t, header.IPv6(pkt).Destination(), want)
}

// read returns so many packets that come out on the other side for an address; fewer
// if they do not come in time.
func (c *cutter) read(t *testing.T, to netip.Addr, want int) (segments [][]byte) {
	t.Helper()
	buf := make([]byte, link.MaxPacket)
	for len(segments) < want {
		fds := []unix.PollFd{{Fd: int32(c.out), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(time.Second.Milliseconds())); n == 0 && err == nil {
			break
		}
		n, err := unix.Read(c.out, buf)
		check(t, err)
		if header.IPv6(buf[:n]).Destination() == to { // and no solicitation of the kernel's
			segments = append(segments, bytes.Clone(buf[:n]))
		}
	}
	return segments
}

// What we cut is what the kernel cuts.
func TestCutIsAsTheKernelDoes(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	c := newCutter(t)
	r := rand.New(rand.NewPCG(6, 18))
	for range 500 {
		s := link.AnySuper(r)
		t.Run(s.String(), func(t *testing.T) {
			vnet, pkt := s.Build()
			theirs := bytes.Clone(pkt)
			header.IPv6(theirs).SetHopLimit(header.IPv6(pkt).HopLimit() + 1) // it takes one
			got := s.CutUp(t)
			want := c.cut(t, vnet, theirs, len(got))
			if len(got) != len(want) {
				t.Fatalf("%d segments, want %d", len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("segment %d = %x\nwant the kernel's %x", i, got[i], want[i])
				}
			}
		})
	}
}

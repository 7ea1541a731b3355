package link_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// Superframes with tags are cut by the kernel where a link needs it, with tag and
// checksum in each segment, whether it gets them from a packet socket or a TAP.
func TestKernelCutsTaggedSuperframes(t *testing.T) {
	nstest.Privileged(t)
	for _, c := range []struct {
		name string
		open func(*testing.T) link.Carrier // sends to the link far
	}{
		{"packet socket", func(t *testing.T) link.Carrier {
			cable(t)
			return openSocket(t, "near", [6]byte{})
		}},
		{"TAP in a bridge", func(t *testing.T) link.Carrier {
			cable(t)
			d := createTAP(t, "r6t")
			bridge(t, "r6t", "near")
			return d
		}},
	} {
		for _, tags := range []struct {
			name string
			on   func(link.Carrier) link.Sender
			tags []uint32
		}{
			{"no tag", func(d link.Carrier) link.Sender { return d }, nil},
			{"one tag", func(d link.Carrier) link.Sender { return link.NewVLAN(d, link.CTag, 100) }, []uint32{0x8100_0064}},
			{"two tags", func(d link.Carrier) link.Sender {
				return link.NewVLAN(link.NewVLAN(d, link.STag, 7), link.CTag, 100)
			}, []uint32{0x88a8_0007, 0x8100_0064}},
		} {
			t.Run(c.name+", "+tags.name, func(t *testing.T) {
				nstest.NoLeaks(t)
				d := c.open(t)
				far := openSocket(t, "far", [6]byte{})
				// Larger ones are cut on their way out.
				check(t, netlink.LinkSetGSOMaxSize(device(t, "near"), 2000))
				const payload, segment = 9000, 1400
				supersend(t, tags.on(d), lab.TCP("fd00::1", "fd00::2", 1, 2, header.FlagACK, pattern(payload)), segment)
				wantSegments(t, far, tags.tags, payload, segment)
			})
		}
	}
}

// bridge puts links into a bridge of the test's.
func bridge(t *testing.T, names ...string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br"
	check(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	t.Cleanup(func() { check(t, self(t).DeleteLink("br")) })
	for _, name := range names {
		check(t, netlink.LinkSetMaster(device(t, name), device(t, "br")))
		check(t, self(t).SetUp(name))
	}
	check(t, self(t).SetUp("br")) // without spanning tree its ports forward at once
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i / 7)
	}
	return b
}

// supersend sends a packet as a superframe, in an Ethernet frame to a group.
func supersend(t *testing.T, to link.Sender, pkt []byte, segment int) {
	t.Helper()
	super := lab.Superframe(pkt, segment)
	h, pkt := super[:10], super[10:]
	binary.NativeEndian.PutUint16(h[2:], binary.NativeEndian.Uint16(h[2:])+14)
	binary.NativeEndian.PutUint16(h[6:], binary.NativeEndian.Uint16(h[6:])+14)
	f := append(slices.Clone(h), 0x33, 0x33, 0, 0, 0, 1)
	f = append(append(append(f, ours[:]...), 0x86, 0xdd), pkt...)
	near, _ := link.NewPipe("near", "far")
	if n := near.OfferFrame(f); n < 2 {
		t.Fatalf("it is %d segments", n)
	}
	b := link.NewBatch(link.NewPool(1))
	defer b.End()
	check(t, near.Recv(b))
	check(t, to.Send(&b.Vector))
}

// wantSegments reads what a superframe was cut into.
func wantSegments(t *testing.T, d *link.PacketSocket, tags []uint32, payload, segment int) {
	t.Helper()
	b := link.NewBatch(link.NewPool(1))
	defer b.End()
	var prefix []byte
	for _, tag := range tags {
		prefix = binary.BigEndian.AppendUint32(prefix, tag)
	}
	var got []byte
	for len(got) < payload {
		check(t, d.Recv(b))
		for i := range b.Len() {
			p := b.At(i)
			if !bytes.HasPrefix(p.Bytes()[12:], prefix) || p.Bytes()[12+len(prefix)] != 0x86 {
				continue // the bridge has things to say by itself
			}
			if p.Offload.Superframe() {
				t.Fatalf("%d bytes in one", len(p.Bytes()))
			}
			p.CompleteChecksum()
			pkt := header.IPv6(p.Bytes()[14+len(prefix):])
			tcp := pkt[header.IPv6Size:]
			if c := header.Checksum(pkt.SourceBytes(), pkt.DestinationBytes(), header.ProtoTCP, tcp); c != 0 && c != 0xffff {
				t.Errorf("checksum is off by %x", c)
			}
			if size := len(tcp) - header.TCPSize; size > segment {
				t.Errorf("segment of %d bytes, want at most %d", size, segment)
			}
			got = append(got, tcp[header.TCPSize:]...)
		}
		b.End()
	}
	if !bytes.Equal(got, pattern(payload)) {
		t.Errorf("received %d bytes, want the %d sent", len(got), payload)
	}
}

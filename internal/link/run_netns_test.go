package link_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// aRun receives datagrams whose checksums are not complete, and returns them as
// they are to arrive.
func aRun(t *testing.T, b *link.Batch, size int) (want [][]byte) {
	t.Helper()
	near, _ := link.NewPipe("near", "far")
	for i := range link.VectorSize {
		p := lab.UDP("2001:db8:1::1", "2001:db8:2::2", 1, 2, bytes.Repeat([]byte{byte(i)}, size))
		want = append(want, p)
		near.OfferFrame(lab.PartialChecksum(bytes.Clone(p)))
	}
	check(t, near.Recv(b))
	if b.Len() != len(want) {
		t.Fatalf("a batch of %d, want all %d", b.Len(), len(want))
	}
	return want
}

var runSizes = []int{1, 16, 999, 1200}

// The kernel takes a run, and makes of it what was sent.
func TestKernelCutsRuns(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	c := newCutter(t)
	b := link.NewBatch(link.NewPool(1))
	for _, size := range runSizes {
		want := aRun(t, b, size)
		check(t, c.in.Send(&b.Vector))
		b.End()
		got := c.read(t, header.IPv6(want[0]).Destination(), len(want))
		for i := range want {
			ip := header.IPv6(want[i])
			ip.SetHopLimit(ip.HopLimit() - 1) // it takes one
			if i >= len(got) || !bytes.Equal(got[i], want[i]) {
				t.Fatalf("datagram %d of %d bytes is not among the %d that came", i, size, len(got))
			}
		}
	}
}

// Runs go through the ports that have frames, with tags and without.
func TestRunsOfFrames(t *testing.T) {
	nstest.Privileged(t)
	for name, open := range map[string]func(*testing.T) link.Carrier{
		"packet socket": func(t *testing.T) link.Carrier {
			cable(t)
			return openSocket(t, "near", [6]byte{})
		},
		"TAP in a bridge": func(t *testing.T) link.Carrier {
			cable(t)
			d := createTAP(t, "r6t")
			bridge(t, "r6t", "near")
			return d
		},
	} {
		for tag, on := range map[string]func(link.Carrier) link.Sender{
			"no tag":  func(d link.Carrier) link.Sender { return d },
			"one tag": func(d link.Carrier) link.Sender { return link.NewVLAN(d, link.CTag, 100) },
		} {
			t.Run(fmt.Sprintf("%s, %s", name, tag), func(t *testing.T) {
				nstest.NoLeaks(t)
				d := open(t)
				far := openSocket(t, "far", [6]byte{})
				b := link.NewBatch(link.NewPool(1))
				for _, size := range runSizes {
					want := aRun(t, b, size)
					for i := range b.Len() {
						header.PutEthernet(b.At(i).Prepend(header.EthernetSize), &header.MAC{0x33, 0x33, 5: 1}, &ours)
					}
					check(t, on(d).Send(&b.Vector))
					b.End()
					wantDatagrams(t, far, want)
				}
			})
		}
	}
}

// wantDatagrams reads until as many have come, cuts up what came in one, and wants
// them in order.
func wantDatagrams(t *testing.T, d *link.PacketSocket, want [][]byte) {
	t.Helper()
	b := link.NewBatch(link.NewPool(1))
	defer b.End()
	var got [][]byte
	for len(got) < len(want) {
		check(t, d.Recv(b))
		for i := range b.Len() {
			p := b.At(i)
			for p.TrimFront(12); binary.BigEndian.Uint16(p.Bytes()) == uint16(link.CTag); {
				p.TrimFront(4)
			}
			typ := binary.BigEndian.Uint16(p.Bytes())
			if p.TrimFront(2); typ != header.EtherTypeIPv6 || header.IPv6(p.Bytes()).NextHeader() != header.ProtoUDP {
				continue // the bridge has things to say by itself
			}
			check(t, p.Cut(func(p *link.Packet) error {
				got = append(got, bytes.Clone(p.Bytes()))
				return nil
			}))
		}
		b.End()
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("datagram %d = %x\nwant %x", i, got[i], want[i])
		}
	}
}

package link_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// openQueues is a packet socket with so many queues.
func openQueues(t *testing.T, name string, n int) *link.PacketSocket {
	t.Helper()
	s, err := link.OpenPacketSocket(name, [6]byte{}, n)
	check(t, err)
	t.Cleanup(func() { _ = s.Close() }) // may be closed already
	return s
}

// framed is what a packet is in, in a frame to us: types and tags, each of two bytes.
func framed(pkt []byte, types ...uint16) []byte {
	b := append(ours[:], 4, 0, 0, 0, 0, 2)
	for _, x := range types {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return append(b, pkt...)
}

// fragmentOf is a fragment of a flow: first ones have ports, which are not the flow's.
func fragmentOf(flow, n int) []byte {
	from := fmt.Sprintf("2001:db8:1::%x", flow+1)
	if n%2 == 0 {
		return lab.Fragment(lab.UDP(from, "2001:db8:2::2", uint16(n+1), 9, mark(flow, n)), 0, true)
	}
	return lab.Fragment(lab.Packet(from, "2001:db8:2::2", header.ProtoUDP, append(make([]byte, 8), mark(flow, n)...)), 2, false)
}

// The kernel keeps flows on one queue of a packet port, in order, whatever they come
// in, and gives some to each; also when the link was down.
func TestPacketSocketQueuesKeepFlowsInOrder(t *testing.T) {
	nstest.Privileged(t)
	for _, c := range []struct {
		name   string
		packet func(flow, n int) []byte
		flows  int
	}{
		{"plain", func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x86dd) }, 64},
		{"fragments", func(flow, n int) []byte { return framed(fragmentOf(flow, n), 0x86dd) }, 64},
		{"a tag that the kernel takes out", func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x8100, 7, 0x86dd) }, 64},
		{"two tags", func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x88a8, 7, 0x8100, 8, 0x86dd) }, 64},
		{"PPPoE sessions", func(flow, n int) []byte {
			pkt := flowPacket(flow, n)
			return framed(pkt, 0x8864, 0x1100, 5, uint16(len(pkt)+2), 0x0057)
		}, 64},
		{"PPPoE sessions in a VLAN", func(flow, n int) []byte {
			pkt := flowPacket(flow, n)
			return framed(pkt, 0x8100, 7, 0x8864, 0x1100, 5, uint16(len(pkt)+2), 0x0057)
		}, 64},
		{"PPPoE's own packets", func(flow, n int) []byte {
			return framed(mark(flow, n), 0x8863, 0x1107, 0, 8)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			nstest.NoLeaks(t)
			cable(t)
			check(t, self(t).SetDown("near"))
			d := openQueues(t, "near", 4)
			check(t, self(t).SetUp("near"))
			probes(t, d, nil)
			// What is sent by one of them comes back by none.
			for i := range 4 {
				b := one(t, c.packet(1000, i))
				b.Queue = i
				check(t, d.Send(&b.Vector))
			}
			const each = 8 // together fewer than the kernel's backlog
			inject(t, "far", c.flows, each, c.packet)
			wantInOrder(t, queues(t, d, c.flows*each, len(c.packet(0, 0))), c.flows)
		})
	}
}

// inject has the kernel send packets of flows in turn, all by one CPU: it keeps no
// order between two.
func inject(t *testing.T, name string, flows, each int, packet func(flow, n int) []byte) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, first unix.CPUSet
	check(t, unix.SchedGetaffinity(0, &all))
	for cpu := 0; first.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	check(t, unix.SchedSetaffinity(0, &first))
	defer func() { check(t, unix.SchedSetaffinity(0, &all)) }()
	j, err := netlab.OpenInjector(self(t), name)
	check(t, err)
	for n := range each {
		for flow := range flows {
			f := packet(flow, n)
			check(t, j.Send(binary.BigEndian.Uint16(f[12:]), f))
		}
	}
	check(t, j.Close())
}

// What ends one queue of a packet port ends all.
func TestPacketSocketQueuesEndTogether(t *testing.T) {
	nstest.Privileged(t)
	for name, end := range map[string]func(t *testing.T, d *link.PacketSocket){
		"interrupted": func(_ *testing.T, d *link.PacketSocket) { d.Interrupt() },
		"severed":     func(t *testing.T, d *link.PacketSocket) { check(t, d.Sever()) },
		"deleted": func(t *testing.T, d *link.PacketSocket) {
			check(t, self(t).DeleteLink("far"))
			d.Interrupt()
		},
	} {
		t.Run(name, func(t *testing.T) {
			nstest.NoLeaks(t)
			cable(t)
			d := openQueues(t, "near", 3)
			ended := make([]<-chan error, 0, 3)
			for _, rx := range d.Receivers() {
				ended = append(ended, parked(rx))
			}
			inject(t, "far", 16, 8, func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x86dd) })
			end(t, d)
			for _, c := range ended {
				if err := <-c; !errors.Is(err, link.ErrInterrupted) {
					t.Errorf("recv = %v, want %v", err, link.ErrInterrupted)
				}
			}
			if name == "interrupted" {
				check(t, d.Close())
				check(t, d.Sever())
				return
			}
			if err := d.Probe(); !errors.Is(err, link.ErrGone) {
				t.Errorf("probe = %v, want %v", err, link.ErrGone)
			}
			for i := range 3 {
				b := one(t, frame(8))
				b.Queue = i
				if err := d.Send(&b.Vector); err == nil || b.Len() != 1 {
					t.Errorf("send = %v, %d left, want an error, 1", err, b.Len())
				}
			}
		})
	}
}

// What comes while nobody reads, when the slots of a ring are full, is counted, once.
func TestPacketSocketCountsWhatItMissed(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	const slots = 2048
	d := openQueues(t, "near", 2)
	inject(t, "far", 1, 2*slots, func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x86dd) })
	missed := d.Missed()
	if missed == 0 || missed > slots { // the kernel may have lost some before
		t.Errorf("%d were missed, want about %d", missed, slots)
	}
	check(t, d.Sever())
	check(t, d.Close())
	if n := d.Missed(); n != missed {
		t.Errorf("%d were missed in the end, want %d still", n, missed)
	}
}

// Two ports on one link are two groups: each gets all.
func TestPacketSocketsDoNotShare(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	cable(t)
	const flows, each = 32, 4
	packet := func(flow, n int) []byte { return framed(flowPacket(flow, n), 0x86dd) }
	a, b := openQueues(t, "near", 2), openQueues(t, "near", 3)
	inject(t, "far", flows, each, packet)
	for _, d := range []*link.PacketSocket{a, b} {
		wantInOrder(t, queues(t, d, flows*each, len(packet(0, 0))), flows)
	}
}

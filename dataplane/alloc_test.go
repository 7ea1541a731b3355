package dataplane_test

import (
	"fmt"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A rig is a worker that takes a batch when it is told, between ports that cost
// nothing.
type rig struct {
	*dataplane.Stepper
	r  *lab.Router
	rx *replay
}

// A replay is a Receiver that always has the same packets, or frames.
type replay struct {
	pkts   [][]byte
	frames [][]byte
	wire   *link.Pipe // that the frames come in by
}

func (r *replay) Recv(b *link.Batch) error {
	if len(r.frames) == 0 {
		b.Inject(r.pkts...)
		return nil
	}
	for _, f := range r.frames {
		r.wire.OfferFrame(f)
	}
	return r.wire.Recv(b)
}

// newRig has the interfaces of a scene, and so many ways to 2001:db8:e::/48.
func newRig(t testing.TB, ways int) *rig {
	t.Helper()
	g := &rig{r: lab.New(t), rx: &replay{}}
	g.rx.wire, _ = link.NewPipe("wire", "nobody")
	a := g.attach(t, own{}, lab.Settings("a", routerA+"/64", linkA+"/64"))
	ids := []ifmgr.ID{a, g.attach(t, own{}, lab.Settings("b", routerB+"/64"))}
	var names []string
	for i := range ways {
		names = append(names, fmt.Sprintf("way%d", i))
		ids = append(ids, g.attach(t, own{}, lab.Settings(names[i])))
	}
	for name, err := range refusals {
		ids = append(ids, g.attach(t, own{err}, lab.Settings(name)))
		g.r.Route(refusing(name)+"/128", lab.Dev(name))
	}
	ids = append(ids, g.attach(t, plain{}, lab.Settings("plain")))
	g.r.Route(behindPlain+"/128", lab.Dev("plain"))
	g.r.Route("2001:db8:1::/48", lab.Dev(names...))
	var h *ifmgr.Handle
	g.r.Turn(func(turn *loop.Turn) {
		var err error
		if h, err = g.r.Interfaces.Acquire(turn, a, ifmgr.Worker); err != nil {
			t.Error(err)
		}
	})
	g.Stepper = dataplane.NewStepper(g.r.Plane, h, g.rx)
	g.Unlimited()
	t.Cleanup(func() { g.Close(); g.r.DetachID(ids...) })
	return g
}

// refusals are of ports that take nothing.
var refusals = map[string]error{"full": link.ErrFull, "rejecting": link.ErrRejected, "severed": link.ErrSevered}

// refusing is what is behind one of them.
func refusing(name string) string { return fmt.Sprintf("2001:db8:2::%x", len(name)) }

const behindPlain = "2001:db8:3::1"

// A plain is a port that costs nothing but cutting.
type plain struct{ own }

func (plain) Send(v *link.Vector) error { return v.Cut(func(*link.Packet) error { return nil }) }

func (g *rig) attach(t testing.TB, p link.Port, s ifmgr.Settings) (id ifmgr.ID) {
	t.Helper()
	g.r.Turn(func(turn *loop.Turn) {
		var err error
		if id, err = g.r.Interfaces.Attach(turn, p, s); err != nil {
			t.Error(err)
		}
	})
	return id
}

// step takes one batch through.
func (g *rig) step() {
	_ = g.Recv() // a replay never fails
	g.Forward()
}

// batches is what the packet path has to do with 64 packets, by name.
func batches() map[string][][]byte {
	all := map[string][][]byte{}
	for i := range link.VectorSize {
		for name, pkt := range map[string][]byte{
			"forward":         udp(hostA, hostB),
			"ECMP":            lab.UDP(hostA, "2001:db8:1::1", uint16(i), 443, data),
			"drop silently":   udp(hostA, "ff0e::1"),
			"drop with error": udp(hostA, elsewhere),
			"echo":            lab.Echo(hostA, routerA, 1, 1, data),
			"local port":      udp(hostA, routerB),
			"extension":       lab.Options(udp(hostA, hostB), 0),
			"hop limit":       lab.WithHopLimit(udp(hostA, hostB), 1),
			"too big":         lab.UDP(hostA, hostB, 1, 2, make([]byte, 1500)),
			"malformed":       {6 << 4},
			"full":            udp(hostA, refusing("full")),
			"rejecting":       udp(hostA, refusing("rejecting")),
			"severed":         udp(hostA, refusing("severed")),
			"plain":           udp(hostA, behindPlain),
		} {
			all[name] = append(all[name], pkt)
		}
	}
	return all
}

// frames is what it has to do with packets whose sender left something undone.
func frames() map[string][][]byte {
	payload := make([]byte, 3000)
	all := map[string][][]byte{}
	for range link.VectorSize {
		for name, frame := range map[string][]byte{
			"superframe of TCP":        lab.Superframe(lab.TCP(hostA, hostB, 1, 2, header.FlagACK, payload), 1400),
			"superframe of UDP":        lab.Superframe(lab.UDP(hostA, hostB, 1, 2, payload), 1400),
			"superframe too big":       lab.Superframe(lab.TCP(hostA, hostB, 1, 2, header.FlagACK, payload), 1450),
			"superframe of TCP, plain": lab.Superframe(lab.TCP(hostA, behindPlain, 1, 2, header.FlagACK, payload), 1400),
			"superframe of UDP, plain": lab.Superframe(lab.UDP(hostA, behindPlain, 1, 2, payload), 1400),
			"superframe without route": lab.Superframe(lab.TCP(hostA, elsewhere, 1, 2, header.FlagACK, payload), 1400),
			"partial":                  lab.PartialChecksum(udp(hostA, hostB)),
			"partial, plain":           lab.PartialChecksum(udp(hostA, behindPlain)),
			"partial, echo":            lab.PartialChecksum(lab.Echo(hostA, routerA, 1, 1, data)),
		} {
			all[name] = append(all[name], frame)
		}
	}
	return all
}

// Nothing is allocated per packet, whatever becomes of it.
func TestNoAllocations(t *testing.T) {
	g := newRig(t, 4)
	for name, pkts := range batches() {
		t.Run(name, func(t *testing.T) {
			g.rx.pkts = pkts
			g.step() // the outbox grows once
			if n := testing.AllocsPerRun(100, g.step); n != 0 {
				t.Errorf("allocations for a batch of %d = %v, want 0", len(pkts), n)
			}
		})
	}
	for name, frames := range frames() {
		t.Run(name, func(t *testing.T) {
			g.rx.frames = frames
			g.step()
			if n := testing.AllocsPerRun(100, g.step); n != 0 {
				t.Errorf("allocations for a batch of %d = %v, want 0", len(frames), n)
			}
		})
	}
	t.Run("inject", func(t *testing.T) {
		j := g.r.Plane.NewInjector("test")
		defer j.Close()
		pkt := udp(routerA, hostB)
		if n := testing.AllocsPerRun(100, func() { _ = j.Inject(pkt) }); n != 0 {
			t.Errorf("allocations = %v, want 0", n)
		}
	})
}

// Receive, forward and send, but for what devices cost.
func BenchmarkForward(b *testing.B) {
	for name, pkts := range batches() {
		for _, n := range []int{1, link.VectorSize} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, n), func(b *testing.B) {
				g := newRig(b, 4)
				g.rx.pkts = pkts[:n]
				g.step()
				b.ReportAllocs()
				for b.Loop() {
					g.step()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/pkt")
			})
		}
	}
}

// The same between ports with frames, whose neighbors are known.
func BenchmarkForwardEthernet(b *testing.B) {
	for _, n := range []int{1, link.VectorSize} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			g := newEthernetRig(b)
			for range n {
				g.rx.pkts = append(g.rx.pkts, lab.EthernetFrame(lab.RouterMAC, macE, udp(hostE, hostF)))
			}
			g.step()
			b.ReportAllocs()
			for b.Loop() {
				g.step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/pkt")
		})
	}
}

package dataplane_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// tap looks at an interface until the end of the test.
func tap(t testing.TB, r *lab.Router, id ifmgr.ID, snap int, dropsOnly bool) *dataplane.Tap {
	t.Helper()
	x := dataplane.NewTap(snap, dropsOnly)
	if err := r.Try(func(turn *loop.Turn) error { return r.Plane.Tap(turn, id, x) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { untap(r, x) })
	return x
}

func untap(r *lab.Router, x *dataplane.Tap) {
	r.Turn(func(turn *loop.Turn) { r.Plane.Untap(turn, x) })
}

// A sight is what a test remembers of one.
type sight struct {
	what  string // direction, reason
	size  int
	bytes []byte
}

// sights is what a tap has seen since it was asked.
func sights(x *dataplane.Tap) (all []sight) {
	_ = x.Each(func(s *dataplane.Sight) error { // never fails
		way := map[dataplane.Direction]string{dataplane.Inbound: "in", dataplane.Outbound: "out"}[s.Direction]
		if s.Drop != dataplane.None {
			way += " " + s.Drop.String()
		}
		all = append(all, sight{way, s.Size, bytes.Clone(s.Bytes)})
		return nil
	})
	return all
}

func whats(all []sight) (text []string) {
	for _, s := range all {
		text = append(text, s.what)
	}
	return text
}

func wantSights(t *testing.T, who string, x *dataplane.Tap, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, whats(sights(x))); diff != "" {
		t.Errorf("%s has seen (-want +got):\n%s", who, diff)
	}
}

// Every packet of a story is seen once on each interface it passes, with its
// direction and what became of it.
func TestTapSeesTheStory(t *testing.T) {
	s := newScene(t)
	a, b := tap(t, s.Router, s.a.ID, link.MaxPacket, false), tap(t, s.Router, s.b.ID, link.MaxPacket, false)
	dropsA := tap(t, s.Router, s.a.ID, link.MaxPacket, true)
	for _, c := range []struct {
		name       string
		pkt        []byte
		a, b, drop []string
	}{
		{"forwarded", udp(hostA, hostB), []string{"in"}, []string{"out"}, nil},
		{"answered", lab.Echo(hostA, routerA, 1, 1, data), []string{"in", "out"}, nil, nil},
		{"refused", lab.WithHopLimit(udp(hostA, hostB), 1), []string{"in hop_limit", "out"}, nil, []string{"in hop_limit"}},
		{"no route", udp(hostA, elsewhere), []string{"in no_route", "out"}, nil, []string{"in no_route"}},
		{
			"no route back either", udp(elsewhere, elsewhere),
			[]string{"in no_route", "out no_route"},
			nil,
			[]string{"out no_route", "in no_route"}, // the error is part of what becomes of the packet
		},
		{"refused silently", udp(hostA, "ff0e::1"), []string{"in multicast"}, nil, []string{"in multicast"}},
		{"not IPv6", []byte{0x45, 0, 0, 0}, []string{"in not_ipv6"}, nil, []string{"in not_ipv6"}},
		{"nothing", nil, []string{"in not_ipv6"}, nil, []string{"in not_ipv6"}},
		{"truncated", udp(hostA, hostB)[:50], []string{"in truncated"}, nil, []string{"in truncated"}},
		{"padded", append(udp(hostA, hostB), 0, 0), []string{"in"}, []string{"out"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.a.Send(bytes.Clone(c.pkt))
			s.Settle()
			got := sights(a)
			if diff := cmp.Diff(c.a, whats(got)); diff != "" {
				t.Errorf("a has seen (-want +got):\n%s", diff)
			}
			wantPacket(t, got[0].bytes, c.pkt)
			wantSights(t, "b", b, c.b...)
			wantSights(t, "who wants drops of a", dropsA, c.drop...)
		})
	}
	t.Run("refused by the way out", func(t *testing.T) {
		s.b.Near.SetDown(true)
		s.a.Send(udp(hostA, hostB))
		s.Settle()
		wantSights(t, "a", a, "in")
		wantSights(t, "b", b, "out interface_down")
		wantSights(t, "who wants drops of a", dropsA)
	})
}

// What goes out is seen as it goes out, and kept as far as was asked.
func TestTapKeepsSoMuch(t *testing.T) {
	s := newScene(t)
	whole, short := tap(t, s.Router, s.b.ID, link.MaxPacket, false), tap(t, s.Router, s.b.ID, 48, false)
	pkt := lab.TCP(hostA, hostB, 1, 2, header.FlagACK, make([]byte, 60_000))
	s.a.SendFrame(lab.Superframe(pkt, 1440))
	_, sent := lab.Unframe(s.b.ExpectFrame())
	if got := sights(whole); len(got) != 1 || got[0].size != len(pkt) || !bytes.Equal(got[0].bytes, sent) {
		t.Errorf("superframe of %d bytes was seen otherwise, %d times", len(pkt), len(got))
	}
	if got := sights(short); len(got) != 1 || got[0].size != len(pkt) || !bytes.Equal(got[0].bytes, sent[:48]) {
		t.Errorf("of a superframe of %d bytes 48 are not kept: %+v", len(pkt), got)
	}
}

// A stacked interface has its packets without the header of the lower one, which
// is not concerned.
func TestTapOnStackedPort(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)
	up, low := tap(t, s.Router, ppp.ID, link.MaxPacket, false), tap(t, s.Router, s.c.ID, link.MaxPacket, false)
	ppp.Send(udp(hostP, hostA))
	s.a.Send(udp(hostA, hostP))
	s.Settle()
	if got := whats(sights(up)); len(got) != 2 || !slices.Contains(got, "in") || !slices.Contains(got, "out") {
		t.Errorf("the stacked interface has seen %v, want in and out", got)
	}
	wantSights(t, "the lower interface", low)
	s.c.Send(lab.NewStacked("other", nil, 8).Encapsulate(udp(hostP, hostA)))
	s.Settle()
	wantSights(t, "the lower interface", low, "in not_ipv6")
}

// What finds no room is lost and counted, and what is read makes room.
func TestTapCountsWhatIsLost(t *testing.T) {
	g := newRig(t, 1)
	x := tap(t, g.r, g.In(), link.MaxPacket, false)
	g.rx.pkts = batches()["forward"]
	const more = 10
	for round := range uint64(3) {
		for range dataplane.RingChunks/link.VectorSize + more {
			g.step()
		}
		if got, want := x.Lost(), (round+1)*more*link.VectorSize; got != want {
			t.Errorf("lost = %d, want %d", got, want)
		}
		if got := len(sights(x)); got != dataplane.RingChunks {
			t.Errorf("seen = %d, want %d", got, dataplane.RingChunks)
		}
	}
}

// A reader that stops in the middle has the rest later.
func TestTapReaderStops(t *testing.T) {
	s := newScene(t)
	x := tap(t, s.Router, s.a.ID, link.MaxPacket, false)
	s.a.Send(udp(hostA, hostB), udp(hostA, elsewhere))
	s.Settle()
	enough := errors.New("enough")
	if err := x.Each(func(*dataplane.Sight) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Each = %v, want %v", err, enough)
	}
	wantSights(t, "a", x, "in no_route", "out")
}

// Many workers fill one ring while it is read: nothing is torn, and seen and lost
// are all that passed.
func TestTapOfManyWorkers(t *testing.T) {
	r := lab.New(t)
	out := r.Attach("out", routerB+"/64")
	x := tap(t, r, out.ID, link.MaxPacket, false)
	var ports []*lab.Port
	for i := range 4 {
		ports = append(ports, r.Attach(fmt.Sprint("p", i), fmt.Sprintf("2001:db8:%d::1/64", i)))
	}
	var stop atomic.Bool
	var seen uint64
	var reader sync.WaitGroup
	read := func() {
		_ = x.Each(func(s *dataplane.Sight) error { // never fails
			if seen++; !lab.ChecksumRight(s.Bytes) {
				t.Errorf("torn: %x", s.Bytes)
			}
			return nil
		})
	}
	reader.Go(func() {
		for !stop.Load() {
			<-x.More()
			read()
		}
	})
	var senders sync.WaitGroup
	const each = 3000
	for i, p := range ports {
		senders.Go(func() {
			for n := range each {
				for !p.TrySend(lab.UDP(fmt.Sprintf("2001:db8:%d::2", i), hostB, 1, 2, make([]byte, n%1400))) {
					out.Take()
				}
				out.Take()
			}
		})
	}
	senders.Wait()
	r.Settle()
	stop.Store(true)
	ports[0].Send(lab.UDP("2001:db8:0::2", hostB, 1, 2, nil)) // the reader looks once more
	reader.Wait()
	r.Settle()
	read()
	if got, want := seen+x.Lost(), uint64(len(ports)*each+1); got != want {
		t.Errorf("seen + lost = %d + %d, want %d", seen, x.Lost(), want)
	}
}

// An interface ends as if nobody looked, and its successor is not seen.
func TestDetachUnderTap(t *testing.T) {
	r := lab.New(t)
	a, b := r.Attach("a", routerA+"/64"), r.Attach("b", routerB+"/64")
	x := tap(t, r, b.ID, link.MaxPacket, false)
	la, lb := startLoad(a, sideA.sends...), startLoad(b, sideB.sends...)
	busy(r, b)
	if res := b.Detach(); !res.Clean || len(res.Holders) > 0 {
		t.Errorf("ledger = %+v, want clean", res)
	}
	if len(sights(x)) == 0 {
		t.Error("nothing was seen")
	}
	lb.end()
	b = r.Attach("b", routerB+"/64")
	lb = startLoad(b, sideB.sends...)
	busy(r, b)
	wantSights(t, "the capture of the first b", x)
	r.Detach(a, b)
	la.end()
	lb.end()
}

// There are so many taps at once, and no more.
func TestTapsAreBounded(t *testing.T) {
	s := newScene(t)
	var last *dataplane.Tap
	for range dataplane.MaxTaps {
		last = tap(t, s.Router, s.a.ID, link.MaxPacket, false)
	}
	again := func() error {
		return s.Try(func(turn *loop.Turn) error {
			return s.Plane.Tap(turn, s.a.ID, dataplane.NewTap(0, false))
		})
	}
	if err := again(); !errors.Is(err, dataplane.ErrTooManyTaps) {
		t.Errorf("one more = %v, want %v", err, dataplane.ErrTooManyTaps)
	}
	untap(s.Router, last)
	if err := again(); err != nil {
		t.Errorf("one more after one less = %v", err)
	}
}

// Nothing is allocated per packet while somebody looks.
func TestNoAllocationsUnderTap(t *testing.T) {
	for name, pkts := range batches() {
		for _, dropsOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, drops only %v", name, dropsOnly), func(t *testing.T) {
				g := newRig(t, 4)
				tap(t, g.r, g.In(), link.MaxPacket, dropsOnly)
				g.rx.pkts = pkts
				g.step() // the outbox grows once
				if n := testing.AllocsPerRun(100, g.step); n != 0 {
					t.Errorf("allocations for a batch of %d = %v, want 0", len(pkts), n)
				}
				if !g.Empty() {
					t.Error("the worker holds something of a batch")
				}
			})
		}
	}
}

// What it costs to be looked at: by nobody who reads, and by one who does.
func BenchmarkForwardUnderTap(b *testing.B) {
	for _, dropsOnly := range []bool{false, true} {
		b.Run(fmt.Sprintf("drops=%v/batch=64", dropsOnly), func(b *testing.B) {
			g := newRig(b, 4)
			x := tap(b, g.r, g.In(), link.MaxPacket, dropsOnly)
			g.rx.pkts = batches()["forward"]
			b.ReportAllocs()
			for b.Loop() {
				g.step()
				_ = x.Each(func(*dataplane.Sight) error { return nil }) // never fails
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*link.VectorSize), "ns/pkt")
		})
	}
}

// A peeking port looks at its own capture in the middle of a Send.
type peeking struct {
	own
	tap  *dataplane.Tap
	seen []string
}

func (p *peeking) Send(v *link.Vector) error {
	p.seen = append(p.seen, whats(sights(p.tap))...)
	return p.own.Send(v)
}

// Nothing is shown before it is known what became of it.
func TestTapShowsNothingTooEarly(t *testing.T) {
	s := newScene(t)
	p := &peeking{own: own{link.ErrDown}}
	var id ifmgr.ID
	s.Turn(func(turn *loop.Turn) {
		var err error
		if id, err = s.Interfaces.Attach(turn, p, ifmgr.Settings{Name: "peeking", MTU: 1500, Up: true}); err != nil {
			t.Error(err)
		}
	})
	p.tap = tap(t, s.Router, id, link.MaxPacket, false)
	s.Route("2001:db8:d::/48", lab.Dev("peeking"))
	s.a.Send(udp(hostA, "2001:db8:d::1"))
	s.Settle()
	if len(p.seen) > 0 {
		t.Errorf("in the middle of a Send %v was seen", p.seen)
	}
	wantSights(t, "the port", p.tap, "out interface_down")
	s.DetachID(id)
}

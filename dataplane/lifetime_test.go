package dataplane_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

// A load keeps a port busy in both directions until it is ended. Its pipe panics
// when the router uses it after it was closed.
type load struct {
	p    *lab.Port
	stop atomic.Bool
	join sync.WaitGroup
	out  uint64 // packets that came out
}

func startLoad(p *lab.Port, pkts ...[]byte) *load {
	l := &load{p: p}
	l.join.Go(func() {
		for i := 0; !l.stop.Load(); i++ {
			if !p.TrySend(pkts[i%len(pkts)]) {
				runtime.Gosched()
			}
		}
	})
	l.join.Go(func() {
		for p.Far.Next() != nil {
			l.out++
		}
	})
	return l
}

// end returns how many packets came out.
func (l *load) end() uint64 {
	l.stop.Store(true)
	l.p.Far.Interrupt()
	l.join.Wait()
	for l.p.Far.Take() != nil {
		l.out++
	}
	return l.out
}

// busy waits until more has come in by p, and more gone out.
func busy(r *lab.Router, p *lab.Port) {
	in, out := p.Traffic().RxPackets.Load(), p.Traffic().TxPackets.Load()
	r.Until("load on "+p.Name, func() bool {
		return p.Traffic().RxPackets.Load() > in+100 && p.Traffic().TxPackets.Load() > out+100
	})
}

func cycles(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// A side is one of two interfaces that send to each other, and to the router.
type side struct {
	name, router string
	sends        [][]byte
}

var (
	sideA = side{"a", routerA, [][]byte{udp(hostA, hostB), udp(hostA, elsewhere), lab.Echo(hostA, routerB, 1, 1, nil), lab.Echo(hostA, routerA, 1, 1, nil)}}
	sideB = side{"b", routerB, [][]byte{udp(hostB, hostA), udp(hostB, elsewhere), lab.Echo(hostB, routerA, 1, 1, nil), lab.Echo(hostB, routerB, 1, 1, nil)}}
)

// Interfaces come and go while both are busy: no packet through a closed port,
// no detach held up, and each packet accounted for.
func TestDetachUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		which []int
	}{
		{"the way out", []int{1}},
		{"the way in", []int{0}},
		{"both at once", []int{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := lab.New(t)
			var ports [2]*lab.Port
			var loads [2]*load
			attach := func(i int) {
				s := [...]side{sideA, sideB}[i]
				ports[i] = r.Attach(s.name, s.router+"/64")
				loads[i] = startLoad(ports[i], s.sends...)
			}
			attach(0)
			attach(1)
			var out uint64
			for range cycles(40) {
				for _, p := range ports {
					busy(r, p)
				}
				var gone []*lab.Port
				for _, i := range c.which {
					gone = append(gone, ports[i])
				}
				r.Detach(gone...)
				for _, i := range c.which {
					out += loads[i].end()
					attach(i)
				}
			}
			r.Detach(ports[:]...)
			out += loads[0].end() + loads[1].end()
			st := r.Stats()
			if st.Sent != out {
				t.Errorf("sent = %d, but %d packets came out", st.Sent, out)
			}
			if !st.Balanced() {
				t.Errorf("account does not balance: %+v", st)
			}
		})
	}
}

// Carrier comes and goes under load. The interface stays, and lookups never
// return it while it is down.
func TestCarrierUnderLoad(t *testing.T) {
	r := lab.New(t)
	a, b := r.Attach("a", routerA+"/64"), r.Attach("b", routerB+"/64")
	loads := []*load{startLoad(a, sideA.sends...), startLoad(b, sideB.sends...)}
	for range cycles(100) {
		busy(r, b)
		b.Carrier(false)
		b.Carrier(true)
	}
	r.Detach(a, b)
	out := loads[0].end() + loads[1].end()
	if st := r.Stats(); st.Sent != out || !st.Balanced() {
		t.Errorf("sent = %d, but %d packets came out; balanced = %v", st.Sent, out, st.Balanced())
	}
}

// A worker that sleeps holds up no grace period, whether it has ever worked or
// not.
func TestIdleWorker(t *testing.T) {
	s := newScene(t)
	s.a.Send(udp(hostA, hostB)) // the worker of a has been at work, that of c has not
	s.b.Expect()
	if res := s.b.Detach(); !res.Clean {
		t.Error("a sleeping worker held up the detach")
	}
	s.a.Send(udp(hostA, hostB))
	(&icmpError{1, 0, 0, routerA}).check(t, s.a.Expect(), udp(hostA, hostB))
}

// A worker that sleeps holds nothing of its last batch either: what has ended can
// be collected.
func TestIdleWorkerHoldsNothing(t *testing.T) {
	g := newRig(t, 64)
	for _, pkts := range [][][]byte{{udp(hostA, hostB), udp(hostA, elsewhere), lab.Echo(hostA, routerA, 1, 1, nil)}, {udp(hostA, hostB)}} {
		g.rx.pkts = pkts
		g.step()
		if !g.Empty() {
			t.Error("a worker between batches holds on to one")
		}
	}
}

// What is stacked goes before what it is stacked on, under load.
func TestDetachLowerUnderLoad(t *testing.T) {
	r := lab.New(t)
	var order []string
	h := r.Hooks()
	ended := h.Ended
	h.Ended = func(t *loop.Turn, res ifmgr.Result) { order = append(order, res.Name); ended(t, res) }
	r.Turn(func(*loop.Turn) { r.Interfaces.Hook(h) })

	a := r.Attach("a", routerA+"/64")
	la := startLoad(a, udp(hostA, hostP), udp(hostA, routerP), lab.Echo(hostA, routerP, 1, 1, nil))
	var out uint64
	for range cycles(40) {
		low := r.Attach("low")
		ppp := r.Stack("ppp", low, 7, routerP+"/64")
		ll := startLoad(low, ppp.Encapsulate(udp(hostP, hostA)), ppp.Encapsulate(lab.Echo(hostP, routerP, 1, 1, nil)))
		busy(r, a)
		busy(r, ppp)
		order = nil
		r.Detach(low, ppp)
		out += ll.end()
		if want := []string{"ppp", "low"}; !slices.Equal(order, want) {
			t.Fatalf("ended %v, want %v", order, want)
		}
	}
	a.Detach()
	out += la.end()
	if st := r.Stats(); st.Sent != out || !st.Balanced() {
		t.Errorf("sent = %d, but %d packets came out; balanced = %v", st.Sent, out, st.Balanced())
	}
}

// What is stacked goes and comes again, as a PPPoE session does, while the
// interface below stays busy.
func TestRestackUnderLoad(t *testing.T) {
	r := lab.New(t)
	a, low := r.Attach("a", routerA+"/64"), r.Attach("low", routerB+"/64")
	la := startLoad(a, udp(hostA, hostP), udp(hostA, hostB))
	wire := lab.NewStacked("wire", nil, 7)
	ll := startLoad(low, wire.Encapsulate(udp(hostP, hostA)), udp(hostB, hostA), wire.Encapsulate(lab.Echo(hostP, routerP, 1, 1, nil)))
	for range cycles(40) {
		ppp := r.Stack("ppp", low, 7, routerP+"/64")
		busy(r, ppp)
		ppp.Detach()
	}
	busy(r, low)
	r.Detach(a, low)
	out := la.end() + ll.end()
	if st := r.Stats(); st.Sent != out || !st.Balanced() {
		t.Errorf("sent = %d, but %d packets came out; balanced = %v", st.Sent, out, st.Balanced())
	}
}

// The seed of this project: a retransmission timer sends, and asks for the hop
// limit of an interface that is being torn down. Here the hop limit, like all
// else, comes from the lookup that sends the packet: each packet that comes out
// has the one of the interface it came out of, and while there is none, the timer
// gets an error, and goes on.
func TestTimerOutlivesItsInterface(t *testing.T) {
	r := lab.New(t)
	r.Attach("lan", routerA+"/64")
	r.Route("::/0", lab.Dev("wan"))
	pkt := lab.WithHopLimit(udp(routerA, elsewhere), 0)

	var stop atomic.Bool
	var sent, refused atomic.Uint64
	var timer sync.WaitGroup
	timer.Go(func() {
		j := r.Plane.NewInjector("retransmission timer")
		defer j.Close()
		for !stop.Load() {
			switch err := j.Inject(pkt); {
			case err == nil:
				sent.Add(1)
			case isFor(err, dataplane.NoRoute):
				refused.Add(1)
			case isFor(err, dataplane.InterfaceFull): // the far end is slow
			default:
				t.Errorf("error = %v, want none or no route", err)
			}
			runtime.Gosched()
		}
	})
	more := func(c *atomic.Uint64) {
		n := c.Load()
		r.Until("the timer", func() bool { return c.Load() > n+10 })
	}

	here := r.Plane.NewInjector("test")
	defer here.Close()
	var out uint64
	for i := range cycles(200) {
		limit := uint8(i%250 + 1)
		set := lab.Settings("wan")
		set.HopLimit = limit
		p := r.AttachAs(set)
		var drain sync.WaitGroup
		drain.Go(func() {
			for b := p.Far.Next(); b != nil; b = p.Far.Next() {
				out++
				if got := header.IPv6(b).HopLimit(); got != limit {
					t.Errorf("hop limit = %d, want %d: that of the interface it left by", got, limit)
				}
			}
		})
		more(&sent)
		p.Detach()
		if err := here.Inject(pkt); !isFor(err, dataplane.NoRoute) { // G1
			t.Errorf("error after the detach = %v, want no route", err)
		}
		more(&refused)
		p.Far.Interrupt()
		drain.Wait()
		for p.Far.Take() != nil {
			out++
		}
	}
	stop.Store(true)
	timer.Wait()
	if st := r.Stats(); st.Sent != out || sent.Load() != out {
		t.Errorf("sent = %d, the timer says %d, but %d packets came out", st.Sent, sent.Load(), out)
	}
}

func isFor(err error, why dataplane.Drop) bool {
	var d *dataplane.DropError
	return errors.As(err, &d) && d.Drop == why
}

// Counters of interfaces and of the router agree, for all that ever were.
func TestInterfacesAndAccountAgree(t *testing.T) {
	s := newScene(t)
	ports := []*lab.Port{s.a, s.b, s.c}
	for i := range 20 {
		name := fmt.Sprintf("x%d", i)
		p := s.Attach(name)
		s.Route("2001:db8:f::/48", lab.Dev(name))
		s.a.Send(udp(hostA, "2001:db8:f::1"), udp(hostA, routerA), udp(hostA, hostC))
		p.Send(udp("2001:db8:f::1", hostB), []byte{1})
		p.Expect()
		ports = append(ports, p)
		p.Detach()
	}
	var rx, tx, refused uint64
	for _, p := range ports {
		rx += p.Traffic().RxPackets.Load()
		tx += p.Traffic().TxPackets.Load()
		refused += p.Traffic().TxErrors.Load()
	}
	if st := s.Stats(); st.Received != rx || st.Sent != tx || refused != 0 {
		t.Errorf("received, sent = %d, %d, interfaces say %d, %d", st.Received, st.Sent, rx, tx)
	}
}

package ifmgr

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestDetachStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{closeTakes: 20 * time.Millisecond}
		id := h.attach("wan", p)
		worker := h.acquire(id, Worker)
		r := h.dom.Register("worker")
		g := r.Enter() // in the middle of a batch
		h.withdraw = func(x *loop.Turn, id ID) {
			if _, err := h.m.Acquire(x, id, Worker); !errors.Is(err, ErrDraining) {
				t.Errorf("gate while withdrawing = %v, want %v", err, ErrDraining)
			}
			if p.interrupts.Load() != 0 {
				t.Error("interrupted before it was withdrawn")
			}
		}
		done := h.detach(id)
		h.do(func(*loop.Turn) {
			if h.current().up[id] != nil || h.m.ifaces[id].Withdrawn() != h.current().gen {
				t.Error("lookups still return it")
			}
			if p.interrupts.Load() != 1 {
				t.Error("its reader was not interrupted")
			}
		})
		time.Sleep(100 * time.Millisecond)
		g.Leave()
		time.Sleep(200 * time.Millisecond)
		if p.closed.Load() != 0 {
			t.Error("closed under its holder")
		}
		worker.Release()
		res := <-done
		want := Result{
			ID: id, Name: "wan", Cause: ErrRequested, Clean: true, Routes: 1, Slots: 1, Readers: 1,
			Grace: 100 * time.Millisecond, Hold: 200 * time.Millisecond, Close: 20 * time.Millisecond, Total: 320 * time.Millisecond,
		}
		if !reflect.DeepEqual(res, want) {
			t.Errorf("ledger = %+v, want %+v", res, want)
		}
		if p.closed.Load() != 1 || p.severed.Load() != 0 {
			t.Errorf("closed %d times, severed %d times, want 1, 0", p.closed.Load(), p.severed.Load())
		}
		h.do(func(x *loop.Turn) {
			if got, want := h.trace, []string{"attached 1", "up 1", "withdraw 1", "ended 1"}; !slices.Equal(got, want) {
				t.Errorf("trace = %v, want %v", got, want)
			}
			if got, want := h.m.Totals(x), (Totals{Attached: 1, Clean: 1, Refused: 1, Grace: 100 * time.Millisecond, Hold: 200 * time.Millisecond, Close: 20 * time.Millisecond}); got != want {
				t.Errorf("totals = %+v, want %+v", got, want)
			}
			if len(h.m.ifaces)+len(h.m.names)+len(h.m.devices) != 0 {
				t.Error("something of it is left")
			}
		})
		r.Close()
	})
}

// A worker that does not leave Recv, or forgets its handle.
func TestHolderThatStaysIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{severTakes: 15 * time.Millisecond}
		id := h.attach("wan", p)
		one, two := h.acquire(id, Worker), h.acquire(id, Worker)
		done := h.detach(id)
		r := <-done
		if r.Clean || !maps.Equal(r.Holders, map[string]int64{"worker": 2}) || len(r.Slowest) != 0 || r.Err != nil {
			t.Errorf("ledger = %+v, want orphaned by two workers", r)
		}
		// G3: nothing leaves through an interface whose detach is reported.
		if p.severed.Load() != 1 {
			t.Error("reported with the device alive")
		}
		if r.Total > timeout || r.Total < timeout/2 {
			t.Errorf("took %v of %v", r.Total, timeout)
		}
		if p.closed.Load() != 0 || h.state(id) != Orphaned {
			t.Error("closed under its holders")
		}
		time.Sleep(time.Hour)
		one.Release()
		time.Sleep(time.Hour)
		if h.state(id) != Orphaned {
			t.Error("ended before the last holder left")
		}
		two.Release()
		synctest.Wait()
		if p.closed.Load() != 1 || h.state(id) != 0 || h.logged("orphan ended") != 1 {
			t.Errorf("closed %d times, want 1 and the end of the orphan", p.closed.Load())
		}
		h.do(func(x *loop.Turn) {
			if got, want := h.m.Totals(x), (Totals{Attached: 1, Orphaned: 1}); got != want {
				t.Errorf("totals = %+v, want %+v", got, want)
			}
			if got := h.trace[len(h.trace)-1]; got != "ended 1" || slices.Index(h.trace, got) != len(h.trace)-1 {
				t.Errorf("trace = %v, want one end", h.trace)
			}
		})
	})
}

func TestReaderThatStaysIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := new(port)
		id := h.attach("wan", p)
		h.dom.Register("idle")
		r := h.dom.Register("stuck")
		g := r.Enter()
		res := <-h.detach(id)
		if res.Clean || !slices.Equal(res.Slowest, []string{"stuck"}) || res.Grace != 0 {
			t.Errorf("ledger = %+v, want orphaned by the reader stuck", res)
		}
		if res.Total > timeout || p.severed.Load() != 1 || p.closed.Load() != 0 {
			t.Errorf("took %v, severed %d, closed %d, want at most %v, 1, 0", res.Total, p.severed.Load(), p.closed.Load(), timeout)
		}
		g.Leave()
		synctest.Wait()
		if p.closed.Load() != 1 || h.state(id) != 0 {
			t.Error("not closed after the reader left")
		}
		r.Close()
	})
}

func TestDeafPortIsSevered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var readers sync.WaitGroup
		p := &deaf{gone: make(chan struct{})}
		h.attached = func(x *loop.Turn, id ID) {
			i, err := h.m.Acquire(x, id, Worker)
			if err != nil {
				t.Error(err)
				return
			}
			rx := i.Receivers()[0]
			readers.Go(func() {
				defer i.Release()
				if err := rx.Recv(nil); !errors.Is(err, link.ErrGone) {
					t.Errorf("recv = %v, want %v", err, link.ErrGone)
				}
			})
		}
		id := h.attach("wan", p)
		r := <-h.detach(id)
		if !r.Clean { // dead, it let go of its reader in time
			t.Errorf("ledger = %+v, want clean", r)
		}
		readers.Wait()
		if p.severed.Load() != 1 || p.closed.Load() != 1 {
			t.Errorf("severed %d, closed %d, want 1, 1", p.severed.Load(), p.closed.Load())
		}
	})
}

// A deaf port's Recv ends with the device, not with Interrupt.
type deaf struct {
	port
	gone chan struct{}
}

func (d *deaf) Recv(*link.Batch) error {
	<-d.gone
	return link.ErrGone
}

func (d *deaf) Sever() error {
	close(d.gone)
	time.Sleep(10 * time.Millisecond)
	return d.port.Sever()
}

func TestKernelSlowToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{closeTakes: 5 * time.Second}
		id := h.attach("wan", p)
		r := <-h.detach(id)
		if r.Clean || r.Total != timeout || len(r.Holders) != 0 {
			t.Errorf("ledger = %+v, want orphaned after %v without holders", r, timeout)
		}
		if p.severed.Load() != 0 {
			t.Error("severed while it closes")
		}
		if h.logged("orphan ended") != 0 {
			t.Error("the end is logged before it came")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if p.closed.Load() != 1 || h.state(id) != 0 || h.logged("orphan ended") != 1 {
			t.Errorf("closed %d times, want 1 and the end of the orphan", p.closed.Load())
		}
	})
}

func TestKernelSlowToSever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{severTakes: time.Minute}
		id := h.attach("wan", p)
		i := h.acquire(id, Worker)
		if r := <-h.detach(id); r.Clean || r.Total != timeout {
			t.Errorf("ledger = %+v, want orphaned after %v", r, timeout)
		}
		i.Release()
		synctest.Wait()
		if p.closed.Load() != 0 {
			t.Error("closed while it is being severed")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if h.state(id) != 0 || p.closed.Load() != 1 {
			t.Error("not closed")
		}
		if got := h.logged("interface orphaned"); got != 1 {
			t.Errorf("orphaned %d times, want 1", got)
		}
	})
}

// A turn that takes long has the first deadline come late: the kernel has its part
// of the time all the same.
func TestLoopLateToSever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{severTakes: 15 * time.Millisecond}
		id := h.attach("wan", p)
		i := h.acquire(id, Worker)
		done := h.detach(id)
		h.do(func(*loop.Turn) { time.Sleep(2 * timeout) })
		r := <-done
		if r.Clean || p.severed.Load() != 1 {
			t.Errorf("ledger = %+v, severed %d times, want it orphaned with the device dead", r, p.severed.Load())
		}
		if want := 2*timeout + p.severTakes; r.Total != want {
			t.Errorf("took %v, want %v", r.Total, want)
		}
		i.Release()
	})
}

func TestHolderThatLeavesWhileTheDeviceDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{severTakes: 20 * time.Millisecond, closeTakes: 30 * time.Millisecond}
		id := h.attach("wan", p)
		i := h.acquire(id, Worker)
		done := h.detach(id)
		time.Sleep(h.m.patience() + 10*time.Millisecond) // it is dying
		i.Release()
		if r := <-done; !r.Clean || r.Total != h.m.patience()+50*time.Millisecond {
			t.Errorf("ledger = %+v, want clean when it is closed", r)
		}
		if p.closed.Load() != 1 || h.state(id) != 0 {
			t.Error("not closed")
		}
	})
}

func TestSeverErrorIsInTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{severErr: errors.New("no descriptor left")}
		id := h.attach("wan", p)
		i := h.acquire(id, Worker)
		if r := <-h.detach(id); r.Clean || !errors.Is(r.Err, p.severErr) || r.Total != timeout {
			t.Errorf("ledger = %+v, want orphaned with the error after %v", r, timeout)
		}
		i.Release()
		synctest.Wait()
	})
}

func TestCloseErrorIsInTheLedger(t *testing.T) {
	h := newHouse(t)
	p := &port{closeErr: errors.New("odd")}
	id := h.attach("wan", p)
	if r := <-h.detach(id); !r.Clean || !errors.Is(r.Err, p.closeErr) {
		t.Errorf("ledger = %+v, want clean with the error", r)
	}
	if h.state(id) != 0 {
		t.Error("the number is not considered gone")
	}
}

func TestEveryDetachHasTheSameLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		id := h.attach("wan", new(port))
		i := h.acquire(id, Worker)
		first := h.detach(id)
		var second, third Result
		h.do(func(x *loop.Turn) {
			h.m.Detach(x, id, ErrDeleted, func(r Result) { second = r })
			h.m.Detach(x, id, ErrShutdown, nil)
		})
		want := <-first
		h.do(func(x *loop.Turn) { // orphaned: at once
			h.m.Detach(x, id, ErrDeleted, func(r Result) { third = r })
			if !reflect.DeepEqual(second, want) || !reflect.DeepEqual(third, want) {
				t.Errorf("ledgers = %+v, %+v, want %+v", second, third, want)
			}
		})
		i.Release()
		synctest.Wait()
		if r := <-h.detach(id); !errors.Is(r.Err, ErrNotFound) || r.Clean {
			t.Errorf("after the end = %+v, want %v", r, ErrNotFound)
		}
	})
}

func TestNameIsFreeAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := &port{closeTakes: 20 * time.Millisecond}
		id := h.attach("wan", p)
		done := h.detach(id)
		var free <-chan struct{}
		h.do(func(x *loop.Turn) {
			var err error
			if free, err = h.m.Reserve(x, "wan"); free == nil || err != nil {
				t.Fatalf("reserve = %v, %v, want to wait", free, err)
			}
			if _, err := h.m.Attach(x, new(port), settings("wan")); !errors.Is(err, ErrExists) {
				t.Errorf("attach = %v, want %v", err, ErrExists)
			}
		})
		<-free
		if p.closed.Load() != 1 {
			t.Error("the name was free before the device had gone")
		}
		<-done
		next := h.attach("wan", new(port))
		if next <= id {
			t.Errorf("id = %d after %d", next, id)
		}
		<-h.detach(next)
	})
}

func TestOrphanDoesNotKeepTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		id := h.attach("wan", new(port), "2001:db8::1/64")
		i := h.acquire(id, Worker)
		<-h.detach(id)
		next := h.attach("wan", new(port), "2001:db8::1/64")
		i.Release() // the end of the old one
		synctest.Wait()
		h.do(func(x *loop.Turn) {
			if got, ok := h.m.Lookup(x, "wan"); !ok || got != next {
				t.Errorf("lookup = %d, %v, want %d", got, ok, next)
			}
			if h.current().up[next] == nil {
				t.Error("the new one is withdrawn")
			}
		})
		<-h.detach(next)
	})
}

func TestSuccessorIsLoggedAfterTheEnd(t *testing.T) {
	h := newHouse(t)
	id := h.attach("wan", new(port))
	done := make(chan ID)
	h.do(func(x *loop.Turn) {
		h.m.Detach(x, id, ErrRequested, func(Result) {
			next, err := h.m.Attach(x, new(port), settings("wan"))
			if err != nil {
				t.Error(err)
			}
			go func() { done <- next }()
		})
	})
	next := <-done
	<-h.detach(next)
	var got []string
	for _, e := range h.logs.All() {
		got = append(got, fmt.Sprint(e.Message, " ", e.ContextMap()["id"]))
	}
	want := []string{
		"interface attached 1", "interface up 1", "interface draining 1", "interface detached 1",
		"interface attached 2", "interface up 2", "interface draining 2", "interface detached 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("log = %q, want %q", got, want)
	}
}

func TestDetachOfTheUpperLeavesTheLower(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("eth0", new(port))
	u := new(claims)
	upper := h.stack("ppp0", lower, u)
	if r := <-h.detach(upper); !r.Clean {
		t.Errorf("ledger = %+v, want clean", r)
	}
	if h.state(lower) != Up {
		t.Errorf("lower = %v, want up", h.state(lower))
	}
	h.do(func(*loop.Turn) {
		if i := h.m.ifaces[lower]; i.stacked() != nil || i.holding()["stacked"] != 0 {
			t.Error("something of the upper is left on the lower")
		}
	})
	again := h.stack("ppp0", lower, new(claims))
	if again <= upper {
		t.Errorf("id = %d after %d", again, upper)
	}
	<-h.detach(lower)
	h.settle()
}

// Several ports on one are asked in the order in which they were stacked, and each
// leaves by itself.
func TestDetachOfOneUpperLeavesTheOthers(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("eth0", new(port))
	var all []ID
	for _, name := range []string{"v1", "v2", "v3"} {
		all = append(all, h.stack(name, lower, new(claims)))
	}
	want := func(ids ...ID) {
		t.Helper()
		h.do(func(*loop.Turn) {
			var got []ID
			for _, u := range h.m.ifaces[lower].stacked() {
				got = append(got, u.ID())
			}
			if !slices.Equal(got, ids) {
				t.Errorf("stacked = %v, want %v", got, ids)
			}
		})
	}
	want(all...)
	<-h.detach(all[1])
	want(all[0], all[2])
	v2 := h.stack("v2", lower, new(claims))
	want(all[0], all[2], v2)
	if r := <-h.detach(lower); !r.Clean {
		t.Errorf("ledger = %+v, want clean", r)
	}
	h.settle()
}

func TestDetachOfTheLowerTakesTheUpperFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, u := new(port), &claims{port{closeTakes: 50 * time.Millisecond}}
		lower := h.attach("eth0", p)
		upper := h.stack("ppp0", lower, u)
		var ledger Result
		done := h.detach(lower)
		h.do(func(x *loop.Turn) {
			h.m.Detach(x, upper, ErrRequested, func(r Result) { // joins
				if p.closed.Load() != 0 {
					t.Error("the lower was closed first")
				}
				ledger = r
			})
		})
		r := <-done
		if !r.Clean || r.Hold != 50*time.Millisecond {
			t.Errorf("lower = %+v, want clean, after the upper's 50ms", r)
		}
		if !ledger.Clean || !errors.Is(ledger.Cause, ErrLower) {
			t.Errorf("upper = %+v, want clean because of the lower", ledger)
		}
		h.do(func(*loop.Turn) {
			want := []string{"attached 1", "up 1", "attached 2", "up 2", "withdraw 2", "withdraw 1", "ended 2", "ended 1"}
			if !slices.Equal(h.trace, want) {
				t.Errorf("trace = %v, want %v", h.trace, want)
			}
		})
	})
}

func TestStackedOrphanHoldsTheLower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p, u := new(port), new(claims)
		lower := h.attach("eth0", p)
		upper := h.stack("ppp0", lower, u)
		i := h.acquire(upper, Route)
		r := <-h.detach(lower)
		if r.Clean || !maps.Equal(r.Holders, map[string]int64{"stacked": 1}) {
			t.Errorf("ledger = %+v, want orphaned by the port on it", r)
		}
		synctest.Wait()
		if h.state(upper) != Orphaned || p.severed.Load() != 1 || u.severed.Load() != 1 {
			t.Error("not both are severed")
		}
		i.Release()
		synctest.Wait()
		if p.closed.Load() != 1 || u.closed.Load() != 1 || h.state(lower) != 0 {
			t.Error("not both are closed")
		}
	})
}

// Uppers is what a worker of the lower port finds, until its guard is left.
func TestUpperIsThereUntilTheReaderLeaves(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("eth0", new(port))
	u := new(claims)
	upper := h.stack("ppp0", lower, u)
	i := h.acquire(lower, Worker)
	r := h.dom.Register("worker")
	g := r.Enter()
	found := i.Uppers(g)
	if len(found) != 1 || found[0].ID() != upper || found[0].Port != link.Upper(u) {
		t.Fatalf("uppers = %+v", found)
	}
	done := h.detach(upper)
	h.do(func(*loop.Turn) {})
	if u.closed.Load() != 0 {
		t.Error("closed under a reader")
	}
	if i.Uppers(g) != nil {
		t.Error("found after it was withdrawn")
	}
	g.Leave()
	<-done
	r.Close()
	i.Release()
	<-h.detach(lower)
}

func TestThousandInterfacesAtOnce(t *testing.T) {
	h := newHouse(t)
	h.m.timeout = time.Minute // it is not about deadlines
	const n = 1000
	var all []ID
	for i := range n {
		all = append(all, h.attach(fmt.Sprintf("i%d", i), new(port)))
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			r := h.dom.Register("r")
			defer r.Close()
			for !stop.Load() {
				g := r.Enter()
				for _, i := range h.table.Load(g).up {
					if i.Interface.port.(*port).closed.Load() != 0 {
						t.Error("found closed")
					}
				}
				g.Leave()
				runtime.Gosched()
			}
		})
	}
	var before loop.Stats
	done := make(chan Result, n)
	h.do(func(x *loop.Turn) {
		before = x.Stats()
		for _, id := range all {
			h.m.Detach(x, id, ErrShutdown, func(r Result) { done <- r })
		}
		if len(h.current().up) != 0 {
			t.Error("lookups return some")
		}
	})
	for range n {
		if r := <-done; !r.Clean {
			t.Errorf("ledger = %+v, want clean", r)
		}
	}
	h.do(func(x *loop.Turn) {
		if got := x.Stats().Graces - before.Graces; got > 3 {
			t.Errorf("grace periods = %d, want at most 3", got)
		}
	})
	stop.Store(true)
	readers.Wait()
}

func TestDetachedInterfaceIsCollected(t *testing.T) {
	h := newHouse(t)
	collected := make(chan struct{})
	func() {
		id := h.attach("wan", new(port))
		h.do(func(*loop.Turn) {
			runtime.AddCleanup(h.m.ifaces[id], func(int) { close(collected) }, 0)
		})
		<-h.detach(id)
	}()
	for range 100 {
		h.do(func(*loop.Turn) {})
		runtime.GC()
		select {
		case <-collected:
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("something holds it still")
}

// Batches through interfaces that come and go: a Pipe panics if it is used after
// its end.
func TestSendersNeverMeetAClosedPort(t *testing.T) {
	nstest.NoLeaks(t)
	h := newHouse(t)
	pool := link.NewPool(8)
	var workers sync.WaitGroup
	h.attached = func(x *loop.Turn, id ID) {
		i, err := h.m.Acquire(x, id, Worker)
		if err != nil {
			return
		}
		r, rx, b := h.dom.Register(i.Name()), i.Port().(link.Receiver), link.NewBatch(pool)
		workers.Go(func() {
			defer i.Release()
			defer r.Close()
			for rx.Recv(b) == nil {
				g := r.Enter()
				now := h.table.Load(g)
				var v link.Vector
				for _, out := range now.up {
					if gen := out.Withdrawn(); gen != 0 && now.gen >= gen {
						t.Errorf("%s is in generation %d, withdrawn in %d", out.Name(), now.gen, gen)
					}
					v.Reset()
					v.Push(b.At(0))
					_ = out.Port().Send(&v)
				}
				g.Leave()
				b.End()
			}
		})
	}
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	var flappers sync.WaitGroup
	for n := range 3 {
		flappers.Go(func() {
			for range rounds {
				near, far := link.NewPipe("near", "far")
				for range 4 {
					near.Offer([]byte("packet"))
				}
				id := h.attach(fmt.Sprintf("i%d", n), near)
				for range n {
					h.do(func(x *loop.Turn) { h.m.Carrier(x, id, false); h.m.Carrier(x, id, true) })
				}
				if r := <-h.detach(id); !r.Clean {
					t.Errorf("ledger = %+v, want clean", r)
				}
				far.Interrupt()
			}
		})
	}
	flappers.Wait()
	workers.Wait()
}

func TestLoopThatEndsInTheMiddleOfADetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		p := new(port)
		id := h.attach("wan", p)
		i := h.acquire(id, Worker)
		h.detach(id)
		h.stop()
		i.Release() // not refused, and nobody hears it
		time.Sleep(time.Hour)
		if p.severed.Load()+p.closed.Load() != 0 {
			t.Error("something went on without the loop")
		}
	})
}

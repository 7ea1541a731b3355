package ifmgr

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// in brings an interface into a state, in which it is until the test lets go.
func (h *house) in(s State) (id ID, letGo func()) {
	h.t.Helper()
	id = h.attach("i-"+s.String(), new(port))
	if s == Up {
		return id, func() {}
	}
	if s == Down {
		h.do(func(x *loop.Turn) { h.m.Carrier(x, id, false) })
		return id, func() {}
	}
	i := h.acquire(id, Worker)
	done := h.detach(id)
	switch s {
	case Orphaned:
		<-done
	case Detached:
		i.Release()
		<-done
		return id, func() {}
	}
	return id, func() {
		i.Release()
		if s == Draining {
			<-done
		}
	}
}

// Every state, every kind of holder.
func TestGate(t *testing.T) {
	want := map[State]map[Holder]error{
		Down:     {Route: ErrDown, Worker: nil, Stacked: nil, Setup: nil},
		Up:       {Route: nil, Worker: nil, Stacked: nil, Setup: nil},
		Draining: {Route: ErrDraining, Worker: ErrDraining, Stacked: ErrDraining, Setup: ErrDraining},
		Orphaned: {Route: ErrDraining, Worker: ErrDraining, Stacked: ErrDraining, Setup: ErrDraining},
		Detached: {Route: ErrNotFound, Worker: ErrNotFound, Stacked: ErrNotFound, Setup: ErrNotFound},
	}
	for s := Down; s <= Detached; s++ {
		for who := Route; who < holders; who++ {
			t.Run(s.String()+" "+who.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHouse(t)
					id, letGo := h.in(s)
					h.do(func(x *loop.Turn) {
						i, err := h.m.Acquire(x, id, who)
						if !errors.Is(err, want[s][who]) {
							t.Errorf("acquire = %v, want %v", err, want[s][who])
						}
						refused := uint64(0)
						if err != nil {
							refused = 1
						} else {
							i.Release()
						}
						if got := h.m.Totals(x).Refused; got != refused {
							t.Errorf("refused = %d, want %d", got, refused)
						}
					})
					letGo()
					synctest.Wait()
				})
			})
		}
	}
}

func TestNobodyIsNotFound(t *testing.T) {
	h := newHouse(t)
	h.do(func(x *loop.Turn) {
		for who := Route; who < holders; who++ {
			if _, err := h.m.Acquire(x, 0, who); !errors.Is(err, ErrNotFound) {
				t.Errorf("acquire for %v = %v, want %v", who, err, ErrNotFound)
			}
		}
	})
}

func TestLookupFindsWhatIsAttached(t *testing.T) {
	for s, want := range map[State]bool{Down: true, Up: true, Draining: false, Orphaned: false, Detached: false} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				id, letGo := h.in(s)
				h.do(func(x *loop.Turn) {
					if got, ok := h.m.Lookup(x, "i-"+s.String()); ok != want || ok && got != id {
						t.Errorf("lookup = %d, %v, want %v", got, ok, want)
					}
					_, err := h.m.Stack(x, id, new(claims), settings("upper"))
					if (err == nil) != want {
						t.Errorf("stack = %v, want %v", err, want)
					}
					h.m.Carrier(x, id, true) // nothing, to one that is on its way out
				})
				if got := h.state(id); want && got != Up || !want && s != Detached && got != s {
					t.Errorf("state with carrier = %v", got)
				}
				letGo()
				synctest.Wait()
			})
		})
	}
}

func TestIDsStrictlyIncrease(t *testing.T) {
	h := newHouse(t)
	last := ID(0)
	for range 50 {
		id := h.attach("same", new(port))
		if id <= last {
			t.Fatalf("id = %d after %d", id, last)
		}
		last = id
		<-h.detach(id)
	}
}

func TestCarrierKeepsTheInterfaceAndWithdrawsAtOnce(t *testing.T) {
	h := newHouse(t)
	p := new(port)
	id := h.attach("wan", p, "2001:db8::1/64")
	i := h.acquire(id, Worker)
	for range 3 {
		h.do(func(x *loop.Turn) {
			h.m.Carrier(x, id, false)
			h.m.Carrier(x, id, false) // no change
			now := h.current()
			if now.up[id] != nil {
				t.Error("lookups still return it")
			}
			if got := i.Withdrawn(); got != now.gen {
				t.Errorf("withdrawn = %d, want %d", got, now.gen)
			}
			if _, ok := h.m.Lookup(x, "wan"); !ok {
				t.Error("its name is gone")
			}
		})
		if got := h.state(id); got != Down {
			t.Errorf("state = %v, want down", got)
		}
		h.do(func(x *loop.Turn) {
			h.m.Carrier(x, id, true)
			if h.current().up[id] == nil || i.Withdrawn() != 0 {
				t.Error("lookups do not return it again")
			}
			if got := h.m.Addresses(x, id); len(got) != 1 {
				t.Errorf("addresses = %v, want the one", got)
			}
		})
	}
	if p.interrupts.Load() != 0 || p.closed.Load() != 0 {
		t.Error("the port was touched")
	}
	i.Release()
	<-h.detach(id)
}

func TestCheckAsksTheDescriptor(t *testing.T) {
	odd := errors.New("odd")
	tests := []struct {
		name  string
		probe error
		from  State
		want  State
	}{
		{"up stays up", nil, Up, Up},
		{"down comes up", nil, Down, Up},
		{"down takes the carrier", link.ErrDown, Up, Down},
		{"unclear takes the carrier", odd, Up, Down},
		{"gone is a detach", link.ErrGone, Up, Draining},
		{"gone while down is a detach", link.ErrGone, Down, Draining},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			p := new(probed)
			id := h.attach("tun0", p)
			i := h.acquire(id, Worker)
			h.do(func(x *loop.Turn) {
				h.m.Carrier(x, id, tt.from == Up)
				p.becomes(tt.probe)
				h.m.Check(x, id)
				h.m.Check(x, id)
				if got := h.m.ifaces[id].state; got != tt.want {
					t.Errorf("state = %v, want %v", got, tt.want)
				}
			})
			done := h.detach(id)
			i.Release()
			r := <-done
			want := ErrRequested
			if errors.Is(tt.probe, link.ErrGone) {
				want = ErrDeleted
			}
			if !errors.Is(r.Cause, want) {
				t.Errorf("cause = %v, want %v", r.Cause, want)
			}
		})
	}
}

func TestCheckOfWhatCannotTellDoesNothing(t *testing.T) {
	h := newHouse(t)
	id := h.attach("mem", new(port))
	h.do(func(x *loop.Turn) {
		h.m.Check(x, id)
		h.m.Check(x, 99)
	})
	if got := h.state(id); got != Up {
		t.Errorf("state = %v, want up", got)
	}
	<-h.detach(id)
}

// Between the device's preparation and the turn that attaches it, anything may
// have happened to it.
func TestAttachAsksTheDescriptorAgain(t *testing.T) {
	for probe, want := range map[error]State{nil: Up, link.ErrDown: Down, link.ErrGone: 0} {
		h := newHouse(t)
		p := new(probed)
		p.becomes(probe)
		id := h.attach("tun0", p)
		h.settle()
		if got := h.state(id); got != want {
			t.Errorf("%v: state = %v, want %v", probe, got, want)
		}
		if want != 0 {
			<-h.detach(id)
		}
	}
}

// settle waits for the end of whatever is draining.
func (h *house) settle() {
	h.t.Helper()
	draining := true
	for draining {
		h.do(func(*loop.Turn) {
			draining = false
			for _, i := range h.m.ifaces {
				draining = draining || i.state == Draining
			}
		})
	}
}

func TestNameIsOneInterfaces(t *testing.T) {
	h := newHouse(t)
	id := h.attach("wan", new(port))
	h.do(func(x *loop.Turn) {
		if _, err := h.m.Attach(x, new(port), settings("wan")); !errors.Is(err, ErrExists) {
			t.Errorf("attach = %v, want %v", err, ErrExists)
		}
		if _, err := h.m.Reserve(x, "wan"); !errors.Is(err, ErrExists) {
			t.Errorf("reserve = %v, want %v", err, ErrExists)
		}
		h.m.Unreserve(x, "wan") // it is no mere reservation
		if _, ok := h.m.Lookup(x, "wan"); !ok {
			t.Error("the name is gone")
		}
		if free, err := h.m.Reserve(x, "lan"); free != nil || err != nil {
			t.Errorf("reserve = %v, %v, want a reservation", free, err)
		}
		if _, err := h.m.Reserve(x, "lan"); !errors.Is(err, ErrExists) {
			t.Errorf("reserve of the reserved = %v, want %v", err, ErrExists)
		}
		if _, ok := h.m.Lookup(x, "lan"); ok {
			t.Error("a reservation is found as an interface")
		}
		h.m.Unreserve(x, "lan")
		h.m.Unreserve(x, "lan")
		if len(h.m.names) != 1 {
			t.Errorf("names = %v, want wan", h.m.names)
		}
	})
	<-h.detach(id)
}

func TestAddressIsOneInterfaces(t *testing.T) {
	tests := []struct {
		name   string
		second string
		want   error
	}{
		{"the same", "2001:db8::1/64", ErrAddressTaken},
		{"the same on a link of another size", "2001:db8::1/128", ErrAddressTaken},
		{"another on the same link", "2001:db8::2/64", nil},
		{"the same link-local one", "fe80::1/64", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			first := h.attach("first", new(port), "fe80::1/64", "2001:db8::1/64")
			h.do(func(x *loop.Turn) { h.m.Carrier(x, first, false) }) // it is its own all the same
			h.do(func(x *loop.Turn) {
				_, err := h.m.Attach(x, new(port), settings("second", "2001:db8:f::1/64", tt.second))
				if !errors.Is(err, tt.want) {
					t.Errorf("attach = %v, want %v", err, tt.want)
				}
				if err != nil && (!strings.Contains(err.Error(), "2001:db8::1") || !strings.Contains(err.Error(), "first")) {
					t.Errorf("error %q does not name address and owner", err)
				}
				_, err = h.m.Stack(x, first, new(claims), settings("third", tt.second))
				if wanted := tt.want; !errors.Is(err, wanted) && tt.second != "2001:db8::2/64" {
					t.Errorf("stack = %v, want %v", err, wanted)
				}
			})
		})
	}
}

func TestAddressOfADrainingInterfaceIsFree(t *testing.T) {
	h := newHouse(t)
	p := new(probed)
	first := h.attach("first", p, "2001:db8::1/64")
	hold := h.acquire(first, Worker)
	p.becomes(link.ErrGone) // and the message about it is on its way
	second := h.attach("second", new(port), "2001:db8::1/64")
	if got := h.state(first); got != Draining {
		t.Errorf("state of the first = %v, want draining", got)
	}
	hold.Release()
	<-h.detach(second)
	h.settle()
}

func TestBlackholeIsComplete(t *testing.T) {
	h := newHouse(t)
	b := h.m.Blackhole()
	r := h.dom.Register("r")
	g := r.Enter()
	defer g.Leave()
	if b.ID() != 0 || b.Name() != "blackhole" || b.MTU() != 1280 || b.HopLimit() != 64 || b.Withdrawn() != 0 {
		t.Errorf("blackhole = %d %s mtu %d hop limit %d withdrawn %d", b.ID(), b.Name(), b.MTU(), b.HopLimit(), b.Withdrawn())
	}
	if len(b.Receivers()) > 0 || b.Uppers(g) != nil {
		t.Error("something can come in through it")
	}
	if a := b.Addrs(); !a.LinkLocal().IsLinkLocalUnicast() || a.Source().IsValid() || !a.Own(a.LinkLocal()) {
		t.Errorf("addresses = %+v, want one link-local", a.prefixes)
	}
	b.Traffic().TxPackets.Add(1)
	batch := link.NewBatch(link.NewPool(1))
	batch.Inject([]byte("lost"))
	if err := b.Port().Send(&batch.Vector); err != nil || batch.Len() != 0 {
		t.Errorf("send = %v, %d left, want nil, 0", err, batch.Len())
	}
	batch.End()
	if got := b.info(); got.State != Down || got.Name != "blackhole" {
		t.Errorf("info = %+v", got)
	}
	h.do(func(x *loop.Turn) {
		h.m.Carrier(x, 0, true)
		h.m.SetMTU(x, 0, 9000)
		h.m.Check(x, 0)
		h.m.Detach(x, 0, ErrRequested, func(r Result) {
			if !errors.Is(r.Err, ErrNotFound) {
				t.Errorf("detach = %v, want %v", r.Err, ErrNotFound)
			}
		})
		if len(h.m.All(x)) != 0 {
			t.Error("it is listed")
		}
	})
	if b.MTU() != 1280 {
		t.Errorf("mtu = %d, want 1280", b.MTU())
	}
}

func TestBlackholeIsNeverReleased(t *testing.T) {
	h := newHouse(t)
	defer func() {
		if recover() == nil {
			t.Error("released without a panic")
		}
	}()
	h.m.Blackhole().Release()
}

func TestDoubleReleasePanics(t *testing.T) {
	h := newHouse(t)
	id := h.attach("wan", new(port))
	i, other := h.acquire(id, Worker), h.acquire(id, Worker)
	i.Release()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("released twice without a panic")
			}
		}()
		i.Release()
	}()
	h.do(func(*loop.Turn) {
		if got := h.m.ifaces[id].holding(); got["worker"] != 1 || got["route"] != 1 {
			t.Errorf("held = %v, want one worker and one route", got)
		}
	})
	other.Release()
	<-h.detach(id)
}

func TestReleaseFromAnyGoroutine(t *testing.T) {
	h := newHouse(t)
	p := new(port)
	id := h.attach("wan", p)
	var all []*Handle
	for range 100 {
		all = append(all, h.acquire(id, Worker))
	}
	done := h.detach(id)
	if p.closed.Load() != 0 {
		t.Error("closed with holders")
	}
	var holders sync.WaitGroup
	for _, i := range all {
		holders.Go(i.Release)
	}
	holders.Wait()
	if r := <-done; !r.Clean || p.closed.Load() != 1 {
		t.Errorf("clean = %v, closed = %d, want true, 1", r.Clean, p.closed.Load())
	}
}

func TestInfoDescribes(t *testing.T) {
	h := newHouse(t)
	lower := h.attach("eth0", new(port), "2001:db8::1/64")
	upper := h.stack("ppp0", lower, new(claims))
	h.do(func(x *loop.Turn) {
		h.m.SetMTU(x, upper, 1492)
		all := h.m.All(x)
		if len(all) != 2 || all[0].ID != lower || all[1].Lower != "eth0" || all[1].MTU != 1492 {
			t.Errorf("all = %+v", all)
		}
		if got := all[0].Held; got["stacked"] != 1 || got["route"] != 1 {
			t.Errorf("held = %v", got)
		}
		if time.Since(all[0].Since) < 0 || all[0].Device.String() != "memory" || len(all[0].Addresses) != 2 {
			t.Errorf("first = %+v", all[0])
		}
		if h.m.Name(x, lower) != "eth0" || h.m.Name(x, 99) != "" || h.m.Addresses(x, 99) != nil {
			t.Error("names and addresses")
		}
		if got := h.m.Addresses(x, lower); len(got) != 1 || got[0] != netip.MustParsePrefix("2001:db8::1/64") {
			t.Errorf("addresses = %v", got)
		}
	})
	<-h.detach(lower)
}

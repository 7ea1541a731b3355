package dataplane_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A device is a port whose device may be said to be broken.
type device struct {
	own
	fail  chan error // ends Recv
	probe atomic.Pointer[error]
	stop  chan struct{}
	once  sync.Once
}

func newDevice(send error) *device {
	return &device{own: own{send}, fail: make(chan error, 1), stop: make(chan struct{})}
}

func (d *device) Recv(*link.Batch) error {
	select {
	case err := <-d.fail:
		return err
	case <-d.stop:
		return link.ErrInterrupted
	}
}

func (d *device) Interrupt() { d.once.Do(func() { close(d.stop) }) }

func (d *device) Probe() error {
	if err := d.probe.Load(); err != nil {
		return *err
	}
	return nil
}

// attachDevice adds d as "dev", and has the ledgers of detaches sent to ended.
func attachDevice(t *testing.T, s *scene, d *device) (ended <-chan ifmgr.Result) {
	t.Helper()
	results := make(chan ifmgr.Result, 10)
	h := s.Hooks()
	forget := h.Ended
	h.Ended = func(t *loop.Turn, res ifmgr.Result) { forget(t, res); results <- res }
	s.Turn(func(turn *loop.Turn) {
		s.Interfaces.Hook(h)
		if _, err := s.Interfaces.Attach(turn, d, ifmgr.Settings{Name: "dev", MTU: 1500, Up: true}); err != nil {
			t.Error(err)
		}
	})
	s.Route("2001:db8:d::/48", lab.Dev("dev"))
	return results
}

func next(t *testing.T, ended <-chan ifmgr.Result) ifmgr.Result {
	t.Helper()
	select {
	case res := <-ended:
		return res
	case <-time.After(20 * time.Second):
		t.Fatal("no detach")
		return ifmgr.Result{}
	}
}

// A device that can't be read from any more is an interface that ends.
func TestBrokenDeviceIsDetached(t *testing.T) {
	other := errors.New("something else")
	for _, c := range []struct{ err, cause error }{
		{link.ErrGone, ifmgr.ErrDeleted},
		{other, other},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			s := newScene(t)
			d := newDevice(nil)
			ended := attachDevice(t, s, d)
			d.fail <- c.err
			res := next(t, ended)
			if !res.Clean || !errors.Is(res.Cause, c.cause) {
				t.Errorf("clean = %v, cause = %v, want true, %v", res.Clean, res.Cause, c.cause)
			}
			s.a.Send(udp(hostA, "2001:db8:d::1"))
			s.wantDropped(t, dataplane.NoRoute)
		})
	}
}

// A device that does not take a packet is looked at: it may be down, or gone.
func TestRefusalRaisesDoubt(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		s := newScene(t)
		d := newDevice(link.ErrDown)
		ended := attachDevice(t, s, d)
		d.probe.Store(&link.ErrDown)
		s.a.Send(udp(hostA, "2001:db8:d::1"))
		s.Until("the interface to be down", func() (down bool) {
			s.Turn(func(turn *loop.Turn) {
				for _, in := range s.Interfaces.All(turn) {
					down = down || in.Name == "dev" && in.State == ifmgr.Down
				}
			})
			return down
		})
		s.Turn(func(turn *loop.Turn) {
			id, _ := s.Interfaces.Lookup(turn, "dev")
			s.Interfaces.Detach(turn, id, ifmgr.ErrRequested, nil)
		})
		next(t, ended)
	})
	t.Run("gone", func(t *testing.T) {
		s := newScene(t)
		d := newDevice(link.ErrGone)
		ended := attachDevice(t, s, d)
		d.probe.Store(&link.ErrGone)
		s.a.Send(udp(hostA, "2001:db8:d::1"))
		if res := next(t, ended); !errors.Is(res.Cause, ifmgr.ErrDeleted) {
			t.Errorf("cause = %v, want %v", res.Cause, ifmgr.ErrDeleted)
		}
	})
}

// The account balances whenever it is taken, workers coming and going.
func TestAccountAlwaysBalances(t *testing.T) {
	r := lab.New(t)
	a, b := r.Attach("a", routerA+"/64"), r.Attach("b", routerB+"/64")
	la := startLoad(a, sideA.sends...)
	var stop atomic.Bool
	var audits sync.WaitGroup
	audits.Go(func() {
		for !stop.Load() {
			if st := r.Plane.Stats(); !st.Balanced() {
				t.Errorf("account does not balance: %+v", st)
				return
			}
			runtime.Gosched()
		}
	})
	for range cycles(30) {
		lb := startLoad(b, sideB.sends...)
		busy(r, b)
		b.Detach()
		lb.end()
		b = r.Attach("b", routerB+"/64")
	}
	stop.Store(true)
	audits.Wait()
	r.Detach(a, b)
	la.end()
}

// A worker counts on from where the one before it of the same name ended, and
// all together are the account.
func TestWorkersByName(t *testing.T) {
	r := lab.New(t)
	a := r.Attach("a", routerA+"/64")
	wantWorkers := func(names []string, packets ...uint64) {
		t.Helper()
		st := r.Stats()
		var got []string
		var counted []uint64
		for _, w := range r.Plane.Workers() {
			got, counted = append(got, w.Name), append(counted, w.Received)
			if !w.Balanced() {
				t.Errorf("account of %s does not balance: %+v", w.Name, w.Stats)
			}
		}
		if !slices.Equal(got, names) || !slices.Equal(counted, packets) {
			t.Errorf("workers = %v, received %v, want %v, %v", got, counted, names, packets)
		}
		if !st.Balanced() {
			t.Errorf("account does not balance: %+v", st)
		}
	}
	echo := lab.Echo(hostA, routerA, 1, 1, nil)
	a.Send(echo, echo)
	wantWorkers([]string{"a"}, 2)
	b := r.Attach("b", routerB+"/64")
	wantWorkers([]string{"a", "b"}, 2, 0)
	a.Detach()
	r.Until("the worker of a to end", func() bool { return len(r.Plane.Workers()) == 1 })
	wantWorkers([]string{"b"}, 0)
	a = r.Attach("a", routerA+"/64")
	a.Send(echo)
	wantWorkers([]string{"a", "b"}, 3, 0)
	r.Detach(a, b)
}

// What is remembered of names that never return is bounded, and the account is
// none the less for it.
func TestWorkerNamesAreForgotten(t *testing.T) {
	r := lab.New(t)
	a := r.Attach("a", routerA+"/64")
	kept := r.Plane.NewInjector("kept")
	defer kept.Close()
	const n = 2*dataplane.MaxPast + 10
	for i := range n {
		j := r.Plane.NewInjector(fmt.Sprint(i))
		if err := j.Inject(lab.UDP(routerA, hostA, 1, 2, nil)); err != nil {
			t.Fatal(err)
		}
		a.Take()
		j.Close()
	}
	if got := dataplane.Remembered(r.Plane); got > dataplane.MaxPast {
		t.Errorf("%d names are remembered, want at most %d", got, dataplane.MaxPast)
	}
	if got := r.Stats().Originated; got != n {
		t.Errorf("originated = %d, want %d", got, n)
	}
}

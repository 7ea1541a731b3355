package fib_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A tb is a testing.TB or a rapid.T.
type tb interface {
	Helper()
	Cleanup(fn func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A fixture is a table with a loop, and interfaces to lead to.
type fixture struct {
	t     tb
	dom   *epoch.Domain
	loop  *loop.Loop
	ifs   *ifmgr.Manager
	table *fib.Table
}

func newFixture(t tb) *fixture {
	t.Helper()
	f := &fixture{t: t, dom: epoch.NewDomain(), table: fib.NewTable()}
	f.loop = loop.New(f.dom)
	f.ifs = ifmgr.New(f.loop, zap.NewNop(), time.Minute)
	f.ifs.Hook(ifmgr.Hooks{
		Attached: func(*loop.Turn, ifmgr.ID) {},
		Up:       func(*loop.Turn, ifmgr.ID) {},
		Withdraw: func(t *loop.Turn, id ifmgr.ID) (routes, slots int) {
			f.table.Update(t, func(x *fib.Txn) { slots = x.Withdraw(id) })
			return 0, slots
		},
		Ended:      func(*loop.Turn, ifmgr.Result) {},
		Generation: f.table.Generation,
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("loop: %v", err)
		}
	})
	return f
}

func (f *fixture) turn(fn func(*loop.Turn)) {
	f.t.Helper()
	err := f.loop.Do(context.Background(), func(t *loop.Turn) error { fn(t); return nil })
	if err != nil {
		f.t.Fatalf("turn: %v", err)
	}
}

func (f *fixture) update(change func(*loop.Turn, *fib.Txn)) {
	f.t.Helper()
	f.turn(func(t *loop.Turn) { f.table.Update(t, func(x *fib.Txn) { change(t, x) }) })
}

// attach makes an interface that is up.
func (f *fixture) attach(name string) (id ifmgr.ID) {
	f.t.Helper()
	p, _ := link.NewPipe(name, name+"-far")
	f.turn(func(t *loop.Turn) {
		var err error
		if id, err = f.ifs.Attach(t, p, ifmgr.Settings{Name: name, MTU: 1500, Up: true}); err != nil {
			f.t.Errorf("attach: %v", err)
		}
	})
	return id
}

func (f *fixture) detach(id ifmgr.ID) {
	f.t.Helper()
	done := make(chan ifmgr.Result, 1)
	f.turn(func(t *loop.Turn) {
		f.ifs.Detach(t, id, ifmgr.ErrRequested, func(r ifmgr.Result) { done <- r })
	})
	if r := <-done; !r.Clean {
		f.t.Errorf("detach of %s: held by %v", r.Name, r.Holders)
	}
}

// nexthop leads to gw by an interface that is up.
func (f *fixture) nexthop(t *loop.Turn, id ifmgr.ID, gw string, weight uint8) *fib.Nexthop {
	h, err := f.ifs.Acquire(t, id, ifmgr.Route)
	if err != nil {
		panic(err) // Fatalf must not be called on the loop
	}
	var a netip.Addr
	if gw != "" {
		a = netip.MustParseAddr(gw)
	}
	return fib.NewNexthop(h, a, weight, 0)
}

// held is how many nexthops are left, once nobody looks at old ones.
func (f *fixture) held() (n int64) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		f.turn(func(t *loop.Turn) {
			n = 0
			for _, i := range f.ifs.All(t) {
				n += i.Held["route"]
			}
		})
		if n == 0 || time.Now().After(deadline) {
			return n
		}
	}
}

func lookup(s *fib.Snapshot, a netip.Addr) *fib.Group {
	b := a.As16()
	return s.Lookup(&b)
}

// text says what a group does; empty if it is stepped over.
func text(g *fib.Group) string {
	if g.Emptied() {
		return ""
	}
	s := g.Verdict().String()
	for _, nh := range g.Nexthops() {
		s += fmt.Sprintf(" %s %v", nh.Name(), nh.Gateway())
	}
	return s
}

package lab

import (
	"context"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// patience is how long a test waits for what must happen: long enough for a
// loaded machine under the race detector.
const patience = 20 * time.Second

// A Router is all of a router that forwards, in memory.
type Router struct {
	Domain     *epoch.Domain
	Loop       *loop.Loop
	Interfaces *ifmgr.Manager
	FIB        *fib.Table
	RIB        *rib.RIB
	Plane      *dataplane.Plane

	// DeadLookups is how many a test provokes that breaks the rules on purpose.
	DeadLookups uint64

	t      testing.TB
	before goleak.Option // goroutines that are not the router's
	stop   context.CancelFunc
	done   chan error

	mu    sync.Mutex // tests attach on one goroutine and settle on another
	ports []*Port    // all that ever were
}

// New returns a running router without interfaces. It ends with the test.
func New(t testing.TB) *Router {
	t.Helper()
	r := &Router{t: t, before: goleak.IgnoreCurrent(), done: make(chan error, 1)}
	r.Domain = epoch.NewDomain()
	r.Loop = loop.New(r.Domain)
	r.Interfaces = ifmgr.New(r.Loop, zap.NewNop(), patience)
	r.FIB = fib.NewTable()
	r.RIB = rib.New(r.FIB, r.Interfaces)
	r.Plane = dataplane.New(r.FIB, r.Interfaces, r.Loop, r.Domain)
	r.Interfaces.Hook(r.Hooks())
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.done <- r.Loop.Run(ctx) }()
	t.Cleanup(r.end)
	return r
}

// Hooks is how the parts follow interfaces.
func (r *Router) Hooks() ifmgr.Hooks {
	return ifmgr.Hooks{
		Attached: r.Plane.Attached,
		Up:       r.RIB.Up,
		Withdraw: func(t *loop.Turn, id ifmgr.ID) (routes, slots int) {
			w := r.RIB.Withdraw(t, id)
			return w.Routes, w.Slots
		},
		Ended: func(t *loop.Turn, res ifmgr.Result) {
			r.RIB.Forget(t, res.ID)
			r.Plane.Ended(t, res.ID)
		},
		Transmit:   r.Plane.Transmit,
		Generation: r.FIB.Generation,
	}
}

// Turn runs fn on the loop and waits for it. fn must not end the test.
func (r *Router) Turn(fn func(*loop.Turn)) {
	r.t.Helper()
	if err := r.Try(func(t *loop.Turn) error { fn(t); return nil }); err != nil {
		r.t.Errorf("turn: %v", err)
	}
}

// Try runs fn on the loop and returns its error.
func (r *Router) Try(fn func(*loop.Turn) error) error {
	return r.Loop.Do(context.Background(), fn)
}

// Route offers a static route. One with the same prefix is replaced.
func (r *Router) Route(prefix string, to rib.Target) {
	r.t.Helper()
	route := rib.Route{Prefix: netip.MustParsePrefix(prefix), Source: rib.Static, Target: to}
	r.apply(rib.Update{Source: rib.Static, Set: []rib.Route{route}})
}

// Unroute takes a static route back.
func (r *Router) Unroute(prefix string) {
	r.t.Helper()
	r.apply(rib.Update{Source: rib.Static, Withdraw: []rib.Key{{Prefix: netip.MustParsePrefix(prefix), Source: rib.Static}}})
}

func (r *Router) apply(u rib.Update) {
	r.t.Helper()
	if err := r.Try(func(t *loop.Turn) error { return r.RIB.Apply(t, u) }); err != nil {
		r.t.Fatalf("route: %v", err)
	}
}

// Dev leads to what is on link of one or several interfaces.
func Dev(names ...string) rib.Target {
	var p rib.Paths
	for _, n := range names {
		p = append(p, rib.Path{Iface: n})
	}
	return p
}

// Via leads to a gateway, on an interface or, if that is empty, wherever other
// routes say it is.
func Via(gateway, iface string) rib.Target {
	return rib.Paths{{Iface: iface, Gateway: netip.MustParseAddr(gateway)}}
}

// Refuse leads nowhere.
func Refuse(v fib.Verdict) rib.Target { return rib.Refuse{Verdict: v} }

// Stats is the account, once all that was sent to the router is in it.
func (r *Router) Stats() dataplane.Stats {
	r.t.Helper()
	r.Settle()
	return r.Plane.Stats()
}

// Settle waits until all that was sent to attached ports has gone through: what
// came of it is at the far ends, and in the account.
func (r *Router) Settle() {
	r.t.Helper()
	r.Until("packets to go through", r.settled)
}

func (r *Router) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var received uint64
	for _, p := range r.ports {
		n := p.traffic.RxPackets.Load()
		if !p.detached && !p.stacked() && n < p.offered.Load() {
			return false
		}
		if !p.stacked() {
			received += n
		}
	}
	return r.Plane.Stats().Received == received
}

// Until waits for what is to happen.
func (r *Router) Until(what string, happened func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !happened(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited %v for %s", patience, what)
		}
		runtime.Gosched()
	}
}

// Detach ends interfaces, all in one turn, and returns their ledgers.
func (r *Router) Detach(ports ...*Port) []ifmgr.Result {
	r.t.Helper()
	var ids []ifmgr.ID
	for _, p := range ports {
		ids = append(ids, p.ID)
	}
	results := r.DetachID(ids...)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range ports {
		p.detached = true
	}
	return results
}

// DetachID is Detach for interfaces that are not Ports.
func (r *Router) DetachID(ids ...ifmgr.ID) (results []ifmgr.Result) {
	r.t.Helper()
	done := make(chan ifmgr.Result, len(ids))
	r.Turn(func(t *loop.Turn) {
		for _, id := range ids {
			r.Interfaces.Detach(t, id, ifmgr.ErrRequested, func(res ifmgr.Result) { done <- res })
		}
	})
	for range ids {
		res := <-done // comes at the latest when the detach times out
		if !res.Clean || res.Err != nil {
			r.t.Errorf("detach of %s: clean = %v, held by %v, readers %v, err %v", res.Name, res.Clean, res.Holders, res.Slowest, res.Err)
		}
		results = append(results, res)
	}
	return results
}

// end detaches what is left and checks what must be true in the end.
func (r *Router) end() {
	left := r.attached()
	results := r.Detach(left...)
	if slices.ContainsFunc(results, func(res ifmgr.Result) bool { return !res.Clean }) {
		return // its goroutines would be waited for in vain
	}
	r.Plane.Wait()
	r.Turn(func(t *loop.Turn) {
		for _, in := range r.Interfaces.All(t) {
			r.t.Errorf("%s is left, %v, held by %v", in.Name, in.State, in.Held)
		}
		if n := r.Interfaces.Totals(t).Orphaned; n != 0 {
			r.t.Errorf("%d interfaces orphaned", n)
		}
	})
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("loop: %v", err)
	}
	if n := r.Domain.Readers(); n != 0 {
		r.t.Errorf("%d readers left", n)
	}
	s := r.Plane.Stats()
	if !s.Balanced() {
		r.t.Errorf("account does not balance: %+v", s)
	}
	if s.DeadLookups != r.DeadLookups {
		r.t.Errorf("%d lookups returned a withdrawn interface, want %d", s.DeadLookups, r.DeadLookups)
	}
	if err := goleak.Find(r.before); err != nil {
		r.t.Errorf("goroutines left: %v", err)
	}
}

// attached is the ports not detached by the test, lower ones first.
func (r *Router) attached() (left []*Port) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.ports {
		if !p.detached {
			left = append(left, p)
		}
	}
	return left
}

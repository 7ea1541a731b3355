package dataplane

import (
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/rate"
)

// A worker takes batches through the router, on the one goroutine that it
// belongs to. Between batches it holds no packet, no snapshot and no nexthop.
type worker struct {
	in     *ifmgr.Handle
	rx     link.Receiver // nil for an Injector's
	fib    *fib.Table
	reader *epoch.Reader
	doubt  func(ifmgr.ID) // asks to look at an interface that refused a packet
	plane  *Plane
	seed   uint64 // of flow hashes: the same for all workers

	// This batch.
	batch   *link.Batch
	guard   epoch.Guard
	routes  *fib.Snapshot
	stacked tally                    // what came in through a port stacked on this one
	here    [link.VectorSize]arrival // packets that want a lookup
	n       int
	dst     [link.VectorSize]*[16]byte
	groups  [link.VectorSize]*fib.Group
	out     outbox
	later   []postponed // until the batch is through
	whole   bool        // the packet at hand was put together of fragments

	errors    rate.Limiter // ICMPv6 errors, RFC 4443 §2.4(f)
	echoes    rate.Limiter
	announces rate.Limiter // advertisements to all
	redirects rate.Limiter // RFC 4861 §8.2
	message   nd.Message   // of neighbor discovery, the one at hand
	counters  counters

	// For those who look on.
	tapped  *atomic.Pointer[[]*Tap]
	taps    []*Tap                    // at this batch; empty as a rule
	at      int64                     // of this batch, in nanoseconds
	seen    [link.VectorSize]sighting // of here, and of what may get there next
	leaving [link.VectorSize]departure
}

// An arrival is a packet that passed the checks, and where it came in.
type arrival struct {
	p  *link.Packet
	in *ifmgr.Interface
}

// enter begins a batch: from here on everything found in routes is usable.
func (w *worker) enter() {
	w.guard = w.reader.Enter()
	w.routes = w.fib.Load(w.guard)
	w.counters.add(batches, 1)
	w.watch()
}

// leave ends a batch: it sends what is to be sent, and returns why a port did
// not take all of it.
func (w *worker) leave() (why Drop) {
	why = w.flush()
	w.catchUp()
	w.counters.publish()
	w.forget()
	w.guard.Leave()
	w.batch.End()
	return why
}

// forget lets go of what belongs to the batch, or a worker that sleeps for long
// would keep what has ended from the garbage collector.
func (w *worker) forget() {
	w.routes, w.taps = nil, nil
	clear(w.here[:w.n])
	clear(w.dst[:w.n])
	clear(w.groups[:w.n])
	w.n = 0
}

// run forwards until the port is interrupted or fails.
func (w *worker) run() error {
	for {
		if err := w.rx.Recv(w.batch); err != nil {
			return err
		}
		w.forwardBatch()
	}
}

// forwardBatch takes one batch from read to write under one guard.
func (w *worker) forwardBatch() {
	w.enter()
	w.acceptBatch()
	w.routes.LookupBatch(w.dst[:w.n], w.groups[:w.n])
	fault.Hold(w.in.Name())
	for i := range w.here[:w.n] {
		a := &w.here[i]
		why := w.forward(a.p, a.in, w.groups[i])
		w.counters.drop(why, a.p.Segments())
		if w.tapping() {
			w.tell(&w.seen[i], a.p, Inbound, why)
		}
	}
	w.leave()
}

// now is asked for only where a rate is limited, or somebody taps.
func now() time.Time { return time.Now() }

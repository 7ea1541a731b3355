package dataplane

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A Plane starts the workers and keeps their account.
type Plane struct {
	fib    *fib.Table
	ifs    *ifmgr.Manager
	loop   *loop.Loop
	dom    *epoch.Domain
	arenas *link.Pool
	seed   uint64

	workers sync.WaitGroup

	// Workers end on their own goroutines, and are read by whoever wants to see:
	// neither has a Turn. Taken when a worker comes or goes, and to read.
	mu    sync.Mutex
	live  map[*counters]bool
	ended Stats
}

// New returns a Plane without workers.
func New(t *fib.Table, ifs *ifmgr.Manager, l *loop.Loop, d *epoch.Domain) *Plane {
	return &Plane{
		fib: t, ifs: ifs, loop: l, dom: d,
		// One for each batch that can be under way at once, and as many for those
		// preempted in the middle of one.
		arenas: link.NewPool(2 * runtime.GOMAXPROCS(0)),
		seed:   rand.Uint64(),
		live:   map[*counters]bool{},
	}
}

// Attached starts the worker of an interface that has a queue of its own. The
// worker ends when the port is interrupted, and detaches the interface if the
// device fails.
func (p *Plane) Attached(t *loop.Turn, id ifmgr.ID) {
	h, err := p.ifs.Acquire(t, id, ifmgr.Worker)
	if err != nil {
		return // gone again before anyone could read from it
	}
	rx, ok := h.Receiver()
	if !ok {
		h.Release()
		return
	}
	w := p.newWorker(h.Name(), h, rx)
	p.workers.Go(func() { p.work(w) })
}

// newWorker takes in.
func (p *Plane) newWorker(name string, in *ifmgr.Handle, rx link.Receiver) *worker {
	w := &worker{
		in: in, rx: rx, fib: p.fib, doubt: p.doubt, seed: p.seed,
		reader: p.dom.Register(name),
		batch:  link.NewBatch(p.arenas),
		errors: newLimiter(errorRate, errorBurst),
		echoes: newLimiter(echoRate, echoBurst),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[&w.counters] = true
	return w
}

// work runs a worker to its end.
func (p *Plane) work(w *worker) {
	err := w.run()
	if id := w.in.ID(); !errors.Is(err, link.ErrInterrupted) {
		p.loop.Notify(func(t *loop.Turn) { p.failed(t, id, err) })
	}
	p.retire(w)
	w.in.Release()
}

// failed is a device that can't be read from any more.
func (p *Plane) failed(t *loop.Turn, id ifmgr.ID, err error) {
	if errors.Is(err, link.ErrGone) {
		err = ifmgr.ErrDeleted
	}
	p.ifs.Detach(t, id, err, nil)
}

// retire adds a worker's account to that of the ended ones.
func (p *Plane) retire(w *worker) {
	w.reader.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, &w.counters)
	p.ended.add(w.counters.read())
}

// doubt has an interface looked at that refused a packet. It is lost when the
// loop has too much to do: the next refusal asks again.
func (p *Plane) doubt(id ifmgr.ID) {
	p.loop.Post(func(t *loop.Turn) { p.ifs.Check(t, id) })
}

// Stats is the account of all workers, ended ones included. It balances
// whenever it is taken.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.ended
	for c := range p.live {
		s.add(c.read())
	}
	return s
}

// FlowHash is the hash by which pkt picks one of several nexthops.
func (p *Plane) FlowHash(pkt header.IPv6) uint32 { return header.FlowHash(pkt, p.seed) }

// Wait returns when every worker has ended: when all interfaces are detached.
func (p *Plane) Wait() { p.workers.Wait() }

package dataplane

import (
	"errors"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/rate"
	"github.com/router6d/router6d/internal/reassembly"
)

// A Plane starts the workers and keeps their account.
type Plane struct {
	fib    *fib.Table
	ifs    *ifmgr.Manager
	loop   *loop.Loop
	dom    *epoch.Domain
	arenas *link.Pool
	seed   uint64
	taps   atomic.Pointer[[]*Tap] // nil as a rule

	senders   map[ifmgr.ID]*worker // of interfaces with frames; the loop's
	transport func(Delivery) Drop  // the router's own TCP and UDP; nil: it has none

	fragments  *reassembly.Table
	awaiting   atomic.Bool  // the loop will look at fragments
	errorRate  int          // set before the first worker
	lateErrors rate.Limiter // of errors about what was not complete in time; the loop's
	idSeed     maphash.Seed // of the identifications of packets that are cut
	ids        atomic.Uint32

	workers sync.WaitGroup

	// Workers end on their own goroutines, and are read by whoever wants to see:
	// neither has a Turn. Taken when a worker comes or goes, and to read.
	mu    sync.Mutex
	live  map[*counters]string // to the worker's name
	ended Stats
	past  map[string]Stats // of ended workers, by name
}

// maxPast bounds the names that are remembered of workers that have ended: some
// hundred bytes each, for interfaces whose names never return.
const maxPast = 1024

// New returns a Plane without workers.
func New(t *fib.Table, ifs *ifmgr.Manager, l *loop.Loop, d *epoch.Domain) *Plane {
	return &Plane{
		fib: t, ifs: ifs, loop: l, dom: d,
		// One for each batch that can be under way at once, and as many for those
		// preempted in the middle of one.
		arenas:     link.NewPool(2 * runtime.GOMAXPROCS(0)),
		seed:       rand.Uint64(),
		errorRate:  errorRate,
		senders:    map[ifmgr.ID]*worker{},
		fragments:  reassembly.NewTable(),
		lateErrors: limitErrors(errorRate),
		idSeed:     maphash.MakeSeed(),
		live:       map[*counters]string{},
		past:       map[string]Stats{},
	}
}

// LimitErrors says how many ICMPv6 errors a worker sends in a second, in bursts of a
// fifth. Before the first interface.
func (p *Plane) LimitErrors(n int) { p.errorRate, p.lateErrors = n, limitErrors(n) }

func limitErrors(n int) rate.Limiter { return rate.NewLimiter(n, max(1, n/errorFraction)) }

// Attached starts a worker for each queue of an interface, if it has any. Workers
// end when the port is interrupted, and detach the interface if the device fails.
func (p *Plane) Attached(t *loop.Turn, id ifmgr.ID) {
	for queue := 0; p.attached(t, id, queue); queue++ {
	}
}

// attached starts the worker of one queue, and reports false if there is none.
func (p *Plane) attached(t *loop.Turn, id ifmgr.ID, queue int) bool {
	h, err := p.ifs.Acquire(t, id, ifmgr.Worker)
	if err != nil {
		return false // gone again before anyone could read from it
	}
	if queue == 0 {
		p.newSender(h)
	}
	all := h.Receivers()
	if queue >= len(all) {
		h.Release()
		return false
	}
	w := p.newWorker(h.Name(), h, all[queue], queue)
	p.workers.Go(func() { p.work(w) })
	return true
}

// newWorker takes in.
func (p *Plane) newWorker(name string, in *ifmgr.Handle, rx link.Receiver, queue int) *worker {
	w := &worker{
		in: in, rx: rx, fib: p.fib, doubt: p.doubt, plane: p, seed: p.seed,
		tapped: &p.taps,
		out:    outbox{queue: queue},
		reader: p.dom.Register(name),
		batch:  link.NewBatch(p.arenas),
		errors: limitErrors(p.errorRate),
		echoes: rate.NewLimiter(echoRate, echoBurst),

		announces: rate.NewLimiter(announceRate, announceBurst),
		redirects: rate.NewLimiter(redirectRate, redirectBurst),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[&w.counters] = name
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
	c, name := w.counters.read(), p.live[&w.counters]
	delete(p.live, &w.counters)
	p.ended.add(c)
	if len(p.past) >= maxPast {
		p.forgetNames()
	}
	past := p.past[name]
	past.add(c)
	p.past[name] = past
}

// forgetNames forgets the names of which no worker is alive.
func (p *Plane) forgetNames() {
	alive := map[string]bool{}
	for _, name := range p.live {
		alive[name] = true
	}
	maps.DeleteFunc(p.past, func(name string, _ Stats) bool { return !alive[name] })
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

// Reassembly is the account of packets that come in fragments.
func (p *Plane) Reassembly() reassembly.Stats { return p.fragments.Stats() }

// A WorkerStats is the account of the workers of one name.
type WorkerStats struct {
	Name string // of the interface it reads from, or of an Injector
	Stats
}

// Workers is the account by worker, in the order of names. One that ended counts
// with its successor of the same name, so that no number goes back while it is
// shown.
func (p *Plane) Workers() []WorkerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	byName := map[string]Stats{}
	for c, name := range p.live {
		s, ok := byName[name]
		if !ok {
			s = p.past[name]
		}
		s.add(c.read())
		byName[name] = s
	}
	var all []WorkerStats
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, WorkerStats{name, byName[name]})
	}
	return all
}

// FlowHash is the hash by which pkt picks one of several nexthops.
func (p *Plane) FlowHash(pkt header.IPv6) uint32 { return header.FlowHash(pkt, p.seed) }

// Wait returns when every worker has ended: when all interfaces are detached.
func (p *Plane) Wait() { p.workers.Wait() }

package epoch

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A Domain is one writer and its readers.
type Domain struct {
	now     atomic.Uint64 // the current epoch; never zero
	waiting atomic.Bool   // the writer wants to hear of readers leaving
	changed chan struct{} // capacity 1

	// Readers come and go with workers, on their own goroutines, where neither
	// a Turn nor a Guard can be had. Never taken per batch.
	mu      sync.Mutex
	readers []*Reader
}

// NewDomain returns a Domain without readers.
func NewDomain() *Domain {
	d := &Domain{changed: make(chan struct{}, 1)}
	d.now.Store(1)
	return d
}

// A Reader says whether one goroutine is inside, and since which epoch. It
// belongs to that goroutine.
type Reader struct {
	_     [64]byte      // entry is written every batch: a cache line of its own
	entry atomic.Uint64 // the epoch at Enter; zero while outside
	_     [56]byte
	d     *Domain
	name  string
}

// Register adds a reader. The name is what a late grace period reports.
func (d *Domain) Register(name string) *Reader {
	r := &Reader{d: d, name: name}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readers = append(d.readers, r)
	return r
}

// Close removes the reader from its Domain. It must be outside.
func (r *Reader) Close() {
	if r.entry.Load() != 0 {
		panic("epoch: reader " + r.name + " closed inside")
	}
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.d.readers = slices.DeleteFunc(r.d.readers, func(x *Reader) bool { return x == r })
}

// A Guard is proof that its Reader is inside. What was loaded under it is
// usable until Leave, whatever happens meanwhile.
type Guard struct{ r *Reader }

// Enter begins a batch. A Reader is inside at most once.
func (r *Reader) Enter() Guard {
	if checked && r.entry.Load() != 0 {
		panic("epoch: reader " + r.name + " entered twice")
	}
	r.entry.Store(r.d.now.Load())
	return Guard{r}
}

// Leave ends the batch; nothing loaded under the Guard may be used any more.
func (g Guard) Leave() {
	g.check()
	g.r.entry.Store(0)
	// Either the writer, which set waiting before it looked, sees the zero just
	// stored, or it is told here. A wake-up cannot fall between.
	if g.r.d.waiting.Load() {
		g.r.d.wake()
	}
}

// check panics, in test builds, if the Guard is forged or was left.
func (g Guard) check() {
	if checked && (g.r == nil || g.r.entry.Load() == 0) {
		panic("epoch: guard is not inside")
	}
}

func (d *Domain) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// A Stamp marks a moment after something was unpublished.
type Stamp uint64

// Stamp begins a new epoch. The writer takes it after unpublishing.
func (d *Domain) Stamp() Stamp { return Stamp(d.now.Add(1)) }

// Epoch is the current epoch.
func (d *Domain) Epoch() uint64 { return d.now.Load() }

// Passed reports whether every reader that was inside before s has left. What
// the writer saw pass has passed, even if it asks again: a reader that was about
// to enter may still store an epoch from before s, but loads what is new.
func (d *Domain) Passed(s Stamp) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.readers, func(r *Reader) bool { return r.before(s) })
}

// Waiting names the readers that keep s from passing.
func (d *Domain) Waiting(s Stamp) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, r := range d.readers {
		if r.before(s) {
			names = append(names, r.name)
		}
	}
	return names
}

func (r *Reader) before(s Stamp) bool {
	e := r.entry.Load()
	return e != 0 && e < uint64(s)
}

// Watch switches the wake-ups of Changed on or off. The writer switches them on
// before it asks Passed, and off when it waits for nothing.
func (d *Domain) Watch(on bool) {
	if d.waiting.Load() != on {
		d.waiting.Store(on)
	}
}

// Changed delivers when a reader has left since the writer last received, as
// long as Watch is on.
func (d *Domain) Changed() <-chan struct{} { return d.changed }

// Readers is the number of registered readers.
func (d *Domain) Readers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.readers)
}

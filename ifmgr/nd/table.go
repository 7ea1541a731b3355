package nd

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/router6d/router6d/internal/header"
)

// buckets is how many lists a Table has: at the bounds of the pools in limit.go,
// six adjacencies each.
const buckets = 1024

// A Table is what those who send packets know of the neighbors. Any number may
// look while the Machine that owns it changes it: there is no lock, and a change
// publishes nothing but itself.
type Table struct {
	seed  [2]uint64
	lists [buckets]atomic.Pointer[adjacency]
	told  func(target *[16]byte) bool
}

// An adjacency is one neighbor as senders see it. All but the mark of use and the
// link never changes: another MAC, or another state, makes a new adjacency. One
// that has been taken out still leads on to those behind it.
type adjacency struct {
	target  [16]byte
	mac     header.MAC
	known   bool        // false: being resolved
	watched bool        // the first use is to be told
	used    atomic.Bool // since it was made
	next    atomic.Pointer[adjacency]
}

// newTable returns an empty table. told is called by those who look, when they
// are the first to use a neighbor of which that is to be known; false means that
// it could not be noted, and that the next one is to try.
func newTable(r *rand.Rand, told func(target *[16]byte) bool) *Table {
	return &Table{seed: [2]uint64{r.Uint64(), r.Uint64()}, told: told}
}

// Lookup is the MAC of a neighbor, for a packet that is sent there now. It is
// false while that is not known.
func (t *Table) Lookup(target *[16]byte) (mac header.MAC, ok bool) {
	a := t.find(target)
	if a == nil || !a.known {
		return mac, false
	}
	if !a.used.Load() && a.used.CompareAndSwap(false, true) && a.watched && !t.told(target) {
		a.used.Store(false)
	}
	return a.mac, true
}

// Peek is Lookup for whoever sends nothing: nothing is noted of it. has is true
// as well while the neighbor is being resolved.
func (t *Table) Peek(target *[16]byte) (mac header.MAC, known, has bool) {
	if a := t.find(target); a != nil {
		return a.mac, a.known, true
	}
	return mac, false, false
}

func (t *Table) find(target *[16]byte) *adjacency {
	for a := t.list(target).Load(); a != nil; a = a.next.Load() {
		if a.target == *target {
			return a
		}
	}
	return nil
}

// list is where a target is. Without the seed nobody can choose targets that are
// all in one list.
func (t *Table) list(target *[16]byte) *atomic.Pointer[adjacency] {
	high, low := bits.Mul64(
		binary.LittleEndian.Uint64(target[:])^t.seed[0],
		binary.LittleEndian.Uint64(target[8:])^t.seed[1],
	)
	return &t.lists[(high^low)%buckets]
}

// put makes a what is found of its target from now on. It takes the place of the
// one before it, so that there is no moment without one.
func (t *Table) put(a *adjacency) {
	at, old := t.place(&a.target)
	if old != nil {
		a.next.Store(old.next.Load())
		at.Store(a)
		return
	}
	head := t.list(&a.target)
	a.next.Store(head.Load())
	head.Store(a)
}

func (t *Table) remove(target *[16]byte) {
	if at, a := t.place(target); a != nil {
		at.Store(a.next.Load())
	}
}

// place is what leads to the adjacency of a target; that is nil if there is none.
func (t *Table) place(target *[16]byte) (*atomic.Pointer[adjacency], *adjacency) {
	at := t.list(target)
	a := at.Load()
	for a != nil && a.target != *target {
		at = &a.next
		a = at.Load()
	}
	return at, a
}

package fib

import (
	"sync/atomic"

	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/loop"
)

// A Table is the published Snapshot, and what the loop needs to make the next.
type Table struct {
	published epoch.Pointer[Snapshot]

	// Owned by the loop.
	last     *Snapshot // what is published
	pairs    pairs
	slots    slots
	prefixes int
}

// NewTable returns a table in which everything is unreachable.
func NewTable() *Table {
	s := &Snapshot{prefixes: newLPM(root), gen: 1, retired: new(atomic.Bool)}
	s.pairs.set(s.gen, lastResort, pair{})
	s.pairs.set(s.gen, root, pair{})
	s.groups.set(s.gen, 0, &Group{})
	t := &Table{last: s, pairs: newPairs(), slots: newSlots()}
	t.published.Publish(s)
	return t
}

// Load is the table for one batch: what it returns, and all that its lookups
// return, is good until the Guard is left.
func (t *Table) Load(g epoch.Guard) *Snapshot { return t.published.Load(g) }

// Snapshot is what is published, for the loop, until the end of its turn.
func (t *Table) Snapshot(*loop.Turn) *Snapshot { return t.last }

// Update publishes what change makes of the table, as one Snapshot; nothing if
// it changes nothing. When it returns, no new lookup sees the old one, and
// displaced nexthops are released once nobody does.
func (t *Table) Update(turn *loop.Turn, change func(*Txn)) {
	x := &Txn{t: t, next: *t.last, gen: t.last.gen + 1}
	change(x)
	x.freeDropped()
	if !x.changed {
		return
	}
	old := t.last
	x.next.gen, x.next.retired = x.gen, new(atomic.Bool)
	t.last = &x.next
	t.published.Publish(t.last)
	if len(x.displaced) > 0 {
		turn.AfterGrace(x.release)
	}
	if checked {
		turn.AfterGrace(func(*loop.Turn) { old.retired.Store(true) })
	}
}

// Generation is that of what is published.
func (t *Table) Generation(*loop.Turn) uint64 { return t.last.gen }

// release gives back what the transaction displaced.
func (x *Txn) release(*loop.Turn) {
	for _, nh := range x.displaced {
		nh.h.Release()
	}
}

// Stats is the size of the table.
type Stats struct {
	Prefixes   int
	Pairs      int
	Groups     int // slots, emptied ones included
	Nexthops   int
	Generation uint64
}

// Stats describes what is published.
func (t *Table) Stats(*loop.Turn) Stats {
	return Stats{
		Prefixes:   t.prefixes,
		Pairs:      len(t.pairs.index) + root + 1,
		Groups:     t.slots.count(),
		Nexthops:   t.slots.held,
		Generation: t.last.gen,
	}
}

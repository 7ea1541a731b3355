package fib

import (
	"sync/atomic"

	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/loop"
)

// A Table is the published Snapshot, and what the loop needs to make the next.
type Table struct {
	// Changed, if set before the first update, is called when something else is
	// published. It does not wait.
	Changed func()

	published epoch.Pointer[Snapshot]

	// Owned by the loop.
	last *Snapshot // what is published
	arena
	batch
	pairs    pairs
	slots    slots
	prefixes int
}

// NewTable returns a table in which everything is unreachable.
func NewTable() *Table {
	t := &Table{arena: newArena(), pairs: newPairs(), slots: newSlots()}
	s := &Snapshot{chains: t.pairs.chains, gen: 1, retired: new(atomic.Bool)}
	s.prefixes = trie{t.region, t.newRoot()}
	none := new(Group)
	s.groups.set(s.gen, 0, none)
	s.groups.set(s.gen, uint32(rootSlot), none)
	t.last = s
	t.published.Publish(s)
	return t
}

// newRoot is a page with nothing but ::/0.
func (a *arena) newRoot() entry {
	defer a.disown()
	return a.writeNode(a.alloc(classOf(fanout)), []span{{0, root}}, 0)
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
	x.flush()
	t.batch.end()
	t.disown()
	x.freeDropped()
	if !x.changed {
		return
	}
	old := t.last
	x.next.chains = t.pairs.chains
	x.next.gen, x.next.retired = x.gen, new(atomic.Bool)
	t.last = &x.next
	t.published.Publish(t.last)
	if t.Changed != nil {
		t.Changed()
	}
	if r := x.retired; !r.none() {
		turn.AfterGrace(func(*loop.Turn) { t.settle(r) })
	}
	if checked {
		turn.AfterGrace(func(*loop.Turn) { old.retired.Store(true) })
	}
}

// What a transaction has retired waits for the readers of older snapshots.
type retired struct {
	nexthops []*Nexthop
	blocks   []freed
	pairs    []uint32
}

func (r *retired) none() bool { return len(r.nexthops)+len(r.blocks)+len(r.pairs) == 0 }

// settle gives back what nobody looks at any more.
func (t *Table) settle(r retired) {
	for _, nh := range r.nexthops {
		nh.h.Release()
	}
	if fault.NoGrace { // the mutant is about interfaces: memory that readers look at stays
		return
	}
	t.arena.settle(r.blocks)
	t.pairs.free = append(t.pairs.free, r.pairs...)
}

// Generation is that of what is published.
func (t *Table) Generation(*loop.Turn) uint64 { return t.last.gen }

// Stats is the size of the table.
type Stats struct {
	Prefixes   int
	Pairs      int
	Groups     int // slots, emptied ones included
	Nexthops   int
	Generation uint64
	Memory     Memory
}

// Memory is what prefixes take, in bytes.
type Memory struct {
	Trie    int // including the two that follow
	Waiting int // for readers of older snapshots to leave
	Idle    int // to be used again
	Pairs   int
}

// Stats describes what is published.
func (t *Table) Stats(*loop.Turn) Stats {
	return Stats{
		Prefixes:   t.prefixes,
		Pairs:      t.pairs.known + root + 1,
		Groups:     t.slots.count(),
		Nexthops:   t.slots.held,
		Generation: t.last.gen,
		Memory: Memory{
			Trie:    t.arena.bytes(),
			Waiting: t.waiting * halfLine * 4,
			Idle:    t.idle * halfLine * 4,
			Pairs:   t.pairs.bytes(),
		},
	}
}

package fib

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/router6d/router6d/internal/loop"
)

// Recount counts everything from scratch and compares the books, and looks
// whether the trie has the one form that it may have.
func (t *Table) Recount(*loop.Turn) error {
	s := t.last
	w := walk{t: t, spans: make([]int, len(t.pairs.counts))}
	w.down(s.prefixes.root, 0)
	if w.err != nil {
		return w.err
	}
	if got := w.halves; got != t.live {
		return fmt.Errorf("%d half-lines reachable, books say %d", got, t.live)
	}
	if got := t.idleBlocks(); got != t.idle || t.live+t.waiting+t.idle+2 != int(t.next) {
		return fmt.Errorf("%d half-lines idle, books say %d, and %d live and %d waiting of %d", got, t.idle, t.live, t.waiting, t.next)
	}
	names, named := w.spans, make([]int, len(t.slots.named))
	named[0]++        // by the last resort
	named[rootSlot]++ // for ever
	named[s.root.slot]++
	names[s.root.cover]++
	known := make([]bool, len(t.pairs.counts))
	for _, i := range t.pairs.index {
		if i == 0 {
			continue
		}
		p := t.pairs.at(i)
		if known[i] || t.pairs.index[t.pairs.find(p)] != i {
			return fmt.Errorf("pair %d = %v is in the index twice, or not found", i, p)
		}
		known[i] = true
		names[p.cover]++
		named[p.slot]++
	}
	for i, n := range names {
		if i <= root {
			continue
		}
		if want := t.pairs.counts[i]; known[i] != (want > 0) || known[i] && int(want) != n || !known[i] && n > 0 {
			return fmt.Errorf("pair %d is named %d times, books say %d, known %v", i, n, want, known[i])
		}
	}
	for i, n := range t.slots.named {
		if n >= 0 && n != named[i] {
			return fmt.Errorf("slot %d is named %d times, books say %d", i, named[i], n)
		}
	}
	if n := t.pairs.known + len(t.pairs.free) + root + 1; n > len(t.pairs.counts) {
		return fmt.Errorf("%d pairs known or free, %d made", n, len(t.pairs.counts))
	}
	if got, want := s.groups.at(uint32(rootSlot)), s.groups.at(uint32(s.root.slot)); got != want {
		return fmt.Errorf("slot of the root is %v, its mirror %v", want, got)
	}
	return t.recountNexthops()
}

// A walk goes through the whole trie.
type walk struct {
	t      *Table
	spans  []int // by value
	halves int   // half-lines of blocks
	err    error
}

func (w *walk) down(e entry, depth int) {
	if e.value() {
		w.spans[e]++
		return
	}
	list := w.t.spans(nil, e, depth)
	w.halves += int(w.t.size(e, depth).halves())
	if err := w.shape(e, list, depth); err != nil && w.err == nil {
		w.err = fmt.Errorf("at depth %d: %w: %v", depth, err, list)
	}
	for _, s := range list {
		w.down(s.entry, depth+1)
	}
}

func (w *walk) shape(e entry, list []span, depth int) error {
	if depth > 0 && len(list) < 2 {
		return errors.New("a block that decides nothing")
	}
	for i, s := range list[1:] {
		switch {
		case s.begin <= list[i].begin || s.entry == list[i].entry:
			return errors.New("spans out of order, or not joined")
		case e.leaf() && !s.entry.value():
			return errors.New("a leaf with a block")
		}
	}
	if e.leaf() {
		if want := len(list) > smallSpans; depth > leafDepth || len(list) > bigSpans || want != (e&isBig != 0) {
			return errors.New("a leaf of the wrong size")
		}
		return nil
	}
	x := edit{Txn: &Txn{t: w.t}}
	if x.flat(list, depth) {
		return errors.New("a node that could be a leaf")
	}
	return nil
}

// flat is what flatten says, worked out otherwise.
func (x *edit) flat(list []span, depth int) bool {
	if depth == 0 || depth > leafDepth {
		return false
	}
	last := isNode
	n := 0
	for _, s := range list {
		if s.entry.node() {
			return false
		}
		for _, in := range x.t.spans(nil, s.entry, depth+1) {
			if in.begin%256 != 0 {
				return false
			}
			if in.entry != last {
				n++
			}
			last = in.entry
		}
	}
	return n <= bigSpans
}

// Form is the trie, block by block, with the candidates that its values stand
// for: not their numbers, which depend on the history.
func (t *Table) Form(*loop.Turn) []byte { return t.form(nil, t.last.prefixes.root, 0) }

func (t *Table) form(b []byte, e entry, depth int) []byte {
	if e.value() {
		for i := uint32(e); i > root; i = t.pairs.covers[i] {
			p := t.pairs.at(i)
			b = append(binary.BigEndian.AppendUint32(b, uint32(p.slot)), p.plen)
		}
		return append(b, 0)
	}
	b = append(b, byte(e&kind>>24), byte(depth))
	for _, s := range t.spans(nil, e, depth) {
		b = t.form(binary.BigEndian.AppendUint32(b, s.begin), s.entry, depth+1)
	}
	return b
}

func (t *Table) idleBlocks() (halves int) {
	for c, i := range t.arena.free {
		for ; i != 0; i = t.block(i, 1)[0] {
			halves += int(class(c).halves())
		}
	}
	return halves
}

func (t *Table) recountNexthops() error {
	held, uses := 0, 0
	for g := range t.slots.named {
		if group := t.last.groups.at(uint32(g)); group != nil && GroupID(g) != rootSlot {
			held += len(group.nexthops)
			for _, nh := range group.nexthops {
				if _, ok := t.slots.using[nh.ID()][GroupID(g)]; !ok {
					return fmt.Errorf("slot %d leads to %s, books say no", g, nh.Name())
				}
			}
		}
	}
	for id, slots := range t.slots.using {
		for g := range slots {
			uses++
			if !leadsTo(t.last.groups.at(uint32(g)), uint64(id)) {
				return fmt.Errorf("books say slot %d leads to %d", g, id)
			}
		}
	}
	if held != t.slots.held || uses > held {
		return fmt.Errorf("%d nexthops, books say %d and %d", held, t.slots.held, uses)
	}
	return nil
}

func leadsTo(g *Group, id uint64) bool {
	for _, nh := range g.nexthops {
		if uint64(nh.ID()) == id {
			return true
		}
	}
	return false
}

// Halves is how many half-lines a table without prefixes has in use.
const Halves = fanout / halfLine

// Live is how many half-lines are in use, and how many wait for readers.
func (t *Table) Live(*loop.Turn) (live, waiting int) { return t.live, t.waiting }

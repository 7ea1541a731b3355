package fib

import (
	"fmt"
	"math/bits"

	"github.com/router6d/router6d/internal/loop"
)

// Recount counts everything from scratch and compares the books.
func (t *Table) Recount(*loop.Turn) error {
	s := t.last
	pairCount, named := make([]int, len(t.pairs.count)), make([]int, len(t.slots.named))
	named[0] += 1 // by the last resort
	root := s.pairs.at(root)
	named[root.slot]++
	pairCount[root.cover]++
	for p, i := range t.pairs.index {
		if s.pairs.at(i) != p {
			return fmt.Errorf("pair %d = %v, index says %v", i, s.pairs.at(i), p)
		}
		pairCount[p.cover]++
		named[p.slot]++
	}
	prefixes := occupied(root)
	s.prefixes.root.each(func(v uint32) {
		if v > 1 {
			pairCount[v]++
			prefixes++
		}
	})
	for i, n := range pairCount {
		if known := t.pairs.index[s.pairs.at(uint32(i))] == uint32(i); i > 1 && n > 0 && !known {
			return fmt.Errorf("pair %d is named %d times and free", i, n)
		}
	}
	for i := range pairCount {
		if i > 1 && t.pairs.count[i] != pairCount[i] {
			return fmt.Errorf("pair %d has count %d, want %d", i, t.pairs.count[i], pairCount[i])
		}
	}
	for i, n := range t.slots.named {
		if n >= 0 && n != named[i] {
			return fmt.Errorf("slot %d is named %d times, books say %d", i, named[i], n)
		}
	}
	if prefixes != t.prefixes {
		return fmt.Errorf("%d prefixes, books say %d", prefixes, t.prefixes)
	}
	if n := len(t.pairs.index) + len(t.pairs.free) + 2; n != len(t.pairs.count) {
		return fmt.Errorf("%d pairs known, %d made", n, len(t.pairs.count))
	}
	return t.recountNexthops()
}

func (t *Table) recountNexthops() error {
	held, uses := 0, 0
	for g := range t.slots.named {
		if group := t.last.groups.at(uint32(g)); group != nil {
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

// each calls fn for every value, and checks the shape of the trie.
func (n *node) each(fn func(v uint32)) {
	if bits.OnesCount64(n.prefixes) != len(n.values) || bits.OnesCount64(n.children) != len(n.kids) {
		panic("node with gaps")
	}
	for _, v := range n.values {
		fn(v)
	}
	for _, kid := range n.kids {
		if kid.prefixes|kid.children == 0 {
			panic("empty node")
		}
		kid.each(fn)
	}
}

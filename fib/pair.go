package fib

// A pair is one candidate of a prefix, and where to look when it is empty. It
// never changes, but for the root's.
type pair struct {
	slot  GroupID
	cover uint32 // index of the next pair
}

const (
	lastResort = 0 // index of the pair that is never empty
	root       = 1 // index of the pair of ::/0, which changes in place
)

// pairs is the writer's side of the pair table: equal pairs are one, and are
// counted by the prefixes and pairs that name them.
type pairs struct {
	index map[pair]uint32 // all but the two permanent ones
	count []int           // by index
	free  []uint32
	dead  []uint32 // had their count at zero; swept at the end of an operation
}

func newPairs() pairs {
	return pairs{index: make(map[pair]uint32), count: make([]int, root+1)}
}

// intern is the index of p, which may be new and then has count zero.
func (x *Txn) intern(p pair) uint32 {
	ps := &x.t.pairs
	if i, ok := ps.index[p]; ok {
		return i
	}
	var i uint32
	if n := len(ps.free); n > 0 {
		i, ps.free = ps.free[n-1], ps.free[:n-1]
	} else {
		i, ps.count = uint32(len(ps.count)), append(ps.count, 0)
	}
	ps.index[p] = i
	ps.count[p.cover]++
	x.t.slots.name(p.slot)
	x.next.pairs.set(x.gen, i, p)
	return i
}

// chain is the index of the pair that stands for candidates above cover.
func (x *Txn) chain(candidates []GroupID, cover uint32) uint32 {
	for i := len(candidates) - 1; i >= 0; i-- {
		cover = x.intern(pair{candidates[i], cover})
	}
	return cover
}

func (ps *pairs) retain(i uint32) { ps.count[i]++ }

// release leaves a pair that nobody names in place until sweep, so that what an
// operation remembers by index stays true.
func (ps *pairs) release(i uint32) {
	if ps.count[i]--; ps.count[i] == 0 && i > root {
		ps.dead = append(ps.dead, i)
	}
}

// sweep frees pairs that nobody names, and what only they named.
func (x *Txn) sweep() {
	ps := &x.t.pairs
	for len(ps.dead) > 0 {
		n := len(ps.dead) - 1
		i := ps.dead[n]
		ps.dead = ps.dead[:n]
		p := x.next.pairs.at(i)
		if ps.count[i] > 0 || ps.index[p] != i {
			continue
		}
		delete(ps.index, p)
		ps.free = append(ps.free, i)
		x.t.slots.unname(p.slot)
		ps.release(p.cover)
	}
}

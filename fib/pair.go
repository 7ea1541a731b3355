package fib

import "math/bits"

// A pair is one candidate of a prefix, and where to look when it is empty.
type pair struct {
	slot  GroupID
	cover uint32 // index of the next pair
	plen  uint8  // of the prefix
}

const (
	lastResort = 0 // index of the pair that is never empty
	root       = 1 // index of the pair of ::/0, which each Snapshot has itself
)

// chains is the pairs by index, as readers see them. What a snapshot can reach
// is not written to, so that all snapshots share one array.
type chains struct {
	slots  []GroupID
	covers []uint32
	plens  []uint8
}

func (c *chains) at(i uint32) pair { return pair{c.slots[i], c.covers[i], c.plens[i]} }

// pairs is the writer's side: equal pairs are one, and are counted by the spans
// and pairs that name them.
type pairs struct {
	chains
	counts []int32  // by index; unused: not in the table
	index  []uint32 // a hash table of indices with open addressing; zero is empty
	known  int      // in the index
	free   []uint32
	dead   []uint32 // had their count at zero; swept at the end of an operation
}

const unused = -1

func newPairs() pairs {
	two := pairs{index: make([]uint32, 16), counts: make([]int32, root+1)}
	two.slots, two.covers, two.plens = []GroupID{0, rootSlot}, make([]uint32, root+1), make([]uint8, root+1)
	return two
}

// intern is the index of p, which may be new and then has count zero.
func (x *Txn) intern(p pair) uint32 {
	ps := &x.t.pairs
	at := ps.find(p)
	if i := ps.index[at]; i != 0 {
		return i
	}
	var i uint32
	if n := len(ps.free); n > 0 {
		i, ps.free = ps.free[n-1], ps.free[:n-1]
		ps.slots[i], ps.covers[i], ps.plens[i], ps.counts[i] = p.slot, p.cover, p.plen, 0
	} else {
		i = uint32(len(ps.counts))
		ps.slots = append(ps.slots, p.slot)
		ps.covers = append(ps.covers, p.cover)
		ps.plens = append(ps.plens, p.plen)
		ps.counts = append(ps.counts, 0)
	}
	ps.index[at] = i
	if ps.known++; 4*ps.known > 3*len(ps.index) {
		ps.rehash()
	}
	ps.counts[p.cover]++
	x.t.slots.name(p.slot)
	return i
}

func (p pair) hash() uint64 {
	hi, lo := bits.Mul64(uint64(p.slot)<<32|uint64(p.cover), 0x9e3779b97f4a7c15)
	return (hi ^ lo + uint64(p.plen)) * 0xd6e8feb86659fd93 >> 32
}

// find is where p is in the index, or would be.
func (ps *pairs) find(p pair) int {
	mask := len(ps.index) - 1
	at := int(p.hash()) & mask
	for ps.index[at] != 0 && ps.at(ps.index[at]) != p {
		at = (at + 1) & mask
	}
	return at
}

func (ps *pairs) rehash() {
	old := ps.index
	ps.index = make([]uint32, 2*len(old))
	for _, i := range old {
		if i != 0 {
			ps.index[ps.find(ps.at(i))] = i
		}
	}
}

// forget takes a pair out of the index, and moves up what has been displaced by
// it (Knuth, TAOCP 3, algorithm 6.4R).
func (ps *pairs) forget(i uint32) {
	mask := len(ps.index) - 1
	gap := ps.find(ps.at(i))
	ps.index[gap] = 0
	ps.known--
	for at := (gap + 1) & mask; ps.index[at] != 0; at = (at + 1) & mask {
		home := int(ps.at(ps.index[at]).hash()) & mask
		if (at-home)&mask >= (at-gap)&mask {
			ps.index[gap], ps.index[at] = ps.index[at], 0
			gap = at
		}
	}
}

// chain is the index of the pair that stands for candidates above cover.
func (x *Txn) chain(candidates []GroupID, cover uint32, plen int) uint32 {
	for i := len(candidates) - 1; i >= 0; i-- {
		cover = x.intern(pair{candidates[i], cover, uint8(plen)})
	}
	return cover
}

// name counts more spans or pairs that name a pair. One that nobody names stays
// in place until sweep, so that what an operation remembers by index stays true.
func (ps *pairs) name(i uint32, more int) {
	ps.counts[i] += int32(more)
	if ps.counts[i] == 0 && i > root {
		ps.dead = append(ps.dead, i)
	}
}

// sweep retires pairs that nobody names, and what only they named.
func (x *Txn) sweep() {
	ps := &x.t.pairs
	for len(ps.dead) > 0 {
		n := len(ps.dead) - 1
		i := ps.dead[n]
		ps.dead = ps.dead[:n]
		if ps.counts[i] != 0 {
			continue
		}
		p := ps.at(i)
		ps.forget(i)
		ps.counts[i] = unused
		x.retired.pairs = append(x.retired.pairs, i)
		x.t.slots.unname(p.slot)
		ps.name(p.cover, -1)
	}
}

// bytes is the memory that pairs take.
func (ps *pairs) bytes() int {
	return cap(ps.slots)*4 + cap(ps.covers)*4 + cap(ps.plens) + cap(ps.counts)*4 + cap(ps.index)*4
}

package fib

// The trie lives in one arena without pointers, which the garbage collector
// does not look into. Blocks are named by the number of their first half-line.
//
// What a published snapshot can reach is never written to. A block that a
// transaction replaces waits for the grace period, and is used again then.

const (
	halfLine  = 8       // in words of four bytes: half a cache line
	classes   = 18      // sizes of blocks: half a line, one line, … seventeen
	firstSize = 1 << 14 // in words, of a region on the heap
)

// A block's class is its size in lines; class zero is half a line.
type class uint

// halves is the size in half-lines.
func (c class) halves() uint32 { return max(1, 2*uint32(c)) }

// classOf is the smallest class that holds n words.
func classOf(n int) class {
	if n <= halfLine {
		return 0
	}
	return class((n + 2*halfLine - 1) / (2 * halfLine))
}

type arena struct {
	*region
	next  uint32          // the first half-line never used
	free  [classes]uint32 // the first free block of a class, in which is the next; zero ends the list
	owned []uint64        // a bit for each block that the transaction under way has made
	made  []uint32        // those blocks

	// In half-lines.
	live    int // of what is published, or about to be
	waiting int // for the end of a grace period
	idle    int // in free
}

// A region is the memory of an arena, and lives as long as something refers to
// it. It starts at the start of a cache line.
type region struct{ mem []uint32 }

func onHeap(words int) *region { return &region{make([]uint32, words)} }

// newArena keeps the first line unused, so that no block is number zero.
func newArena() arena {
	return arena{region: reserve(), next: 2}
}

// block is the n words of a block.
func (a *arena) block(i uint32, n int) []uint32 {
	at := int(i) * halfLine
	return a.mem[at : at+n : at+n]
}

// alloc makes a block of the transaction's own. Its content is undefined.
func (a *arena) alloc(c class) uint32 {
	i := a.take(c)
	a.live += int(c.halves())
	for int(i/64) >= len(a.owned) {
		a.owned = append(a.owned, 0)
	}
	a.owned[i/64] |= 1 << (i % 64)
	a.made = append(a.made, i)
	return i
}

func (a *arena) take(c class) uint32 {
	if i := a.free[c]; i != 0 {
		a.free[c] = a.block(i, 1)[0]
		a.idle -= int(c.halves())
		return i
	}
	i := a.next
	a.next += max(2, c.halves())
	a.grow(int(a.next) * halfLine)
	if c == 0 {
		a.put(i+1, 0) // the other half of the line
	}
	return i
}

// grow makes room for n words.
func (a *arena) grow(n int) {
	if n <= len(a.mem) {
		return
	}
	bigger := onHeap(max(2*len(a.mem), n))
	copy(bigger.mem, a.mem)
	a.region = bigger
}

// put makes a block that nobody looks at free.
func (a *arena) put(i uint32, c class) {
	a.block(i, 1)[0] = a.free[c]
	a.free[c] = i
	a.idle += int(c.halves())
}

// owns reports whether the transaction under way has made the block, and so may
// write to it.
func (a *arena) owns(i uint32) bool {
	return int(i/64) < len(a.owned) && a.owned[i/64]>>(i%64)&1 != 0
}

// disown ends the transaction.
func (a *arena) disown() {
	for _, i := range a.made {
		a.owned[i/64] &^= 1 << (i % 64)
	}
	a.made = emptied(a.made) // after a load it is as large as the table
}

// giveUp takes a block out of what is published. It reports whether somebody
// may still look at it.
func (a *arena) giveUp(f freed) (seen bool) {
	n := int(f.class.halves())
	a.live -= n
	if a.owns(f.block) {
		a.owned[f.block/64] &^= 1 << (f.block % 64)
		a.put(f.block, f.class)
		return false
	}
	a.waiting += n
	return true
}

// bytes is the memory in use or once used.
func (a *arena) bytes() int { return int(a.next)*halfLine*4 + cap(a.owned)*8 }

// A freed block waits for readers to leave.
type freed struct {
	block uint32
	class class
}

// settle makes blocks free that no reader looks at any more.
func (a *arena) settle(blocks []freed) {
	for _, f := range blocks {
		a.waiting -= int(f.class.halves())
		a.put(f.block, f.class)
	}
}

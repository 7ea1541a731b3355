package netlab

// windowSize is how far back a sequence number is remembered: at 100,000
// packets a second for 42 seconds, in half a megabyte.
const windowSize = 1 << 22

// An arrival is what a sequence number says of its packet.
type arrival int

const (
	inOrder   arrival = iota
	reordered         // after a later one, for the first time
	duplicate
	stale // too old to tell which of both
)

// A seqWindow remembers which of the last windowSize numbers it has seen.
type seqWindow struct {
	bits [windowSize / 64]uint64
	next uint64 // one above the highest seen
}

func (w *seqWindow) mark(seq uint64) arrival {
	switch {
	case seq >= w.next:
		w.slide(seq)
		w.set(seq)
		return inOrder
	case w.next-seq > windowSize:
		return stale
	case w.has(seq):
		return duplicate
	}
	w.set(seq)
	return reordered
}

// slide makes room up to seq: what was there belonged to older numbers.
func (w *seqWindow) slide(seq uint64) {
	for range min(seq-w.next, windowSize) {
		w.clear(w.next)
		w.next++
	}
	w.next = seq + 1
}

func (w *seqWindow) has(seq uint64) bool {
	return w.bits[seq%windowSize/64]&(1<<(seq%64)) != 0
}

func (w *seqWindow) set(seq uint64)   { w.bits[seq%windowSize/64] |= 1 << (seq % 64) }
func (w *seqWindow) clear(seq uint64) { w.bits[seq%windowSize/64] &^= 1 << (seq % 64) }

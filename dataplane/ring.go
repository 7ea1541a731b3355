package dataplane

import "sync/atomic"

const (
	// ringBytes is what a tap keeps for who is late: at 10 Gbit/s, three
	// milliseconds.
	ringBytes = 4 << 20
	// chunkBytes is the unit of room: most packets on the wire take one or six.
	chunkBytes = 256
	ringChunks = ringBytes / chunkBytes
)

// A ring holds copies of packets on their way from many workers to one reader.
// Nobody waits in it: who finds no room is told so.
//
//	 given back        waiting        being filled        free
//	───────────────┬─────────────┬──────┬───────┬──────┬─────────
//	               tail          whole  skip    blank  head
//
// A copy is chunks that lie side by side, described by the record of the first of
// them. Those between tail and head are reserved in order and become whole in any;
// the reader takes them in order. The rest at the end of the memory that is too
// small for the next copy is skipped.
type ring struct {
	mem     []byte
	records []record
	head    atomic.Uint64 // chunks ever reserved
	_       [56]byte      // the reader's line is not the workers'
	tail    atomic.Uint64 // chunks ever given back
}

// A record describes a copy.
type record struct {
	state      atomic.Uint32 // what else is here is written before, and read after
	chunks     uint32
	at         int64 // nanoseconds
	size, kept uint32
	direction  Direction
	drop       Drop
}

// States of a record.
const (
	blank = iota // free, or being filled
	whole
	skip
)

func newRing() ring {
	return ring{mem: make([]byte, ringBytes), records: make([]record, ringChunks)}
}

// reserve finds room for a copy of size bytes, and returns the place of its
// record.
func (r *ring) reserve(size int) (place uint32, ok bool) {
	want := uint64(max(1, (size+chunkBytes-1)/chunkBytes))
	for {
		tail := r.tail.Load() // before head, so as not to pass it
		head := r.head.Load()
		rest := ringChunks - head%ringChunks
		if rest >= want {
			rest = 0
		}
		if head+rest+want-tail > ringChunks {
			return 0, false
		}
		if !r.head.CompareAndSwap(head, head+rest+want) {
			continue // another worker has it, and so has moved on
		}
		if rest > 0 {
			r.skip(uint32(head%ringChunks), uint32(rest))
		}
		place = uint32((head + rest) % ringChunks)
		r.records[place].chunks = uint32(want)
		return place, true
	}
}

func (r *ring) skip(place, chunks uint32) {
	r.records[place].chunks = chunks
	r.records[place].state.Store(skip)
}

// bytes is the room of a copy.
func (r *ring) bytes(place uint32, n int) []byte {
	at := int(place) * chunkBytes
	return r.mem[at : at+n : at+n]
}

// oldest is the copy to be read next; nil if there is none yet.
func (r *ring) oldest() (*record, []byte) {
	for {
		place := uint32(r.tail.Load() % ringChunks)
		rec := &r.records[place]
		switch rec.state.Load() {
		case whole:
			return rec, r.bytes(place, int(rec.kept))
		case skip:
			r.free(rec)
		default:
			return nil, nil
		}
	}
}

// free gives the room of the oldest copy back.
func (r *ring) free(rec *record) {
	rec.state.Store(blank)
	r.tail.Add(uint64(rec.chunks))
}

package link

import "sync/atomic"

const (
	// batchBytes ends a batch early, so that what was read is still in the
	// second-level cache when it is written.
	batchBytes = 256 << 10
	// originBytes is room for what a batch makes the router send itself: one
	// ICMPv6 error (1280) with headroom for each packet received.
	originBytes = VectorSize * (1280 + Headroom + cacheLine)
	cacheLine   = 64
)

// An arena is the memory of one batch. Packets lie in it one behind the other,
// each as long as it is, so that a batch of small ones stays small.
type arena struct {
	lent atomic.Bool
	mem  []byte // made when first lent
	used int
	pkts [2 * VectorSize]Packet // received, and originated
	n    int

	alone Vector // see Packet.Alone
}

// next returns a packet with room for size bytes. keep makes it stay.
func (a *arena) next(size int) *Packet {
	p := &a.pkts[a.n]
	p.buf = a.mem[a.used : a.used+Headroom+size : a.used+Headroom+size]
	p.off, p.end = Headroom, Headroom
	p.Offload, p.alone = Offload{}, &a.alone
	return p
}

func (a *arena) keep(p *Packet) {
	a.n++
	a.used += (p.end + cacheLine - 1) &^ (cacheLine - 1)
	p.buf = p.buf[:p.end:p.end]
}

// A Pool lends arenas to batches, and so bounds the memory of the packet path
// whatever the number of ports: a port that has nothing to read holds none. A
// batch gets the arena back that its predecessor had, if it can: that one is in
// the cache.
type Pool struct {
	arenas  []arena
	waiting atomic.Int32  // who found none
	freed   chan struct{} // wakes them
}

// NewPool returns a pool of n arenas, of about half a megabyte each.
func NewPool(n int) *Pool {
	return &Pool{arenas: make([]arena, n), freed: make(chan struct{}, n)}
}

// get lends an arena, last if it can be, and waits for one if all are lent.
func (p *Pool) get(last *arena) *arena {
	if last != nil && last.take() {
		return last
	}
	if a := p.find(); a != nil {
		return a
	}
	p.waiting.Add(1) // before looking again, or nobody might tell
	defer p.waiting.Add(-1)
	for {
		if a := p.find(); a != nil {
			return a
		}
		<-p.freed
	}
}

func (p *Pool) find() *arena {
	for i := range p.arenas {
		if a := &p.arenas[i]; a.take() {
			return a
		}
	}
	return nil
}

func (a *arena) take() bool {
	if a.lent.Load() || !a.lent.CompareAndSwap(false, true) {
		return false
	}
	if a.mem == nil {
		a.mem = make([]byte, batchBytes+Headroom+MaxFrame+originBytes)
	}
	a.used, a.n = 0, 0
	return true
}

func (p *Pool) put(a *arena) {
	if checked { // whoever kept a packet past its batch reads this
		for i := range a.mem[:a.used] {
			a.mem[i] = 0xdb
		}
	}
	a.lent.Store(false)
	if p.waiting.Load() > 0 {
		select {
		case p.freed <- struct{}{}:
		default: // as many are told as there are arenas
		}
	}
}

// A Batch is what one Recv brought. It and its packets end with End; whoever
// wants a packet longer copies it.
type Batch struct {
	Vector
	pool  *Pool
	arena *arena // nil between batches
	last  *arena // that it had before
}

// NewBatch returns an empty batch that borrows its arenas from pool.
func NewBatch(pool *Pool) *Batch { return &Batch{pool: pool} }

// begin takes an arena, waiting for another batch to end if all are lent. No
// batch waits for anything while it holds one, so the wait is short.
func (b *Batch) begin() {
	b.Reset()
	if b.arena == nil {
		b.arena = b.pool.get(b.last)
	}
}

// room reports whether another packet of any size may be read.
func (b *Batch) room() bool { return b.n < VectorSize && b.arena.used < batchBytes }

// Originate returns an empty packet with room for size ≤ 1280 bytes, for what
// the router itself sends because of this batch; at most one for each packet
// received.
func (b *Batch) Originate(size int) *Packet {
	p := b.arena.next(size)
	p.end += size
	b.arena.keep(p)
	return p
}

// Inject begins a batch that holds packets of the router's own: at most
// VectorSize, of MaxPacket bytes all together.
func (b *Batch) Inject(pkts ...[]byte) {
	b.begin()
	for _, pkt := range pkts {
		b.push(pkt)
	}
}

// Gather begins a batch that holds one packet of the router's own, whose bytes lie
// in pieces: at most MaxPacket all together.
func (b *Batch) Gather(pieces ...[]byte) *Packet {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	b.begin()
	p := b.arena.next(size)
	for _, piece := range pieces {
		p.end += copy(p.buf[p.end:], piece)
	}
	b.arena.keep(p)
	b.Push(p)
	return p
}

// push copies one packet into the batch.
func (b *Batch) push(pkt []byte) {
	p := b.arena.next(len(pkt))
	p.end += copy(p.buf[Headroom:], pkt)
	b.arena.keep(p)
	b.Push(p)
}

// End gives the arena back. Every packet of the batch is gone.
func (b *Batch) End() {
	b.Reset()
	if b.arena != nil {
		b.last, b.arena = b.arena, nil
		b.pool.put(b.last)
	}
}

package link

import (
	"sync"
	"sync/atomic"
)

// pipeDepth is how many packets wait in one direction before more are refused.
const pipeDepth = 1024

// A Pipe is one end of a wire in memory, for tests. It panics when it is used
// after Close: that is what the lifetime rules must rule out.
type Pipe struct {
	name    string
	in      chan wired
	peer    *Pipe
	stop    chan struct{}
	once    sync.Once
	closed  atomic.Bool
	severed atomic.Bool
	down    atomic.Bool
	plain   atomic.Bool
}

// wired is a packet under way.
type wired struct {
	bytes   []byte
	offload Offload
}

// NewPipe returns the two ends of a wire.
func NewPipe(a, b string) (*Pipe, *Pipe) {
	x, y := newPipeEnd(a), newPipeEnd(b)
	x.peer, y.peer = y, x
	return x, y
}

func newPipeEnd(name string) *Pipe {
	return &Pipe{name: name, in: make(chan wired, pipeDepth), stop: make(chan struct{})}
}

// Name is the label it was made with.
func (p *Pipe) Name() string { return p.name }

// Recv implements Receiver.
func (p *Pipe) Recv(b *Batch) error {
	if p.closed.Load() {
		panic("link: receive on closed pipe " + p.name)
	}
	select {
	case <-p.stop:
		return ErrInterrupted
	default:
	}
	select {
	case w := <-p.in:
		b.begin()
		p.add(b, w)
	case <-p.stop:
		return ErrInterrupted
	}
	for b.room() {
		select {
		case w := <-p.in:
			p.add(b, w)
		default:
			return nil
		}
	}
	return nil
}

func (p *Pipe) add(b *Batch, w wired) {
	b.push(w.bytes)
	b.At(b.Len() - 1).Offload = w.offload
}

// Send implements Sender.
func (p *Pipe) Send(v *Vector) error {
	if p.closed.Load() {
		panic("link: send on closed pipe " + p.name)
	}
	if p.severed.Load() {
		return ErrSevered
	}
	if p.plain.Load() {
		return v.Cut(p.put)
	}
	return v.each(p.put)
}

func (p *Pipe) put(pkt *Packet) error {
	if p.down.Load() {
		return ErrDown
	}
	select {
	case p.peer.in <- wired{append([]byte(nil), pkt.Bytes()...), pkt.Offload}:
		return nil
	default:
		return ErrFull
	}
}

// Offer gives b to Recv as if the other end had sent it, and reports whether
// there was room. Takes b.
func (p *Pipe) Offer(b []byte) bool {
	select {
	case p.in <- wired{bytes: b}:
		return true
	default:
		return false
	}
}

// Take returns what was sent to this end, or nil if nothing waits.
func (p *Pipe) Take() []byte {
	select {
	case w := <-p.in:
		return w.bytes
	default:
		return nil
	}
}

// OfferFrame is Offer for a packet behind its virtio-net header, as a TUN reads
// it. It returns how many wire segments that is; zero if there was no room.
func (p *Pipe) OfferFrame(frame []byte) (segments int) {
	w := wired{bytes: frame[vnetHeaderSize:]}
	w.offload.decode(frame, w.bytes, 0)
	select {
	case p.in <- w:
		return w.offload.segments(len(w.bytes))
	default:
		return 0
	}
}

// TakeFrame is Take for a packet behind its virtio-net header, as a TUN writes
// it.
func (p *Pipe) TakeFrame() []byte {
	select {
	case w := <-p.in:
		frame := append(make([]byte, vnetHeaderSize), w.bytes...)
		w.offload.encode(frame)
		return frame
	default:
		return nil
	}
}

// Next waits for what is sent to this end; nil once the end is interrupted.
func (p *Pipe) Next() []byte {
	select {
	case w := <-p.in:
		return w.bytes
	case <-p.stop:
		return nil
	}
}

// SetDown makes Send fail with ErrDown.
func (p *Pipe) SetDown(down bool) { p.down.Store(down) }

// SetPlain makes Send cut superframes and complete checksums, as a port does whose
// device takes no offload.
func (p *Pipe) SetPlain() { p.plain.Store(true) }

// Interrupt implements Port.
func (p *Pipe) Interrupt() { p.once.Do(func() { close(p.stop) }) }

// Close implements Port.
func (p *Pipe) Close() error {
	if p.closed.Swap(true) {
		panic("link: pipe " + p.name + " closed twice")
	}
	return nil
}

// Sever implements Port.
func (p *Pipe) Sever() error {
	p.severed.Store(true)
	p.Interrupt()
	return nil
}

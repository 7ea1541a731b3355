package dataplane

import (
	"hash/maphash"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/rate"
	"github.com/router6d/router6d/internal/reassembly"
)

// reassemble takes a fragment to the router, whose fragment header is at r.Offset.
// It is consumed when it is kept; the one with which its packet is whole has the
// fate of that packet, which is dealt with when the batch is through.
func (w *worker) reassemble(p *link.Packet, r *header.Reached, in *ifmgr.Interface) Drop {
	if p.Offload.Superframe() {
		return BadOffload // its segments would be fragments of each other
	}
	p.CompleteChecksum()
	whole, v := w.plane.fragments.Add(now(), uint64(in.ID()), p.Bytes(), r)
	switch v {
	case reassembly.Kept:
		w.plane.await()
		w.counters.add(consumed, 1)
	case reassembly.Whole:
		w.later = append(w.later, postponed{whole, in, w.deliverWhole})
	case reassembly.Idle:
		return FragmentIdle
	case reassembly.OddLength:
		return w.refuseAt(FragmentLength, header.PayloadLengthAt, p, in)
	case reassembly.TooLong:
		return w.refuseAt(FragmentLength, r.Offset+2, p, in)
	case reassembly.NoChain:
		return w.refuseAt(FragmentChain, 0, p, in)
	case reassembly.Overlap, reassembly.TooMany, reassembly.Mixed:
		return FragmentOverlap
	}
	return None
}

// A postponed packet has to wait until its batch is through: it may be 64 KiB, and
// have as many fragments for an answer as a batch has room for packets.
type postponed struct {
	pkt header.IPv6
	in  *ifmgr.Interface // where it, or what it answers, came in; good for as long as the guard
	do  func(*link.Packet, *ifmgr.Interface)
}

// catchUp does what was postponed, under the guard and the snapshot of the batch,
// each in an arena that it has for itself.
func (w *worker) catchUp() {
	for len(w.later) > 0 {
		x := w.later[0]
		w.later = w.later[1:]
		w.batch.End()
		w.batch.Inject(x.pkt)
		x.do(w.batch.At(0), x.in)
		w.flush()
	}
	w.later = nil
}

// deliverWhole is a packet that has been put together. When it is dropped it is
// shown whole, beside its fragments.
func (w *worker) deliverWhole(p *link.Packet, in *ifmgr.Interface) {
	w.whole = true
	why := w.deliver(p, in)
	w.whole = false
	w.counters.drop(why, 1)
	w.tellLate(p, in, Inbound, why)
}

// fragmentData is the data of all fragments that the router makes but the last. No
// path has a smaller MTU, so none has to be known.
const fragmentData = header.MinMTU - header.IPv6Size - header.FragmentSize

const (
	_ = uint(-(fragmentData % 8))                                   // RFC 8200 §4.5: a multiple of 8 bytes
	_ = uint(link.VectorSize - (65535+fragmentData-1)/fragmentData) // the fragments of one packet fit in a batch
)

// originateCut sends a packet of the router's own in fragments.
func (w *worker) originateCut(p *link.Packet, in *ifmgr.Interface) {
	w.cut(header.IPv6(p.Bytes()), func(f *link.Packet) { w.settle(f, in, w.route(f, in)) })
}

// cut makes fragments of a packet of the router's own, which has no extension headers,
// RFC 8200 §4.5. Each is sent before the next is made.
func (w *worker) cut(pkt header.IPv6, send func(*link.Packet)) {
	const head = header.IPv6Size + header.FragmentSize
	id, rest := w.plane.identify(pkt), pkt.Payload()
	for at := 0; at < len(rest); at += fragmentData {
		end := min(at+fragmentData, len(rest))
		f := w.batch.Originate(head + end - at)
		b := header.IPv6(f.Bytes())
		copy(b, pkt[:header.IPv6Size])
		b.SetPayloadLength(uint16(header.FragmentSize + end - at))
		b.SetNextHeader(header.ProtoFragment)
		header.PutFragment(b[header.IPv6Size:], pkt.NextHeader(), at, end < len(rest), id)
		copy(b[head:], rest[at:end])
		send(f)
	}
}

// identify returns an identification that no other packet between the same
// addresses has had for four thousand million packets, and that who sees those to
// himself can't foretell for others, RFC 7739 §5.
func (p *Plane) identify(pkt header.IPv6) uint32 {
	addresses := pkt[header.IPv6Size-32 : header.IPv6Size]
	return uint32(maphash.Bytes(p.idSeed, addresses)) + p.ids.Add(1)
}

// await has the loop give up, in time, what does not become whole. A loop that has
// too much to do is asked again by the next fragment.
func (p *Plane) await() {
	if p.awaiting.CompareAndSwap(false, true) && !p.loop.Post(p.expire) {
		p.awaiting.Store(false)
	}
}

// expire gives up what is too old, and comes back for the rest.
func (p *Plane) expire(t *loop.Turn) {
	late, next := p.fragments.Expire(t.Now())
	p.report(t, late)
	if !next.IsZero() {
		t.At(next, p.expire)
		return
	}
	p.awaiting.Store(false)
	if p.fragments.Stats().Held > 0 { // came meanwhile, and saw that the loop was awaiting
		p.await()
	}
}

// report tells sources that their packets were not complete in time, RFC 8200
// §4.5. A first fragment whose interface has ended is not reported.
func (p *Plane) report(t *loop.Turn, late []reassembly.Late) {
	if len(late) == 0 {
		return
	}
	j := p.NewInjector("reassembly")
	defer j.Close()
	j.w.errors, p.lateErrors = p.lateErrors, rate.Limiter{}
	for _, l := range late {
		if h, err := p.ifs.Acquire(t, ifmgr.ID(l.Zone), ifmgr.Worker); err == nil {
			j.report(l.First, h.Interface)
			h.Release()
		}
	}
	p.lateErrors = j.w.errors
}

func (j *Injector) report(first header.IPv6, in *ifmgr.Interface) {
	w := j.w
	w.batch.Inject(first)
	w.enter()
	w.answer(answer{header.TypeTimeExceeded, header.CodeReassembly}, 0, w.batch.At(0), in)
	w.leave()
}

package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/loop"
)

// causes is why a packet that was held, or was to be, ends.
var causes = map[nd.Cause]Drop{
	nd.NoAnswer: NeighborUnknown,
	nd.Overflow: NeighborOverflow,
	nd.Stopped:  NeighborStopped,
}

// Transmit sends what neighbor discovery of an interface has to send, on the loop,
// as a worker would: seen by taps, and in the account.
func (p *Plane) Transmit(t *loop.Turn, via *ifmgr.Interface, out nd.Output) {
	w := p.senders[via.ID()]
	for _, f := range out.Send {
		w.begin(f.Packet)
		w.counters.add(originated, 1)
		w.pushFrame(w.batch.At(0), via, &f.To)
		w.leave()
	}
	for _, r := range out.Released {
		w.beginHeld(r.Packet.(*ifmgr.Held))
		w.pushFrame(w.batch.At(0), via, &r.To)
		w.leave()
	}
	for _, r := range out.Refused {
		h := r.Packet.(*ifmgr.Held)
		w.beginHeld(h)
		w.end(causes[r.Cause], p.ifs.Find(t, h.From))
		w.leave()
	}
}

// begin begins a batch of one packet.
func (w *worker) begin(pkt []byte) {
	w.batch.Inject(pkt)
	w.enter()
}

// beginHeld begins a batch with a packet that was held. It comes out of where it
// was: the account balances at any time.
func (w *worker) beginHeld(h *ifmgr.Held) {
	w.begin(h.Packet)
	w.batch.At(0).Offload = h.Offload
	w.counters.add(released, w.batch.At(0).Segments())
}

// end ends a packet that was held, and tells who sent it: in is where it came in,
// nil if it is the router's own or that has ended.
func (w *worker) end(why Drop, in *ifmgr.Interface) {
	p := w.batch.At(0)
	n := p.Segments()
	if in != nil && answers[why] != (answer{}) {
		w.refuse(why, p, in)
	}
	w.counters.drop(why, n)
	if in != nil {
		w.tellLate(p, in, Inbound, why)
	}
}

// newSender is for an interface with frames; it ends with Ended.
func (p *Plane) newSender(h *ifmgr.Handle) {
	if h.Neighbors() != nil {
		p.senders[h.ID()] = p.newWorker(h.Name(), p.ifs.Blackhole(), nil, 0)
	}
}

// Ended drops what there is of an interface that has ended.
func (p *Plane) Ended(_ *loop.Turn, id ifmgr.ID) {
	if w := p.senders[id]; w != nil {
		delete(p.senders, id)
		p.retire(w)
	}
}

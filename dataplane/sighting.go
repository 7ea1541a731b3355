package dataplane

import (
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// A sighting is where the taps have their copies of one packet, by tap. They are
// made when it passes the interface, and shown when it is known whether it was
// dropped, which is before the batch ends.
type sighting [MaxTaps]spot

// A spot is a place in a tap's ring, and firstSpot.
type spot uint32

const (
	nowhere   spot = iota // not this tap's, or no room
	later                 // the tap wants it only if it is dropped; frames are taken apart before that is known
	firstSpot             // place 0
)

// tapping reports whether this batch is looked at.
func (w *worker) tapping() bool { return len(w.taps) > 0 }

// watch looks, once a batch, whether anybody taps.
func (w *worker) watch() {
	if all := w.tapped.Load(); all != nil {
		w.taps, w.at = *all, now().UnixNano()
	}
}

// see begins a sighting of what passes an interface.
func (w *worker) see(s *sighting, p *link.Packet, via *ifmgr.Interface, d Direction) {
	for i, t := range w.taps {
		s[i] = t.begin(p, via.ID(), d, w.at)
	}
}

// tell ends a sighting: the packet was dropped, or went on.
func (w *worker) tell(s *sighting, p *link.Packet, d Direction, why Drop) {
	for i, t := range w.taps {
		t.end(s[i], p, d, w.at, why)
	}
}

// tellLate shows a packet that is dropped and has not been seen: one of the
// router's own that found no way out, where what it answers came in, or one that
// was put together there.
func (w *worker) tellLate(p *link.Packet, in *ifmgr.Interface, d Direction, why Drop) {
	if !w.tapping() || why == None {
		return
	}
	var s sighting
	if in.Neighbors() != nil { // it is in no frame now, from no station to none
		header.PutEthernet(p.Prepend(header.EthernetSize), &header.MAC{}, &header.MAC{})
		defer p.TrimFront(header.EthernetSize)
	}
	w.see(&s, p, in, d)
	w.tell(&s, p, d, why)
}

// A departure is a packet that is handed to a port.
type departure struct {
	p *link.Packet
	sighting
}

// seeSent sees the packets of a queue as they are before the port takes them.
func (w *worker) seeSent(q *queue) []departure {
	if !w.tapping() {
		return nil
	}
	all := w.leaving[:q.v.Len()]
	for i := range all {
		all[i].p = q.v.At(i)
		w.see(&all[i].sighting, all[i].p, q.via, Outbound)
	}
	return all
}

// tellSent tells what became of them: what is left in the queue was dropped.
func (w *worker) tellSent(all []departure, q *queue, why Drop) {
	for i := range all {
		d := &all[i]
		if q.holds(d.p) {
			w.tell(&d.sighting, d.p, Outbound, why)
		} else {
			w.tell(&d.sighting, d.p, Outbound, None)
		}
		d.p = nil
	}
}

func (q *queue) holds(p *link.Packet) bool {
	for i := range q.v.Len() {
		if q.v.At(i) == p {
			return true
		}
	}
	return false
}

// begin copies a packet of the tap's interface.
func (t *Tap) begin(p *link.Packet, via ifmgr.ID, d Direction, at int64) spot {
	switch {
	case t.id != via:
		return nowhere
	case t.dropsOnly && !t.frames:
		return later
	}
	return t.copy(p.Bytes(), d, at)
}

// end shows the copy to the reader.
func (t *Tap) end(s spot, p *link.Packet, d Direction, at int64, why Drop) {
	if s == later && why != None {
		s = t.copy(p.Bytes(), d, at)
	}
	if s < firstSpot {
		return
	}
	r := &t.ring.records[s-firstSpot]
	if t.dropsOnly && why == None {
		r.state.Store(skip)
		return
	}
	r.drop = why
	r.state.Store(whole)
	select {
	case t.more <- struct{}{}:
	default: // has been told
	}
}

func (t *Tap) copy(b []byte, d Direction, at int64) spot {
	kept := min(len(b), t.snap)
	place, ok := t.ring.reserve(kept)
	if !ok {
		t.lost.Add(1)
		return nowhere
	}
	r := &t.ring.records[place]
	r.at, r.size, r.kept, r.direction = at, uint32(len(b)), uint32(kept), d
	copy(t.ring.bytes(place, kept), b)
	return firstSpot + spot(place)
}

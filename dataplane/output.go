package dataplane

import (
	"errors"
	"slices"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

// An outbox is one batch by the interface it leaves through; empty between
// batches. There are as many queues as a batch ever had ways out, at most one a
// packet.
type outbox struct {
	queue  int // that the packets came from, and leave by, of ports with several
	queues []*queue
	used   int
	last   [64]uint8 // where an interface was found, by the low bits of its ID
}

type queue struct {
	via *ifmgr.Interface
	v   link.Vector
}

// to returns the queue of the interface.
func (o *outbox) to(via *ifmgr.Interface) *queue {
	hint := &o.last[via.ID()%64]
	if i := int(*hint); i < o.used && o.queues[i].via == via {
		return o.queues[i]
	}
	i := slices.IndexFunc(o.queues[:o.used], func(q *queue) bool { return q.via == via })
	if i < 0 {
		i = o.add(via)
	}
	*hint = uint8(i)
	return o.queues[i]
}

// add begins the queue of an interface.
func (o *outbox) add(via *ifmgr.Interface) (i int) {
	if o.used == len(o.queues) {
		o.queues = append(o.queues, &queue{v: link.Vector{Queue: o.queue}})
	}
	o.queues[o.used].via = via
	o.used++
	return o.used - 1
}

// send puts the packet on its way, unless the lookup was wrong: that an
// interface is returned which was withdrawn before the snapshot was published
// is what all of this is built to rule out, so every transmission is checked.
//
// The packet came in through from, or is the router's own.
func (w *worker) send(p *link.Packet, nh *fib.Nexthop, from ifmgr.ID) Drop {
	if gen := nh.Withdrawn(); gen != 0 {
		if w.routes.Generation() >= gen {
			w.counters.add(deadLookups, 1)
			return DeadInterface
		}
		w.counters.add(drainingSent, p.Segments())
	}
	return w.reach(p, nh.Interface(), nh.Target(header.IPv6(p.Bytes()).DestinationBytes()), from)
}

// push puts a packet into the queue of an interface. Where packets go back to the
// link they came from, with redirects beside them, there may be more than a batch
// of them.
func (w *worker) push(p *link.Packet, via *ifmgr.Interface) {
	q := w.out.to(via)
	if q.v.Len() == link.VectorSize {
		w.transmit(q)
		q.v.Reset()
	}
	q.v.Push(p)
}

// flush hands every queue to its port, and returns why a port did not take all.
func (w *worker) flush() (why Drop) {
	for _, q := range w.out.queues[:w.out.used] {
		if d := w.transmit(q); d != None {
			why = d
		}
		q.via = nil
		q.v.Reset()
	}
	w.out.used = 0
	return why
}

func (w *worker) transmit(q *queue) (why Drop) {
	packets, bytes := q.v.Segments(), q.v.Size()
	seen := w.seeSent(q)
	err := q.via.Port().Send(&q.v)
	if err != nil {
		why = refused(err)
		left := q.v.Segments()
		packets, bytes = packets-left, bytes-q.v.Size()
		w.counters.drop(why, left)
		q.via.Traffic().TxErrors.Add(uint64(left))
		if errors.Is(err, link.ErrDown) || errors.Is(err, link.ErrGone) {
			w.doubt(q.via.ID())
		}
	}
	w.tellSent(seen, q, why)
	w.counters.add(sent, packets)
	q.via.Traffic().TxPackets.Add(uint64(packets))
	q.via.Traffic().TxBytes.Add(uint64(bytes))
	return why
}

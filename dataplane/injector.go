package dataplane

import (
	"errors"
	"fmt"

	"github.com/router6d/router6d/internal/header"
)

// ErrMalformed means that what was to be sent is no IPv6 packet.
var ErrMalformed = errors.New("dataplane: not an IPv6 packet")

// A DropError is the reason for which a packet of the router's own was not sent.
type DropError struct{ Drop Drop }

// Error implements error.
func (e *DropError) Error() string { return "dataplane: " + e.Drop.Text() }

// An Injector sends the router's own packets, on the goroutine of whoever has
// them: a retransmission timer, say. Nexthop, MTU and hop limit of a packet
// come from one lookup under one guard, and nothing of them outlives the call.
// An Injector is used by one goroutine at a time.
type Injector struct{ w *Worker }

// NewInjector returns an Injector. The name is what a late grace period reports.
// Its packets come in through the blackhole interface.
func (p *Plane) NewInjector(name string) *Injector {
	return &Injector{p.newWorker(name, p.ifs.Blackhole(), nil)}
}

// Inject sends pkt, of which it makes a copy. A hop limit of zero is replaced
// by that of the interface it leaves through.
func (j *Injector) Inject(pkt []byte) error {
	if _, ok := header.ParseIPv6(pkt); !ok {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(pkt))
	}
	j.w.batch.Inject(pkt)
	j.w.enter()
	j.w.counters.add(originated, 1)
	why := j.w.route(j.w.batch.At(0), j.w.in.Interface)
	j.w.counters.drop(why, 1)
	j.w.leave()
	if why != None {
		return &DropError{why}
	}
	return nil
}

// Close ends the Injector. Its account stays with the Plane.
func (j *Injector) Close(p *Plane) { p.retire(j.w) }

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
type Injector struct {
	p *Plane
	w *worker
}

// NewInjector returns an Injector. The name is what a late grace period reports.
// Its packets come in through the blackhole interface.
func (p *Plane) NewInjector(name string) *Injector {
	return &Injector{p, p.newWorker(name, p.ifs.Blackhole(), nil, 0)}
}

// Inject sends the packet in b, of which it makes a copy. A hop limit of zero is
// replaced by that of the way it takes. Nil means that a device took it.
func (j *Injector) Inject(b []byte) error {
	pkt, ok := header.ParseIPv6(b)
	if !ok {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if out := j.Send(&Segment{Pieces: [][]byte{pkt}}); out.Drop != None {
		return &DropError{out.Drop}
	}
	return nil
}

// unroutable is why no lookup can send a packet of the router's own: an address
// that is nobody's, or that means something only on one link.
func unroutable(pkt header.IPv6) Drop {
	src, dst := pkt.SourceBytes(), pkt.DestinationBytes()
	switch {
	case header.IsUnspecified(src):
		return NoSource
	case header.IsMulticast(src), header.IsLoopback(src):
		return BadSource
	case header.IsUnspecified(dst), header.IsLoopback(dst):
		return BadDestination
	case header.IsMulticast(dst):
		return Multicast
	case header.IsLinkLocal(src), header.IsLinkLocal(dst):
		return BeyondScope
	}
	return None
}

// Close ends the Injector. Its account stays with the Plane.
func (j *Injector) Close() { j.p.retire(j.w) }

package tcpstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// An outlet is the Injector, for all goroutines that send.
type outlet struct {
	// gVisor sends on goroutines of its own, which are many and have no Turn, and so are
	// those that write datagrams; the Injector is for one at a time. Held for one segment.
	mu     sync.Mutex
	j      *dataplane.Injector
	closed bool
}

// send sends a segment: this is the only way out.
func (o *outlet) send(s *dataplane.Segment) dataplane.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return dataplane.Outcome{Drop: dataplane.NoRoute}
	}
	return o.j.Send(s)
}

// close ends it.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		o.j.Close()
	}
}

// send is whatever gVisor writes: a segment, or ICMPv6 of its own, which is not
// wanted: the dataplane has said what there was to say.
func (s *Stack) send(pk *stack.PacketBuffer) {
	ip, t := header.IPv6(pk.NetworkHeader().Slice()), header.TCP(pk.TransportHeader().Slice())
	if len(ip) != header.IPv6Size || ip.NextHeader() != header.ProtoTCP || len(t) < header.TCPSize {
		return
	}
	at, payload := now(), pk.Data().Size()
	seg := dataplane.Segment{Pieces: pk.AsSlices()}
	if o := pk.GSOOptions; o.Type == stack.GSOTCPv6 {
		seg.Checksum = header.IPv6Size
		if payload > int(o.MSS) {
			seg.Size = int(o.MSS)
		}
	}
	id := sent(ip, t)
	seg.PathMTU = s.paths.get(id.remote.Addr(), at)
	f := s.flowOf(id, t)
	if f == nil {
		s.out.send(&seg)
		return
	}
	var again bool
	again, seg.Reached = f.sending(t, payload, at)
	out := s.out.send(&seg)
	moved := f.became(out, t, at)
	if again || away[out.Drop] || moved && payload != 0 {
		f.hold(&seg, at)
	}
}

// flowOf is the flow of a segment on its way out. One that has none begins one, but
// for answers to a SYN and refusals, of which others could have us make many.
func (s *Stack) flowOf(id tuple, t header.TCP) *flow {
	if f := s.flows.find(id); f != nil {
		return f
	}
	const answer = header.FlagSYN | header.FlagACK
	if t.Flags()&header.FlagRST != 0 || t.Flags()&answer == answer {
		return nil
	}
	return s.flows.open(id, t.Flags()&header.FlagSYN == 0)
}

package tcpstack

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// traces is which datagrams were sent of late that may be too big for a path: UDP has
// no sequence numbers by which an error could be told from one that somebody made up
// (RFC 8085 §5.2), but its header has ports, length and checksum, and each error quotes
// them. It is of one size, however many those are: some displace others.
type traces struct {
	seed maphash.Seed
	all  [4096]atomic.Uint64
}

func newTraces() *traces { return &traces{seed: maphash.MakeSeed()} }

// of is what a packet is known by, from its addresses on: that of who sent it, or of
// who quotes it.
func (t *traces) of(pkt header.IPv6) (trace uint64, slot *atomic.Uint64) {
	const addresses = header.IPv6Size - 32
	trace = maphash.Bytes(t.seed, pkt[addresses:header.IPv6Size+header.UDPSize])
	return trace, &t.all[trace%uint64(len(t.all))]
}

// leave notes a datagram that is sent.
func (t *traces) leave(pkt header.IPv6) {
	trace, slot := t.of(pkt)
	slot.Store(trace)
}

// deliverDatagramError takes a Packet Too Big if it quotes a datagram that was sent of
// late. Other errors tell nothing to who answers and forgets.
func (s *Stack) deliverDatagramError(m *dataplane.Delivery, quote header.IPv6) dataplane.Drop {
	e := header.ICMPv6(m.Upper())
	if e.Type() != header.TypePacketTooBig {
		return dataplane.LocalPort
	}
	if trace, slot := s.traces.of(quote); slot.Load() != trace || !s.learn(e, quote) {
		s.datagramErrorsRefused.Add(1)
		return dataplane.LocalPort
	}
	return dataplane.None
}

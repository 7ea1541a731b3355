package tcpstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// deliver takes a copy of what is for a connection, a listener or a socket. It is
// called by workers, under their guards.
func (s *Stack) deliver(m dataplane.Delivery) dataplane.Drop {
	switch m.Protocol {
	case header.ProtoICMPv6:
		return s.deliverError(&m)
	case header.ProtoUDP:
		return s.deliverDatagram(&m)
	}
	return s.deliverSegment(&m)
}

// deliverSegment is of TCP.
func (s *Stack) deliverSegment(m *dataplane.Delivery) dataplane.Drop {
	t := header.TCP(m.Upper())
	if len(t) < header.TCPSize {
		return dataplane.LocalPort
	}
	id := received(m.Packet, t)
	f := s.flows.find(id)
	if f == nil {
		if _, why := s.doorFor(m, id.remote.Port(), id.local.Port()); why != dataplane.None {
			return why
		}
	}
	if !m.ChecksumFits() {
		return dataplane.LocalChecksum
	}
	if f == nil && t.Flags()&(header.FlagSYN|header.FlagACK) == header.FlagSYN && !s.mayBegin(id) {
		return dataplane.LocalLimited
	}
	if f != nil {
		f.arrived(t, len(t)-t.DataOffset())
	}
	if !s.inbox.put(withoutExtensions(m)) {
		return dataplane.LocalFull
	}
	return dataplane.None
}

// mayBegin reports whether there is room for another connection from there.
func (s *Stack) mayBegin(id tuple) bool {
	from := id.remote.Addr()
	return !s.flows.full(from, s.limits) && s.syns.take(from, now())
}

// deliverError takes an ICMPv6 error if it quotes what we have sent.
func (s *Stack) deliverError(m *dataplane.Delivery) dataplane.Drop {
	quote := header.IPv6(header.ICMPv6(m.Upper()).Body())
	const ports = 8 // and the sequence number of TCP; all of the header of UDP
	if len(quote) < header.IPv6Size+ports || quote.Version() != 6 {
		return dataplane.LocalPort
	}
	switch quote.NextHeader() {
	case header.ProtoTCP:
		return s.deliverSegmentError(m, quote)
	case header.ProtoUDP:
		return s.deliverDatagramError(m, quote)
	}
	return dataplane.LocalPort
}

// deliverSegmentError takes an error if it quotes what is outstanding on one of our
// connections, RFC 5927 §4.1.
func (s *Stack) deliverSegmentError(m *dataplane.Delivery, quote header.IPv6) dataplane.Drop {
	t := header.TCP(quote[header.IPv6Size:])
	f := s.flows.find(sent(quote, t))
	if f == nil {
		return dataplane.LocalPort
	}
	e := header.ICMPv6(m.Upper())
	if !f.outstanding(t.Sequence()) || e.Type() == header.TypePacketTooBig && !s.learn(e, quote) {
		s.errorsRefused.Add(1)
		return dataplane.LocalPort
	}
	if !s.inbox.put(withoutExtensions(m)) {
		return dataplane.LocalFull
	}
	return dataplane.None
}

// learn notes the MTU of a path, unless that can't be: a Packet Too Big has to be about
// something that was too big, and can't say less than every link takes (RFC 8201 §4).
func (s *Stack) learn(e header.ICMPv6, quote header.IPv6) bool {
	mtu := int(min(e.Param(), 1<<16))
	if mtu < header.MinMTU || mtu >= header.IPv6Size+int(quote.PayloadLength()) {
		return false
	}
	s.paths.learn(quote.Destination(), mtu, now())
	return true
}

// withoutExtensions is a copy of a packet for gVisor: extension headers have been
// processed.
func withoutExtensions(m *dataplane.Delivery) *stack.PacketBuffer {
	if m.Offset == header.IPv6Size {
		return packet(m.Packet)
	}
	var ip [header.IPv6Size]byte
	copy(ip[:], m.Packet)
	header.IPv6(ip[:]).SetNextHeader(m.Protocol)
	header.IPv6(ip[:]).SetPayloadLength(uint16(len(m.Upper())))
	return packet(ip[:], m.Upper())
}

// packet is a copy of what lies in pieces.
func packet(pieces ...[]byte) *stack.PacketBuffer {
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	v := buffer.NewView(size)
	for _, piece := range pieces {
		_, _ = v.Write(piece) // grows; never fails
	}
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
}

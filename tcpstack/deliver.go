package tcpstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// deliver takes a copy of what is for a connection or a listener. It is called by
// workers, under their guards.
func (s *Stack) deliver(m dataplane.Delivery) dataplane.Drop {
	if m.Protocol == header.ProtoICMPv6 {
		return s.deliverError(m)
	}
	t := header.TCP(m.Upper())
	if len(t) < header.TCPSize {
		return dataplane.LocalPort
	}
	id := received(m.Packet, t)
	f := s.flows.find(id)
	if f == nil && !s.admits(m, id.local.Port()) {
		return dataplane.LocalPort
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

// admits reports whether somebody listens at a port for what comes from there.
func (s *Stack) admits(m dataplane.Delivery, port uint16) bool {
	d := (*s.doors.Load())[port]
	return d != nil && d.admits(m.Packet.Destination(), m.Interface)
}

// mayBegin reports whether there is room for another connection from there.
func (s *Stack) mayBegin(id tuple) bool {
	from := id.remote.Addr()
	return !s.flows.full(from, s.limits) && s.syns.take(from, now())
}

// deliverError takes an ICMPv6 error if it quotes what is outstanding on one of our
// connections, RFC 5927 §4.1. A Packet Too Big has to be about something that was
// too big, and can't say less than every link takes (RFC 8201 §4).
func (s *Stack) deliverError(m dataplane.Delivery) dataplane.Drop {
	e := header.ICMPv6(m.Upper())
	quote := header.IPv6(e.Body())
	const ports = 8 // and the sequence number
	if len(quote) < header.IPv6Size+ports || quote.Version() != 6 || quote.NextHeader() != header.ProtoTCP {
		return dataplane.LocalPort
	}
	t := header.TCP(quote[header.IPv6Size:])
	id := sent(quote, t)
	f := s.flows.find(id)
	if f == nil {
		return dataplane.LocalPort
	}
	if !f.outstanding(t.Sequence()) {
		s.errorsRefused.Add(1)
		return dataplane.LocalPort
	}
	if e.Type() == header.TypePacketTooBig {
		mtu := int(min(e.Param(), 1<<16))
		if mtu < header.MinMTU || mtu >= header.IPv6Size+int(quote.PayloadLength()) {
			s.errorsRefused.Add(1)
			return dataplane.LocalPort
		}
		s.paths.learn(id.remote.Addr(), mtu, now())
	}
	if !s.inbox.put(withoutExtensions(m)) {
		return dataplane.LocalFull
	}
	return dataplane.None
}

// withoutExtensions is a copy of a packet for gVisor: extension headers have been
// processed.
func withoutExtensions(m dataplane.Delivery) *stack.PacketBuffer {
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

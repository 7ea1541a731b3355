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
	if f == nil && t.Flags()&(header.FlagSYN|header.FlagACK) == header.FlagSYN && !s.mayBegin(m.Packet, t, id) {
		return dataplane.LocalLimited
	}
	pk, upper := withoutExtensions(m)
	if f != nil && !f.arrived(t, len(t)-t.DataOffset()) {
		clear(timestamps(upper)[4:]) // gVisor measures nothing by an echo of zero
	}
	if !s.inbox.put(pk) {
		return dataplane.LocalFull
	}
	return dataplane.None
}

// mayBegin reports whether there is room for another connection from there.
func (s *Stack) mayBegin(pkt header.IPv6, t header.TCP, id tuple) bool {
	from, at := id.remote.Addr(), now()
	return !s.flows.full(from, s.limits) && s.syns.take(from, at) && s.sieve.passes(pkt, t, at)
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
	pk, _ := withoutExtensions(m)
	if !s.inbox.put(pk) {
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

// maxTCPHeader is with all the options there can be, RFC 9293 §3.1.
const maxTCPHeader = 60

// withoutExtensions is a copy of a packet for gVisor, and the upper header in that:
// extension headers have been processed. Its headers are a piece of their own: to look at
// one, gVisor copies all of the piece in which that is, up to 64 kB.
func withoutExtensions(m *dataplane.Delivery) (*stack.PacketBuffer, []byte) {
	upper := m.Upper()
	size := min(len(upper), maxTCPHeader)
	ip := buffer.NewView(header.IPv6Size + size)
	_, _ = ip.Write(m.Packet[:header.IPv6Size]) // grows; never fails
	_, _ = ip.Write(upper[:size])
	header.IPv6(ip.AsSlice()).SetNextHeader(m.Protocol)
	header.IPv6(ip.AsSlice()).SetPayloadLength(uint16(len(upper)))
	all := buffer.MakeWithView(ip)
	_ = all.Append(buffer.NewViewWithData(upper[size:])) // fails never either
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: all}), ip.AsSlice()[header.IPv6Size:]
}

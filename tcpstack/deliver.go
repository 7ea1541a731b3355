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
	if f == nil && t.Flags()&(header.FlagSYN|header.FlagACK) == header.FlagSYN && !s.mayBegin(m.Packet, t, id) {
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
func (s *Stack) mayBegin(pkt header.IPv6, t header.TCP, id tuple) bool {
	from, at := id.remote.Addr(), now()
	return !s.flows.full(from, s.limits) && s.syns.take(from, at) && s.sieve.passes(pkt, t, at)
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

// maxTCPHeader is with all the options there can be, RFC 9293 §3.1.
const maxTCPHeader = 60

// withoutExtensions is a copy of a packet for gVisor: extension headers have been
// processed. Its headers are a piece of their own: to look at one, gVisor copies all of
// the piece in which that is, up to 64 kB.
func withoutExtensions(m dataplane.Delivery) *stack.PacketBuffer {
	upper := m.Upper()
	size := min(len(upper), maxTCPHeader)
	ip := buffer.NewView(header.IPv6Size + size)
	_, _ = ip.Write(m.Packet[:header.IPv6Size]) // grows; never fails
	_, _ = ip.Write(upper[:size])
	header.IPv6(ip.AsSlice()).SetNextHeader(m.Protocol)
	header.IPv6(ip.AsSlice()).SetPayloadLength(uint16(len(upper)))
	all := buffer.MakeWithView(ip)
	_ = all.Append(buffer.NewViewWithData(upper[size:])) // fails never either
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: all})
}

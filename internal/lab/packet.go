package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/router6d/router6d/internal/header"
)

// sentHopLimit is that of all packets here.
const sentHopLimit = 64

// Packet is an IPv6 packet with a payload of any kind.
func Packet(src, dst string, next uint8, payload []byte) []byte {
	b := make([]byte, header.IPv6Size, header.IPv6Size+len(payload))
	header.PutIPv6(b, &header.IPv6Fields{
		PayloadLength: uint16(len(payload)), NextHeader: next, HopLimit: sentHopLimit,
		Source: addr(src), Destination: addr(dst),
	})
	return append(b, payload...)
}

func addr(s string) [16]byte { return netip.MustParseAddr(s).As16() }

// UDP is a datagram.
func UDP(src, dst string, from, to uint16, data []byte) []byte {
	b := make([]byte, header.UDPSize, header.UDPSize+len(data))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], uint16(header.UDPSize+len(data)))
	b = append(b, data...)
	header.UDP(b).SetChecksum(Checksum(addr(src), addr(dst), header.ProtoUDP, b))
	return Packet(src, dst, header.ProtoUDP, b)
}

// TCP is a segment without options.
func TCP(src, dst string, from, to uint16, flags uint8, data []byte) []byte {
	b := make([]byte, header.TCPSize, header.TCPSize+len(data))
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[12], b[13] = header.TCPSize/4<<4, flags
	b = append(b, data...)
	header.TCP(b).SetChecksum(Checksum(addr(src), addr(dst), header.ProtoTCP, b))
	return Packet(src, dst, header.ProtoTCP, b)
}

// ICMPv6 is a message. The param is the 32 bits after the checksum.
func ICMPv6(src, dst string, typ, code uint8, param uint32, body []byte) []byte {
	b := make([]byte, header.ICMPv6Size, header.ICMPv6Size+len(body))
	b[0], b[1] = typ, code
	binary.BigEndian.PutUint32(b[4:], param)
	b = append(b, body...)
	header.ICMPv6(b).SetChecksum(Checksum(addr(src), addr(dst), header.ProtoICMPv6, b))
	return Packet(src, dst, header.ProtoICMPv6, b)
}

// Echo is an echo request.
func Echo(src, dst string, id, seq uint16, data []byte) []byte {
	return ICMPv6(src, dst, header.TypeEchoRequest, 0, uint32(id)<<16|uint32(seq), data)
}

// WithHopLimit is pkt with another hop limit. It takes pkt.
func WithHopLimit(pkt []byte, n uint8) []byte {
	header.IPv6(pkt).SetHopLimit(n)
	return pkt
}

// WithFlowLabel is pkt with a flow label. It takes pkt.
func WithFlowLabel(pkt []byte, label uint32) []byte {
	binary.BigEndian.PutUint32(pkt, 6<<28|label&0xfffff)
	return pkt
}

// Extend puts an extension header in front of what pkt has. The first byte of
// ext becomes what pkt had as its next header.
func Extend(pkt []byte, proto uint8, ext []byte) []byte {
	b := append([]byte{}, pkt[:header.IPv6Size]...)
	ext = append([]byte{}, ext...)
	ext[0] = b[6]
	b[6] = proto
	b = append(append(b, ext...), pkt[header.IPv6Size:]...)
	header.IPv6(b).SetPayloadLength(uint16(len(b) - header.IPv6Size))
	return b
}

// Options is pkt with a hop-by-hop or destination options header: 6 bytes of
// padding.
func Options(pkt []byte, proto uint8) []byte {
	return Extend(pkt, proto, []byte{0, 0, 1, 4, 0, 0, 0, 0})
}

// RoutingHeader is pkt with a routing header of a type, with one address in it.
func RoutingHeader(pkt []byte, typ, left uint8) []byte {
	return Extend(pkt, header.ProtoRouting, append([]byte{0, 2, typ, left, 0, 0, 0, 0}, make([]byte, 16)...))
}

// Fragment is pkt as a fragment of a packet. The offset is in units of 8 bytes.
func Fragment(pkt []byte, offset uint16, more bool) []byte {
	field := offset << 3
	if more {
		field |= 1
	}
	return Extend(pkt, header.ProtoFragment, []byte{0, 0, byte(field >> 8), byte(field), 0, 0, 0, 7})
}

// Fragments is pkt in fragments with size bytes of data each, a multiple of 8, but
// for the last.
func Fragments(pkt []byte, size int, id uint32) (all [][]byte) {
	payload := pkt[header.IPv6Size:]
	for at := 0; at < len(payload); at += size {
		end := min(at+size, len(payload))
		all = append(all, Piece(pkt, at, end, end < len(payload), id))
	}
	return all
}

// Piece is the fragment of pkt with its payload from at to end.
func Piece(pkt []byte, at, end int, more bool, id uint32) []byte {
	f := append(make([]byte, header.FragmentSize), pkt[header.IPv6Size+at:header.IPv6Size+end]...)
	header.PutFragment(f, header.IPv6(pkt).NextHeader(), at, more, id)
	b := append(append([]byte{}, pkt[:header.IPv6Size]...), f...)
	header.IPv6(b).SetNextHeader(header.ProtoFragment)
	header.IPv6(b).SetPayloadLength(uint16(len(f)))
	return b
}

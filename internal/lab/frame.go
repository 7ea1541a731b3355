package lab

import (
	"encoding/binary"

	"github.com/router6d/router6d/internal/header"
)

// A frame is a packet behind its virtio-net header, as a TUN is read and
// written, see internal/link/offload.go.
const (
	frameHeader = 10

	frameNeedsChecksum = 1
	frameTCPv6         = 4
	frameUDP           = 5
)

// Frame is pkt with nothing left undone.
func Frame(pkt []byte) []byte { return append(make([]byte, frameHeader), pkt...) }

// Unframe is the header and the packet.
func Unframe(frame []byte) (h, pkt []byte) { return frame[:frameHeader], frame[frameHeader:] }

// PartialChecksum is pkt, TCP or UDP, with its checksum left to whoever puts it
// on a wire: the field holds the sum of the pseudo-header only.
func PartialChecksum(pkt []byte) []byte {
	f := Frame(pkt)
	h, ip := f[:frameHeader], header.IPv6(f[frameHeader:])
	u, ok := header.UpperLayer(ip)
	if !ok {
		panic("lab: no upper layer")
	}
	field := u.Offset + checksumOffset(u.Protocol)
	h[0] = frameNeedsChecksum
	binary.NativeEndian.PutUint16(h[6:], uint16(u.Offset))
	binary.NativeEndian.PutUint16(h[8:], uint16(checksumOffset(u.Protocol)))
	// The pseudo-header's own sum is what a checksum over an empty payload lacks.
	pseudo := header.Fold(header.PseudoSum(ip.SourceBytes(), ip.DestinationBytes(), uint32(len(ip)-u.Offset), u.Protocol))
	binary.BigEndian.PutUint16(ip[field:], pseudo)
	return f
}

func checksumOffset(proto uint8) int {
	switch proto {
	case header.ProtoTCP:
		return 16
	case header.ProtoUDP:
		return 6
	case header.ProtoICMPv6:
		return 2
	}
	panic("lab: no checksum")
}

// Superframe is pkt, TCP or UDP, for the device to cut into segments of so many
// payload bytes.
func Superframe(pkt []byte, segment int) []byte {
	f := PartialChecksum(pkt)
	u, _ := header.UpperLayer(pkt)
	f[1] = frameUDP
	if u.Protocol == header.ProtoTCP {
		f[1] = frameTCPv6
	}
	binary.NativeEndian.PutUint16(f[4:], uint16(segment))
	return f
}

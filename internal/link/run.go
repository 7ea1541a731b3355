package link

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/header"
)

// A run is datagrams of one flow and one size that follow each other, on their way
// to a kernel, which takes them as one superframe: one way through its stack and one
// wake-up of who listens, instead of one each. Nothing is copied together and nothing
// is waited for. Their sender must have left the checksums to an offload, as those of
// a superframe are.
//
//	┌────────────┬─────────┬──────────┐ ┌───────────┐ ┌───────────┐
//	│ virtio-net │ headers │ payload  │ │ payload   │ │ payload   │ …
//	└────────────┴─────────┴──────────┘ └───────────┘ └───────────┘
//	     the first packet, as it is       of the next, where it is
//
// join appends what is to be written for a run, or for a packet, which is a run of
// one. Until it is parted the first packet is not what it was.
func join(to []unix.Iovec, run []*Packet) []unix.Iovec {
	first := run[0]
	o := first.Offload
	headers := int(o.csumStart) + header.UDPSize
	if len(run) > 1 {
		o.gsoType, o.gsoSize, o.headers = gsoUDP, uint16(len(first.Bytes())-headers), uint16(headers)
		lengthen(first.Bytes(), int(o.csumStart), len(run)*int(o.gsoSize)+header.UDPSize)
	}
	o.encode(first.buf[first.off-vnetHeaderSize : first.off])
	to = addPiece(to, first.buf[first.off-vnetHeaderSize:first.end])
	for _, p := range run[1:] {
		to = addPiece(to, p.Bytes()[headers:])
	}
	return to
}

func addPiece(to []unix.Iovec, b []byte) []unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return append(to, v)
}

// part undoes what join did.
func part(run []*Packet) {
	if len(run) > 1 {
		headers := int(run[0].Offload.csumStart) + header.UDPSize
		copy(run[0].Bytes()[:headers], run[1].Bytes()) // they are the same
	}
}

// lengthen has headers be of a datagram with so many bytes, and keeps the sum of the
// pseudo-header, which they are a part of.
func lengthen(b []byte, start, size int) {
	length, sum := b[start+udpLengthAt:], b[start+udpChecksumAt:]
	was := binary.BigEndian.Uint16(length)
	binary.BigEndian.PutUint16(sum, header.Fold(uint32(binary.BigEndian.Uint16(sum))+uint32(size)+uint32(^was)))
	binary.BigEndian.PutUint16(length, uint16(size))
	header.IPv6(b[start-header.IPv6Size:]).SetPayloadLength(uint16(size))
}

// follow is how many of the first packets, which may be frames, are a run.
func follow(pkts []*Packet, frames bool) int {
	first := pkts[0]
	if len(pkts) == 1 || pkts[1].Offload != first.Offload || !first.lone(frames) {
		return 1
	}
	headers := int(first.Offload.csumStart) + header.UDPSize
	size := len(first.Bytes())
	most := min(len(pkts), (MaxPacket-header.IPv6Size-header.UDPSize)/(size-headers))
	n := 1
	for n < most && pkts[n].Offload == first.Offload && len(pkts[n].Bytes()) == size &&
		bytes.Equal(pkts[n].Bytes()[:headers], first.Bytes()[:headers]) {
		n++
	}
	return n
}

// lone reports whether p is a datagram with data whose checksum is still to be
// completed, with nothing between its UDP header and the outermost IPv6 header, and
// nothing behind it.
func (p *Packet) lone(frames bool) bool {
	o := &p.Offload
	start := int(o.csumStart)
	if !o.PartialChecksum() || o.gsoType != gsoNone || o.csumOffset != udpChecksumAt {
		return false
	}
	b, at := p.Bytes(), 0
	if frames {
		at = networkOffset(b)
	}
	if at+header.IPv6Size != start {
		return false
	}
	ip, rest := header.IPv6(b[at:start]), len(b)-start
	return ip.Version() == 6 && ip.NextHeader() == header.ProtoUDP && rest > header.UDPSize &&
		int(ip.PayloadLength()) == rest && int(binary.BigEndian.Uint16(b[start+udpLengthAt:])) == rest
}

package link

import (
	"encoding/binary"
	"math"

	"github.com/router6d/router6d/internal/header"
)

// The virtio-net header that the kernel reads and writes in front of every
// packet of a TUN with IFF_VNET_HDR (virtio 1.2 §5.1.6, in host byte order):
//
//	 0      1        2         4          6            8             10
//	┌───────┬────────┬─────────┬──────────┬────────────┬─────────────┐
//	│ flags │gso type│ hdr len │ gso size │ csum start │ csum offset │
//	└───────┴────────┴─────────┴──────────┴────────────┴─────────────┘
const vnetHeaderSize = 10

// maxStart leaves room in 16 bits for the transport header behind csum start,
// and for what is put in front.
const maxStart = math.MaxUint16 - 60 - Headroom

const (
	vnetNeedsChecksum = 1 // flags

	gsoNone  = 0
	gsoTCPv6 = 4
	gsoUDP   = 5    // USO: UDP segmentation, both families
	gsoECN   = 0x80 // with gsoTCPv6: CWR only on the first segment
)

// Offload is what the sending stack left undone: the checksum, and cutting the
// packet into segments. It is carried from port to port, not executed.
type Offload struct {
	flags       uint8
	gsoType     uint8
	gsoSize     uint16 // payload bytes of a segment; zero: not a superframe
	headers     uint16 // bytes of all headers that each segment repeats
	csumStart   uint16
	csumOffset  uint16
	segmentable bool // a gsoSize that counts
	bad         bool // the header that came with the packet did not describe it
}

// Bad reports whether the packet came with a header that contradicts it. Such
// a packet is to be dropped.
func (o *Offload) Bad() bool { return o.bad }

// Superframe reports whether the packet stands for several segments.
func (o *Offload) Superframe() bool { return o.segmentable }

// SegmentSize is how much payload each segment of a superframe has, but for the last,
// in bytes; zero: it is none.
func (o *Offload) SegmentSize() int {
	if !o.segmentable {
		return 0
	}
	return int(o.gsoSize)
}

// PartialChecksum reports whether the upper-layer checksum is still to be
// completed.
func (o *Offload) PartialChecksum() bool { return o.flags&vnetNeedsChecksum != 0 }

func (o *Offload) segments(size int) int {
	if !o.segmentable {
		return 1
	}
	payload := size - int(o.headers)
	return (payload + int(o.gsoSize) - 1) / int(o.gsoSize)
}

func (o *Offload) wireSize(size int) int {
	if !o.segmentable {
		return size
	}
	return min(size, int(o.headers)+int(o.gsoSize))
}

// shift keeps offsets true when n bytes were put in front of the packet, or
// taken off: then the header may have been about those.
func (o *Offload) shift(n int) {
	start, headers := int(o.csumStart), int(o.headers)
	if o.flags != 0 {
		start += n
	}
	if o.segmentable {
		headers += n
	}
	if uint(start|headers) > math.MaxUint16 { // or negative
		o.spoil()
		return
	}
	o.csumStart, o.headers = uint16(start), uint16(headers)
}

// limit is for a packet that now ends after size bytes.
func (o *Offload) limit(size int) {
	if o.flags != 0 && o.checksumEnd() > size || o.segmentable && int(o.headers) >= size {
		o.spoil()
	}
}

// checksumEnd is the offset behind the field of the checksum.
func (o *Offload) checksumEnd() int { return int(o.csumStart) + int(o.csumOffset) + 2 }

// spoil forgets what does not describe the packet.
func (o *Offload) spoil() { *o = Offload{bad: true} }

// decode reads the header that came with pkt, whose network header is at network.
// It reports false, and the packet is bad, when the header does not describe pkt: whoever wrote it can be anyone
// on the other end.
func (o *Offload) decode(h, pkt []byte, network int) bool {
	ok := o.read(h, pkt, network)
	if !ok {
		o.spoil()
	}
	return ok
}

func (o *Offload) read(h, pkt []byte, network int) bool {
	*o = Offload{
		flags:      h[0] & vnetNeedsChecksum,
		gsoType:    h[1],
		gsoSize:    binary.NativeEndian.Uint16(h[4:]),
		csumStart:  binary.NativeEndian.Uint16(h[6:]),
		csumOffset: binary.NativeEndian.Uint16(h[8:]),
	}
	if o.flags == 0 {
		o.csumStart, o.csumOffset = 0, 0
	} else if !o.checksumFits(pkt, network) {
		return false
	}
	if o.gsoType == gsoNone {
		o.gsoSize = 0
		return true
	}
	return o.measure(pkt)
}

func (o *Offload) checksumFits(pkt []byte, network int) bool {
	if o.csumStart > maxStart || o.checksumEnd() > len(pkt) {
		return false
	}
	if network >= len(pkt) || pkt[network]>>4 != 6 {
		return true
	}
	return int(o.csumStart) >= network+header.IPv6Size // it is the upper layer's
}

// measure finds the size of the headers, which hdr_len does not tell: the
// kernel fills in the length of its first buffer.
func (o *Offload) measure(pkt []byte) bool {
	if o.flags == 0 || o.gsoSize == 0 {
		return false // every segment needs a checksum and a size
	}
	headers := int(o.csumStart)
	switch o.gsoType &^ gsoECN {
	case gsoTCPv6:
		if headers+header.TCPSize > len(pkt) || o.csumOffset != tcpChecksumAt {
			return false
		}
		headers += max(header.TCPSize, header.TCP(pkt[headers:]).DataOffset())
	case gsoUDP:
		if o.csumOffset != udpChecksumAt {
			return false
		}
		headers += header.UDPSize
	default:
		return false
	}
	o.headers = uint16(headers) // fits: maxStart
	o.segmentable = headers < len(pkt)
	return o.segmentable
}

// LeaveTCP leaves undone what the router's own TCP has not done: the checksum of a
// TCP header at an offset of the packet, whose field holds the folded sum of the
// pseudo-header, and to cut the packet into segments of size bytes of payload, if
// it has more; zero: not to be cut.
func (p *Packet) LeaveTCP(at, size int) {
	o := &p.Offload
	*o = Offload{flags: vnetNeedsChecksum, csumStart: uint16(at), csumOffset: tcpChecksumAt}
	if size == 0 {
		return
	}
	o.gsoType, o.gsoSize = gsoTCPv6, uint16(size)
	if !o.measure(p.Bytes()) || len(p.Bytes()) <= p.WireSize() {
		o.gsoType, o.gsoSize, o.headers, o.segmentable = gsoNone, 0, 0, false
	}
}

// encode writes the header for a packet that begins behind h.
func (o *Offload) encode(h []byte) {
	h[0], h[1] = o.flags, o.gsoType
	binary.NativeEndian.PutUint16(h[2:], o.headers)
	binary.NativeEndian.PutUint16(h[4:], o.gsoSize)
	binary.NativeEndian.PutUint16(h[6:], o.csumStart)
	binary.NativeEndian.PutUint16(h[8:], o.csumOffset)
}

// CompleteChecksum does for pkt what its sender left to an offload, so that
// its bytes are what a wire would carry. A superframe keeps the checksum of
// its whole.
func (p *Packet) CompleteChecksum() {
	o := &p.Offload
	if !o.PartialChecksum() {
		return
	}
	b := p.Bytes()
	at := int(o.csumStart) + int(o.csumOffset)
	// The field holds the folded pseudo-header sum; it is part of what is
	// summed. UDP sends zero as all ones (RFC 8200 §8.1), which TCP takes as well.
	sum := ^header.Fold(header.Sum(b[o.csumStart:], 0))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	o.flags, o.csumStart, o.csumOffset = 0, 0, 0
}

package link

import (
	"encoding/binary"

	"github.com/router6d/router6d/internal/header"
)

// Where TCP and UDP have what differs from segment to segment: RFC 9293 §3.1, RFC
// 3168 §6.1 and RFC 768.
const (
	tcpSequenceAt = 4
	tcpFlagsAt    = 13
	tcpChecksumAt = 16
	udpLengthAt   = 4
	udpChecksumAt = 6

	flagCWR = 0x80
)

// Cut is for a port whose device takes no offload. It calls send with what a wire
// carries, checksums completed, one segment after the other: with p itself, cut
// down to that, to which send may prepend. It ends at the first error, and p has
// the payload that was not sent. A superframe that can't be cut is ErrRejected. The
// packet begins with its IPv6 header.
//
// Segments are made in place: the headers are copied in front of the next payload,
// over the segment before, which has been sent.
func (p *Packet) Cut(send func(*Packet) error) error {
	if !p.Offload.Superframe() {
		p.CompleteChecksum()
		return send(p)
	}
	if p.Bytes()[0]>>4 != 6 || !p.Offload.PartialChecksum() {
		return ErrRejected
	}
	c := cut{o: p.Offload, off: p.off, end: p.end}
	c.begin(p.Bytes())
	for {
		last := c.segment(p)
		if err := send(p); err != nil {
			p.off, p.end, p.Offload = c.off, c.end, c.o
			return err
		}
		if last {
			return nil
		}
		c.next(p.buf)
	}
}

// Cut calls Packet.Cut for each packet, and takes those sent out of v. What is left
// was not sent, and the error says why the last of them was not.
func (v *Vector) Cut(send func(*Packet) error) error {
	return v.each(func(p *Packet) error { return p.Cut(send) })
}

// A cut is a superframe whose first segments have been sent.
type cut struct {
	o        Offload
	off, end int   // of the rest, headers included
	flags    uint8 // of TCP, for the segment at off
	closing  uint8 // the flags that only the last one has
}

// begin takes note of what the first segment does not have, or only that one.
func (c *cut) begin(pkt []byte) {
	if c.tcp() {
		flags := pkt[int(c.o.csumStart)+tcpFlagsAt]
		c.closing = flags & (header.FlagFIN | header.FlagPSH)
		c.flags = flags &^ c.closing
	}
}

func (c *cut) tcp() bool { return c.o.gsoType&^gsoECN == gsoTCPv6 }

// segment makes p the first segment of the rest, and reports whether it is all of
// it.
func (c *cut) segment(p *Packet) (last bool) {
	size := int(c.o.headers) + int(c.o.gsoSize)
	if last = c.off+size >= c.end; last {
		size = c.end - c.off
		c.flags |= c.closing
	}
	p.off, p.end, p.Offload = c.off, c.off+size, Offload{}
	ip := header.IPv6(p.Bytes())
	ip.SetPayloadLength(uint16(size - header.IPv6Size))
	c.finish(ip, ip[c.o.csumStart:])
	return last
}

// finish completes the upper layer of a segment.
func (c *cut) finish(ip header.IPv6, upper []byte) {
	proto, at := uint8(header.ProtoTCP), tcpChecksumAt
	if c.tcp() {
		upper[tcpFlagsAt] = c.flags
	} else {
		proto, at = header.ProtoUDP, udpChecksumAt
		binary.BigEndian.PutUint16(upper[udpLengthAt:], uint16(len(upper)))
	}
	binary.BigEndian.PutUint16(upper[at:], 0)
	sum := header.Checksum(ip.SourceBytes(), ip.DestinationBytes(), proto, upper)
	if sum == 0 && !c.tcp() {
		sum = 0xffff // zero says that there is none, RFC 8200 §8.1
	}
	binary.BigEndian.PutUint16(upper[at:], sum)
}

// next moves the headers in front of the next payload.
func (c *cut) next(buf []byte) {
	size, step := int(c.o.headers), int(c.o.gsoSize)
	copy(buf[c.off+step:c.off+step+size], buf[c.off:])
	c.off += step
	if c.tcp() {
		seq := buf[c.off+int(c.o.csumStart)+tcpSequenceAt:]
		binary.BigEndian.PutUint32(seq, binary.BigEndian.Uint32(seq)+uint32(step))
		c.flags &^= flagCWR
	}
}

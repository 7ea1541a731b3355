package header

import "encoding/binary"

// IPv4Size is the size in bytes of an IPv4 header without options, RFC 791 §3.1.
const IPv4Size = 20

// IPv4Length is the size in bytes of the IPv4 packet that b begins with; ok is false
// if it begins with none, or with a part of one.
func IPv4Length(b []byte) (size int, ok bool) {
	if len(b) < IPv4Size || b[0]>>4 != 4 {
		return 0, false
	}
	size = int(binary.BigEndian.Uint16(b[2:]))
	return size, size <= len(b) && ipv4HeaderSize(b) >= IPv4Size && ipv4HeaderSize(b) <= size
}

// ipv4HeaderSize is that of the header with its options.
func ipv4HeaderSize(b []byte) int { return int(b[0]&0xf) * 4 }

// ClampMSS4 is ClampMSS of an IPv4 packet that IPv4Length has accepted. What is not
// the first fragment is left alone.
func ClampMSS4(pkt []byte, most uint16) bool {
	const fragmentOffset = 0x1fff
	if pkt[9] != ProtoTCP || binary.BigEndian.Uint16(pkt[6:])&fragmentOffset != 0 {
		return false
	}
	return clampSYN(TCP(pkt[ipv4HeaderSize(pkt):]), most)
}

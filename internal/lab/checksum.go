package lab

import "github.com/router6d/router6d/internal/header"

// Checksum is the slow twin of header.Checksum: RFC 8200 §8.1 byte by byte. It is
// zero over a payload whose checksum is right.
func Checksum(src, dst [16]byte, next uint8, payload []byte) uint16 {
	n := len(payload)
	pseudo := append(append([]byte{}, src[:]...), dst[:]...)
	pseudo = append(pseudo, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), 0, 0, 0, next)
	return ^Sum(append(pseudo, payload...), 0)
}

// Sum is the slow twin of header.Sum and header.Fold: the one's complement sum of
// 16-bit words and of what there was before, RFC 1071 byte by byte, no carry lost.
func Sum(b []byte, initial uint32) uint16 {
	total := uint64(initial)
	for i, x := range b {
		if i%2 == 0 {
			total += uint64(x) << 8
		} else {
			total += uint64(x)
		}
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// ChecksumRight reports whether the upper-layer checksum of a packet is right. A
// packet that has none, or is a fragment of one, has nothing wrong.
func ChecksumRight(pkt []byte) bool {
	ip, ok := header.ParseIPv6(pkt)
	if !ok {
		return false
	}
	u, ok := header.UpperLayer(ip)
	if !ok || u.NonFirst || u.More {
		return true
	}
	switch u.Protocol {
	case header.ProtoTCP, header.ProtoUDP, header.ProtoICMPv6:
		return Checksum(*ip.SourceBytes(), *ip.DestinationBytes(), u.Protocol, ip[u.Offset:]) == 0
	}
	return true
}

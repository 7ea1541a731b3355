package header

import "encoding/binary"

// EthernetSize is the length of the Ethernet header, without tags.
const EthernetSize = 14

// EtherTypeIPv6 marks a frame that carries IPv6, RFC 2464 §3.
const EtherTypeIPv6 = 0x86dd

const (
	macSize     = 6
	macSourceAt = 6
	etherTypeAt = 12
)

// A MAC is a 48-bit link-layer address.
type MAC = [macSize]byte

// Ethernet is a frame of at least EthernetSize bytes.
type Ethernet []byte

// Destination is the station or the group that the frame is for, in place.
func (f Ethernet) Destination() *MAC { return (*MAC)(f) }

// Source is the station that sent the frame, in place.
func (f Ethernet) Source() *MAC { return (*MAC)(f[macSourceAt:]) }

// Type is the EtherType: what the frame carries.
func (f Ethernet) Type() uint16 { return binary.BigEndian.Uint16(f[etherTypeAt:]) }

// PutEthernet writes the header of a frame that carries IPv6 into the first
// EthernetSize bytes of b.
func PutEthernet(b []byte, dst, src *MAC) {
	copy(b, dst[:])
	copy(b[macSourceAt:], src[:])
	binary.BigEndian.PutUint16(b[etherTypeAt:], EtherTypeIPv6)
}

// IsGroupMAC reports whether m is a multicast address or the broadcast one.
func IsGroupMAC(m *MAC) bool { return m[0]&1 != 0 }

// GroupMAC is the link-layer address of an IPv6 group, RFC 2464 §7.
func GroupMAC(group *[16]byte) MAC {
	return MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}
}

// SolicitedNode is the group in which whoever has the unicast address a listens
// for solicitations, RFC 4291 §2.7.1.
func SolicitedNode(a *[16]byte) [16]byte {
	return [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
}

// LinkLocalOf is the link-local address made of a MAC, RFC 2464 §5.
func LinkLocalOf(m *MAC) [16]byte {
	return [16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}
}

// IsSolicitedNode reports whether a is in ff02::1:ff00:0/104, RFC 4291 §2.7.1.
func IsSolicitedNode(a *[16]byte) bool {
	return [13]byte(a[:13]) == [13]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
}

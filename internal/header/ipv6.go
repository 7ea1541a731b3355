package header

import (
	"encoding/binary"
	"net/netip"
)

const (
	// IPv6Size is the length of the IPv6 header, RFC 8200 §3.
	IPv6Size = 40
	// MinMTU is what every link carries, RFC 8200 §5.
	MinMTU = 1280
)

// Values of the Next Header field, RFC 8200 §4 and the IANA protocol numbers.
const (
	ProtoHopByHop           = 0
	ProtoTCP                = 6
	ProtoUDP                = 17
	ProtoDCCP               = 33
	ProtoRouting            = 43
	ProtoFragment           = 44
	ProtoESP                = 50
	ProtoAH                 = 51
	ProtoICMPv6             = 58
	ProtoNone               = 59
	ProtoDestinationOptions = 60
	ProtoSCTP               = 132
	ProtoMobility           = 135
	ProtoUDPLite            = 136
	ProtoHIP                = 139
	ProtoShim6              = 140
)

// PayloadLengthAt is the offset of the Payload Length field.
const PayloadLengthAt = 4

const (
	nextHeaderAt  = 6
	hopLimitAt    = 7
	sourceAt      = 8
	destinationAt = 24
)

// IPv6 is a packet that begins with an IPv6 header, RFC 8200 §3. Its accessors
// need the whole header: make one with [ParseIPv6].
type IPv6 []byte

// ParseIPv6 views b as one packet, without what the link padded it with. It
// reports false when b is no IPv6 packet or ends before the payload does.
func ParseIPv6(b []byte) (IPv6, bool) {
	if len(b) < IPv6Size || b[0]>>4 != 6 {
		return nil, false
	}
	size := IPv6Size + int(IPv6(b).PayloadLength())
	if size > len(b) {
		return nil, false
	}
	return IPv6(b[:size]), true
}

// IPv6Fields are the fields of an IPv6 header as [PutIPv6] writes them.
type IPv6Fields struct {
	TrafficClass  uint8
	FlowLabel     uint32 // 20 bits, the rest is ignored
	PayloadLength uint16
	NextHeader    uint8
	HopLimit      uint8
	Source        [16]byte
	Destination   [16]byte
}

// PutIPv6 writes an IPv6 header into the first IPv6Size bytes of b, which has them.
func PutIPv6(b []byte, f *IPv6Fields) {
	_ = b[IPv6Size-1]
	binary.BigEndian.PutUint32(b, 6<<28|uint32(f.TrafficClass)<<20|f.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[PayloadLengthAt:], f.PayloadLength)
	b[nextHeaderAt] = f.NextHeader
	b[hopLimitAt] = f.HopLimit
	copy(b[sourceAt:destinationAt], f.Source[:])
	copy(b[destinationAt:IPv6Size], f.Destination[:])
}

// Version is 6 in every packet [ParseIPv6] accepts.
func (p IPv6) Version() uint8 { return p[0] >> 4 }

// TrafficClass is DSCP and ECN, RFC 8200 §7.
func (p IPv6) TrafficClass() uint8 { return p[0]<<4 | p[1]>>4 }

// FlowLabel has 20 bits, RFC 6437.
func (p IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(p) & 0xfffff }

// PayloadLength counts what follows the header, extension headers included.
func (p IPv6) PayloadLength() uint16 { return binary.BigEndian.Uint16(p[PayloadLengthAt:]) }

// SetPayloadLength sets PayloadLength.
func (p IPv6) SetPayloadLength(n uint16) { binary.BigEndian.PutUint16(p[PayloadLengthAt:], n) }

// NextHeader names the header after this one: an extension header or a protocol.
func (p IPv6) NextHeader() uint8 { return p[nextHeaderAt] }

// SetNextHeader sets NextHeader.
func (p IPv6) SetNextHeader(n uint8) { p[nextHeaderAt] = n }

// HopLimit is the hops that are left, RFC 8200 §3.
func (p IPv6) HopLimit() uint8 { return p[hopLimitAt] }

// SetHopLimit sets HopLimit; no checksum covers it.
func (p IPv6) SetHopLimit(n uint8) { p[hopLimitAt] = n }

// Source is the sender, as a value.
func (p IPv6) Source() netip.Addr { return netip.AddrFrom16(*p.SourceBytes()) }

// Destination is the receiver, as a value.
func (p IPv6) Destination() netip.Addr { return netip.AddrFrom16(*p.DestinationBytes()) }

// SourceBytes is the sender, in place.
func (p IPv6) SourceBytes() *[16]byte { return (*[16]byte)(p[sourceAt:]) }

// DestinationBytes is the receiver, in place.
func (p IPv6) DestinationBytes() *[16]byte { return (*[16]byte)(p[destinationAt:]) }

// Payload is what follows the header: PayloadLength bytes, or as many as there are.
func (p IPv6) Payload() []byte {
	return p[IPv6Size:min(len(p), IPv6Size+int(p.PayloadLength()))]
}

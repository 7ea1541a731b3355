package header

import "encoding/binary"

const (
	// TCPSize is the length of a TCP header without options, RFC 9293 §3.1.
	TCPSize = 20
	// UDPSize is the length of a UDP header, RFC 768.
	UDPSize = 8
)

// Flags of TCP, RFC 9293 §3.1.
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
	FlagURG
)

// TCP is a segment of at least TCPSize bytes, RFC 9293 §3.1.
type TCP []byte

// SourcePort is the sender's.
func (t TCP) SourcePort() uint16 { return binary.BigEndian.Uint16(t) }

// DestinationPort is the receiver's.
func (t TCP) DestinationPort() uint16 { return binary.BigEndian.Uint16(t[2:]) }

// Sequence is the number of the first byte, or of the SYN.
func (t TCP) Sequence() uint32 { return binary.BigEndian.Uint32(t[4:]) }

// Acknowledgment is the number that is expected next, if FlagACK is set.
func (t TCP) Acknowledgment() uint32 { return binary.BigEndian.Uint32(t[8:]) }

// DataOffset is the length of the header in bytes. It is what the segment says:
// it may be under TCPSize or over the end.
func (t TCP) DataOffset() int { return int(t[12]>>4) * 4 }

// Flags are the control bits, Flag….
func (t TCP) Flags() uint8 { return t[13] }

// Checksum is the field, not a verdict on it.
func (t TCP) Checksum() uint16 { return binary.BigEndian.Uint16(t[16:]) }

// SetChecksum sets the field.
func (t TCP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(t[16:], c) }

// UDP is a datagram of at least UDPSize bytes, RFC 768.
type UDP []byte

// PutUDP writes a UDP header into the first UDPSize bytes of b, which has them. The
// length counts header and data. The checksum is zero: there is none yet.
func PutUDP(b []byte, from, to, length uint16) {
	_ = b[UDPSize-1]
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint16(b[4:], length)
	binary.BigEndian.PutUint16(b[6:], 0)
}

// SourcePort is the sender's.
func (u UDP) SourcePort() uint16 { return binary.BigEndian.Uint16(u) }

// DestinationPort is the receiver's.
func (u UDP) DestinationPort() uint16 { return binary.BigEndian.Uint16(u[2:]) }

// Length counts header and data. It is what the datagram says.
func (u UDP) Length() uint16 { return binary.BigEndian.Uint16(u[4:]) }

// Checksum is the field, not a verdict on it.
func (u UDP) Checksum() uint16 { return binary.BigEndian.Uint16(u[6:]) }

// SetChecksum sets the field. RFC 8200 §8.1: a checksum that comes to zero is
// sent as 0xffff, since zero says there is none. To clear the field for a sum,
// 0xffff does as well: both add nothing.
func (u UDP) SetChecksum(c uint16) {
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], c)
}

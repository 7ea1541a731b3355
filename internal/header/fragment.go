package header

import "encoding/binary"

// FragmentSize is the length of a fragment header, RFC 8200 §4.5.
const FragmentSize = 8

// Fragment is a packet's part that begins with a fragment header, RFC 8200 §4.5,
// at least FragmentSize bytes of it.
type Fragment []byte

// NextHeader names what the original packet has in the place of the header.
func (f Fragment) NextHeader() uint8 { return f[0] }

// Offset is where Data belongs in the original packet, in bytes behind the
// headers that every fragment has.
func (f Fragment) Offset() int { return int(binary.BigEndian.Uint16(f[2:]) &^ 7) }

// More reports whether this is not the last fragment.
func (f Fragment) More() bool { return f[3]&1 != 0 }

// Identification is the same in all fragments of a packet.
func (f Fragment) Identification() uint32 { return binary.BigEndian.Uint32(f[4:]) }

// Data is what follows the header.
func (f Fragment) Data() []byte { return f[FragmentSize:] }

// IsAtomic reports whether it is the whole packet, RFC 6946.
func (f Fragment) IsAtomic() bool { return f.Offset() == 0 && !f.More() }

// PutFragment writes a fragment header into the first FragmentSize bytes of b,
// which has them. The offset is a multiple of 8 bytes below 65536.
func PutFragment(b []byte, next uint8, offset int, more bool, identification uint32) {
	_ = b[FragmentSize-1]
	field := uint16(offset)
	if more {
		field |= 1
	}
	b[0], b[1] = next, 0
	binary.BigEndian.PutUint16(b[2:], field)
	binary.BigEndian.PutUint32(b[4:], identification)
}

// ChainIsWhole reports whether b, which begins with the header proto, has all
// headers through that of the upper layer: what RFC 7112 wants of a first
// fragment. Of ESP and of protocols whose header is not known here any byte will
// do, or none.
func ChainIsWhole(proto uint8, b []byte) bool {
	for IsExtension(proto) {
		next, rest, ok := NextExtension(proto, b)
		if !ok {
			return false
		}
		proto, b = next, rest
	}
	switch proto {
	case ProtoTCP:
		return len(b) >= TCPSize
	case ProtoUDP:
		return len(b) >= UDPSize
	case ProtoICMPv6:
		return len(b) >= 4 // type, code and checksum, RFC 4443 §2.1
	}
	return true
}

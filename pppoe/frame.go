package pppoe

import "encoding/binary"

// A PPPoE frame, RFC 2516 §4, behind its Ethernet header; version and type are 1:
//
//	 0             6        12       14         15     16        18       20
//	┌─────────────┬────────┬────────┬──────────┬──────┬─────────┬────────┬─
//	│ destination │ source │  type  │ ver type │ code │ session │ length │ payload
//	└─────────────┴────────┴────────┴──────────┴──────┴─────────┴────────┴─
const (
	// HeaderSize is the size in bytes of the Ethernet and PPPoE headers.
	HeaderSize = etherHeader + 6
	// Overhead is what a session takes of the Ethernet MTU, in bytes: PPPoE's header
	// and PPP's protocol.
	Overhead = 8

	etherHeader  = 14
	etherTypeAt  = 12
	versionType  = 0x11
	typDiscovery = 0x8863
	typSession   = 0x8864
)

// Code says what a frame is.
type Code uint8

// The codes, RFC 2516 §5.
const (
	SessionData Code = 0x00
	PADO        Code = 0x07
	PADI        Code = 0x09
	PADR        Code = 0x19
	PADS        Code = 0x65
	PADT        Code = 0xa7
)

// MAC is an Ethernet address.
type MAC = [6]byte

// Broadcast is all stations.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// A Frame is a PPPoE frame.
type Frame struct {
	Destination, Source MAC
	Code                Code
	Session             uint16
	Payload             []byte // without padding
}

// ParseFrame reads a frame from its Ethernet header on. The payload is a part of b.
func ParseFrame(b []byte) (f Frame, ok bool) {
	if len(b) < HeaderSize || b[etherHeader] != versionType {
		return f, false
	}
	f.Code = Code(b[15])
	size := int(binary.BigEndian.Uint16(b[18:]))
	typ := binary.BigEndian.Uint16(b[etherTypeAt:])
	if size > len(b)-HeaderSize || typ != f.Code.etherType() {
		return f, false
	}
	f.Destination, f.Source = MAC(b), MAC(b[6:])
	f.Session = binary.BigEndian.Uint16(b[16:])
	f.Payload = b[HeaderSize:][:size]
	return f, true
}

func (c Code) etherType() uint16 {
	if c == SessionData {
		return typSession
	}
	return typDiscovery
}

// AppendFrame appends a frame, whose payload is at most 65535 bytes.
func AppendFrame(b []byte, f Frame) []byte {
	at := len(b)
	b = append(b, make([]byte, HeaderSize)...)
	PutHeader(b[at:], &f, len(f.Payload))
	return append(b, f.Payload...)
}

// PutHeader writes the headers of a frame whose payload has a size.
func PutHeader(b []byte, f *Frame, size int) {
	copy(b, f.Destination[:])
	copy(b[6:], f.Source[:])
	binary.BigEndian.PutUint16(b[etherTypeAt:], f.Code.etherType())
	b[14], b[15] = versionType, byte(f.Code)
	binary.BigEndian.PutUint16(b[16:], f.Session)
	binary.BigEndian.PutUint16(b[18:], uint16(size))
}

package header

import "encoding/binary"

// Upper is what the chain of extension headers leads to, RFC 8200 §4.
// Offsets count from the start of the packet and lie inside it.
type Upper struct {
	Protocol   uint8 // what the last Next Header field names
	Offset     int   // of the header Protocol names
	NextHeader int   // of the field that names Protocol: the pointer of Parameter Problem code 1

	Fragmented bool // there is a fragment header, atomic fragments (RFC 6946) included
	NonFirst   bool // at Offset is the middle of something, not a header
	More       bool // fragments follow this one

	// Routing is the first routing header with segments left, but type 0 goes
	// before others: RFC 5095 §3 wants it refused, where others may pass by.
	// Those without segments left ask for nothing and are skipped, RFC 8200 §4.4.
	Routing Routing
}

// Routing is a routing header, RFC 8200 §4.4.
type Routing struct {
	Offset       int // of the header, zero when there is none; the Routing Type field is 2 further
	Type         uint8
	SegmentsLeft uint8
}

// UpperLayer follows the chain of extension headers. It reports false when the
// chain leaves the packet: Protocol and Offset are then those of the header that
// does not fit.
//
// A hop-by-hop header anywhere but first ends the walk as an upper layer, so that
// a receiver finds it as unrecognized as RFC 8200 §4 wants it.
func UpperLayer(pkt IPv6) (u Upper, ok bool) {
	if len(pkt) < IPv6Size {
		return u, false
	}
	u.Protocol, u.Offset, u.NextHeader = pkt.NextHeader(), IPv6Size, nextHeaderAt
	for rest := pkt.Payload(); u.continues(); {
		next, after, fits := NextExtension(u.Protocol, rest)
		if !fits {
			return u, false
		}
		u.note(rest)
		u.Protocol, u.NextHeader = next, u.Offset
		u.Offset += len(rest) - len(after)
		rest = after
	}
	return u, true
}

// continues reports whether an extension header is at Offset.
func (u *Upper) continues() bool {
	if !IsExtension(u.Protocol) || u.NonFirst {
		return false
	}
	return u.Protocol != ProtoHopByHop || u.Offset == IPv6Size
}

// note keeps what the extension header b says about the packet.
func (u *Upper) note(b []byte) {
	switch u.Protocol {
	case ProtoFragment:
		field := binary.BigEndian.Uint16(b[2:])
		u.Fragmented = true
		u.NonFirst = field>>3 != 0
		u.More = u.More || field&1 != 0
	case ProtoRouting:
		r := Routing{Offset: u.Offset, Type: b[2], SegmentsLeft: b[3]}
		if r.SegmentsLeft != 0 && (u.Routing.Offset == 0 || r.Type == 0 && u.Routing.Type != 0) {
			u.Routing = r
		}
	}
}

// IsExtension reports whether proto is an extension header whose length can be
// read: the IANA list without ESP, which hides what follows, and without the
// experimental numbers.
func IsExtension(proto uint8) bool {
	switch proto {
	case ProtoHopByHop, ProtoRouting, ProtoFragment, ProtoAH, ProtoDestinationOptions,
		ProtoMobility, ProtoHIP, ProtoShim6:
		return true
	}
	return false
}

// NextExtension steps over the extension header proto at the start of b. It
// returns what that header names next and the bytes from there on, always at
// least 8 fewer, and reports false when proto is none or does not fit in b.
func NextExtension(proto uint8, b []byte) (next uint8, rest []byte, ok bool) {
	if len(b) < 8 || !IsExtension(proto) {
		return 0, nil, false
	}
	n := (int(b[1]) + 1) * 8
	switch proto {
	case ProtoFragment:
		n = 8 // RFC 8200 §4.5: the byte is reserved
	case ProtoAH:
		n = (int(b[1]) + 2) * 4 // RFC 4302 §2.2
	}
	if n > len(b) {
		return 0, nil, false
	}
	return b[0], b[n:], true
}

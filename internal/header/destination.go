package header

// A Stop is where the destination of a packet comes to an end with its extension
// headers.
type Stop uint8

const (
	// AtUpperLayer is a header that is no extension header which is processed here:
	// an upper layer, or what a destination may call unrecognized. Hop-by-hop
	// options that are not first are such, RFC 8200 §4.
	AtUpperLayer Stop = iota
	// AtFragment is a fragment that is not the whole packet.
	AtFragment
	// AtRouting is a routing header with segments left, RFC 8200 §4.4.
	AtRouting
	// AtMisfit is a header or an option that is longer than what holds it.
	AtMisfit
	// AtOption is an unknown option that is not to be skipped, RFC 8200 §4.2.
	AtOption
	// AtLimit is more than a destination need bear, RFC 8504 §5.3.
	AtLimit
)

// A Reached is how far a destination gets. Offsets count from the start of the
// packet.
type Reached struct {
	Stop       Stop
	Protocol   uint8 // of the header at Offset
	Offset     int
	NextHeader int // of the field that names Protocol

	// Pointer is where the fault is, for a Parameter Problem: a Routing Type, the
	// length of what does not fit, or an option type.
	Pointer int
}

// Limits of RFC 8504 §5.3, at their defaults where it has any.
const (
	maxExtensions = 8 // headers of a packet
	maxOptions    = 8 // of one header, those that pad not counted
	maxPadding    = 7 // bytes in a row
)

// Destination processes extension headers as the destination of pkt has to, RFC
// 8200 §4: one after the other, what comes first stops it first. No option is known
// but padding; a router alert (RFC 2711) is of the kind that is skipped.
func Destination(pkt IPv6) Reached {
	r := Reached{Protocol: pkt.NextHeader(), Offset: IPv6Size, NextHeader: nextHeaderAt}
	rest := pkt.Payload()
	for n := 0; r.isExtension(); n++ {
		next, after, ok := NextExtension(r.Protocol, rest)
		switch {
		case n == maxExtensions:
			r.Stop = AtLimit
		case !ok:
			r.Stop, r.Pointer = AtMisfit, r.Offset+1
		default:
			r.process(rest[:len(rest)-len(after)])
		}
		if r.Stop != AtUpperLayer {
			return r
		}
		r.Protocol, r.NextHeader = next, r.Offset
		r.Offset += len(rest) - len(after)
		rest = after
	}
	return r
}

// isExtension reports whether the header at Offset is one that is processed here.
func (r *Reached) isExtension() bool {
	switch r.Protocol {
	case ProtoHopByHop:
		return r.Offset == IPv6Size
	case ProtoRouting, ProtoFragment, ProtoDestinationOptions:
		return true
	}
	return false
}

// process looks at one whole extension header.
func (r *Reached) process(b []byte) {
	switch r.Protocol {
	case ProtoHopByHop, ProtoDestinationOptions:
		r.options(b)
	case ProtoRouting:
		if segmentsLeft := b[3]; segmentsLeft != 0 {
			r.Stop, r.Pointer = AtRouting, r.Offset+2
		}
	case ProtoFragment:
		if !Fragment(b).IsAtomic() {
			r.Stop = AtFragment
		}
	}
}

// Padding, RFC 8200 §4.2.
const (
	optionPad1 = 0
	optionPadN = 1
)

// What is done with an unknown option, by the first two bits of its type, RFC 8200
// §4.2. The fourth is to discard the packet and say nothing.
const (
	optionAction        = 0xc0
	optionSkip          = 0x00
	optionReport        = 0x80
	optionReportUnicast = 0xc0
)

// options looks at the options of a header.
func (r *Reached) options(b []byte) {
	count, padding := 0, 0
	for at := 2; at < len(b); {
		typ, size := b[at], 1
		if typ != optionPad1 {
			if at+1 == len(b) || at+2+int(b[at+1]) > len(b) {
				r.Stop, r.Pointer = AtMisfit, r.Offset+min(at+1, len(b)-1)
				return
			}
			size = 2 + int(b[at+1])
		}
		switch {
		case typ == optionPad1, typ == optionPadN:
			padding += size
		case typ&optionAction == optionSkip:
			count, padding = count+1, 0
		default:
			r.Stop, r.Pointer = AtOption, r.Offset+at
			return
		}
		if count > maxOptions || padding > maxPadding {
			r.Stop = AtLimit
			return
		}
		at += size
	}
}

// ReportsOption reports whether the sender of an unknown option is told of it,
// RFC 8200 §4.2: toGroup says whether the packet went to a group.
func ReportsOption(typ uint8, toGroup bool) bool {
	switch typ & optionAction {
	case optionReport:
		return true
	case optionReportUnicast:
		return !toGroup
	}
	return false
}

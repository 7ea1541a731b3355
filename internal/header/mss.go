package header

import "encoding/binary"

const (
	optionEnd  = 0 // of TCP, RFC 9293 §3.2
	optionNone = 1
	optionMSS  = 2
)

// ClampMSS lets a TCP SYN of an IPv6 packet ask for segments of at most most bytes
// (RFC 9293 §3.7.1), its checksum with it, and reports whether it asked for more. The
// checksum must be complete. What is no whole SYN is left alone.
func ClampMSS(pkt IPv6, most uint16) bool {
	at := IPv6Size
	if pkt.NextHeader() != ProtoTCP {
		if !IsExtension(pkt.NextHeader()) {
			return false
		}
		u, ok := UpperLayer(pkt)
		if !ok || u.Protocol != ProtoTCP || u.Fragmented {
			return false
		}
		at = u.Offset
	}
	return clampSYN(TCP(pkt[at:]), most)
}

func clampSYN(t TCP, most uint16) bool {
	if len(t) < TCPSize || t.Flags()&FlagSYN == 0 {
		return false
	}
	size := t.DataOffset()
	if size < TCPSize || size > len(t) {
		return false
	}
	return clampOption(t, t[TCPSize:size], most)
}

func clampOption(t TCP, options []byte, most uint16) bool {
	for len(options) > 0 && options[0] != optionEnd {
		if options[0] == optionNone {
			options = options[1:]
			continue
		}
		if len(options) < 2 || int(options[1]) < 2 || int(options[1]) > len(options) {
			return false
		}
		if options[0] == optionMSS && options[1] == 4 {
			old := binary.BigEndian.Uint16(options[2:])
			if old <= most {
				return false
			}
			binary.BigEndian.PutUint16(options[2:], most)
			odd := (cap(t)-cap(options))%2 != 0
			t.SetChecksum(adjust(t.Checksum(), old, most, odd))
			return true
		}
		options = options[options[1]:]
	}
	return false
}

// adjust is a checksum after a field in what it sums has changed, RFC 1624 §3. At an
// odd offset the bytes of the field are in two words, each in the other's place.
func adjust(sum, old, now uint16, odd bool) uint16 {
	if odd {
		old, now = old<<8|old>>8, now<<8|now>>8
	}
	s := uint32(^sum) + uint32(^old) + uint32(now)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}

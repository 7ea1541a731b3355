package header

import "encoding/binary"

// MayAnswer reports whether an error of this type and code may be sent about pkt,
// RFC 4443 §2.4(e). What the bytes do not show is left to the caller: that pkt
// came as a link-layer multicast or broadcast (e.4, e.5), that its source is
// anycast (e.6), and that an unrecognized option begins with the bits 10 (e.3).
//
// A chain of headers that leaves the packet hides no message, so Parameter Problem
// may report it; it can't go round in circles, since our errors have no chain.
func MayAnswer(pkt IPv6, typ, code uint8) bool {
	if len(pkt) < IPv6Size || !isSingleNode(pkt.SourceBytes()) {
		return false
	}
	if IsMulticast(pkt.DestinationBytes()) && !answersGroup(typ, code) {
		return false
	}
	u, ok := UpperLayer(pkt)
	return !ok || !mayBeError(pkt, &u)
}

// isSingleNode reports whether a as a source can be answered, RFC 4443 §2.4(e.6).
func isSingleNode(a *[16]byte) bool { return !IsUnspecified(a) && !IsMulticast(a) }

// answersGroup reports whether the error is one of the two exceptions of RFC 4443
// §2.4(e.3): path MTU discovery works for groups, and so do option types that
// ask for an answer.
func answersGroup(typ, code uint8) bool {
	return typ == TypePacketTooBig || typ == TypeParameterProblem && code == CodeUnrecognizedOption
}

// mayBeError reports whether pkt is an ICMPv6 error or a redirect, RFC 4443
// §2.4(e.1, e.2), or hides the type that would tell.
func mayBeError(pkt IPv6, u *Upper) bool {
	if u.NonFirst {
		return u.Protocol == ProtoICMPv6 || IsExtension(u.Protocol)
	}
	if u.Protocol != ProtoICMPv6 {
		return false
	}
	if u.Offset >= len(pkt) {
		return true
	}
	typ := pkt[u.Offset]
	return IsError(typ) || typ == TypeRedirect
}

// AppendError appends an ICMPv6 error to dst, IPv6 header and checksum included,
// and quotes as much of original as MinMTU permits, RFC 4443 §2.4(c). The param
// is the MTU or the pointer, else zero. It does not allocate if dst has MinMTU
// bytes to spare; original must not lie in these.
func AppendError(dst []byte, src, to *[16]byte, hopLimit, typ, code uint8, param uint32, original []byte) []byte {
	quote := original[:min(len(original), MinMTU-IPv6Size-ICMPv6Size)]
	var head [IPv6Size + ICMPv6Size]byte
	PutIPv6(head[:], &IPv6Fields{
		PayloadLength: uint16(ICMPv6Size + len(quote)),
		NextHeader:    ProtoICMPv6,
		HopLimit:      hopLimit,
		Source:        *src,
		Destination:   *to,
	})
	head[IPv6Size], head[IPv6Size+1] = typ, code
	binary.BigEndian.PutUint32(head[IPv6Size+4:], param)

	start := len(dst) + IPv6Size
	dst = append(append(dst, head[:]...), quote...)
	m := ICMPv6(dst[start:])
	m.SetChecksum(Checksum(src, to, ProtoICMPv6, m))
	return dst
}

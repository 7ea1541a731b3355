package header

// echoHopLimit is the default IANA recommends for what a node sends.
const echoHopLimit = 64

// EchoReply turns an echo request into its reply in place, RFC 4443 §4.2, and
// takes pkt. The reply comes from source, which may be pkt.DestinationBytes():
// it differs when the request went to a group or an anycast address.
//
// The reply has no extension headers: the IPv6 header moves up to the message, so
// the reply is the tail of pkt. The checksum is right if it was; verifying it is
// for the caller. EchoReply reports false, and leaves pkt as it was, if pkt is no
// whole request or nobody is there to be answered.
func EchoReply(pkt IPv6, source *[16]byte) (IPv6, bool) {
	pkt, ok := ParseIPv6(pkt)
	if !ok || !isSingleNode(pkt.SourceBytes()) {
		return nil, false
	}
	u, ok := UpperLayer(pkt)
	if !ok || !isEchoRequest(pkt, &u) {
		return nil, false
	}
	src, dst, from := *pkt.SourceBytes(), *pkt.DestinationBytes(), *source

	m := ICMPv6(pkt[u.Offset:])
	m[0] = TypeEchoReply
	sum := difference(m.Checksum(), TypeEchoRequest<<8, TypeEchoReply<<8)
	m.SetChecksum(difference(sum, Fold(Sum(dst[:], 0)), Fold(Sum(from[:], 0))))

	reply := pkt[u.Offset-IPv6Size:]
	PutIPv6(reply, &IPv6Fields{
		TrafficClass:  pkt.TrafficClass(),
		FlowLabel:     pkt.FlowLabel(),
		PayloadLength: uint16(len(m)),
		NextHeader:    ProtoICMPv6,
		HopLimit:      echoHopLimit,
		Source:        from,
		Destination:   src,
	})
	return reply, true
}

// isEchoRequest reports whether u is a whole echo request that has arrived: not
// a fragment, and not one a routing header sends on.
func isEchoRequest(pkt IPv6, u *Upper) bool {
	if u.Protocol != ProtoICMPv6 || u.NonFirst || u.More || u.Routing.Offset != 0 {
		return false
	}
	m := ICMPv6(pkt[u.Offset:])
	return len(m) >= ICMPv6Size && m.Type() == TypeEchoRequest && m.Code() == 0
}

// difference is the checksum c after a word changed, RFC 1624 §3 equation 3.
func difference(c, before, after uint16) uint16 {
	return ^Fold(uint32(^c) + uint32(^before) + uint32(after))
}

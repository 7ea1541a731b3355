package nd

import (
	"encoding/binary"

	"github.com/router6d/router6d/internal/header"
)

// AdvertisementSize is the length of what AppendAdvertisement appends.
const AdvertisementSize = header.IPv6Size + 24 + 8

// AppendAdvertisement appends a Neighbor Advertisement of the router's, RFC 4861
// §4.4: where target is, for dst. Its source is target, unless that is an anycast
// address. It does not allocate if b has AdvertisementSize bytes to spare.
func AppendAdvertisement(b []byte, src, dst, target *[16]byte, mac *header.MAC, solicited, override bool) []byte {
	flags := byte(flagRouter)
	if solicited {
		flags |= flagSolicited
	}
	if override {
		flags |= flagOverride
	}
	start := len(b)
	b = appendHead(b, header.TypeNeighborAdvertisement, uint32(flags)<<24)
	b = append(b, target[:]...)
	b = appendLinkLayer(b, optionTarget, mac)
	return seal(b, start, src, dst, ndHopLimit)
}

// solicitation is a Neighbor Solicitation, RFC 4861 §4.3. It has the router's MAC
// unless it comes from ::, and then the nonce.
func solicitation(src, dst, target *[16]byte, mac *header.MAC, nonce *[6]byte) []byte {
	b := appendHead(nil, header.TypeNeighborSolicitation, 0)
	b = append(b, target[:]...)
	if header.IsUnspecified(src) {
		b = append(append(b, optionNonce, 1), nonce[:]...)
	} else {
		b = appendLinkLayer(b, optionSource, mac)
	}
	return seal(b, 0, src, dst, ndHopLimit)
}

// AppendRedirect appends a Redirect, RFC 4861 §4.5: target is the better first
// hop for packets like original. Its link-layer address is told if it is known.
// As much of original is quoted as header.MinMTU permits; it must not lie in what
// b has to spare, which is to be header.MinMTU bytes for it not to allocate.
func AppendRedirect(b []byte, src, target *[16]byte, mac *header.MAC, known bool, original header.IPv6) []byte {
	start := len(b)
	dst := *original.SourceBytes()
	b = appendHead(b, header.TypeRedirect, 0)
	b = append(b, target[:]...)
	b = append(b, original.DestinationBytes()[:]...)
	if known {
		b = appendLinkLayer(b, optionTarget, mac)
	}
	const optionHead = 8
	quote := min(len(original), header.MinMTU-(len(b)-start)-optionHead) &^ 7 // options come in eights
	b = append(b, optionRedirected, byte((optionHead+quote)/8), 0, 0, 0, 0, 0, 0)
	b = append(b, original[:quote]...)
	return seal(b, start, src, &dst, ndHopLimit)
}

// appendHead appends room for an IPv6 header, and that of an ICMPv6 message.
func appendHead(b []byte, typ uint8, param uint32) []byte {
	var head [header.IPv6Size + header.ICMPv6Size]byte
	head[header.IPv6Size] = typ
	binary.BigEndian.PutUint32(head[header.IPv6Size+4:], param)
	return append(b, head[:]...)
}

func appendLinkLayer(b []byte, option byte, mac *header.MAC) []byte {
	return append(append(b, option, 1), mac[:]...)
}

// seal writes the header of the packet that begins at start, and the checksum.
func seal(b []byte, start int, src, dst *[16]byte, hopLimit uint8) []byte {
	pkt := b[start:]
	m := header.ICMPv6(pkt[header.IPv6Size:])
	header.PutIPv6(pkt, &header.IPv6Fields{
		PayloadLength: uint16(len(m)), NextHeader: header.ProtoICMPv6, HopLimit: hopLimit,
		Source: *src, Destination: *dst,
	})
	m.SetChecksum(header.Checksum(src, dst, header.ProtoICMPv6, m))
	return b
}

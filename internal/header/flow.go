package header

import (
	"encoding/binary"
	"math/bits"
)

// Odd numbers of wyhash with as many ones as zeros. Every factor has one, since
// addresses are full of zeros and a factor of zero would hide the other.
const (
	mixA = 0xa0761d6478bd642f
	mixB = 0xe7037ed1a0b428db
	mixC = 0x8ebc6af09c88c6e3
	mixD = 0x589965cc75374cc3
)

// FlowHash is equal for packets of one flow and spread evenly over flows, so that
// paths of equal cost share the load without reordering. It covers the addresses,
// the flow label (RFC 6438 §3) and the ports where they are visible. All 32 bits
// are good, high and low. Routers in a row want different seeds, or the second
// sees only flows the first has put in one bucket.
func FlowHash(pkt IPv6, seed uint64) uint32 {
	if len(pkt) < IPv6Size {
		return 0
	}
	le := binary.LittleEndian
	src := fold128(le.Uint64(pkt[sourceAt:])^mixA, le.Uint64(pkt[sourceAt+8:])^mixB^seed)
	dst := fold128(le.Uint64(pkt[destinationAt:])^mixC, le.Uint64(pkt[destinationAt+8:])^mixD^seed)
	flow := uint64(pkt.FlowLabel())<<32 | uint64(ports(pkt))
	h := fold128(fold128(src^flow^mixB, dst^mixC^seed), mixD) // once is uneven in sequential ports
	return uint32(h ^ h>>32)
}

// fold128 mixes by one wide multiplication, as wyhash does: every bit of a and b
// reaches the middle of the product, and folding brings the middle to both ends.
func fold128(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// ports are the source and destination port, or zero. Only the first fragment
// has them, so none may use them, or fragments of one packet part ways.
func ports(pkt IPv6) uint32 {
	proto, at := pkt.NextHeader(), IPv6Size
	if IsExtension(proto) {
		u, ok := UpperLayer(pkt)
		if !ok || u.Fragmented {
			return 0
		}
		proto, at = u.Protocol, u.Offset
	}
	if len(pkt) < at+4 {
		return 0
	}
	switch proto {
	case ProtoTCP, ProtoUDP, ProtoDCCP, ProtoSCTP, ProtoUDPLite:
		return binary.LittleEndian.Uint32(pkt[at:])
	}
	return 0
}

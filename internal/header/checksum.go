package header

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit words of b to initial in one's complement, RFC 1071. The
// last byte of an odd length counts as if a zero followed, so only the last of
// several pieces may be odd.
//
// It adds 64 bits at a time as little-endian words and swaps once at the end:
// RFC 1071 §2(B), the sum does not care about byte order.
func Sum(b []byte, initial uint32) uint32 {
	le := binary.LittleEndian
	var sum, carry uint64
	for len(b) >= 64 {
		sum, carry = bits.Add64(sum, le.Uint64(b), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[24:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[32:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[40:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[48:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		sum, carry = bits.Add64(sum, le.Uint64(tail[:]), carry)
	}
	half := sum>>32 + sum&0xffffffff + carry
	word := Fold(uint32(half>>32 + half&0xffffffff))
	return add(initial, uint32(bits.ReverseBytes16(word)))
}

// add is one's complement addition: the carry comes back in at the bottom.
func add(a, b uint32) uint32 {
	sum, carry := bits.Add32(a, b, 0)
	return sum + carry
}

// Fold brings a sum down to 16 bits. It does not complement: the checksum field
// is ^Fold(sum), and a packet that verifies folds to 0xffff.
func Fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// PseudoSum is the sum of the pseudo-header, RFC 8200 §8.1, to start [Sum] with.
// The length is that of the upper-layer header and its data.
func PseudoSum(src, dst *[16]byte, length uint32, next uint8) uint32 {
	sum := Sum(dst[:], Sum(src[:], uint32(next)))
	return add(sum, length)
}

// Checksum is the checksum of the upper-layer packet payload, RFC 8200 §8.1: what
// belongs in the field when the field is zero, and zero when the field is right.
func Checksum(src, dst *[16]byte, next uint8, payload []byte) uint16 {
	return ^Fold(Sum(payload, PseudoSum(src, dst, uint32(len(payload)), next)))
}

package fib

import "encoding/binary"

// An addr is an address as a number.
type addr struct{ hi, lo uint64 }

func addrOf(a [16]byte) addr {
	return addr{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a addr) min(b addr) addr {
	if b.less(a) {
		return b
	}
	return a
}

// first and last are the ends of a/plen.
func (a addr) first(plen int) addr {
	h := hostBits(plen)
	return addr{a.hi &^ h.hi, a.lo &^ h.lo}
}

func (a addr) last(plen int) addr {
	h := hostBits(plen)
	return addr{a.hi | h.hi, a.lo | h.lo}
}

// begins reports whether a is the first of a/plen.
func (a addr) begins(plen int) bool {
	h := hostBits(plen)
	return a.hi&h.hi|a.lo&h.lo == 0
}

func hostBits(plen int) addr {
	if plen < 64 {
		return addr{^uint64(0) >> uint(plen), ^uint64(0)}
	}
	return addr{0, ^uint64(0) >> uint(plen-64)}
}

func (a addr) next() addr {
	if a.lo++; a.lo == 0 {
		a.hi++
	}
	return a
}

func (a addr) previous() addr {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

// byte is the one after depth others.
func (a addr) byte(depth int) byte {
	if depth < 8 {
		return byte(a.hi >> uint(56-8*depth))
	}
	return byte(a.lo >> uint(120-8*depth))
}

// next32 is the 32 bits after depth bytes, or what there is of them.
func (a addr) next32(depth int) uint32 {
	if depth < 8 {
		n := uint(8 * depth)
		return uint32((a.hi<<n | a.lo>>(64-n)) >> 32)
	}
	return uint32(a.lo << uint(8*depth-64) >> 32)
}

// plus is a with next32 after depth bytes, where it has zeros.
func (a addr) plus(next32 uint32, depth int) addr {
	top, n := uint64(next32)<<32, uint(8*depth)
	if depth < 8 {
		return addr{a.hi | top>>n, a.lo | top<<(64-n)}
	}
	return addr{a.hi, a.lo | top>>(n-64)}
}

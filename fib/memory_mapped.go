//go:build linux && !race

package fib

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// reserved is the address space of an arena, in bytes. It takes memory where
	// it is written to: a full Internet table fills a thousandth.
	reserved = 4 << 30
	// smallPages is the part with ordinary pages. Those of a full table fit into
	// the TLB, where a huge page half used would be memory wasted.
	smallPages = 8 << 20
)

// reserve maps a region, which goes when nobody can look at it any more. Where
// that much address space is not to be had, it is on the heap.
func reserve() *region {
	p, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return onHeap(firstSize)
	}
	// Fails on a kernel without huge pages, and then there are none.
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(p, smallPages)), reserved-smallPages), unix.MADV_HUGEPAGE)
	r := &region{unsafe.Slice((*uint32)(p), reserved/4)}
	runtime.AddCleanup(r, func(p unsafe.Pointer) { _ = unix.MunmapPtr(p, reserved) }, p)
	return r
}

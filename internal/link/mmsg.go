package link

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	_   uint32 // sent bytes, as the kernel notes
}

// The kernel is called without telling Go's scheduler, which would take the
// processor away while a superframe is copied: neither call sleeps, and a batch
// bounds what is sent at once.

// readQueued reads a frame from the socket's queue; nothing if it is severed.
func readQueued(fd int, b []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

// sendmmsg sends the first packets of pkts, each behind its virtio-net header, in
// one system call, and returns how many went.
func sendmmsg(fd int, pkts []*Packet) (int, error) {
	var msgs [VectorSize]mmsghdr
	var iovs [VectorSize]unix.Iovec
	for i, p := range pkts {
		p.Offload.encode(p.buf[p.off-vnetHeaderSize : p.off])
		iovs[i].Base = &p.buf[p.off-vnetHeaderSize]
		iovs[i].SetLen(p.end - p.off + vnetHeaderSize)
		msgs[i].hdr.Iov = &iovs[i]
		msgs[i].hdr.SetIovlen(1)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs)), uintptr(len(pkts)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

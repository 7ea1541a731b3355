package link

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
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
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs)), uintptr(len(pkts)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

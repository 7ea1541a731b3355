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
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// sendmmsg sends the first frames of pkts, each behind its virtio-net header and in
// runs if the kernel takes them, in one system call. It returns how many went, or
// how many of the first were refused together.
func sendmmsg(fd int, pkts []*Packet, runs bool) (sent, refused int, err error) {
	var msgs [VectorSize]mmsghdr
	var counts [VectorSize]int // packets of each
	var room [VectorSize]unix.Iovec
	iovs, m := room[:0], 0
	for at := 0; at < len(pkts); m++ {
		from := len(iovs)
		counts[m] = 1
		if runs {
			counts[m] = follow(pkts[at:], true)
		}
		iovs = join(iovs, pkts[at:][:counts[m]])
		msgs[m].hdr.Iov = &iovs[from]
		msgs[m].hdr.SetIovlen(len(iovs) - from)
		at += counts[m]
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs)), uintptr(m), unix.MSG_DONTWAIT, 0, 0)
	for i, at := 0, 0; i < m; i++ {
		part(pkts[at:][:counts[i]])
		at += counts[i]
		if errno == 0 && i < int(n) {
			sent = at
		}
	}
	if errno != 0 {
		return 0, counts[0], errno
	}
	return sent, 0, nil
}

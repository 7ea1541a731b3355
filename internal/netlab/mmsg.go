package netlab

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A batch receives many datagrams in one system call. It belongs to one
// goroutine.
type batch struct {
	msgs []mmsghdr
	iovs []unix.Iovec
	bufs [][]byte
}

func newBatch(n, size int) *batch {
	b := &batch{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), bufs: make([][]byte, n)}
	for i := range n {
		b.bufs[i] = make([]byte, size)
		b.iovs[i].Base = &b.bufs[i][0]
		b.iovs[i].SetLen(size)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b
}

// receive waits for datagrams and returns how many there are.
func (b *batch) receive(raw syscall.RawConn) (int, error) {
	var n int
	var errno syscall.Errno
	err := raw.Read(func(fd uintptr) bool {
		for {
			// What a signal ended is tried again here: the poller tells only of what
			// comes from now on.
			if n, errno = b.poll(fd); errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("recvmmsg", errno)
	}
	return n, err
}

// datagram returns the i-th of those received, until the next receive. One
// that did not fit is cut off.
func (b *batch) datagram(i int) []byte {
	return b.bufs[i][:b.msgs[i].len]
}

func (b *batch) poll(fd uintptr) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd,
		uintptr(unsafe.Pointer(&b.msgs[0])), uintptr(len(b.msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// meminfo is what SO_MEMINFO tells of a socket: SK_MEMINFO_VARS of
// linux/sock_diag.h.
type meminfo [9]uint32

// drops counts packets thrown away at a socket, mostly because its buffer was
// full.
func (m meminfo) drops() uint64 { return uint64(m[8]) }

func socketMeminfo(fd int) (meminfo, error) {
	var m meminfo
	size := uint32(unsafe.Sizeof(m))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return m, os.NewSyscallError("getsockopt SO_MEMINFO", errno)
	}
	return m, nil
}

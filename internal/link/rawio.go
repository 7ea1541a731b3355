package link

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The packet path calls the kernel without telling Go's scheduler. Told, that
// takes the processor away from a thread that has been in the kernel for 20 µs,
// as a superframe's write may be, and the thread has to get one again: a third
// of the CPU time per gigabyte. It need not be told, as descriptors here do not
// block: the kernel's part ends by itself.

// rawRead is a read that no signal ends: who then sleeps until the descriptor
// is readable is not told of what was there already.
func rawRead(fd int, b []byte) (n int, err error) {
	for {
		n, err = rawCall(unix.SYS_READ, fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case n == 0 && err == nil: // severed: a dead file has nothing to say
			return 0, unix.EBADFD
		default:
			return n, err
		}
	}
}

// rawWrite writes one packet.
func rawWrite(fd int, b []byte) error {
	_, err := rawCall(unix.SYS_WRITE, fd, b)
	return err
}

// rawWritev writes one packet that is in pieces.
func rawWritev(fd int, pieces []unix.Iovec) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces)))
	if errno != 0 {
		return errno
	}
	return nil
}

// rawCall wants a b that is not empty.
func rawCall(trap uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno // small enough to be an error without an allocation
	}
	return int(n), nil
}

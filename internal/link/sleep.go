package link

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// busyRounds is how often in succession a worker has found something to read
// before it counts as busy: to become so and to stop costs a system call each.
const busyRounds = 4

// A sleeper lets one goroutine sleep until a descriptor is readable. It does not
// give the descriptor to Go's poller, for every packet would wake the thread that
// polls there, also while the goroutine is awake and reads: it gives it an epoll
// instance, in which the descriptor is switched off as long as it is busy.
type sleeper struct {
	file *os.File // of the epoll instance
	raw  syscall.RawConn

	// Of the goroutine that sleeps.
	on    bool // the descriptor wakes
	round int  // since it slept
}

// newSleeper watches fd, which stays its owner's.
func newSleeper(fd int) (*sleeper, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := watch(ep, unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
		unix.Close(ep)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	s := &sleeper{file: newPolled(ep), on: true}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// newPolled is a file that Go's poller knows: it takes who does not block to be
// fit for that.
func newPolled(fd int) *os.File {
	_ = unix.SetNonblock(fd, true) // a flag, of a descriptor that is there
	return os.NewFile(uintptr(fd), "epoll")
}

func watch(ep, op, fd int, events uint32) error {
	return unix.EpollCtl(ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// until calls ready until it reports true, asleep between. It fails once it is
// interrupted.
func (s *sleeper) until(ready func(ep uintptr) bool) error {
	s.round++
	return s.raw.Read(ready)
}

// sleepy is for who has found nothing to read, and will return to sleep.
func (s *sleeper) sleepy(ep, fd int) error {
	s.round = 0
	if s.on {
		return nil
	}
	s.on = true
	return watch(ep, unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN) // wakes at once if there is something now
}

// busy is for who has found something.
func (s *sleeper) busy(ep, fd int) error {
	if !s.on || s.round < busyRounds {
		return nil
	}
	s.on = false
	return watch(ep, unix.EPOLL_CTL_MOD, fd, 0)
}

// interrupt ends every until, now and later.
func (s *sleeper) interrupt() {
	// A deadline in the past wakes a parked reader and refuses later ones. It
	// fails only on a closed file, which has no readers.
	_ = s.file.SetReadDeadline(time.Unix(1, 0))
}

func (s *sleeper) close() error { return s.file.Close() }

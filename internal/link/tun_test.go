package link

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A descriptor that the library could not take is closed exactly once: its
// number must not be closed again when it is someone else's.
func TestRefusedDescriptorIsClosedOnce(t *testing.T) {
	number := func() int {
		fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	fd := number()
	if _, _, err := newQueue(new(TUN), fd); err == nil {
		t.Fatalf("%s was taken for a TUN", os.DevNull)
	}
	var mine []int
	for range 20 { // the number, if it is free
		mine = append(mine, number())
	}
	for range 5 {
		runtime.GC() // runs the finalizers of lost files
		runtime.Gosched()
	}
	for _, fd := range mine {
		if err := unix.Close(fd); err != nil {
			t.Errorf("descriptor %d: someone else closed it: %v", fd, err)
		}
	}
}

func TestReadOfADeadFileIsItsEnd(t *testing.T) {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := rawRead(fd, make([]byte, 1)); n != 0 || !errors.Is(err, unix.EBADFD) {
		t.Errorf("read = %d, %v, want 0, %v", n, err, unix.EBADFD)
	}
}

package link

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

var (
	// ErrBusy means that the device exists already, or is attached to another
	// process.
	ErrBusy = errors.New("device is busy")
	// ErrNotExist means that there is no such persistent device.
	ErrNotExist = errors.New("no such device")
)

// A TUN is a Linux TUN device: a Port whose other end is the kernel's network
// stack. It has one queue or several, each with a descriptor and a Receiver; the
// kernel keeps a flow on one of them.
type TUN struct {
	name   string
	queues []*queue

	frames  bool // a TAP's: packets begin with their Ethernet header
	stopped atomic.Bool
	severed atomic.Bool
}

// CreateTUN makes a TUN device with so many queues in the caller's network
// namespace. A name with %d in it is completed by the kernel. The device goes
// when the port closes.
func CreateTUN(name string, queues int) (*TUN, error) {
	t, err := create(name, unix.IFF_TUN, queues)
	if err != nil {
		return nil, fmt.Errorf("create tun %s: %w", name, err)
	}
	return t, nil
}

// AttachTUN takes a persistent TUN device that exists in the caller's network
// namespace, with so many queues if it was made with multi_queue, and one if not.
// The device stays when the port closes.
func AttachTUN(name string, queues int) (*TUN, error) {
	t, err := attach(name, unix.IFF_TUN, queues)
	if err != nil {
		return nil, fmt.Errorf("attach tun %s: %w", name, err)
	}
	return t, nil
}

func create(name string, flags uint16, queues int) (*TUN, error) {
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	return openTUN(name, flags|unix.IFF_TUN_EXCL, queues)
}

func attach(name string, kind uint16, queues int) (*TUN, error) {
	if err := exists(name); err != nil {
		return nil, err
	}
	t, err := openTUN(name, kind, 1)
	if errors.Is(err, unix.EINVAL) { // made with multi_queue
		t, err = openTUN(name, kind|unix.IFF_MULTI_QUEUE, queues)
	}
	if err != nil {
		return nil, err
	}
	if err := t.attached(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// attached reports whether the device is what was asked for.
func (t *TUN) attached() error {
	const framing = unix.IFF_NO_PI | unix.IFF_VNET_HDR
	switch flags, err := t.flags(); {
	case err != nil:
		return err
	case flags&unix.IFF_PERSIST == 0:
		return ErrNotExist // it went a moment ago, and asking has made one, which goes again
	case flags&framing != framing:
		// Of several queues the first decides on the framing (tun_set_iff in
		// Linux's drivers/net/tun.c), and someone has one with another.
		return ErrBusy
	}
	return nil
}

// exists looks before it is asked for: asking makes a device that is not there,
// and all the world hears of its appearance.
func exists(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
	if errors.Is(err, unix.ENODEV) {
		return ErrNotExist
	}
	return err
}

func openTUN(name string, flags uint16, queues int) (*TUN, error) {
	t := &TUN{name: name, frames: flags&unix.IFF_TAP != 0}
	for range queues {
		if err := t.open(flags); err != nil {
			return nil, errors.Join(err, t.Close())
		}
		flags &^= unix.IFF_TUN_EXCL // the device is ours now
	}
	return t, nil
}

// open adds a queue. The first one has the device, and tells its name.
func (t *TUN) open(flags uint16) error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return explainOpen(err)
	}
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("name %q: %w", t.name, err)
	}
	ifr.SetUint16(unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return explainSetIff(err)
	}
	q, name, err := newQueue(t, fd)
	if err != nil {
		return err
	}
	t.name, t.queues = name, append(t.queues, q)
	return nil
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s is not there: load the tun module, or give the container --device %s: %w", tunPath, tunPath, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s may not be opened: run as root or with CAP_NET_ADMIN: %w", tunPath, err)
	}
	return err
}

func explainSetIff(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("CAP_NET_ADMIN is needed: %w", err)
	case errors.Is(err, unix.EBUSY):
		return ErrBusy
	}
	return err
}

// RefuseOffloads has the kernel hand over what a wire would carry.
func (t *TUN) RefuseOffloads() (err error) {
	for _, q := range t.queues {
		e := q.control(func(fd int) { err = errors.Join(err, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0)) })
		err = errors.Join(err, e)
	}
	return err
}

// SetCarrier says whether the kernel's end has carrier. It waits for the kernel's
// configuration lock.
func (t *TUN) SetCarrier(on bool) error {
	carrier := int32(0)
	if on {
		carrier = 1
	}
	var errno unix.Errno
	err := t.queues[0].control(func(fd int) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETCARRIER, uintptr(unsafe.Pointer(&carrier)))
	})
	if errno != 0 {
		err = errors.Join(err, fmt.Errorf("set carrier: %w", errno))
	}
	return err
}

// Name is what the kernel called the device when it was opened.
func (t *TUN) Name() string { return t.name }

// Receivers implements Queued.
func (t *TUN) Receivers() []Receiver {
	all := make([]Receiver, len(t.queues))
	for i, q := range t.queues {
		all[i] = q
	}
	return all
}

// Recv implements Receiver for a device with one queue.
func (t *TUN) Recv(b *Batch) error { return t.queues[0].Recv(b) }

// Send implements Sender. What leaves by a queue leads the answers to that one's
// Receiver: the kernel learns flows from it.
func (t *TUN) Send(v *Vector) error {
	if t.severed.Load() {
		return ErrSevered // the dead file would take it all
	}
	return t.queues[v.Queue%len(t.queues)].send(v)
}

// Interrupt implements Port.
func (t *TUN) Interrupt() {
	t.stopped.Store(true)
	for _, q := range t.queues {
		q.sleep.interrupt()
	}
}

// Close implements Port. The kernel takes about 20 ms.
func (t *TUN) Close() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.close())
	}
	return err
}

// Sever implements Port: a dead file takes each descriptor's place, so the
// device goes although the numbers are still in use.
func (t *TUN) Sever() (err error) {
	t.severed.Store(true)
	t.Interrupt() // dup3 wakes nobody
	for _, q := range t.queues {
		err = errors.Join(err, q.sever())
	}
	if err != nil {
		return fmt.Errorf("sever %s: %w", t.name, err)
	}
	return nil
}

// bury puts a dead file in the place of what fd is.
func bury(fd int) error {
	dead, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dead)
	return unix.Dup3(dead, fd, unix.O_CLOEXEC)
}

// Probe asks the descriptor, the only judge of its device: nil is up, ErrDown
// and ErrGone are what they say. It may be called at any time.
func (t *TUN) Probe() error {
	err := ErrGone // of a closed file
	_ = t.queues[0].control(func(fd int) { err = probe(fd) })
	return err
}

// probe writes nothing, which a device that is there refuses as no packet, and
// a dead file takes. It does so up or down; but only one that is up can be
// written to (tun_chr_poll in Linux's drivers/net/tun.c).
func probe(fd int) error {
	if _, err := unix.Write(fd, nil); err == nil || errors.Is(err, unix.EBADFD) {
		return ErrGone
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		if _, err := unix.Poll(fds, 0); err == nil {
			break
		} else if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("probe: %w", err)
		}
	}
	switch ready := fds[0].Revents; {
	case ready&unix.POLLERR != 0:
		return ErrGone
	case ready&unix.POLLOUT == 0:
		return ErrDown
	}
	return nil
}

// Locate tells the device's name now and the network namespace it is in now.
// The caller closes ns.
func (t *TUN) Locate() (name string, ns *os.File, err error) {
	e := t.queues[0].control(func(fd int) {
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(""); err != nil {
			return
		}
		if err = unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
			return
		}
		name = ifr.Name()
		var nsfd int
		if nsfd, err = unix.IoctlRetInt(fd, unix.TUNGETDEVNETNS); err == nil {
			ns = os.NewFile(uintptr(nsfd), "netns of "+name)
		}
	})
	return name, ns, errors.Join(e, err)
}

func (t *TUN) flags() (flags uint16, err error) {
	e := t.queues[0].control(func(fd int) {
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(""); err != nil {
			return
		}
		if err = unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err == nil {
			flags = ifr.Uint16()
		}
	})
	return flags, errors.Join(e, err)
}

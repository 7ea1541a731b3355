package link

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

const tunPath = "/dev/net/tun"

// tunOffloads is what we let the kernel leave undone when it hands us packets:
// checksums and segmentation, which the way out will have done.
const (
	tunOffloads    = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	tunUDPOffloads = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

var (
	// ErrBusy means that the device exists already, or is attached to another
	// process.
	ErrBusy = errors.New("device is busy")
	// ErrNotExist means that there is no such persistent device.
	ErrNotExist = errors.New("no such device")
)

// A TUN is a Linux TUN device: a Port whose other end is the kernel's network
// stack. wireguard/tun takes the descriptor into a file and sets it up; packets
// are read and written by its number, virtio-net header included.
type TUN struct {
	file *os.File // made by wireguard/tun; the only owner of the descriptor
	raw  syscall.RawConn
	fd   int // valid until Close, which waits for a grace period
	name string

	frames bool // a TAP's: packets begin with their Ethernet header

	rx      func(fd uintptr) bool // receive, bound once
	batch   *Batch                // of the Recv in progress
	err     error                 // likewise
	stopped atomic.Bool
	severed atomic.Bool
}

// CreateTUN makes a TUN device in the caller's network namespace. A name with
// %d in it is completed by the kernel. The device goes when the port closes.
func CreateTUN(name string) (*TUN, error) {
	t, err := openTUN(name, unix.IFF_TUN|unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, fmt.Errorf("create tun %s: %w", name, err)
	}
	return t, nil
}

// AttachTUN takes a persistent TUN device that exists in the caller's network
// namespace. The device stays when the port closes.
func AttachTUN(name string) (*TUN, error) {
	t, err := attach(name, unix.IFF_TUN)
	if err != nil {
		return nil, fmt.Errorf("attach tun %s: %w", name, err)
	}
	return t, nil
}

func attach(name string, kind uint16) (*TUN, error) {
	if err := exists(name); err != nil {
		return nil, err
	}
	t, err := openTUN(name, kind)
	if errors.Is(err, unix.EINVAL) { // made with multi_queue
		t, err = openTUN(name, kind|unix.IFF_MULTI_QUEUE)
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

func openTUN(name string, flags uint16) (*TUN, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, explainOpen(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	ifr.SetUint16(unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, explainSetIff(err)
	}
	t, err := newTUN(fd)
	if err == nil {
		t.frames = flags&unix.IFF_TAP != 0
	}
	return t, err
}

// newTUN takes fd.
func newTUN(fd int) (*TUN, error) {
	dev, name, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		// The library has lost an os.File that closes the number when it is
		// collected; it must not be anyone else's by then. The device goes now.
		return nil, errors.Join(err, bury(fd))
	}
	// Only the file is kept: the rest of the Device is buffers of its own reads
	// and writes, a quarter of a megabyte each.
	t := &TUN{file: dev.File(), fd: fd, name: name}
	t.rx = t.receive
	// The library asks for offloads without ECN; a kernel older than 6.2 has no
	// USO, and then cuts UDP itself.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunOffloads|tunUDPOffloads); err != nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunOffloads)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("set offloads: %w", err), t.file.Close())
		}
	}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	return t, nil
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

// Name is what the kernel called the device when it was opened.
func (t *TUN) Name() string { return t.name }

// Recv implements Receiver. One goroutine at a time.
func (t *TUN) Recv(b *Batch) error {
	t.batch, t.err = b, nil
	if err := t.raw.Read(t.rx); err != nil {
		if t.stopped.Load() || errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrInterrupted
		}
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return t.err
}

// receive reads until nothing waits or the batch is full. It reports false to
// sleep until the descriptor is readable, holding no arena meanwhile.
func (t *TUN) receive(fd uintptr) bool {
	b := t.batch
	b.begin()
	for b.room() {
		p := b.arena.next(MaxFrame)
		h := p.buf[Headroom-vnetHeaderSize:]
		n, err := read(int(fd), h)
		if err != nil {
			return t.received(b, err)
		}
		p.end = Headroom + n - vnetHeaderSize
		if n < vnetHeaderSize {
			p.end = Headroom
			p.Offload.spoil()
		} else {
			t.decode(p, h)
		}
		b.arena.keep(p)
		b.Push(p)
	}
	return true
}

// decode reads the virtio-net header h that came with p.
func (t *TUN) decode(p *Packet, h []byte) {
	if !t.frames {
		p.Offload.decode(h, p.Bytes(), 0)
		return
	}
	p.Offload.decode(h, p.Bytes(), networkOffset(p.Bytes()))
	p.popPriorityTag()
}

// read is a read that no signal ends: who then sleeps until the descriptor is
// readable is not told of what was there already.
func read(fd int, b []byte) (n int, err error) {
	for {
		n, err = unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case n == 0 && err == nil: // severed: a dead file has nothing to say
			return 0, unix.EBADFD
		default:
			return n, err
		}
	}
}

// received ends a round of reads by the error that ended it.
func (t *TUN) received(b *Batch, err error) (done bool) {
	switch {
	case b.Len() > 0:
		// Whatever it is, it is there again at the next Recv.
		return true
	case errors.Is(err, unix.EAGAIN):
		b.End()
		return false
	case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EBADF):
		t.err = ErrGone
	case errors.Is(err, unix.EIO):
		t.err = ErrDown
	default:
		t.err = fmt.Errorf("read %s: %w", t.name, err)
	}
	b.End()
	return true
}

// Send implements Sender.
func (t *TUN) Send(v *Vector) error {
	if t.severed.Load() {
		return ErrSevered // the dead file would take it all
	}
	return v.each(t.write)
}

func (t *TUN) write(p *Packet) error {
	p.Offload.encode(p.buf[p.off-vnetHeaderSize : p.off])
	_, err := unix.Write(t.fd, p.buf[p.off-vnetHeaderSize:p.end])
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBADFD):
		return ErrGone
	case errors.Is(err, unix.EIO):
		return ErrDown
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return ErrFull
	}
	return fmt.Errorf("%w: %w", ErrRejected, err)
}

// Interrupt implements Port.
func (t *TUN) Interrupt() {
	t.stopped.Store(true)
	// A deadline in the past wakes a parked reader and refuses later ones. It
	// fails only on a closed file, which has no readers.
	_ = t.file.SetReadDeadline(time.Unix(1, 0))
}

// Close implements Port. The kernel takes about 20 ms.
func (t *TUN) Close() error { return t.file.Close() }

// Sever implements Port: a dead file takes the descriptor's place, so the
// device goes although its number is still in use.
func (t *TUN) Sever() error {
	t.severed.Store(true)
	t.Interrupt() // dup3 wakes nobody
	// Through the file, so that the number can't be closed meanwhile. If it was
	// closed already, so is the device.
	var err error
	if t.raw.Control(func(fd uintptr) { err = bury(int(fd)) }) != nil || err == nil {
		return nil
	}
	return fmt.Errorf("sever %s: %w", t.name, err)
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
	_ = t.raw.Control(func(fd uintptr) { err = probe(int(fd)) })
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
	e := t.raw.Control(func(fd uintptr) {
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(""); err != nil {
			return
		}
		if err = unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); err != nil {
			return
		}
		name = ifr.Name()
		var nsfd int
		if nsfd, err = unix.IoctlRetInt(int(fd), unix.TUNGETDEVNETNS); err == nil {
			ns = os.NewFile(uintptr(nsfd), "netns of "+name)
		}
	})
	return name, ns, errors.Join(e, err)
}

func (t *TUN) flags() (flags uint16, err error) {
	e := t.raw.Control(func(fd uintptr) {
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(""); err != nil {
			return
		}
		if err = unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr); err == nil {
			flags = ifr.Uint16()
		}
	})
	return flags, errors.Join(e, err)
}

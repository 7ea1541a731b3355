package link

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// tunOffloads is what we let the kernel leave undone when it hands us packets:
// checksums and segmentation, which the way out will have done.
const (
	tunOffloads    = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	tunUDPOffloads = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

// maxPolls is how often an empty descriptor is asked again, at most, before the
// worker sleeps: to sleep and be woken costs about as much as ten of these.
const maxPolls = 10

// A queue is one descriptor of a TUN device, and the Receiver of it. Packets are
// read and written by its number, virtio-net header included.
type queue struct {
	t     *TUN
	fd    int // valid until close, which waits for a grace period
	sleep *sleeper
	runs  bool // the device takes superframes of UDP

	// Who asks the device is on another goroutine than who closes it, and when it is
	// closed its name must be free. Never taken per batch.
	mu     sync.Mutex
	closed bool

	ready func(ep uintptr) bool // receive, bound once
	batch *Batch                // of the Recv in progress
	err   error                 // likewise
	polls int                   // left before it sleeps
}

// newQueue takes fd. It returns the device's name.
func newQueue(t *TUN, fd int) (*queue, string, error) {
	dev, name, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		// The library has lost an os.File that closes the number when it is
		// collected; it must not be anyone else's by then. The device goes now.
		return nil, "", errors.Join(err, bury(fd))
	}
	q := &queue{t: t}
	q.ready = q.receive
	// Nothing is kept of the Device: it has buffers of its own, a quarter of a
	// megabyte each, and has told Go's poller of the descriptor.
	if q.fd, err = adopt(dev.File()); err != nil {
		return nil, "", err
	}
	// The library asks for offloads without ECN; a kernel older than 6.2 has no
	// USO, and then cuts UDP itself.
	q.runs = true
	if err := unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, tunOffloads|tunUDPOffloads); err != nil {
		q.runs = false
		err = unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, tunOffloads)
		if err != nil {
			return nil, "", errors.Join(fmt.Errorf("set offloads: %w", err), unix.Close(q.fd))
		}
	}
	if q.sleep, err = newSleeper(q.fd); err != nil {
		return nil, "", errors.Join(err, unix.Close(q.fd))
	}
	return q, name, nil
}

// adopt takes f, and returns another descriptor of the same device.
func adopt(f *os.File) (fd int, err error) {
	defer f.Close() // the other one keeps the device
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	e := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(e, err)
}

// Recv implements Receiver. One goroutine at a time.
func (q *queue) Recv(b *Batch) error {
	q.batch, q.err = b, nil
	if err := q.sleep.until(q.ready); err != nil {
		q.err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	if q.err != nil && q.t.stopped.Load() {
		return ErrInterrupted // whatever came first
	}
	// After a batch it asks again as often as that had packets: where many come,
	// more come at once, and asking costs a tenth of a packet. Idle ones sleep.
	q.polls = min(b.Len(), maxPolls)
	return q.err
}

// receive reads until nothing waits or the batch is full. It reports false to
// sleep until the descriptor is readable, holding no arena meanwhile.
func (q *queue) receive(ep uintptr) bool {
	b := q.batch
	b.begin()
	for b.room() {
		p := b.arena.next(MaxFrame)
		h := p.buf[Headroom-vnetHeaderSize:]
		n, err := rawRead(q.fd, h)
		if errors.Is(err, unix.EAGAIN) && b.Len() == 0 && q.polls > 0 && !q.t.stopped.Load() {
			q.polls--
			continue
		}
		if err != nil {
			return q.received(int(ep), err)
		}
		p.end = Headroom + n - vnetHeaderSize
		if n < vnetHeaderSize {
			p.end = Headroom
			p.Offload.spoil()
		} else {
			q.t.decode(p, h)
		}
		b.arena.keep(p)
		b.Push(p)
	}
	return q.received(int(ep), nil)
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

// received ends a round of reads by the error that ended it.
func (q *queue) received(ep int, err error) (done bool) {
	if q.batch.Len() > 0 {
		// Whatever it is, it is there again at the next Recv.
		_ = q.sleep.busy(ep, q.fd)
		return true
	}
	q.batch.End()
	if errors.Is(err, unix.EAGAIN) {
		if err = q.sleep.sleepy(ep, q.fd); err == nil {
			return false
		}
	}
	switch {
	case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EBADF):
		q.err = ErrGone
	case errors.Is(err, unix.EIO):
		q.err = ErrDown
	default:
		q.err = fmt.Errorf("read %s: %w", q.t.name, err)
	}
	return true
}

// send takes the packets out of v that the device took, and returns why the last
// of the others was not.
func (q *queue) send(v *Vector) (last error) {
	rest := v.pkts[:v.n]
	v.n = 0
	for len(rest) > 0 {
		n := 1
		if q.runs {
			n = follow(rest, q.t.frames)
		}
		if err := q.write(rest[:n]); err != nil {
			last = err
			v.n += copy(v.pkts[v.n:], rest[:n])
		}
		rest = rest[n:]
	}
	return last
}

func (q *queue) write(run []*Packet) error {
	var err error
	if p := run[0]; len(run) == 1 {
		p.Offload.encode(p.buf[p.off-vnetHeaderSize : p.off])
		err = rawWrite(q.fd, p.buf[p.off-vnetHeaderSize:p.end])
	} else {
		err = q.writeTogether(run)
	}
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
	return ErrRejected
}

func (q *queue) writeTogether(run []*Packet) error {
	var room [VectorSize]unix.Iovec
	defer part(run)
	return rawWritev(q.fd, join(room[:0], run))
}

// control calls fn with the descriptor, which can't be closed meanwhile; it fails
// if it is closed already.
func (q *queue) control(fn func(fd int)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return os.ErrClosed
	}
	fn(q.fd)
	return nil
}

// close is done when the device has let go of the descriptor.
func (q *queue) close() error {
	if err := q.control(func(int) { q.closed = true }); err != nil {
		return err
	}
	return errors.Join(q.sleep.close(), unix.Close(q.fd))
}

// sever puts a dead file in the descriptor's place. If it was closed already, so
// is the device.
func (q *queue) sever() (err error) {
	_ = q.control(func(fd int) { err = bury(fd) })
	return err
}

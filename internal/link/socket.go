package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// packetBuffer is what the kernel may hold of frames that are larger than a slot
// of the ring, and of what is on its way out.
const packetBuffer = 8 << 20

// A socket is one queue of a packet port, and the Receiver of it.
type socket struct {
	s     *PacketSocket
	file  *os.File // the only owner of the descriptor, which Go's poller does not know
	raw   syscall.RawConn
	fd    int // valid until close, which waits for a grace period
	ring  *ring
	sleep *sleeper

	missed uint64 // of whoever asks

	rx    func(ep uintptr) bool // receive, bound once
	batch *Batch                // of the Recv in progress
	err   error                 // likewise
}

// openSocket makes a socket that is deaf until it has a filter that is not.
func openSocket(s *PacketSocket) (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("CAP_NET_RAW is needed: %w", err)
	}
	if err != nil {
		return nil, err
	}
	q := &socket{s: s, file: os.NewFile(uintptr(fd), "link "+s.name), fd: fd}
	q.rx = q.receive
	if err := q.setUp(); err != nil {
		return nil, errors.Join(err, q.close())
	}
	return q, nil
}

func (q *socket) setUp() (err error) {
	if q.raw, err = q.file.SyscallConn(); err != nil {
		return err
	}
	// What we send is not to come back; superframes pass whole.
	for _, opt := range []int{unix.PACKET_IGNORE_OUTGOING, unix.PACKET_VNET_HDR} {
		if err := unix.SetsockoptInt(q.fd, unix.SOL_PACKET, opt, 1); err != nil {
			return fmt.Errorf("set option %d: %w", opt, err)
		}
	}
	growBuffers(q.fd)
	if err := q.filter(hearNothing); err != nil {
		return err
	}
	if q.ring, err = openRing(q.fd); err != nil {
		return fmt.Errorf("make ring: %w", err)
	}
	q.sleep, err = newSleeper(q.fd)
	return err
}

// growBuffers asks for what CAP_NET_ADMIN permits, or else the system.
func growBuffers(fd int) {
	for force, opt := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, packetBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, packetBuffer) // takes less, and never fails
		}
	}
}

// packetType is where a filter finds whether a frame was sent: SKF_AD_PKTTYPE.
const packetType = 0xfffff004

// Filters of what a socket gets, in classic BPF. A socket of several hears all of its link from
// when it is bound until it is one of them; and until Linux 5.18 such sockets hear
// what is sent, whatever they say.
var (
	hearNothing  = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	hearIncoming = []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.PACKET_OUTGOING, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
)

// filter puts a filter in the place of the one before it.
func (q *socket) filter(program []unix.SockFilter) error {
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(q.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &f); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	return nil
}

// bind binds the socket to a link.
func (q *socket) bind(index int) error {
	err := unix.Bind(q.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
	if errors.Is(err, unix.ENODEV) {
		return ErrNotExist // went a moment ago
	}
	if err != nil {
		return err
	}
	// One that is down says so, once.
	_, err = unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err
}

// fanOut has each frame come in on one of several sockets. Which one says a hash of
// addresses, protocol and ports behind all tags and a PPPoE header; fragments have
// no ports, so that those of a packet stay together (__skb_get_hash_symmetric and
// __skb_flow_dissect in Linux's net/core/flow_dissector.c). What has no flow that
// the kernel knows of, as PPPoE's own packets, comes in on one of them.
func fanOut(sockets []*socket) error {
	if len(sockets) == 1 {
		return nil
	}
	const outgoing = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	group := (outgoing | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
	for _, q := range sockets {
		if err := unix.SetsockoptInt(q.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group); err != nil {
			return err
		}
		id, err := unix.GetsockoptInt(q.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		if err != nil {
			return err
		}
		group = outgoing<<16 | id&0xffff // the first has chosen it, for this namespace
	}
	return nil
}

// Recv implements Receiver. One goroutine at a time. The end of the link wakes
// nobody: whoever hears of it asks with Probe, and interrupts.
func (q *socket) Recv(b *Batch) error {
	q.batch, q.err = b, nil
	if err := q.sleep.until(q.rx); err != nil {
		q.err = err
	}
	switch {
	case q.err == nil:
		return nil
	case q.s.stopped.Load():
		return ErrInterrupted
	}
	return fmt.Errorf("%w: %w", ErrGone, q.err)
}

// receive takes frames until none waits or the batch is full. It reports false to
// sleep until there are some, holding no arena meanwhile.
func (q *socket) receive(ep uintptr) bool {
	b := q.batch
	b.begin()
	for b.room() {
		in, ok := q.ring.peek()
		if !ok {
			break
		}
		take(b, in, q.fd)
		q.ring.free(in)
	}
	if b.Len() > 0 {
		_ = q.sleep.busy(int(ep), q.fd) // whatever it is, it is there again when it sleeps
		return true
	}
	b.End()
	q.err = q.sleep.sleepy(int(ep), q.fd)
	return q.err != nil
}

// take copies a frame into the batch. One that is in neither place whole is cut:
// the queue was full.
func take(b *Batch, in slot, fd int) {
	p := b.arena.next(MaxFrame)
	h := p.buf[Headroom-vnetHeaderSize:]
	n := 0
	if in.queued() {
		n = readQueued(fd, h)
	} else {
		n = copy(h, in.bytes())
	}
	if n < vnetHeaderSize+etherHeader {
		return
	}
	p.end = Headroom + n - vnetHeaderSize
	p.Offload.decode(h, p.Bytes(), networkOffset(p.Bytes()))
	if tpid, tci, ok := in.tag(); ok {
		p.pushTag(tpid, tci)
	}
	p.popPriorityTag()
	b.arena.keep(p)
	b.Push(p)
}

// send sends what it can, as Sender's Send does.
func (q *socket) send(v *Vector) error {
	var last error
	rest := v.pkts[:v.n]
	v.n = 0
	for pardon := true; len(rest) > 0; {
		n, refused, err := sendmmsg(q.fd, rest, !q.s.single.Load())
		rest = rest[n:]
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENETDOWN) && pardon:
			pardon = false // it may be about a moment ago: the socket keeps an error until it is told
		case errors.Is(err, unix.EINVAL) && refused > 1:
			q.s.single.Store(true) // Linux before 6.2 has no superframes of UDP
		default:
			last = refusal(err)
			left := refused // the others may be better packets
			if !errors.Is(last, ErrRejected) {
				left = len(rest)
			}
			v.n += copy(v.pkts[v.n:], rest[:left])
			rest = rest[left:]
		}
	}
	return last
}

// refusal says why the kernel did not take a packet.
func refusal(err error) error {
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOTSOCK):
		return ErrGone
	case errors.Is(err, unix.ENETDOWN):
		return ErrDown
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return ErrFull
	}
	return ErrRejected
}

// count asks the kernel how many frames it had no room for since it was last asked.
func (q *socket) count() uint64 {
	_ = q.raw.Control(func(fd uintptr) { // fails only on a closed file, which gets no more
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			q.missed += uint64(s.Drops)
		}
	})
	return q.missed
}

func (q *socket) interrupt() { q.sleep.interrupt() }

func (q *socket) close() error {
	var err error
	if q.ring != nil {
		err = q.ring.close()
		q.ring = nil // the address may be another's soon
	}
	if q.sleep != nil {
		err = errors.Join(err, q.sleep.close())
	}
	return errors.Join(err, q.file.Close())
}

// sever puts dead things in the place of the descriptor and the ring. If it was
// closed already, it is as dead as it gets.
func (q *socket) sever() (err error) {
	_ = q.raw.Control(func(fd uintptr) { err = errors.Join(bury(int(fd)), q.ring.sever()) })
	return err
}

// networkOrder turns a number around, unless it lies right in memory already.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

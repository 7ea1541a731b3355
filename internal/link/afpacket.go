package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// packetBuffer is what the kernel may hold of frames that are larger than a slot
// of the ring, and of what is on its way out.
const packetBuffer = 8 << 20

// A PacketSocket is an Ethernet port on a link of the kernel's, packet(7). It sees
// what the link receives before the kernel's own stack does, and beside it. One
// is for one incarnation of the link: when that is deleted or moves to another
// namespace, the port is gone, whatever comes under its name.
type PacketSocket struct {
	file *os.File // the only owner of the descriptor
	raw  syscall.RawConn
	fd   int // valid until Close, which waits for a grace period
	name string
	ring *ring
	more []*PacketSocket // that share what is received, see spread; only the first one sends

	own bool          // has a MAC of its own, not the link's
	mac atomic.Uint64 // the last six bytes

	rx      func(fd uintptr) bool // receive, bound once
	batch   *Batch                // of the Recv in progress
	stopped atomic.Bool
	severed atomic.Bool
}

// OpenPacketSocket opens a link in the caller's network namespace, with so many
// queues. A MAC of zero is the link's own; with another the router is a node of its
// own on that link. Needs CAP_NET_RAW.
func OpenPacketSocket(name string, mac [6]byte, queues int) (*PacketSocket, error) {
	s, err := openPacketSocket(name, mac, queues)
	if err != nil {
		return nil, fmt.Errorf("open link %s: %w", name, err)
	}
	return s, nil
}

func openPacketSocket(name string, mac [6]byte, queues int) (*PacketSocket, error) {
	s, err := newPacketSocket(name)
	if err != nil {
		return nil, err
	}
	s.own = mac != [6]byte{}
	s.noteMAC(mac)
	index, err := s.listen()
	if err == nil {
		err = s.join(index)
	}
	if err == nil {
		err = s.spread(queues)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newPacketSocket makes a socket that is deaf.
func newPacketSocket(name string) (*PacketSocket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("CAP_NET_RAW is needed: %w", err)
	}
	if err != nil {
		return nil, err
	}
	s := &PacketSocket{file: os.NewFile(uintptr(fd), "link "+name), fd: fd, name: name}
	s.rx = s.receive
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// listen has it hear the link, whose number it returns.
func (s *PacketSocket) listen() (index int, err error) {
	if index, err = indexOf(s.fd, s.name); err != nil {
		return 0, err
	}
	// What we send is not to come back; superframes pass whole.
	for _, opt := range []int{unix.PACKET_IGNORE_OUTGOING, unix.PACKET_VNET_HDR} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, opt, 1); err != nil {
			return 0, fmt.Errorf("set option %d: %w", opt, err)
		}
	}
	growBuffers(s.fd)
	if s.ring, err = openRing(s.fd); err != nil {
		return 0, fmt.Errorf("make ring: %w", err)
	}
	// Deaf until now: nothing of other links is in the ring.
	err = unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
	if errors.Is(err, unix.ENODEV) {
		return 0, ErrNotExist // went a moment ago
	}
	if err != nil {
		return 0, err
	}
	// One that is down says so, once.
	_, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return index, err
}

// indexOf finds a link in the socket's own namespace.
func indexOf(fd int, name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("name %q: %w", name, err)
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr)
	if errors.Is(err, unix.ENODEV) {
		return 0, ErrNotExist
	}
	return int(ifr.Uint32()), err
}

// growBuffers asks for what CAP_NET_ADMIN permits, or else the system.
func growBuffers(fd int) {
	for force, opt := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, packetBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, packetBuffer) // takes less, and never fails
		}
	}
}

// join has the link pass up what is for the router: groups, as the kernel that is
// silenced joins none, and the MAC that is not the link's.
func (s *PacketSocket) join(index int) error {
	if _, err := s.refresh(); err != nil {
		return err
	}
	all := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI}
	if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &all); err != nil {
		return fmt.Errorf("hear all groups: %w", err)
	}
	if !s.own {
		return nil
	}
	mac := s.HardwareAddr()
	one := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_UNICAST, Alen: uint16(len(mac))}
	copy(one.Address[:], mac[:])
	if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &one); err != nil {
		return fmt.Errorf("hear %x: %w", mac, err)
	}
	return nil
}

// refresh asks the kernel for the link's number, and notes its address.
func (s *PacketSocket) refresh() (index int, err error) {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return 0, err
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	switch {
	case !ok, ll.Ifindex < 0, ll.Halen == 0 && ll.Hatype == 0:
		return 0, ErrGone // a number without a link is one that was
	case ll.Hatype != unix.ARPHRD_ETHER:
		return 0, errors.New("it is no Ethernet link")
	}
	if !s.own {
		s.noteMAC([6]byte(ll.Addr[:6]))
	}
	return ll.Ifindex, nil
}

func (s *PacketSocket) noteMAC(mac [6]byte) {
	var b [8]byte
	copy(b[2:], mac[:])
	s.mac.Store(binary.BigEndian.Uint64(b[:]))
}

// HardwareAddr implements Ethernet. That of the link is as at the last Probe.
func (s *PacketSocket) HardwareAddr() (mac [6]byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], s.mac.Load())
	return [6]byte(b[2:])
}

// Name is the link's name when it was opened.
func (s *PacketSocket) Name() string { return s.name }

// Recv implements Receiver. One goroutine at a time. The end of the link wakes
// nobody: whoever hears of it asks with Probe, and interrupts.
func (s *PacketSocket) Recv(b *Batch) error {
	s.batch = b
	if err := s.raw.Read(s.rx); err != nil {
		if s.stopped.Load() || errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrInterrupted
		}
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// receive takes frames until none waits or the batch is full. It reports false to
// sleep until there are some, holding no arena meanwhile.
func (s *PacketSocket) receive(fd uintptr) bool {
	b := s.batch
	b.begin()
	for b.room() {
		in, ok := s.ring.peek()
		if !ok {
			break
		}
		s.take(b, in, int(fd))
		s.ring.free(in)
	}
	if b.Len() == 0 {
		b.End()
		return false
	}
	return true
}

// take copies a frame into the batch. One that is in neither place whole is cut:
// the queue was full.
func (s *PacketSocket) take(b *Batch, in slot, fd int) {
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

// Send implements Sender.
func (s *PacketSocket) Send(v *Vector) error {
	if s.severed.Load() {
		return ErrSevered
	}
	var last error
	rest := v.pkts[:v.n]
	v.n = 0
	for pardon := true; len(rest) > 0; {
		n, err := sendmmsg(s.fd, rest)
		rest = rest[n:]
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENETDOWN) && pardon:
			pardon = false // it may be about a moment ago: the socket keeps an error until it is told
		default:
			last = refusal(err)
			left := 1 // the others may be better packets
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

// Interrupt implements Port.
func (s *PacketSocket) Interrupt() { _ = s.every((*PacketSocket).interrupt) } // never fails

func (s *PacketSocket) interrupt() error {
	s.stopped.Store(true)
	_ = s.file.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which has no readers
	return nil
}

// Close implements Port. The link stays.
func (s *PacketSocket) Close() error { return s.every((*PacketSocket).close) }

func (s *PacketSocket) close() error {
	var err error
	if s.ring != nil {
		err = s.ring.close()
		s.ring = nil // the address may be another's soon
	}
	return errors.Join(err, s.file.Close())
}

// Sever implements Port: a dead file takes the descriptor's place.
func (s *PacketSocket) Sever() error { return s.every((*PacketSocket).sever) }

func (s *PacketSocket) sever() error {
	s.severed.Store(true)
	_ = s.interrupt() // never fails
	err := os.ErrClosed
	if s.raw.Control(func(fd uintptr) { err = errors.Join(bury(int(fd)), s.ring.sever()) }) != nil || err == nil {
		return nil // closed is as dead as it gets
	}
	return fmt.Errorf("sever %s: %w", s.name, err)
}

// Probe asks the descriptor, the only judge of its link: nil is up and running,
// ErrDown and ErrGone are what they say. It may be called at any time.
func (s *PacketSocket) Probe() error {
	const running = unix.IFF_UP | unix.IFF_RUNNING
	_, flags, err := s.look()
	switch {
	case err != nil:
		return ErrGone
	case flags&running != running:
		return ErrDown
	}
	return nil
}

// Locate tells the link's name now, and the caller's network namespace, which it
// never leaves. The caller closes ns.
func (s *PacketSocket) Locate() (name string, ns *os.File, err error) {
	name, _, err = s.look()
	if err != nil {
		return "", nil, err
	}
	ns, err = os.Open("/proc/thread-self/ns/net")
	return name, ns, err
}

// look asks for the link's name and flags, and notes its address.
func (s *PacketSocket) look() (name string, flags uint16, err error) {
	closed := s.raw.Control(func(fd uintptr) {
		for { // until it was not renamed in between
			var index int
			if index, err = s.refresh(); err != nil {
				return
			}
			var ifr *unix.Ifreq
			if ifr, err = unix.NewIfreq(""); err != nil {
				return
			}
			ifr.SetUint32(uint32(index))
			if err = unix.IoctlIfreq(int(fd), unix.SIOCGIFNAME, ifr); err != nil {
				return
			}
			name = ifr.Name()
			if err = unix.IoctlIfreq(int(fd), unix.SIOCGIFFLAGS, ifr); !errors.Is(err, unix.ENODEV) {
				flags = ifr.Uint16()
				return
			}
		}
	})
	return name, flags, errors.Join(closed, err)
}

// networkOrder turns a number around, unless it lies right in memory already.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

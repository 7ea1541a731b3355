package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A PacketSocket is an Ethernet port on a link of the kernel's, packet(7). It sees
// what the link receives before the kernel's own stack does, and beside it. It has
// one queue or several, each a socket with a Receiver; the kernel keeps a flow on
// one of them. It is for one incarnation of the link: when that is deleted or moves
// to another namespace, the port is gone, whatever comes under its name.
type PacketSocket struct {
	name   string
	queues []*socket

	own bool          // has a MAC of its own, not the link's
	mac atomic.Uint64 // the last six bytes

	stopped atomic.Bool
	severed atomic.Bool
	single  atomic.Bool // the kernel takes no runs
}

// OpenPacketSocket opens a link in the caller's network namespace, with so many
// queues. A MAC of zero is the link's own; with another the router is a node of its
// own on that link. Needs CAP_NET_RAW.
func OpenPacketSocket(name string, mac [6]byte, queues int) (*PacketSocket, error) {
	s := &PacketSocket{name: name, own: mac != [6]byte{}}
	s.noteMAC(mac)
	if err := s.open(queues); err != nil {
		return nil, fmt.Errorf("open link %s: %w", name, errors.Join(err, s.Close()))
	}
	return s, nil
}

func (s *PacketSocket) open(queues int) error {
	for range queues {
		q, err := openSocket(s)
		if err != nil {
			return err
		}
		s.queues = append(s.queues, q)
	}
	index, err := indexOf(s.queues[0].fd, s.name)
	if err != nil {
		return err
	}
	for _, q := range s.queues {
		if err := q.bind(index); err != nil {
			return err
		}
	}
	if err := fanOut(s.queues); err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	if err := s.join(index); err != nil {
		return err
	}
	for _, q := range s.queues {
		if err := q.filter(hearIncoming); err != nil {
			return err
		}
	}
	return nil
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

// join has the link pass up what is for the router: groups, as the kernel that is
// silenced joins none, and the MAC that is not the link's.
func (s *PacketSocket) join(index int) error {
	fd := s.queues[0].fd
	if _, err := s.refresh(fd); err != nil {
		return err
	}
	all := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_ALLMULTI}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &all); err != nil {
		return fmt.Errorf("hear all groups: %w", err)
	}
	if !s.own {
		return nil
	}
	mac := s.HardwareAddr()
	one := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_UNICAST, Alen: uint16(len(mac))}
	copy(one.Address[:], mac[:])
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &one); err != nil {
		return fmt.Errorf("hear %x: %w", mac, err)
	}
	return nil
}

// refresh asks the kernel for the link's number, and notes its address.
func (s *PacketSocket) refresh(fd int) (index int, err error) {
	sa, err := unix.Getsockname(fd)
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

// Receivers implements Queued.
func (s *PacketSocket) Receivers() []Receiver {
	all := make([]Receiver, len(s.queues))
	for i, q := range s.queues {
		all[i] = q
	}
	return all
}

// Recv implements Receiver for a port with one queue.
func (s *PacketSocket) Recv(b *Batch) error { return s.queues[0].Recv(b) }

// Send implements Sender.
func (s *PacketSocket) Send(v *Vector) error {
	if s.severed.Load() {
		return ErrSevered
	}
	return s.queues[v.Queue%len(s.queues)].send(v)
}

// Missed is how many frames the kernel had no room for, so far: they came faster than
// they were read. One goroutine at a time.
func (s *PacketSocket) Missed() (n uint64) {
	for _, q := range s.queues {
		n += q.count()
	}
	return n
}

// Interrupt implements Port.
func (s *PacketSocket) Interrupt() {
	s.stopped.Store(true)
	for _, q := range s.queues {
		q.interrupt()
	}
}

// Close implements Port. The link stays.
func (s *PacketSocket) Close() (err error) {
	for _, q := range s.queues {
		err = errors.Join(err, q.close())
	}
	return err
}

// Sever implements Port: a dead file takes each descriptor's place.
func (s *PacketSocket) Sever() (err error) {
	s.severed.Store(true)
	s.Interrupt()
	for _, q := range s.queues {
		err = errors.Join(err, q.sever())
	}
	if err != nil {
		return fmt.Errorf("sever %s: %w", s.name, err)
	}
	return nil
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
	closed := s.queues[0].raw.Control(func(fd uintptr) {
		for { // until it was not renamed in between
			var index int
			if index, err = s.refresh(int(fd)); err != nil {
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

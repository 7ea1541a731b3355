package link

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// spread adds sockets, so that there are so many, each with a ring, and has the kernel
// share out among them what the link receives: each flow to one. It tells the flows
// within a PPPoE session apart, and those in a VLAN.
func (s *PacketSocket) spread(queues int) error {
	if queues <= 1 {
		return nil
	}
	const alone = 0x2000 // PACKET_FANOUT_FLAG_UNIQUEID of linux/if_packet.h: nobody else's group
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, (unix.PACKET_FANOUT_HASH|alone)<<16); err != nil {
		return fmt.Errorf("make a group: %w", err)
	}
	group, err := unix.GetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return fmt.Errorf("ask for the group: %w", err)
	}
	for range queues - 1 {
		q, err := newPacketSocket(s.name)
		if err != nil {
			return err
		}
		s.more = append(s.more, q)
		if err := q.enroll(group & 0xffff); err != nil {
			return err
		}
	}
	return nil
}

// enroll opens the link, and joins a group. Until then it hears nothing, or what is
// the others' would come twice.
func (s *PacketSocket) enroll(group int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K} // of every frame, zero bytes
	err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	if err != nil {
		return fmt.Errorf("attach a filter: %w", err)
	}
	if _, err := s.listen(); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|unix.PACKET_FANOUT_HASH<<16); err != nil {
		return fmt.Errorf("join the group: %w", err)
	}
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
}

// Receivers implements Queued.
func (s *PacketSocket) Receivers() []Receiver {
	all := []Receiver{s}
	for _, q := range s.more {
		all = append(all, q)
	}
	return all
}

// every calls fn with each of the sockets.
func (s *PacketSocket) every(fn func(*PacketSocket) error) error {
	err := fn(s)
	for _, q := range s.more {
		err = errors.Join(err, fn(q))
	}
	return err
}

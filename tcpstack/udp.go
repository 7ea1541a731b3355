package tcpstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

const (
	socketDatagrams = 1024    // that wait to be read
	socketBytes     = 1 << 20 // of these
	maxDatagram     = 1<<16 - 1 - header.UDPSize
)

// A Peer is who sent a datagram, and the address of the router that it was sent to:
// what is written to a Peer leaves from there. It implements net.Addr.
type Peer struct {
	netip.AddrPort
	At netip.Addr
}

// Network implements net.Addr.
func (Peer) Network() string { return "udp6" }

// A datagram is what came, and from whom.
type datagram struct {
	from Peer
	data []byte
}

// A Socket takes datagrams to a port. It implements net.PacketConn. UDP has no state
// that would be worth gVisor's: what comes waits here until it is read, and what is
// written is sent at once.
type Socket struct {
	s    *Stack
	port uint16
	more chan struct{} // capacity 1: there is something

	closed context.Context // ends with Close
	close  context.CancelCauseFunc
	once   sync.Once // the port may be another's when it is closed again

	// Workers put, and readers take: neither has a Turn. Held for one copy.
	mu      sync.Mutex
	waiting []datagram
	bytes   int
	reading context.Context // ends with the deadline
	stop    context.CancelFunc
}

// ListenPacket takes datagrams to a port. Where, it is as with Listen. ReadFrom says of
// each its Peer, for a reply. What can't be sent is an error of WriteTo at once, a
// *dataplane.DropError; what is too long for the way out leaves in fragments.
func (s *Stack) ListenPacket(port uint16, at Where) (*Socket, error) {
	c := &Socket{s: s, port: port, more: make(chan struct{}, 1)}
	c.closed, c.close = context.WithCancelCause(context.Background())
	c.reading, c.stop = context.WithCancel(c.closed)
	if !s.openDoor(c.key(), &door{at, c}) {
		return nil, fmt.Errorf("listen on port %d: %w", port, ErrPortTaken)
	}
	return c, nil
}

func (c *Socket) key() doorKey { return doorKey{header.ProtoUDP, c.port} }

// deliverDatagram takes a copy of a datagram; of a superframe, all that it stands for,
// or none.
func (s *Stack) deliverDatagram(m *dataplane.Delivery) dataplane.Drop {
	u := header.UDP(m.Upper())
	if len(u) < header.UDPSize {
		return dataplane.Truncated
	}
	d, why := s.doorFor(m, u.SourcePort(), u.DestinationPort())
	if why != dataplane.None {
		return why
	}
	if m.Size == 0 {
		size := int(u.Length())
		if size < header.UDPSize || size > len(u) {
			return dataplane.Truncated
		}
		m.Packet = m.Packet[:m.Offset+size] // what is behind it is not UDP's
		u = u[:size]
	}
	// RFC 8200 §8.1: zero says that there is none, and there has to be one.
	if !m.OffWire && u.Checksum() == 0 || !m.ChecksumFits() {
		return dataplane.LocalChecksum
	}
	from := Peer{netip.AddrPortFrom(m.Packet.Source(), u.SourcePort()), m.Packet.Destination()}
	all := payloads(u[header.UDPSize:], m.Size)
	for range all {
		if !s.datagrams.take(from.Addr(), now()) {
			return dataplane.LocalLimited
		}
	}
	if !d.socket.put(from, all) {
		return dataplane.LocalFull
	}
	s.datagramsIn.Add(uint64(len(all)))
	return dataplane.None
}

// payloads are those of the datagrams that a superframe stands for: size bytes each.
func payloads(b []byte, size int) [][]byte {
	if size == 0 {
		return [][]byte{b}
	}
	return slices.Collect(slices.Chunk(b, size))
}

// put takes copies of datagrams, and reports whether there was room.
func (c *Socket) put(from Peer, all [][]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := 0
	for _, data := range all {
		size += len(data)
	}
	if c.closed.Err() != nil || len(c.waiting)+len(all) > socketDatagrams || c.bytes+size > socketBytes {
		return false
	}
	for _, data := range all {
		c.waiting = append(c.waiting, datagram{from, slices.Clone(data)})
	}
	c.bytes += size
	c.tell()
	return true
}

// tell wakes a reader.
func (c *Socket) tell() {
	select {
	case c.more <- struct{}{}:
	default: // told already
	}
}

// take is the first datagram that waits, or what to wait for beside more.
func (c *Socket) take() (d datagram, ok bool, till context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading.Err() != nil || len(c.waiting) == 0 {
		return datagram{}, false, c.reading
	}
	d, c.waiting[0] = c.waiting[0], datagram{}
	c.waiting = c.waiting[1:]
	c.bytes -= len(d.data)
	if len(c.waiting) > 0 {
		c.tell() // another reader
	}
	return d, true, nil
}

// ReadFrom implements net.PacketConn. Of a datagram that is longer than b the rest is
// lost. The address is a Peer.
func (c *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		d, ok, till := c.take()
		if ok {
			return copy(b, d.data), d.from, nil
		}
		select {
		case <-c.more:
		case <-till.Done():
			if err := context.Cause(till); !errors.Is(err, context.Canceled) { // else there is another deadline
				return 0, nil, c.fail("read", nil, err)
			}
		}
	}
}

// WriteTo implements net.PacketConn. To a Peer it leaves from the address that the
// peer has sent to; to a *net.UDPAddr, from one of the interface that leads there.
func (c *Socket) WriteTo(b []byte, to net.Addr) (int, error) {
	err := c.write(b, to)
	if err != nil {
		return 0, c.fail("write", to, err)
	}
	return len(b), nil
}

func (c *Socket) write(b []byte, to net.Addr) error {
	switch {
	case c.closed.Err() != nil:
		return net.ErrClosed
	case len(b) > maxDatagram:
		return syscall.EMSGSIZE
	}
	peer, err := c.s.peer(to)
	if err != nil {
		return err
	}
	if out := c.s.sendDatagram(c.port, peer, b); out.Drop != dataplane.None {
		return noWay(peer.At, out.Drop)
	}
	c.s.datagramsOut.Add(1)
	return nil
}

func (c *Socket) fail(op string, to net.Addr, err error) error {
	return &net.OpError{Op: op, Net: "udp6", Source: c.LocalAddr(), Addr: to, Err: err}
}

// peer finds the address to send from, if it is not said.
func (s *Stack) peer(to net.Addr) (Peer, error) {
	switch a := to.(type) {
	case Peer:
		return a, nil
	case *net.UDPAddr:
		way := s.way(netip.Addr{}, a.AddrPort().Addr())
		if way.Drop != dataplane.None {
			return Peer{}, noWay(netip.Addr{}, way.Drop)
		}
		return Peer{a.AddrPort(), way.Source}, nil
	}
	return Peer{}, fmt.Errorf("%T is no address of UDP", to)
}

// sendDatagram sends a datagram from a port.
func (s *Stack) sendDatagram(from uint16, to Peer, data []byte) dataplane.Outcome {
	const head = header.IPv6Size + header.UDPSize
	src, dst := to.At.As16(), to.Addr().As16()
	size := header.UDPSize + len(data)
	pkt := make(header.IPv6, head)
	header.PutIPv6(pkt, &header.IPv6Fields{
		PayloadLength: uint16(size), NextHeader: header.ProtoUDP, Source: src, Destination: dst,
	})
	u := header.UDP(pkt[header.IPv6Size:])
	header.PutUDP(u, from, to.Port(), uint16(size))
	u.SetChecksum(^header.Fold(header.Sum(data, header.Sum(u, header.PseudoSum(&src, &dst, uint32(size), header.ProtoUDP)))))
	if head+len(data) > header.MinMTU {
		s.traces.leave(pkt)
	}
	return s.out.send(&dataplane.Segment{
		Pieces: [][]byte{pkt, data}, Fragment: true, PathMTU: s.paths.get(to.Addr(), now()),
	})
}

// Move has it take what fits at from now on.
func (c *Socket) Move(at Where) { c.s.moveDoor(c.key(), at) }

// Close implements net.PacketConn. What was not read is lost. The port is free when it
// returns.
func (c *Socket) Close() error {
	c.once.Do(func() {
		c.close(net.ErrClosed)
		c.s.closeDoor(c.key())
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting, c.bytes = nil, 0
	})
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *Socket) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv6unspecified, Port: int(c.port)}
}

// SetDeadline implements net.PacketConn.
func (c *Socket) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *Socket) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop()
	if t.IsZero() {
		c.reading, c.stop = context.WithCancel(c.closed)
	} else {
		c.reading, c.stop = context.WithDeadlineCause(c.closed, t, os.ErrDeadlineExceeded)
	}
	return nil
}

// SetWriteDeadline implements net.PacketConn. A write never waits.
func (c *Socket) SetWriteDeadline(time.Time) error { return nil }

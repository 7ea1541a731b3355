package tcpstack

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ErrPortTaken means that somebody listens there.
var ErrPortTaken = errors.New("port is taken")

// Keepalive finds out within about three minutes that a peer has gone.
const (
	keepaliveIdle     = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	keepaliveCount    = 8
)

// Where says what a listener takes. Both have to fit.
type Where struct {
	Addresses  []netip.Addr // of the router, to which it is; none: any
	Interfaces []string     // through which it comes in; none: any
}

// A door is a port where somebody listens. It never changes.
type door struct{ Where }

func (d *door) admits(to netip.Addr, through string) bool {
	return (len(d.Addresses) == 0 || slices.Contains(d.Addresses, to)) &&
		(len(d.Interfaces) == 0 || slices.Contains(d.Interfaces, through))
}

// setDoor opens a port, or with nil closes it. It reports false if it is open.
func (s *Stack) setDoor(port uint16, d *door) bool {
	for {
		old := s.doors.Load()
		if d != nil && (*old)[port] != nil {
			return false
		}
		next := maps.Clone(*old)
		if next[port] = d; d == nil {
			delete(next, port)
		}
		if s.doors.CompareAndSwap(old, &next) {
			return true
		}
	}
}

// Listen takes connections to a port. The addresses need not be there, or there all
// the time: who has not one now is not reached at it. What does not fit at is
// answered as if nobody listened.
func (s *Stack) Listen(port uint16, at Where) (net.Listener, error) {
	l := &listener{s: s, port: port, closed: make(chan struct{})}
	if !s.setDoor(port, &door{at}) {
		return nil, fmt.Errorf("listen on port %d: %w", port, ErrPortTaken)
	}
	if err := l.open(); err != nil {
		s.setDoor(port, nil)
		return nil, err
	}
	return l, nil
}

// A listener implements net.Listener.
type listener struct {
	s      *Stack
	port   uint16
	ep     tcpip.Endpoint
	queue  waiter.Queue
	close  sync.Once
	closed chan struct{}
}

func (l *listener) open() error {
	var err tcpip.Error
	if l.ep, err = l.s.net.NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, &l.queue); err != nil {
		return fmt.Errorf("listen on port %d: %v", l.port, err)
	}
	l.ep.SocketOptions().SetV6Only(true)
	if err = l.ep.Bind(tcpip.FullAddress{Port: l.port}); err == nil {
		err = l.ep.Listen(l.s.limits.HalfOpen)
	}
	if err != nil {
		l.ep.Close()
		return fmt.Errorf("listen on port %d: %v", l.port, err)
	}
	return nil
}

// Accept implements net.Listener. A connection over the limits is reset.
func (l *listener) Accept() (net.Conn, error) {
	ready, more := waiter.NewChannelEntry(waiter.ReadableEvents)
	l.queue.EventRegister(&ready)
	defer l.queue.EventUnregister(&ready)
	for {
		ep, queue, err := l.ep.Accept(nil)
		switch err.(type) {
		case nil:
			if c := l.s.admit(ep, queue); c != nil {
				return c, nil
			}
			continue
		case *tcpip.ErrWouldBlock:
		default:
			return nil, l.fail(errors.New(err.String()))
		}
		select {
		case <-more:
		case <-l.closed:
			return nil, l.fail(net.ErrClosed)
		}
	}
}

func (l *listener) fail(err error) error {
	select {
	case <-l.closed:
		err = net.ErrClosed
	default:
	}
	return &net.OpError{Op: "accept", Net: "tcp6", Addr: l.Addr(), Err: err}
}

// admit makes a connection of an endpoint, if there is room for it.
func (s *Stack) admit(ep tcpip.Endpoint, queue *waiter.Queue) net.Conn {
	id := idOf(ep)
	if s.flows.find(id) == nil && s.flows.full(id.remote.Addr(), s.limits) {
		ep.Abort()
		return nil
	}
	return s.newConn(ep, queue, s.flows.open(id, true))
}

// Close implements net.Listener. Connections that were accepted go on.
func (l *listener) Close() error {
	l.close.Do(func() {
		close(l.closed)
		l.ep.Close()
		l.s.setDoor(l.port, nil)
	})
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6unspecified, Port: int(l.port)} }

// A Conn is a connection. It implements net.Conn.
type Conn struct {
	*gonet.TCPConn
	ep      tcpip.Endpoint
	flow    *flow
	closing time.Duration
}

// newConn has keepalive watch a connection.
func (s *Stack) newConn(ep tcpip.Endpoint, queue *waiter.Queue, f *flow) *Conn {
	ep.SocketOptions().SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(keepaliveIdle), tcpip.KeepaliveIntervalOption(keepaliveInterval)
	_ = ep.SetSockOpt(&idle) // these can't fail
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepaliveCount)
	return &Conn{gonet.NewTCPConn(queue, ep), ep, f, s.limits.Closing}
}

// Read implements net.Conn. An error says what the connection waited for.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	return n, c.flow.explain(err)
}

// Write implements net.Conn. An error says what the connection waited for.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, c.flow.explain(err)
}

// Close implements net.Conn. What was written is still sent, for a while.
func (c *Conn) Close() error {
	c.giveUpAfter(c.closing)
	return c.TCPConn.Close()
}

// giveUpAfter ends the connection when for so long nothing of what was written is
// acknowledged, or taken.
func (c *Conn) giveUpAfter(d time.Duration) {
	o := tcpip.TCPUserTimeoutOption(d)
	_ = c.ep.SetSockOpt(&o) // can't fail
}

// SetHopLimit sets the hop limit of what is sent; zero leaves it to the way it takes:
// to the route, or else to the interface.
func (c *Conn) SetHopLimit(n uint8) error {
	err := setHopLimit(c.ep, n) // when it returns, nothing with the old one is on its way
	if err == nil {
		c.flow.setHopLimit(n)
	}
	return err
}

func setHopLimit(ep tcpip.Endpoint, n uint8) error {
	limit := int(n)
	if n == 0 {
		limit = int(tcpip.UseDefaultIPv6HopLimit)
	}
	if err := ep.SetSockOptInt(tcpip.IPv6HopLimitOption, limit); err != nil {
		return fmt.Errorf("set hop limit: %v", err)
	}
	return nil
}

package tcpstack

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/router6d/router6d/internal/header"
)

// Keepalive finds out within about three minutes that a peer has gone.
const (
	keepaliveIdle     = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	keepaliveCount    = 8
)

// A Listener takes connections to a port. It implements net.Listener.
type Listener struct {
	s      *Stack
	port   uint16
	ep     tcpip.Endpoint
	queue  waiter.Queue
	close  sync.Once
	closed chan struct{}
}

// Listen takes connections to a port. The addresses need not be there, or there all
// the time: who has not one now is not reached at it. What does not fit at is
// answered as if nobody listened.
func (s *Stack) Listen(port uint16, at Where) (*Listener, error) {
	l := &Listener{s: s, port: port, closed: make(chan struct{})}
	if !s.openDoor(l.key(), &door{Where: at}) {
		return nil, fmt.Errorf("listen on port %d: %w", port, ErrPortTaken)
	}
	if err := l.open(); err != nil {
		s.closeDoor(l.key())
		return nil, err
	}
	return l, nil
}

func (l *Listener) key() doorKey { return doorKey{header.ProtoTCP, l.port} }

func (l *Listener) open() error {
	var err tcpip.Error
	if l.ep, err = l.s.net.NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, &l.queue); err != nil {
		return fmt.Errorf("listen on port %d: %v", l.port, err)
	}
	l.ep.SocketOptions().SetV6Only(true)
	l.ep.SocketOptions().SetReuseAddress(true) // connections of who listened before go on
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
func (l *Listener) Accept() (net.Conn, error) {
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

func (l *Listener) fail(err error) error {
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

// Move has it take what fits at from now on. Connections that there are go on.
func (l *Listener) Move(at Where) { l.s.moveDoor(l.key(), at) }

// Close implements net.Listener. Connections that were accepted go on. The port is free
// when it returns.
func (l *Listener) Close() error {
	l.close.Do(func() {
		close(l.closed)
		l.ep.Close()
		l.s.closeDoor(l.key())
	})
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6unspecified, Port: int(l.port)} }

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

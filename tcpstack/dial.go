package tcpstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/router6d/router6d/dataplane"
)

// A Dialer begins connections.
type Dialer struct {
	Stack    *Stack
	From     netip.Addr // zero: an address of the interface that leads there
	HopLimit uint8      // of what is sent; zero: that of the way it takes
}

// DialContext connects. That there is no route, or that the router has not the
// address it is to come from, is an error at once, a *dataplane.DropError; once it
// has begun, a connection waits for them to return.
func (d *Dialer) DialContext(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	way := d.Stack.way(d.From, to.Addr())
	if way.Drop != dataplane.None {
		return nil, dialError(to, noWay(d.From, way.Drop))
	}
	from := d.From
	if !from.IsValid() {
		from = way.Source
	}
	c, err := d.connect(ctx, from, to)
	if err != nil {
		return nil, dialError(to, err)
	}
	return c, nil
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp6", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

func (d *Dialer) connect(ctx context.Context, from netip.Addr, to netip.AddrPort) (*Conn, error) {
	var queue waiter.Queue
	ready, done := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&ready)
	defer queue.EventUnregister(&ready)
	ep, e := d.Stack.net.NewEndpoint(tcp.ProtocolNumber, ipv6.ProtocolNumber, &queue)
	if e != nil {
		return nil, errors.New(e.String())
	}
	err := d.start(ep, from, to)
	if err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-done:
			if e := ep.LastError(); e != nil {
				err = errors.New(e.String())
			}
		}
	}
	if err != nil {
		id := idOf(ep)
		ep.Abort()
		if f := d.Stack.flows.find(id); f != nil {
			err = f.explain(err)
		}
		return nil, err
	}
	id := idOf(ep)
	return d.Stack.newConn(ep, &queue, d.Stack.flows.open(id, false)), nil
}

// start sends the SYN.
func (d *Dialer) start(ep tcpip.Endpoint, from netip.Addr, to netip.AddrPort) error {
	if d.HopLimit != 0 {
		if err := setHopLimit(ep, d.HopLimit); err != nil {
			return err
		}
	}
	e := ep.Bind(fullAddress(netip.AddrPortFrom(from, 0)))
	if e == nil {
		e = ep.Connect(fullAddress(to))
	}
	if _, begun := e.(*tcpip.ErrConnectStarted); begun || e == nil {
		return nil
	}
	return errors.New(e.String())
}

// explain adds what the connection waited for when it failed.
func (f *flow) explain(err error) error {
	var timeout net.Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.Drop == dataplane.None {
		return err
	}
	return fmt.Errorf("%w: %w", err, noWay(f.local.Addr(), f.last.Drop))
}

// noWay is the error of what is not sent, a *dataplane.DropError. If that is for
// the address it is to come from, it says which.
func noWay(from netip.Addr, why dataplane.Drop) error {
	err := &dataplane.DropError{Drop: why}
	if why == dataplane.SourceLeft {
		return fmt.Errorf("address %v: %w", from, err)
	}
	return err
}

// way is where packets leave now.
func (s *Stack) way(from, to netip.Addr) dataplane.Way {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.closed {
		return dataplane.Way{Drop: dataplane.NoRoute}
	}
	return s.out.j.Way(from, to)
}

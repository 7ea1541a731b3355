package tcpstack_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	gheader "gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/tcpstack"
)

const (
	routerA = "2001:db8:a::1"
	hostA   = "2001:db8:a::2"
	routerB = "2001:db8:b::1"
	hostB   = "2001:db8:b::2"

	patience = 30 * time.Second
)

// A scene is a router in memory with a TCP of its own.
type scene struct {
	*lab.Router
	tcp *tcpstack.Stack
}

func newScene(t testing.TB) *scene { return newSceneWith(t, tcpstack.DefaultLimits) }

func newSceneWith(t testing.TB, l tcpstack.Limits) *scene {
	t.Helper()
	s := &scene{Router: lab.New(t)}
	var err error
	if s.tcp, err = tcpstack.New(s.Plane, l); err != nil {
		t.Fatal(err)
	}
	s.FIB.Changed = s.tcp.Changed
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = s.tcp.Run(ctx) })
	t.Cleanup(func() {
		stop()
		run.Wait()
	})
	return s
}

// A peer is a host at the far end of a port: gVisor once more.
type peer struct {
	t    testing.TB
	net  *stack.Stack
	link *channel.Endpoint
	addr netip.Addr

	mu   sync.Mutex
	port *lab.Port        // nil: it is not connected
	see  func(pkt []byte) // what comes in
	bad  *rand.Rand       // the link loses and reorders; nil: it does not
	deaf bool             // the link loses all
	late []byte           // overtaken by the next, on the way in
	pump sync.WaitGroup
}

func newPeer(t testing.TB, addr string, mtu uint32) *peer {
	t.Helper()
	p := &peer{t: t, addr: netip.MustParseAddr(addr), link: channel.New(4096, mtu, "")}
	p.net = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	if err := p.net.CreateNIC(1, p.link); err != nil {
		t.Fatal(err)
	}
	a := tcpip.AddrFrom16(p.addr.As16()).WithPrefix()
	if err := p.net.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: a}, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	p.net.SetRouteTable([]tcpip.Route{{Destination: gheader.IPv6EmptySubnet, NIC: 1}})
	ctx, stop := context.WithCancel(context.Background())
	p.pump.Go(func() { p.send(ctx) })
	t.Cleanup(func() {
		p.net.Destroy()
		stop()
		p.pump.Wait()
	})
	return p
}

// send puts on the wire what the peer sends.
func (p *peer) send(ctx context.Context) {
	for {
		pk := p.link.ReadContext(ctx)
		if pk == nil {
			return
		}
		v := pk.ToView()
		pkt := append([]byte(nil), v.AsSlice()...)
		v.Release()
		pk.DecRef()
		p.mu.Lock()
		port := p.port
		p.mu.Unlock()
		if port != nil && !p.loses() {
			port.TrySend(pkt)
		}
	}
}

// connect puts the peer at the far end of a port, until that is detached. At none it
// is dumb: it still hears what there was.
func (p *peer) connect(port *lab.Port) {
	p.mu.Lock()
	p.port = port
	p.mu.Unlock()
	if port == nil {
		return
	}
	port.Near.SetPlain()
	var read sync.WaitGroup
	read.Go(func() {
		for b := port.Far.Next(); b != nil; b = port.Far.Next() {
			p.mu.Lock()
			see := p.see
			p.mu.Unlock()
			if see != nil {
				see(b)
			}
			for _, b := range p.reordered(b) {
				pk := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
				p.link.InjectInbound(ipv6.ProtocolNumber, pk)
				pk.DecRef()
			}
		}
	})
	p.t.Cleanup(func() {
		port.Far.Interrupt()
		read.Wait()
	})
}

// loses reports whether the link loses a packet: one of fifty, if it is bad.
func (p *peer) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf || p.bad != nil && p.bad.IntN(50) == 0
}

// reordered is what comes in when b does: nothing, or with one before it that was late.
func (p *peer) reordered(b []byte) (all [][]byte) {
	if p.loses() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bad != nil && p.late == nil && p.bad.IntN(20) == 0 {
		p.late = b
		return nil
	}
	if all = append(all, b); p.late != nil {
		all, p.late = append(all, p.late), nil
	}
	return all
}

// hears says whether anything comes through the link.
func (p *peer) hears(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = !yes
}

// watch has fn called with each packet that the peer gets.
func (p *peer) watch(fn func(pkt []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.see = fn
}

func (p *peer) dial(to string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := netip.MustParseAddr(to)
	return gonet.DialContextTCP(ctx, p.net, tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom16(a.As16()), Port: port}, ipv6.ProtocolNumber)
}

func (p *peer) mustDial(to string, port uint16) net.Conn {
	p.t.Helper()
	c, err := p.dial(to, port)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (p *peer) listen(port uint16) net.Listener {
	p.t.Helper()
	l, err := gonet.ListenTCP(p.net, tcpip.FullAddress{NIC: 1, Port: port}, ipv6.ProtocolNumber)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(l.Shutdown)
	return l
}

// listen serves connections to a port of the router, each by fn.
func (s *scene) listen(t testing.TB, port uint16, at tcpstack.Where, fn func(net.Conn)) {
	t.Helper()
	l, err := s.tcp.Listen(port, at)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, fn)
}

// serve serves connections, each by fn. At the end of the test it cuts those that are
// left: the end of one may have been lost.
func serve(t testing.TB, l net.Listener, fn func(net.Conn)) {
	ctx, cut := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
				_ = c.SetDeadline(time.Now().Add(4 * patience))
				fn(c)
			})
		}
	})
	t.Cleanup(func() {
		if s, ok := l.(*gonet.TCPListener); ok {
			s.Shutdown()
		}
		_ = l.Close()
		cut()
		all.Wait()
	})
}

// echo sends back what it gets.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// random is n bytes that tell whether something is amiss.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// exchange sends b, and wants it back.
func exchange(c net.Conn, b []byte) ([]byte, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(b)
		sent <- err
	}()
	got := make([]byte, len(b))
	_, err := io.ReadFull(c, got)
	if e := <-sent; err == nil {
		err = e
	}
	return got, err
}

package tcpstack_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
	"github.com/router6d/router6d/tcpstack"
)

func (s *scene) wantEcho(t *testing.T, p *peer, to string, port uint16, size int) {
	t.Helper()
	want := random(size)
	got, err := exchange(p.mustDial(to, port), want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("what came back is not what was sent")
	}
}

// A peer connects to an address of the router, and bytes go both ways.
func TestListen(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	s.listen(t, 7, tcpstack.Where{}, echo)
	s.wantEcho(t, p, routerA, 7, 1<<20)
}

// The router connects to a peer.
func TestDial(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	serve(t, p.listen(7), echo)
	d := tcpstack.Dialer{Stack: s.tcp}
	c, err := d.DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := random(1 << 20)
	got, err := exchange(c, want)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("came back %d bytes, err %v", len(got), err)
	}
	if a := c.LocalAddr().String(); netip.MustParseAddrPort(a).Addr().String() != routerA {
		t.Errorf("from %s, want the address of the interface that leads there", a)
	}
}

// No route is an error of who connects.
func TestDialWithoutRoute(t *testing.T) {
	s := newScene(t)
	d := tcpstack.Dialer{Stack: s.tcp}
	_, err := d.DialContext(context.Background(), netip.MustParseAddrPort("[2001:db8:c::1]:7"))
	if !isFor(err, dataplane.NoRoute) {
		t.Errorf("error = %v, want no route", err)
	}
}

// A segment carries the hop limit of its route, or else of the interface it leaves
// through, as it is then; an explicit one is kept. What is shown is what is sent.
func TestHopLimit(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	set := lab.Settings("a", routerA+"/64")
	set.HopLimit = 77
	port := s.AttachAs(set)
	p.connect(port)
	var seen atomic.Uint32
	p.watch(func(pkt []byte) { seen.Store(uint32(header.IPv6(pkt).HopLimit())) })
	want := func(limit uint32) {
		t.Helper()
		if got := seen.Load(); got != limit {
			t.Errorf("hop limit = %d, want %d", got, limit)
		}
		if all := s.tcp.Connections(); len(all) != 1 || all[0].Way.HopLimit != uint8(limit) {
			t.Errorf("connections = %+v, want one with hop limit %d", all, limit)
		}
	}
	serve(t, p.listen(7), echo)
	c, err := (&tcpstack.Dialer{Stack: s.tcp}).DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ping := func() {
		t.Helper()
		if _, err := exchange(c, []byte("ping")); err != nil {
			t.Fatal(err)
		}
	}
	ping()
	want(77)
	s.Turn(func(turn *loop.Turn) { s.Interfaces.SetHopLimit(turn, port.ID, 33) })
	ping()
	want(33)
	s.Route(hostA+"/128", rib.Paths{{Iface: "a", HopLimit: 9}})
	ping()
	want(9)
	if err := c.SetHopLimit(200); err != nil {
		t.Fatal(err)
	}
	ping()
	want(200)
	if err := c.SetHopLimit(0); err != nil {
		t.Fatal(err)
	}
	ping()
	want(9)
}

// connected has a connection that the router has begun, by its only way out, to a peer
// that echoes. All that was sent for that has been read.
func (s *scene) connected(t *testing.T) (*peer, *lab.Port, *tcpstack.Conn) {
	t.Helper()
	s.Attach("lan", routerB+"/64")
	p := newPeer(t, "2001:db8:f::1", 1500)
	s.Route("::/0", lab.Dev("wan"))
	wan := s.Attach("wan")
	p.connect(wan)
	accepted := make(chan struct{})
	serve(t, p.listen(7), func(c net.Conn) { close(accepted); echo(c) })
	c, err := (&tcpstack.Dialer{Stack: s.tcp}).DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	<-accepted
	return p, wan, c
}

// wantPing reads the ping that comes back.
func wantPing(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Fatalf("read %q, %v", got, err)
	}
}

// What waits for a way is sent with the hop limit that the connection has by then.
func TestHopLimitOfWhatWaits(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	wan.Detach()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("the connection to wait", func() bool { return s.tcp.Connections()[0].Waits == dataplane.NoRoute })
	if err := c.SetHopLimit(200); err != nil {
		t.Fatal(err)
	}
	var wrong atomic.Uint64
	p.watch(func(pkt []byte) {
		if header.IPv6(pkt).HopLimit() != 200 {
			wrong.Add(1)
		}
	})
	p.connect(s.Attach("wan"))
	wantPing(t, c)
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d segments with another hop limit", n)
	}
}

// A connection whose route has gone waits, says for what, and goes on as soon as
// there is one again.
func TestConnectionWaitsForARoute(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	for range 3 { // the second time, it has waited before
		wan.Detach()
		want := random(100_000)
		got := make(chan []byte)
		go func() {
			b, err := exchange(c, want)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		s.Until("the connection to wait", func() bool {
			all := s.tcp.Connections()
			return len(all) == 1 && all[0].Waits == dataplane.NoRoute && all[0].Way.Drop == dataplane.NoRoute
		})
		wan = s.Attach("wan")
		p.connect(wan)
		if b := <-got; !bytes.Equal(b, want) {
			t.Error("what came back is not what was sent")
		}
	}
	if n := s.tcp.Stats().Resumed; n < 3 {
		t.Errorf("%d segments were sent when there was a way again, want 3 or more", n)
	}
}

// The peer need not be reached as soon as there is a way: what waited is sent until it
// is, and does not wait for a timer that has backed off.
func TestConnectionGoesOnWhenThePeerIsLate(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	wan.Detach()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("the connection to wait", func() bool { return s.tcp.Connections()[0].Waits == dataplane.NoRoute })
	wan = s.Attach("wan")
	s.Until("the segment to be sent twice", func() bool { return s.tcp.Stats().Resumed >= 2 })
	p.connect(wan)
	wantPing(t, c)
}

// What waited is sent as well if TCP itself was the first by the new way, with what
// comes later.
func TestConnectionGoesOnWhenTCPIsFirst(t *testing.T) {
	s := newScene(t)
	var late atomic.Bool
	s.FIB.Changed = func() {
		if !late.Load() {
			s.tcp.Changed()
		}
	}
	_, wan, c := s.connected(t)
	wan.Detach()
	if _, err := c.Write([]byte("pi")); err != nil {
		t.Fatal(err)
	}
	s.Until("the connection to wait", func() bool { return s.tcp.Connections()[0].Waits == dataplane.NoRoute })
	late.Store(true)
	s.Attach("wan") // where nobody answers
	if _, err := c.Write([]byte("ng")); err != nil {
		t.Fatal(err)
	}
	s.Until("a segment to leave", func() bool { return s.tcp.Connections()[0].Waits == dataplane.None })
	s.tcp.Changed()
	s.Until("what waited to be sent", func() bool { return s.tcp.Stats().Resumed > 0 })
}

// What was sent before its way went is lost with it, and TCP may be waiting for long:
// it is sent when there is a way again, also if that is the same interface.
func TestConnectionGoesOnWhenItsInterfaceWasAway(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	p.hears(false)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("TCP to send again", func() bool { return s.tcp.Stats().Retransmitted > 0 })
	if n := s.tcp.Stats().Resumed; n != 0 {
		t.Fatalf("%d segments were sent as if there were another way", n)
	}
	wan.Carrier(false)
	wan.Carrier(true)
	s.Until("it to be sent", func() bool { return s.tcp.Stats().Resumed > 0 })
	p.hears(true)
	wantPing(t, c)
}

// All that was under way is lost with its way: it is sent again as fast as it is
// acknowledged, and not a few segments for each time that TCP's timer runs out.
func TestWindowIsLostWithItsWay(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	if _, err := exchange(c, random(4<<20)); err != nil { // for a wide window
		t.Fatal(err)
	}
	p.hears(false)
	want := random(1 << 20)
	came := make(chan error)
	go func() {
		got, err := exchange(c, want)
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("it is not what was sent")
		}
		came <- err
	}()
	s.Until("TCP to send again, and again", func() bool { return s.tcp.Stats().Retransmitted >= 3 })
	wan.Carrier(false)
	wan.Carrier(true)
	p.hears(true)
	before := s.tcp.Timeouts()
	if err := <-came; err != nil {
		t.Error(err)
	}
	if n := s.tcp.Timeouts() - before; n > 5 {
		t.Errorf("TCP waited for its timer %d times", n)
	}
}

// The time without a way is not that of a round trip, also if the peer has got what is
// sent again: only its acknowledgment was lost.
func TestTimeWithoutAWayIsNoRoundTrip(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	if _, err := exchange(c, random(100_000)); err != nil {
		t.Fatal(err)
	}
	p.connect(nil)
	began := time.Now()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("TCP to send again, and again", func() bool { return s.tcp.Stats().Retransmitted >= 3 })
	wan.Detach()
	p.connect(s.Attach("wan"))
	away := time.Since(began)
	wantPing(t, c)
	const weight = 8 // of all before against one more, RFC 6298 §2.3
	if got := s.tcp.Connections()[0].RTT; got >= away/weight {
		t.Errorf("a round trip takes %v for TCP, after %v without one", got, away)
	}
}

// What is lost with a way from which nothing had come back is sent by the next one at
// once: TCP has not learned of a way that works since its timer backed off.
func TestWayIsLostBeforeAnythingCameBack(t *testing.T) {
	s := newScene(t)
	p, wan, c := s.connected(t)
	p.connect(nil)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("TCP to send again, and again", func() bool { return s.tcp.Stats().Retransmitted >= 3 })
	wan.Detach()
	wan = s.Attach("wan")
	p.connect(wan)
	wantPing(t, c) // which echoes the timestamp of what was sent before
	p.hears(false)
	if _, err := c.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	before := s.tcp.Stats()
	wan.Detach()
	s.Attach("wan")
	s.Until("it to be sent", func() bool { return s.tcp.Stats().Resumed > before.Resumed })
	if n := s.tcp.Stats().Retransmitted - before.Retransmitted; n != 0 {
		t.Errorf("TCP sent %d segments before", n)
	}
}

// An acknowledgment may be faster than who sends: nothing is held for it, and in front of
// what is sent later.
func TestAcknowledgedWhileSent(t *testing.T) {
	data := lab.TCP(routerA, hostA, 7, 1000, header.FlagACK, []byte("ping"))
	for n, want := range []bool{true, true, true, true, false} {
		ack := header.TCP(lab.TCP(hostA, routerA, 1000, 7, header.FlagACK, nil)[header.IPv6Size:])
		binary.BigEndian.PutUint32(ack[8:], uint32(n)) // RFC 9293 §3.1
		if got := tcpstack.HeldAfter(data, ack); got != want {
			t.Errorf("held after an acknowledgment of %d of 4 bytes: %v", n, got)
		}
	}
}

// A connection whose address has left waits, and goes on when that is back.
func TestConnectionWaitsForItsAddress(t *testing.T) {
	s := newScene(t)
	lan := s.Attach("lan", routerB+"/64")
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	serve(t, p.listen(7), echo)
	var seen atomic.Uint64
	p.watch(func([]byte) { seen.Add(1) })
	d := tcpstack.Dialer{Stack: s.tcp, From: netip.MustParseAddr(routerB)}
	c, err := d.DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const handshake = 2 // a SYN, and the ACK, that may be under way
	s.Until("the handshake to be over", func() bool { return seen.Load() == handshake })
	lan.Detach()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	s.Until("the connection to wait", func() bool { return s.tcp.Connections()[0].Waits == dataplane.SourceLeft })
	if _, err := d.DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7)); !isFor(err, dataplane.SourceLeft) {
		t.Errorf("error = %v, want that the address has left", err)
	}
	if n := seen.Load() - handshake; n != 0 {
		t.Errorf("%d packets left from an address that was not there", n)
	}
	s.Attach("lan", routerB+"/64")
	wantPing(t, c)
}

// A connection whose address does not come back ends in the end, with an error that
// says which that is, as does an attempt to begin one.
func TestAddressThatHasLeft(t *testing.T) {
	s := newScene(t)
	lan := s.Attach("lan", routerB+"/64")
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	serve(t, p.listen(7), echo)
	d := tcpstack.Dialer{Stack: s.tcp, From: netip.MustParseAddr(routerB)}
	c, err := d.DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer p.net.Destroy() // which nobody tells that its connection has ended
	lan.Detach()
	tells := func(what string, err error) {
		t.Helper()
		if !isFor(err, dataplane.SourceLeft) || !strings.Contains(err.Error(), "address "+routerB+": ") {
			t.Errorf("%s: error = %v, want that %s has left", what, err, routerB)
		}
	}
	_, err = d.DialContext(t.Context(), netip.AddrPortFrom(p.addr, 7))
	tells("dial", err)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err) // there is room for it
	}
	tcpstack.GiveUpAfter(c, time.Second)
	_, err = c.Read(make([]byte, 1))
	tells("read", err)
	_, err = c.Write([]byte("ping"))
	tells("write", err)
}

// A peer that takes nothing, and says so whenever it is asked, does not keep what was
// closed.
func TestClosedConnectionEnds(t *testing.T) {
	l := tcpstack.DefaultLimits
	l.Closing = time.Second
	s := newSceneWith(t, l)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	full := make(chan struct{})
	s.listen(t, 7, tcpstack.Where{}, func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(time.Second)) // of what the peer never takes
		_, _ = io.Copy(c, endless{})
		close(full)
	})
	p.mustDial(routerA, 7)
	<-full
	s.Until("the connection to be forgotten", func() bool { return len(s.tcp.Connections()) == 0 })
}

// endless is bytes without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func isFor(err error, why dataplane.Drop) bool {
	var drop *dataplane.DropError
	return errors.As(err, &drop) && drop.Drop == why
}

// Where nobody listens there is an answer as if there were no TCP at all; a listener
// takes only what is to its addresses, through its interfaces.
func TestWhere(t *testing.T) {
	cases := []struct {
		name  string
		where tcpstack.Where
		to    string
		port  uint16
		ok    bool
	}{
		{"any", tcpstack.Where{}, routerB, 7, true},
		{"another port", tcpstack.Where{}, routerA, 8, false},
		{"its address", tcpstack.Where{Addresses: addrs(routerA)}, routerA, 7, true},
		{"another address", tcpstack.Where{Addresses: addrs(routerA)}, routerB, 7, false},
		{"its interface", tcpstack.Where{Interfaces: []string{"a"}}, routerB, 7, true},
		{"another interface", tcpstack.Where{Interfaces: []string{"b"}}, routerB, 7, false},
		{"one of two", tcpstack.Where{Interfaces: []string{"a"}, Addresses: addrs(routerA)}, routerB, 7, false},
		{"the anycast address of the link", tcpstack.Where{}, "2001:db8:a::", 7, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			p := newPeer(t, hostA, 1500)
			p.connect(s.Attach("a", routerA+"/64"))
			s.Attach("b", routerB+"/64")
			var errors atomic.Uint64
			p.watch(func(pkt []byte) {
				if header.IPv6(pkt).NextHeader() == header.ProtoICMPv6 {
					errors.Add(1)
				}
			})
			s.listen(t, 7, c.where, echo)
			conn, err := p.dial(c.to, c.port)
			if err == nil {
				defer conn.Close()
			}
			if ok := err == nil; ok != c.ok {
				t.Errorf("error = %v, want a connection: %v", err, c.ok)
			}
			if told := errors.Load() > 0; told == c.ok {
				t.Errorf("port unreachable: %v, want %v", told, !c.ok)
			}
		})
	}
}

// A listener that is moved keeps its connections and takes what fits now; one that is
// closed leaves its port to others at once, even if it is closed again.
func TestMove(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	l, err := s.tcp.Listen(7, tcpstack.Where{})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, echo)
	old := p.mustDial(routerA, 7)
	if _, err := exchange(old, []byte("begun")); err != nil {
		t.Fatal(err)
	}
	l.Move(tcpstack.Where{Interfaces: []string{"b"}})
	if c, err := p.dial(routerA, 7); err == nil {
		c.Close()
		t.Error("it takes what comes through another interface")
	}
	if _, err := exchange(old, []byte("still")); err != nil {
		t.Errorf("the connection that was there: %v", err)
	}
	l.Move(tcpstack.Where{Addresses: addrs(routerA)})
	s.wantEcho(t, p, routerA, 7, 1000)

	u, err := s.tcp.ListenPacket(7, tcpstack.Where{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, _ = l.Close(), u.Close()
		l2, err := s.tcp.Listen(7, tcpstack.Where{})
		if err != nil {
			t.Fatal(err)
		}
		u2, err := s.tcp.ListenPacket(7, tcpstack.Where{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = l.Close(), u.Close()
		if _, err := s.tcp.ListenPacket(7, tcpstack.Where{}); !errors.Is(err, tcpstack.ErrPortTaken) {
			t.Errorf("a second listener = %v, want %v", err, tcpstack.ErrPortTaken)
		}
		l, u = l2, u2
	}
	_, _ = l.Close(), u.Close()
}

func addrs(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// The MTU of the way out is honoured for each segment: also when it shrinks under a
// connection, and a SYN asks for no more than comes in.
func TestMTUOfTheWayOut(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	port := s.Attach("a", routerA+"/64")
	p.connect(port)
	var largest atomic.Uint64
	p.watch(func(pkt []byte) { largest.Store(max(largest.Load(), uint64(len(pkt)))) })
	s.listen(t, 7, tcpstack.Where{}, echo)
	c := p.mustDial(routerA, 7)
	for _, mtu := range []int{1500, 1400, 1280} {
		port.SetMTU(mtu)
		largest.Store(0)
		want := random(200_000)
		if got, err := exchange(c, want); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("mtu %d: came back %d bytes, err %v", mtu, len(got), err)
		}
		if n := int(largest.Load()); n > mtu || n < mtu-100 {
			t.Errorf("largest packet = %d, want about %d", n, mtu)
		}
	}
}

// A link that loses one packet of fifty, and has one of twenty overtaken, both ways.
func TestBadLink(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	s.listen(t, 7, tcpstack.Where{}, echo)
	c := p.mustDial(routerA, 7)
	p.mu.Lock()
	p.bad = rand.New(rand.NewPCG(1, 2))
	p.mu.Unlock()
	want := random(300_000)
	if got, err := exchange(c, want); err != nil || !bytes.Equal(got, want) {
		t.Errorf("came back %d bytes, err %v", len(got), err)
	}
	if s.tcp.Stats().Retransmitted == 0 {
		t.Error("nothing was sent again: the link is not bad")
	}
}

// Under a flood of SYNs from everywhere those who connect are served, as they send
// theirs again, and what the flood leaves is bounded.
func TestSYNFlood(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	p.connect(s.Attach("a", routerA+"/64"))
	s.Route("::/0", lab.Refuse(fib.Blackhole)) // for the answers
	from := s.Attach("b", routerB+"/64")
	s.listen(t, 7, tcpstack.Where{}, echo)
	const syns = 20_000
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		for i := range syns {
			src := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb9, byte(i >> 16), byte(i >> 8), byte(i), 15: 1}).String()
			for syn := lab.TCP(src, routerA, uint16(1024+i%60000), 7, header.FlagSYN, nil); !from.TrySend(syn); {
				time.Sleep(100 * time.Microsecond) // the wire is full
			}
		}
	}()
	served := 0
	for flooding := true; flooding; served++ {
		if _, err := exchange(p.mustDial(routerA, 7), []byte("ping")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-flood:
			flooding = false
		default:
		}
		if served == tcpstack.DefaultLimits.PerSource/2 {
			<-flood
			break
		}
	}
	st := s.tcp.Stats()
	t.Logf("%d served, %d cookies, %d connections, %d half open", served, st.SYNCookies, st.Connections, len(s.tcp.Connections())-st.Connections)
	if st.SYNCookies == 0 {
		t.Error("no cookie was sent")
	}
	if n := len(s.tcp.Connections()); n > 2*(served+1)+tcpstack.DefaultLimits.HalfOpen {
		t.Errorf("%d connections are kept", n)
	}
}

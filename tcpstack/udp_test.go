package tcpstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/reassembly"
	"github.com/router6d/router6d/tcpstack"
)

// listenPacket opens a port of UDP.
func (s *scene) listenPacket(t testing.TB, port uint16, at tcpstack.Where) net.PacketConn {
	t.Helper()
	c, err := s.tcp.ListenPacket(port, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echoPacket sends back what comes, and returns what went wrong with each.
func (s *scene) echoPacket(t testing.TB, port uint16, at tcpstack.Where) (wrong func() []error) {
	t.Helper()
	c := s.listenPacket(t, port, at)
	var mu sync.Mutex
	var all []error
	var run sync.WaitGroup
	run.Go(func() {
		for b := make([]byte, 1<<16); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err = c.WriteTo(b[:n], from); err != nil {
				mu.Lock()
				all = append(all, err)
				mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		_ = c.Close()
		run.Wait()
	})
	return func() []error {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// await is the packet that comes out next, of its fragments if it has some, and the
// size of the largest of these.
func await(t testing.TB, p *lab.Port) (whole header.IPv6, largest int) {
	t.Helper()
	for table := reassembly.NewTable(); whole == nil; {
		var b header.IPv6
		p.Router().Until("a packet to come out of "+p.Name, func() bool { b = p.Take(); return b != nil })
		largest = max(largest, len(b))
		if b.NextHeader() != header.ProtoFragment {
			return b, largest
		}
		r := header.Destination(b)
		whole, _ = table.Add(time.Time{}, 0, b, &r)
	}
	return whole, largest
}

// wantDatagram wants a datagram whose checksum is right.
func wantDatagram(t testing.TB, pkt header.IPv6, src, dst string, from, to uint16, data []byte) {
	t.Helper()
	want := lab.UDP(src, dst, from, to, data)
	if !bytes.Equal(pkt, want) {
		t.Errorf("got %d bytes, from %v to %v, % x; want %d, % x",
			len(pkt), pkt.Source(), pkt.Destination(), pkt[header.IPv6Size:][:header.UDPSize], len(want), want[header.IPv6Size:][:header.UDPSize])
	}
}

// Datagrams of any size come back as they went, in fragments if they have to, from the
// address that they were sent to.
func TestListenPacket(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	s.Attach("b", routerB+"/64")
	wrong := s.echoPacket(t, 7, tcpstack.Where{})
	for _, to := range []string{routerA, routerB} {
		for _, size := range []int{0, 1, 1232, 1452, 1453, 9000, 60_000, 65_527} {
			data := random(size)
			out := lab.UDP(hostA, to, 5000, 7, data)
			if len(out) <= 1500 {
				port.Send(out)
			} else {
				port.Send(lab.Fragments(out, 1232, uint32(size))...)
			}
			pkt, largest := await(t, port)
			wantDatagram(t, pkt, to, hostA, 7, 5000, data)
			if largest > 1500 || size <= 1452 && largest != len(pkt) {
				t.Errorf("%d bytes left in packets of %d", size, largest)
			}
		}
	}
	if all := wrong(); all != nil {
		t.Error(all)
	}
	const each = 8
	s.Until("all to be counted", func() bool { // the last one, behind its way out
		st := s.tcp.Stats()
		return st.DatagramsIn == 2*each && st.DatagramsOut == 2*each
	})
}

// A reply has the hop limit and the MTU of the interface that it leaves through, as
// they are then.
func TestDatagramFollowsTheWayOut(t *testing.T) {
	s := newScene(t)
	set := lab.Settings("a", routerA+"/64")
	set.HopLimit = 77
	port := s.AttachAs(set)
	s.echoPacket(t, 7, tcpstack.Where{})
	data := random(1400)
	port.Send(lab.UDP(hostA, routerA, 5000, 7, data))
	pkt, largest := await(t, port)
	wantDatagram(t, lab.WithHopLimit(pkt, 64), routerA, hostA, 7, 5000, data)
	if largest != len(pkt) {
		t.Errorf("left in fragments of %d", largest)
	}
	port.SetMTU(1400)
	port.Send(lab.UDP(hostA, routerA, 5000, 7, data))
	pkt, largest = await(t, port)
	if pkt.HopLimit() != 77 || largest > 1400 {
		t.Errorf("hop limit %d, %d bytes at once, want 77 and 1400 at most", pkt.HopLimit(), largest)
	}
}

// Who is not to be served gets the answer of a port where nobody listens; who may be
// another server gets none.
func TestListenPacketWhere(t *testing.T) {
	type answer int
	const (
		reply answer = iota
		unreachable
		silence
	)
	cases := []struct {
		name  string
		where tcpstack.Where
		to    string
		from  uint16
		port  uint16
		want  answer
	}{
		{"any", tcpstack.Where{}, routerB, 5000, 7, reply},
		{"another port", tcpstack.Where{}, routerA, 5000, 8, unreachable},
		{"a port of TCP", tcpstack.Where{}, routerA, 5000, 80, unreachable},
		{"its address", tcpstack.Where{Addresses: addrs(routerA)}, routerA, 5000, 7, reply},
		{"another address", tcpstack.Where{Addresses: addrs(routerA)}, routerB, 5000, 7, unreachable},
		{"its interface", tcpstack.Where{Interfaces: []string{"a"}}, routerB, 5000, 7, reply},
		{"another interface", tcpstack.Where{Interfaces: []string{"b"}}, routerB, 5000, 7, unreachable},
		{"the anycast address of the link", tcpstack.Where{}, "2001:db8:a::", 5000, 7, unreachable},
		{"all nodes", tcpstack.Where{}, "ff02::1", 5000, 7, silence},
		{"from another server", tcpstack.Where{}, routerA, 19, 7, reply},
		{"from another server, which is not wanted", tcpstack.Where{NoSystemPorts: true}, routerA, 19, 7, silence},
		{"from the last of these ports", tcpstack.Where{NoSystemPorts: true}, routerA, 1023, 7, silence},
		{"from the first of the others", tcpstack.Where{NoSystemPorts: true}, routerA, 1024, 7, reply},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			port := s.Attach("a", routerA+"/64")
			s.Attach("b", routerB+"/64")
			s.listen(t, 80, tcpstack.Where{}, echo)
			s.echoPacket(t, 7, c.where)
			port.Send(lab.UDP(hostA, c.to, c.from, c.port, []byte("x")))
			port.Send(lab.Echo(hostA, routerA, 1, 1, nil))
			if c.want == silence {
				s.Settle()
				if n := s.Plane.Stats().Dropped[dataplane.LocalIgnored]; c.to == routerA && n != 1 {
					t.Errorf("%d ignored, want 1", n)
				}
			}
			got := silence
			for echoed := false; !echoed || got == silence && c.want != silence; {
				switch pkt, _ := await(t, port); {
				case pkt.NextHeader() == header.ProtoUDP:
					got = reply
				case pkt[header.IPv6Size] == header.TypeDestinationUnreachable && pkt[header.IPv6Size+1] == header.CodePortUnreachable:
					got = unreachable
				case pkt[header.IPv6Size] == header.TypeEchoReply:
					echoed = true
				}
			}
			if got != c.want {
				t.Errorf("answer %d, want %d", got, c.want)
			}
		})
	}
}

// A port of UDP is none of TCP, and each is one somebody's.
func TestPortTaken(t *testing.T) {
	s := newScene(t)
	s.listen(t, 7, tcpstack.Where{}, echo)
	c := s.listenPacket(t, 7, tcpstack.Where{})
	if _, err := s.tcp.ListenPacket(7, tcpstack.Where{}); !errors.Is(err, tcpstack.ErrPortTaken) {
		t.Errorf("error = %v, want that it is taken", err)
	}
	_ = c.Close()
	_ = s.listenPacket(t, 7, tcpstack.Where{})
}

// What is no valid datagram is dropped, with its reason: RFC 768, RFC 8200 §8.1.
//
// Proves:
//   - RFC 8200 §8 udp-zero-checksum
func TestDatagramChecks(t *testing.T) {
	length := func(n uint16) func([]byte) []byte {
		return func(pkt []byte) []byte {
			binary.BigEndian.PutUint16(pkt[header.IPv6Size+4:], n)
			return pkt
		}
	}
	cases := []struct {
		name   string
		change func(pkt []byte) []byte
		why    dataplane.Drop
	}{
		{"valid", func(pkt []byte) []byte { return pkt }, dataplane.None},
		{"without a checksum", func(pkt []byte) []byte { pkt[header.IPv6Size+6], pkt[header.IPv6Size+7] = 0, 0; return pkt }, dataplane.LocalChecksum},
		{"with a wrong checksum", func(pkt []byte) []byte { pkt[header.IPv6Size+6]++; return pkt }, dataplane.LocalChecksum},
		{"longer than its packet", length(13), dataplane.Truncated},
		{"shorter than its header", length(7), dataplane.Truncated},
		{"of no length, as a jumbogram", length(0), dataplane.Truncated},
		{"without all of its header", func(pkt []byte) []byte { return lab.Packet(hostA, routerA, header.ProtoUDP, pkt[header.IPv6Size:][:7]) }, dataplane.Truncated},
		{"with something behind it", func(pkt []byte) []byte {
			return lab.Packet(hostA, routerA, header.ProtoUDP, append(pkt[header.IPv6Size:], "more"...))
		}, dataplane.None},
		{"behind options", func(pkt []byte) []byte { return lab.Options(pkt, header.ProtoDestinationOptions) }, dataplane.None},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			port := s.Attach("a", routerA+"/64")
			s.echoPacket(t, 7, tcpstack.Where{})
			port.Send(c.change(lab.UDP(hostA, routerA, 5000, 7, []byte("ping"))))
			if c.why == dataplane.None {
				pkt, _ := await(t, port)
				wantDatagram(t, pkt, routerA, hostA, 7, 5000, []byte("ping"))
				return
			}
			if n := s.Stats().Dropped[c.why]; n != 1 {
				t.Errorf("%d dropped for %v, want 1", n, c.why)
			}
			port.ExpectNone()
		})
	}
}

// A superframe of the kernel's is as many datagrams as it stands for, also if their
// checksums are not complete.
func TestDatagramsOfSuperframe(t *testing.T) {
	const needsChecksum, uso = 1, 5
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	s.echoPacket(t, 7, tcpstack.Where{})
	data, size := random(2500), 1000
	vnet := make([]byte, 10)
	vnet[0], vnet[1] = needsChecksum, uso
	binary.NativeEndian.PutUint16(vnet[4:], uint16(size))
	binary.NativeEndian.PutUint16(vnet[6:], header.IPv6Size)
	binary.NativeEndian.PutUint16(vnet[8:], 6)
	port.SendFrame(append(vnet, lab.UDP(hostA, routerA, 5000, 7, data)...))
	for part := range slices.Chunk(data, size) {
		pkt, _ := await(t, port)
		wantDatagram(t, pkt, routerA, hostA, 7, 5000, part)
	}
}

// A checksum that comes to zero is sent as 0xffff: zero would say that there is none.
//
// Proves:
//   - RFC 8200 §8 udp-checksum-sent
func TestChecksumIsNeverZero(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	c := s.listenPacket(t, 7, tcpstack.Where{})
	peer := tcpstack.Peer{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(hostA), 5000), At: netip.MustParseAddr(routerA)}
	sum := func(data []byte) uint16 {
		if _, err := c.WriteTo(data, peer); err != nil {
			t.Fatal(err)
		}
		return header.UDP(port.Expect()[header.IPv6Size:]).Checksum()
	}
	// With the checksum of the others for its data, a datagram sums up to all ones.
	if got := sum(binary.BigEndian.AppendUint16(nil, sum([]byte{0, 0}))); got != 0xffff {
		t.Errorf("checksum = %#x, want 0xffff", got)
	}
}

// What can't be sent is an error of who writes, at once.
func TestWriteToFails(t *testing.T) {
	s := newScene(t)
	lan := s.Attach("lan", routerB+"/64")
	port := s.Attach("a", routerA+"/64")
	c := s.listenPacket(t, 7, tcpstack.Where{})
	peer := tcpstack.Peer{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(hostA), 5000), At: netip.MustParseAddr(routerB)}
	if _, err := c.WriteTo(nil, peer); err != nil {
		t.Fatal(err)
	}
	port.Expect()
	drops := func(what string, to net.Addr, why dataplane.Drop) {
		t.Helper()
		if _, err := c.WriteTo([]byte("x"), to); !isFor(err, why) {
			t.Errorf("%s: error = %v, want %v", what, err, why)
		}
	}
	port.Carrier(false)
	drops("by a way that is down", peer, dataplane.NoRoute)
	port.Carrier(true)
	lan.Detach()
	drops("from an address that has left", peer, dataplane.SourceLeft)
	drops("to nowhere", &net.UDPAddr{IP: net.ParseIP("2001:db8:c::1"), Port: 7}, dataplane.NoRoute)
	port.ExpectNone()
	if _, err := c.WriteTo(make([]byte, 65_528), peer); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("error = %v, want that it is too long", err)
	}
	if _, err := c.WriteTo(nil, &net.TCPAddr{}); err == nil {
		t.Error("an address of TCP was taken")
	}
	_ = c.Close()
	if _, err := c.WriteTo(nil, peer); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error = %v, want that it is closed", err)
	}
}

// Who is written to without having asked gets it from an address of the interface
// that leads there.
func TestWriteToSomebody(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	c := s.listenPacket(t, 7, tcpstack.Where{})
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP(hostA), Port: 5000}); err != nil {
		t.Fatal(err)
	}
	wantDatagram(t, header.IPv6(lab.WithHopLimit(port.Expect(), 64)), routerA, hostA, 7, 5000, []byte("x"))
}

// A read ends with its deadline, which may be moved under it, and with the socket.
func TestReadDeadline(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	c := s.listenPacket(t, 7, tcpstack.Where{})
	b := make([]byte, 10)
	read := func() error { _, _, err := c.ReadFrom(b); return err }
	_ = c.SetDeadline(time.Now())
	if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || !err.(net.Error).Timeout() { //nolint:errorlint // what it says itself
		t.Errorf("error = %v, want that it is late", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	ended := make(chan error)
	go func() { ended <- read() }()
	_ = c.SetReadDeadline(time.Now().Add(time.Hour)) // goes on
	_ = c.SetReadDeadline(time.Now())
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error = %v, want that it is late", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Hour))
	port.Send(lab.UDP(hostA, routerA, 5000, 7, []byte("more than ten bytes")))
	if n, from, err := c.ReadFrom(b); err != nil || string(b[:n]) != "more than " || from.String() != "["+hostA+"]:5000" || from.Network() != c.LocalAddr().Network()+"6" {
		t.Errorf("read %q from %v, err %v", b[:n], from, err)
	}
	go func() { ended <- read() }()
	_ = c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("error = %v, want that it is closed", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	if err := read(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error = %v, want that it is closed", err)
	}
}

// Several readers get all there is.
func TestReadersAtOnce(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	c := s.listenPacket(t, 7, tcpstack.Where{})
	const all = 100
	got := make(chan struct{}, all)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				if _, _, err := c.ReadFrom(nil); err != nil {
					return
				}
				got <- struct{}{}
			}
		})
	}
	for range all {
		port.Send(lab.UDP(hostA, routerA, 5000, 7, []byte("x")))
		s.Settle()
	}
	for range all {
		<-got
	}
	_ = c.Close()
	readers.Wait()
}

// A Packet Too Big is believed if it quotes a datagram that was sent, and what it says
// can be: RFC 8085 §5.2, RFC 8201 §4.
func TestDatagramTooBig(t *testing.T) {
	cases := []struct {
		name    string
		mtu     uint32
		change  func(quote []byte) // what is amiss with it
		learned bool
	}{
		{"of a router on the path", 1300, func([]byte) {}, true},
		{"about another port", 1300, func(q []byte) { q[header.IPv6Size+1]++ }, false},
		{"about another port of the peer", 1300, func(q []byte) { q[header.IPv6Size+3]++ }, false},
		{"about another peer", 1300, func(q []byte) { q[header.IPv6Size-1]++ }, false},
		{"from another address", 1300, func(q []byte) { q[header.IPv6Size-17]++ }, false},
		{"about another datagram", 1300, func(q []byte) { q[header.IPv6Size+7]++ }, false},
		{"with less than every link takes", 1279, func([]byte) {}, false},
		{"with more than was sent", 1500, func([]byte) {}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			port := s.Attach("a", routerA+"/64")
			s.echoPacket(t, 7, tcpstack.Where{})
			data := random(1452)
			port.Send(lab.UDP(hostA, routerA, 5000, 7, data))
			pkt, largest := await(t, port)
			if largest != 1500 {
				t.Fatalf("left with %d bytes at once, want 1500", largest)
			}
			quote := bytes.Clone(pkt[:1280-48])
			c.change(quote)
			port.Send(lab.ICMPv6("2001:db8:ff::1", routerA, header.TypePacketTooBig, 0, c.mtu, quote))
			s.Settle()
			port.Send(lab.UDP(hostA, routerA, 5000, 7, data))
			pkt, largest = await(t, port)
			wantDatagram(t, pkt, routerA, hostA, 7, 5000, data)
			if small := largest <= 1300; small != c.learned {
				t.Errorf("largest packet = %d after an MTU of %d", largest, c.mtu)
			}
			if refused := s.tcp.Stats().DatagramErrorsRefused; refused != 0 == c.learned {
				t.Errorf("%d errors refused", refused)
			}
		})
	}
}

// A source has its share, and others theirs.
func TestDatagramLimits(t *testing.T) {
	l := tcpstack.DefaultLimits
	l.DatagramRate = 1
	s := newSceneWith(t, l)
	port := s.Attach("a", routerA+"/64")
	s.listenPacket(t, 7, tcpstack.Where{})
	for i := range 50 {
		port.Send(lab.UDP(hostA, routerA, uint16(5000+i), 7, nil))
	}
	port.Send(lab.UDP("2001:db8:c::1", routerA, 5000, 7, nil))
	st := s.Stats()
	if st.Dropped[dataplane.LocalLimited] == 0 { // it may have a burst of two, and one a second
		t.Error("none of 50 was refused")
	}
	if st.Consumed < 3 {
		t.Errorf("%d taken, want that of the other source too", st.Consumed)
	}
}

// What nobody reads is bounded, in datagrams and in bytes.
func TestSocketIsBounded(t *testing.T) {
	for _, size := range []int{0, 1452} {
		s := newScene(t)
		port := s.Attach("a", routerA+"/64")
		s.listenPacket(t, 7, tcpstack.Where{})
		for range 3000 {
			for !port.TrySend(lab.UDP(hostA, routerA, 5000, 7, make([]byte, size))) {
				s.Settle() // the wire is full
			}
		}
		st := s.Stats()
		want := uint64(min(1024, 1<<20/max(1, size)))
		if st.Consumed != want || st.Dropped[dataplane.LocalFull] != 3000-want {
			t.Errorf("%d bytes each: %d kept, %d too many, want %d kept", size, st.Consumed, st.Dropped[dataplane.LocalFull], want)
		}
	}
}

// Where datagrams come and go while the interface under them ends and returns, a
// reply finds no way, or the way there is.
func TestDatagramsOverFlappingInterface(t *testing.T) {
	s := newScene(t)
	s.Attach("lan", routerB+"/64")
	s.Route("2001:db8:f::/64", lab.Dev("wan"))
	in := s.Attach("in", routerA+"/64")
	narrow := lab.Settings("wan")
	narrow.MTU = 1280
	request := lab.UDP("2001:db8:f::1", routerB, 5000, 7, random(1400)) // the reply has two fragments
	wrong := s.echoPacket(t, 7, tcpstack.Where{})
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				in.TrySend(request)
			}
		}
	})
	for range 10 {
		wan := s.AttachAs(narrow)
		s.Until("a reply to leave", func() bool { return wan.Take() != nil })
		wan.Detach()
	}
	close(stop)
	flood.Wait()
	s.Settle()
	s.Until("an error", func() bool { return len(wrong()) > 0 })
	ok := []dataplane.Drop{dataplane.NoRoute, dataplane.InterfaceGone, dataplane.InterfaceDown, dataplane.InterfaceFull}
	for _, err := range wrong() {
		if !slices.ContainsFunc(ok, func(d dataplane.Drop) bool { return isFor(err, d) }) {
			t.Errorf("error = %v", err)
		}
	}
}

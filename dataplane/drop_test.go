package dataplane_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

var data = []byte("what the packet is about")

func udp(src, dst string) []byte { return lab.UDP(src, dst, 4000, 5000, data) }

// Packets that end for a reason which the packet itself, and the routes, give.
//
// Proves:
//   - RFC 8200 §3 hop-limit-used-up
//   - RFC 8200 §3 payload-length
//   - RFC 8200 §4 unrecognized-next-header
//   - RFC 8200 §4.7 nothing-follows
//   - RFC 4443 §2.2 asked-address
//   - RFC 4443 §2.2 other-address
//   - RFC 4443 §2.2 chosen-address
//   - RFC 4443 §2.3 checksum
//   - RFC 4443 §2.4 unknown-informational
//   - RFC 4443 §3.1 unreachable
//   - RFC 4443 §3.1 no-route
//   - RFC 4443 §3.1 prohibited
//   - RFC 4443 §3.1 beyond-scope
//   - RFC 4443 §3.1 address-unreachable
//   - RFC 4443 §3.1 port-unreachable
//   - RFC 4443 §3.1 unused-field
//   - RFC 4443 §3.3 hop-limit
//   - RFC 4443 §3.4 problem
//   - RFC 4443 §3.4 problem-pointer
func TestDropByPacket(t *testing.T) {
	big := lab.UDP(hostA, hostB, 1, 2, make([]byte, 1353)) // 1401 bytes
	cases := []struct {
		name  string
		in    string // a unless it says otherwise
		pkt   []byte
		why   dataplane.Drop
		wants *icmpError
	}{
		{name: "nothing at all is no packet", pkt: []byte{}, why: dataplane.NotIPv6},
		{name: "IPv4 is no concern of ours", pkt: append([]byte{0x45}, make([]byte, 30)...), why: dataplane.NotIPv6},
		{name: "half a header is truncated", pkt: udp(hostA, hostB)[:39], why: dataplane.Truncated},
		{name: "one byte less than it says is truncated", pkt: udp(hostA, hostB)[:40+8+len(data)-1], why: dataplane.Truncated},

		{name: "a group sends nothing", pkt: udp("ff02::1", hostB), why: dataplane.BadSource},
		{name: "loopback stays in its node", pkt: udp("::1", hostB), why: dataplane.BadSource},
		{name: "who has no address yet speaks to groups only", pkt: udp("::", hostB), why: dataplane.BadSource},
		{name: "the unspecified address is nobody", pkt: udp(hostA, "::"), why: dataplane.BadDestination},
		{name: "loopback is never reached from outside", pkt: udp(hostA, "::1"), why: dataplane.BadDestination},

		{name: "groups are not forwarded", pkt: udp(hostA, "ff0e::101"), why: dataplane.Multicast},
		{name: "a link-local group the router is not in", pkt: udp(hostA, "ff02::fb"), why: dataplane.Multicast},
		{name: "interface-local groups never come off a wire", pkt: lab.Echo(hostA, "ff01::1", 1, 1, data), why: dataplane.Multicast},
		{name: "scope 0 is reserved", pkt: udp(hostA, "ff00::1"), why: dataplane.Multicast},

		{
			name: "someone else's link-local address", pkt: udp(peerA, "fe80::77"), why: dataplane.LinkLocalTarget,
			wants: &icmpError{1, 3, 0, linkA},
		},
		{
			name: "routing header type 0 in transit", pkt: lab.RoutingHeader(udp(hostA, hostB), 0, 1), why: dataplane.RoutingHeader,
			wants: &icmpError{4, 0, 42, routerA},
		},
		{
			name: "no route", pkt: udp(hostA, elsewhere), why: dataplane.NoRoute,
			wants: &icmpError{1, 0, 0, routerA},
		},
		{
			name: "a route that says unreachable", pkt: udp(hostA, "2001:db8:1::1"), why: dataplane.NoRoute,
			wants: &icmpError{1, 0, 0, routerA},
		},
		{
			name: "a route that prohibits", pkt: udp(hostA, "2001:db8:2::1"), why: dataplane.Prohibited,
			wants: &icmpError{1, 1, 0, routerA},
		},
		{name: "a black hole says nothing", pkt: udp(hostA, "2001:db8:3::1"), why: dataplane.Blackholed},
		{
			name: "a link-local source stays on its link", pkt: udp(peerA, hostB), why: dataplane.BeyondScope,
			wants: &icmpError{1, 2, 0, linkA},
		},
		{
			name: "hop limit 1 ends here", pkt: lab.WithHopLimit(udp(hostA, hostB), 1), why: dataplane.HopLimit,
			wants: &icmpError{3, 0, 0, routerA},
		},
		{
			name: "hop limit 0 should not have come", pkt: lab.WithHopLimit(udp(hostA, hostB), 0), why: dataplane.HopLimit,
			wants: &icmpError{3, 0, 0, routerA},
		},
		{
			name: "back where it came from", pkt: udp(hostA, "2001:db8:a::77"), why: dataplane.SameLink,
			wants: &icmpError{1, 3, 0, routerA},
		},
		{
			name: "one byte more than the way out takes", pkt: big, why: dataplane.TooBig,
			wants: &icmpError{2, 0, 1400, routerA},
		},

		{name: "a ping with a wrong checksum", pkt: wrong(lab.Echo(hostA, routerA, 1, 1, data)), why: dataplane.LocalChecksum},
		{
			name: "a protocol the router does not speak", pkt: lab.Packet(hostA, routerA, 253, data), why: dataplane.LocalHeader,
			wants: &icmpError{4, 1, 6, routerA},
		},
		{
			name: "a protocol it does not speak behind options", why: dataplane.LocalHeader,
			pkt:   lab.Options(lab.Packet(hostA, routerA, 253, data), header.ProtoDestinationOptions),
			wants: &icmpError{4, 1, 40, routerA},
		},
		{
			name: "a port where nothing listens", pkt: udp(hostA, routerA), why: dataplane.LocalPort,
			wants: &icmpError{1, 4, 0, routerA},
		},
		{
			name: "TCP to where nothing listens", pkt: lab.TCP(hostA, routerA, 1, 2, header.FlagSYN, nil), why: dataplane.LocalPort,
			wants: &icmpError{1, 4, 0, routerA},
		},
		{
			name: "a header that leaves the packet", why: dataplane.LocalField,
			pkt:   lab.Packet(hostA, routerA, header.ProtoDestinationOptions, []byte{17, 9, 0, 0, 0, 0, 0, 0}),
			wants: &icmpError{4, 0, 41, routerA},
		},
		{name: "half an ICMPv6 header", pkt: lab.Packet(hostA, routerA, header.ProtoICMPv6, make([]byte, 7)), why: dataplane.Truncated},
		{name: "an echo reply nobody waits for", pkt: lab.ICMPv6(hostA, routerA, header.TypeEchoReply, 0, 1, nil), why: dataplane.LocalIgnored},
		{name: "an error about what nobody sent", pkt: lab.ICMPv6(hostA, routerA, 1, 0, 0, udp(routerA, hostA)), why: dataplane.LocalIgnored},
		{name: "an echo request of an unknown code", pkt: lab.ICMPv6(hostA, routerA, header.TypeEchoRequest, 1, 1, nil), why: dataplane.LocalIgnored},
		{name: "a message of a type that nobody knows", pkt: lab.ICMPv6(hostA, routerA, 200, 0, 1, nil), why: dataplane.LocalIgnored},
		{name: "no next header", pkt: lab.Packet(hostA, routerA, header.ProtoNone, data), why: dataplane.LocalIgnored},
		{name: "a neighbor solicitation has no use here", pkt: lab.ICMPv6(peerA, "ff02::1:ff00:1", 135, 0, 0, make([]byte, 16)), why: dataplane.LocalIgnored},
		{name: "an MLDv2 report has no use here", pkt: lab.ICMPv6(peerA, "ff02::16", 143, 0, 0, nil), why: dataplane.LocalIgnored},
		{name: "duplicate detection has no use here", pkt: lab.ICMPv6("::", "ff02::1:ff00:1", 135, 0, 0, make([]byte, 16)), why: dataplane.LocalIgnored},

		{
			name: "no global address on the interface: another one of the router's", in: "c", why: dataplane.NoRoute,
			pkt: udp(hostC, elsewhere), wants: &icmpError{1, 0, 0, routerA},
		},
		{
			name: "no global address on the interface, nor in the question", in: "c", why: dataplane.NoRoute,
			pkt: udp("fe80::3", elsewhere), wants: &icmpError{1, 0, 0, linkC},
		},
		{
			name: "a link-local question gets a link-local answer", why: dataplane.NoRoute,
			pkt: udp(peerA, elsewhere), wants: &icmpError{1, 0, 0, linkA},
		},
		{
			name: "the answer comes from where the question went", why: dataplane.LocalPort,
			pkt: udp(hostA, routerB), wants: &icmpError{1, 4, 0, routerB},
		},
		{
			name: "the answer comes from where the question went, scope or no", why: dataplane.LocalPort,
			pkt: udp(peerA, routerB), wants: &icmpError{1, 4, 0, routerB},
		},
		{
			name: "an anycast address never answers", why: dataplane.LocalPort,
			pkt: udp(hostA, "2001:db8:b::"), wants: &icmpError{1, 4, 0, routerA},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.Route("2001:db8:1::/48", lab.Refuse(fib.Unreachable))
			s.Route("2001:db8:2::/48", lab.Refuse(fib.Prohibit))
			s.Route("2001:db8:3::/48", lab.Refuse(fib.Blackhole))
			s.b.SetMTU(1400)
			in := s.a
			if c.in == "c" {
				in = s.c
			}
			in.Send(c.pkt)
			s.wantDropped(t, c.why)
			sent := uint64(0)
			if c.wants != nil {
				c.wants.check(t, in.Expect(), c.pkt)
				sent = 1
			}
			if st := s.Stats(); st.ErrorsSent != sent || st.Originated != sent || st.Sent != sent {
				t.Errorf("errors sent, originated, sent = %d, %d, %d, want %d of each", st.ErrorsSent, st.Originated, st.Sent, sent)
			}
			for _, p := range []*lab.Port{s.a, s.b, s.c} {
				p.ExpectNone()
			}
		})
	}
}

// wrong is pkt with a bit of its last byte changed.
func wrong(pkt []byte) []byte {
	pkt[len(pkt)-1] ^= 1
	return pkt
}

// A frame whose virtio-net header says what is not so ends, whatever it is.
func TestDropBadOffload(t *testing.T) {
	segments := lab.TCP(hostA, hostB, 1, 2, header.FlagACK, make([]byte, 3000))
	padded := func(f []byte) []byte { return append(f, make([]byte, 100)...) }
	cases := []struct {
		name  string
		frame []byte
	}{
		{"checksum behind the end", with(lab.PartialChecksum(udp(hostA, hostB)), 6, 1000)},
		{"segments without a checksum", with(lab.Superframe(segments, 1000), 0, 4<<8)},
		{"segments of nothing", with(lab.Superframe(segments, 1000), 4, 0)},
		{"checksum behind what the packet says is its end", with(padded(lab.PartialChecksum(udp(hostA, elsewhere))), 6, 130)},
		{"segments in what the packet does not have", padded(lab.Superframe(segments, 3000))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.SendFrame(c.frame)
			st := s.Stats()
			if n := st.TotalDropped(); st.Dropped[dataplane.BadOffload] != n || n != st.Received {
				t.Errorf("dropped %d of %d packets for %v, want all", st.Dropped[dataplane.BadOffload], st.Received, dataplane.BadOffload)
			}
			if !st.Balanced() {
				t.Errorf("account does not balance: %+v", st)
			}
			s.a.ExpectNone()
			s.b.ExpectNone()
		})
	}
}

// with changes a field of a frame's header. It takes frame.
func with(frame []byte, at int, value uint16) []byte {
	binary.NativeEndian.PutUint16(frame[at:], value)
	return frame
}

// Only TCP and UDP come in superframes. A ping that says it is one would be many
// packets received and one answered.
func TestEchoIsNoSuperframe(t *testing.T) {
	s := newScene(t)
	f := lab.PartialChecksum(lab.Echo(hostA, routerA, 1, 1, make([]byte, 1000)))
	f[1] = 5 // UDP
	s.a.SendFrame(with(f, 4, 100))
	if st := s.Stats(); !st.Balanced() || st.Dropped[dataplane.BadOffload] != st.Received {
		t.Errorf("account = %+v, want all dropped for %v", st, dataplane.BadOffload)
	}
	s.a.ExpectNone()
}

// An own is a port of the test's own making, whose Send fails as it is told.
type own struct{ err error }

func (p own) Send(v *link.Vector) error {
	if p.err == nil {
		v.Reset()
	}
	return p.err
}
func (own) Interrupt()   {}
func (own) Close() error { return nil }
func (own) Sever() error { return nil }

// What a port does not take is dropped for the reason the port gives.
//
// Proves:
//   - RFC 4443 §3.1 congestion
func TestDropByPort(t *testing.T) {
	cases := []struct {
		err error
		why dataplane.Drop
	}{
		{link.ErrDown, dataplane.InterfaceDown},
		{link.ErrGone, dataplane.InterfaceGone},
		{link.ErrFull, dataplane.InterfaceFull},
		{link.ErrRejected, dataplane.InterfaceRefused},
		{errors.New("anything else"), dataplane.InterfaceRefused},
	}
	for _, c := range cases {
		t.Run(c.err.Error(), func(t *testing.T) {
			s := newScene(t)
			var id ifmgr.ID
			s.Turn(func(turn *loop.Turn) {
				var err error
				id, err = s.Interfaces.Attach(turn, own{c.err}, ifmgr.Settings{Name: "own", MTU: 1500, Up: true})
				if err != nil {
					t.Error(err)
				}
			})
			s.Route("2001:db8:d::/48", lab.Dev("own"))
			s.a.Send(udp(hostA, "2001:db8:d::1"))
			s.wantDropped(t, c.why)
			s.Turn(func(turn *loop.Turn) {
				for _, in := range s.Interfaces.All(turn) {
					if in.ID == id && (in.Traffic.TxErrors.Load() != 1 || in.Traffic.TxPackets.Load() != 0) {
						t.Errorf("not taken, taken = %d, %d, want 1, 0", in.Traffic.TxErrors.Load(), in.Traffic.TxPackets.Load())
					}
				}
			})
			s.a.ExpectNone()
			s.DetachID(id)
		})
	}
}

// A port that takes some of a batch has those counted as sent.
func TestFullPortTakesWhatItCan(t *testing.T) {
	s := newScene(t)
	const depth, more = 1024, 10
	for range depth + more {
		s.a.Send(udp(hostA, hostB))
		s.Settle()
	}
	st := s.Stats()
	if st.Sent != depth || st.Dropped[dataplane.InterfaceFull] != more {
		t.Errorf("sent, dropped = %d, %d, want %d, %d", st.Sent, st.Dropped[dataplane.InterfaceFull], depth, more)
	}
	tr := s.b.Traffic()
	if tr.TxPackets.Load() != depth || tr.TxErrors.Load() != more {
		t.Errorf("interface sent, refused = %d, %d, want %d, %d", tr.TxPackets.Load(), tr.TxErrors.Load(), depth, more)
	}
}

// A port that is full loses its own packets, and those of others in the same batch
// go their way.
func TestFullPortHoldsUpNobody(t *testing.T) {
	s := newScene(t)
	const depth, each = 1024, 20
	for range depth {
		s.a.Send(udp(hostA, hostB))
		s.Settle()
	}
	for range each {
		s.a.Send(udp(hostA, hostB), udp(hostA, hostC))
	}
	for range each {
		wantPacket(t, s.c.Expect(), forwarded(udp(hostA, hostC)))
	}
	s.Settle()
	if st := s.Stats(); st.Dropped[dataplane.InterfaceFull] != each || st.TotalDropped() != each || !st.Balanced() {
		t.Errorf("dropped as full, dropped, balanced = %d, %d, %v, want %d, %d, true",
			st.Dropped[dataplane.InterfaceFull], st.TotalDropped(), st.Balanced(), each, each)
	}
}

// What must never happen is noticed when it does: here the interface loses its
// carrier, and nobody takes it out of the table.
func TestDropDeadInterface(t *testing.T) {
	s := newScene(t)
	s.DeadLookups = 1
	forgetful := s.Hooks()
	forgetful.Withdraw = func(*loop.Turn, ifmgr.ID) (int, int) { return 0, 0 }
	s.Turn(func(t *loop.Turn) {
		s.Interfaces.Hook(forgetful)
		s.Interfaces.Carrier(t, s.b.ID, false)
		s.Interfaces.Hook(s.Hooks())
	})
	s.a.Send(udp(hostA, hostB))
	s.wantDropped(t, dataplane.DeadInterface)
	if n := s.Stats().DeadLookups; n != 1 {
		t.Errorf("dead lookups = %d, want 1", n)
	}
	s.b.ExpectNone()
	s.b.Carrier(true)
	s.a.Send(udp(hostA, hostB))
	s.b.Expect()
}

// Each reason has a name, and a text that says whether the sender is told.
func TestDropsAreExplained(t *testing.T) {
	names := map[string]bool{}
	for _, d := range dataplane.Drops() {
		if d.String() == "" || names[d.String()] {
			t.Errorf("reason %d has name %q: empty, or another's", d, d)
		}
		names[d.String()] = true
		if says := strings.Contains(d.Text(), "answered"); says != dataplane.Answered(d) {
			t.Errorf("text of %v is %q, but answered = %v", d, d.Text(), !says)
		}
	}
}

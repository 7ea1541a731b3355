package dataplane_test

import (
	"bytes"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// A router decrements the hop limit, and changes nothing else.
//
// Proves:
//   - RFC 8200 §3 forward-decrements
//   - RFC 8200 §3 hop-limit-at-destination
func TestRFC8200_3_HopLimit(t *testing.T) {
	s := newScene(t)
	pkt := lab.WithHopLimit(udp(hostA, hostB), 2)
	s.a.Send(pkt)
	wantPacket(t, s.b.Expect(), forwarded(pkt))

	for _, n := range []uint8{0, 1} { // the destination does not look
		s.a.Send(lab.WithHopLimit(lab.Echo(hostA, routerA, 1, 1, nil), n))
		if typ := header.ICMPv6(s.a.Expect()[40:]).Type(); typ != header.TypeEchoReply {
			t.Errorf("answer to a ping with hop limit %d = type %d, want an echo reply", n, typ)
		}
	}
}

// What follows the payload is the link's.
//
// Proves:
//   - RFC 8200 §3 payload-length
func TestRFC8200_3_PayloadLengthEndsThePacket(t *testing.T) {
	s := newScene(t)
	pkt := udp(hostA, hostB)
	s.a.Send(append(bytes.Clone(pkt), 1, 2, 3, 4))
	wantPacket(t, s.b.Expect(), forwarded(pkt))

	ping := lab.Echo(hostA, routerA, 1, 1, data)
	s.a.Send(append(bytes.Clone(ping), make([]byte, 10)...))
	if got := s.a.Expect(); len(got) != len(ping) {
		t.Errorf("reply to a padded ping has %d bytes, want %d", len(got), len(ping))
	}

	lost := udp(hostA, elsewhere)
	s.a.Send(append(bytes.Clone(lost), make([]byte, 10)...))
	(&icmpError{1, 0, 0, routerA}).check(t, s.a.Expect(), lost)
}

// Extension headers and protocols are for the destination. Unknown ones are no
// reason to drop.
//
// Proves:
//   - RFC 8200 §4 transit-untouched
//   - RFC 8200 §4 hop-by-hop-untouched
//   - RFC 8200 §4 hop-by-hop-in-transit
//   - RFC 8200 §4.7 passed-on
func TestRFC8200_4_HeadersPassUntouched(t *testing.T) {
	plain := udp(hostA, hostB)
	cases := []struct {
		name string
		pkt  []byte
	}{
		{"hop-by-hop options", lab.Options(plain, header.ProtoHopByHop)},
		{"hop-by-hop options that nobody knows, to be discarded", lab.Extend(plain, header.ProtoHopByHop, []byte{0, 0, 0xc7, 4, 0, 0, 0, 0})},
		{"hop-by-hop options that do not fit", lab.Extend(plain, header.ProtoHopByHop, []byte{0, 0, 7, 9, 0, 0, 0, 0})},
		{"destination options", lab.Options(plain, header.ProtoDestinationOptions)},
		{"hop-by-hop options that are not first", lab.Options(lab.Options(plain, header.ProtoHopByHop), header.ProtoDestinationOptions)},
		{"first fragment", lab.Fragment(plain, 0, true)},
		{"last fragment", lab.Fragment(plain, 100, false)},
		{"atomic fragment", lab.Fragment(plain, 0, false)},
		{"routing header of type 2", lab.RoutingHeader(plain, 2, 1)},
		{"segment routing header", lab.RoutingHeader(plain, 4, 1)},
		{"routing header of type 0 without segments left", lab.RoutingHeader(plain, 0, 0)},
		{"authentication header", lab.Extend(plain, header.ProtoAH, make([]byte, 8))},
		{"encapsulated payload", lab.Packet(hostA, hostB, header.ProtoESP, data)},
		{"no next header, with bytes behind it", lab.Packet(hostA, hostB, header.ProtoNone, data)},
		{"experimental protocol", lab.Packet(hostA, hostB, 253, data)},
		{"no payload", lab.Packet(hostA, hostB, header.ProtoUDP, nil)},
		{"a chain of headers that leaves the packet", lab.Packet(hostA, hostB, header.ProtoDestinationOptions, []byte{17, 9, 0, 0, 0, 0, 0, 0})},
		{"TCP", lab.TCP(hostA, hostB, 1, 2, header.FlagSYN, nil)},
		{"a wrong checksum", wrong(udp(hostA, hostB))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.Send(c.pkt)
			wantPacket(t, s.b.Expect(), forwarded(c.pkt))
		})
	}
}

// A routing header of type 0 with segments left is refused wherever it is in the
// chain; the pointer names the type field. One without is ignored, RFC 8200 §4.4.
//
// Proves:
//   - RFC 8200 §4.4 unknown-type-done
//   - RFC 8200 §4.4 unknown-type-left
func TestRFC5095_3_RoutingHeaderType0(t *testing.T) {
	for _, dst := range []string{hostB, routerA, routerB} {
		outer := uint32(66)
		if dst != hostB {
			outer = 42 // the destination takes one header after the other
		}
		cases := []struct {
			name    string
			pkt     []byte
			pointer uint32
		}{
			{"first", lab.RoutingHeader(udp(hostA, dst), 0, 1), 42},
			{"behind hop-by-hop options", lab.Options(lab.RoutingHeader(udp(hostA, dst), 0, 1), header.ProtoHopByHop), 50},
			{"behind the header of an atomic fragment", lab.Fragment(lab.RoutingHeader(udp(hostA, dst), 0, 1), 0, false), 50},
			{"behind another routing header", lab.RoutingHeader(lab.RoutingHeader(udp(hostA, dst), 0, 1), 4, 1), outer},
		}
		for _, c := range cases {
			t.Run(c.name+" to "+dst, func(t *testing.T) {
				s := newScene(t)
				from := dst
				if dst == hostB {
					from = routerA
				}
				s.a.Send(c.pkt)
				(&icmpError{4, 0, c.pointer, from}).check(t, s.a.Expect(), c.pkt)
				s.wantDropped(t, dataplane.RoutingHeader)
			})
		}
	}
	t.Run("in a first fragment in transit", func(t *testing.T) {
		s := newScene(t)
		pkt := lab.Fragment(lab.RoutingHeader(udp(hostA, hostB), 0, 1), 0, true)
		s.a.Send(pkt)
		(&icmpError{4, 0, 50, routerA}).check(t, s.a.Expect(), pkt)
	})
	t.Run("no segments left asks for nothing", func(t *testing.T) {
		s := newScene(t)
		s.a.Send(lab.RoutingHeader(lab.Echo(hostA, routerA, 1, 1, data), 0, 0))
		wantEcho(t, s.a.Expect(), routerA, hostA, data)
	})
	t.Run("unknown types that have segments left are refused as well", func(t *testing.T) {
		s := newScene(t)
		pkt := lab.RoutingHeader(udp(hostA, routerA), 77, 1)
		s.a.Send(pkt)
		(&icmpError{4, 0, 42, routerA}).check(t, s.a.Expect(), pkt)
	})
}

// wantEcho checks an echo reply to echo request 1, 1.
func wantEcho(t *testing.T, got []byte, from, to string, body []byte) {
	t.Helper()
	checkPacket(t, got)
	wantPacket(t, got, lab.ICMPv6(from, to, header.TypeEchoReply, 0, 1<<16|1, body))
}

// A packet never goes back on the point-to-point link it came from, whatever the
// routes say.
//
// Proves:
//   - RFC 4443 §3.1 no-return
func TestRFC4443_3_1_PointToPointNeverSendsBack(t *testing.T) {
	s := newScene(t)
	s.Route("2001:db8:1::/48", lab.Dev("a"))
	s.Route("2001:db8:2::/48", lab.Via("2001:db8:a::77", ""))
	for _, dst := range []string{hostA, "2001:db8:a::77", "2001:db8:1::1", "2001:db8:2::1"} {
		pkt := udp(hostA, dst)
		s.a.Send(pkt)
		(&icmpError{1, 3, 0, routerA}).check(t, s.a.Expect(), pkt)
		s.a.ExpectNone()
	}
	if n := s.Stats().Dropped[dataplane.SameLink]; n != 4 {
		t.Errorf("dropped for %v = %d, want 4", dataplane.SameLink, n)
	}
}

// The error says what would have fitted. RFC 8200 §5: what fits exactly, fits.
//
// Proves:
//   - RFC 4443 §3.2 too-big
func TestRFC4443_3_2_PacketTooBig(t *testing.T) {
	s := newScene(t)
	s.b.SetMTU(1300)
	fits := lab.UDP(hostA, hostB, 1, 2, make([]byte, 1300-48))
	s.a.Send(fits)
	wantPacket(t, s.b.Expect(), forwarded(fits))

	big := lab.UDP(hostA, hostB, 1, 2, make([]byte, 1301-48))
	s.a.Send(big)
	(&icmpError{2, 0, 1300, routerA}).check(t, s.a.Expect(), big)

	s.b.SetMTU(1400)
	s.a.Send(big)
	wantPacket(t, s.b.Expect(), forwarded(big))
}

// No error about an error, and none that many would get or nobody.
//
// Proves:
//   - RFC 4443 §2.4 about-error
//   - RFC 4443 §2.4 about-redirect
//   - RFC 4443 §2.4 about-group
//   - RFC 4443 §2.4 to-nobody
func TestRFC4443_2_4_e_NoErrorAbout(t *testing.T) {
	ping := lab.Echo(hostA, elsewhere, 1, 1, data)
	cases := []struct {
		name string
		pkt  []byte
	}{
		{"an error", lab.ICMPv6(hostA, elsewhere, 1, 0, 0, ping)},
		{"an error of a type yet to be defined", lab.ICMPv6(hostA, elsewhere, 127, 0, 0, ping)},
		{"a redirect", lab.ICMPv6(hostA, elsewhere, header.TypeRedirect, 0, 0, nil)},
		{"an error behind options", lab.Options(lab.ICMPv6(hostA, elsewhere, 3, 0, 0, ping), header.ProtoHopByHop)},
		{"what may be the middle of an error", lab.Fragment(ping, 10, false)},
		{"the header of an ICMPv6 message that is not there", lab.Packet(hostA, elsewhere, header.ProtoICMPv6, nil)},
		{"what went to a group", lab.Packet(hostA, "ff02::1", 253, data)},
		{"a group's port", udp(hostA, "ff02::2")},
		{"a group's routing header", lab.RoutingHeader(udp(hostA, "ff02::1"), 0, 1)},
		{"what came from nobody", lab.Packet("::", "ff02::1", 253, data)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.Send(c.pkt)
			s.a.ExpectNone()
			if st := s.Stats(); st.ErrorsSent != 0 || st.TotalDropped() != 1 {
				t.Errorf("errors sent, dropped = %d, %d, want 0, 1", st.ErrorsSent, st.TotalDropped())
			}
		})
	}
}

// RFC 4443 §3.1: that something can't be delivered can be kept from those who send in
// by one interface; other errors are sent.
//
// Proves:
//   - RFC 4443 §3.1 can-be-disabled
func TestRFC4443_3_1_UnreachablesCanBeDisabled(t *testing.T) {
	s := newScene(t)
	s.Turn(func(turn *loop.Turn) { s.Interfaces.SetUnreachables(turn, s.a.ID, false) })
	s.a.Send(udp(hostA, elsewhere), udp(hostA, routerA))
	s.a.Send(lab.WithHopLimit(udp(hostA, hostB), 1))
	if b := s.a.Expect(); b[40] != header.TypeTimeExceeded {
		t.Errorf("came out %x, want a time exceeded and nothing else", b)
	}
	s.b.Send(udp(hostB, elsewhere))
	if b := s.b.Expect(); b[40] != header.TypeDestinationUnreachable {
		t.Errorf("came out %x, want an unreachable", b)
	}
	if st := s.Stats(); st.Dropped[dataplane.NoRoute] != 2 || st.Dropped[dataplane.LocalPort] != 1 || !st.Balanced() {
		t.Errorf("account = %+v", st)
	}
}

// As much is quoted as fits into 1280 bytes.
//
// Proves:
//   - RFC 4443 §2.4 quote
func TestRFC4443_2_4_c_QuoteFillsTheMinimumMTU(t *testing.T) {
	s := newScene(t)
	for _, size := range []int{0, 1, 1183, 1184, 1185, 1400} {
		pkt := lab.UDP(hostA, elsewhere, 1, 2, make([]byte, size))
		s.a.Send(pkt)
		got := s.a.Expect()
		(&icmpError{1, 0, 0, routerA}).check(t, got, pkt)
		if want := min(1280, 48+48+size); len(got) != want {
			t.Errorf("error about %d bytes has %d, want %d", 48+size, len(got), want)
		}
	}
}

// An error goes where the routes say, which need not be where the packet came in.
func TestErrorsAreRouted(t *testing.T) {
	s := newScene(t)
	pkt := udp(hostB, elsewhere) // its source is behind b
	s.a.Send(pkt)
	(&icmpError{1, 0, 0, routerA}).check(t, s.b.Expect(), pkt)
	s.a.ExpectNone()

	s.a.Send(udp("2001:db8:1::1", elsewhere)) // nobody knows its source
	s.a.ExpectNone()
	if n := s.Stats().Dropped[dataplane.NoRoute]; n != 3 {
		t.Errorf("dropped for %v = %d, want 3: two packets and an error", dataplane.NoRoute, n)
	}
}

// RFC 4007 §9: the reply from a link-local address stays on its link, whatever
// the routes say of who asked.
func TestRFC4007_9_LinkLocalRepliesStayOnTheirLink(t *testing.T) {
	s := newScene(t)
	s.a.Send(lab.Echo(hostB, linkA, 1, 1, data))
	wantEcho(t, s.a.Expect(), linkA, hostB, data)
	s.b.ExpectNone()
}

// Where the router has no global address at all, errors come from a link-local
// one, and then can't go further than the link.
func TestRouterWithoutGlobalAddress(t *testing.T) {
	r := lab.New(t)
	a, b := r.Attach("a", linkA+"/64"), r.Attach("b")
	r.Route("2001:db8:a::/64", lab.Dev("b")) // not where the packet comes in
	pkt := udp(hostA, elsewhere)
	a.Send(pkt)
	(&icmpError{1, 0, 0, linkA}).check(t, a.Expect(), pkt)
	b.ExpectNone()
}

// Proves:
//   - RFC 4443 §4.2 responder
//   - RFC 4443 §4.2 reply-source
//   - RFC 4443 §4.2 reply-to-group
//   - RFC 4443 §4.2 reply-to-group-source
//   - RFC 4443 §4.2 reply-data
//   - RFC 8200 §5 accepts-link-mtu
func TestRFC4443_4_2_EchoReply(t *testing.T) {
	long := make([]byte, 1400)
	for i := range long {
		long[i] = byte(i)
	}
	cases := []struct {
		name, from, to, reply string
		body                  []byte
	}{
		{"its address on the link", hostA, routerA, routerA, data},
		{"its address on another link", hostA, routerB, routerB, data},
		{"no data", hostA, routerA, routerA, nil},
		{"odd data", hostA, routerA, routerA, []byte{1, 2, 3}},
		{"a full packet", hostA, routerA, routerA, long},
		{"its link-local address", peerA, linkA, linkA, data},
		{"its global address, from a link-local one", peerA, routerA, routerA, data},
		{"all nodes, from a link-local address", peerA, "ff02::1", linkA, data},
		{"all nodes, from a global address", hostA, "ff02::1", routerA, data},
		{"all routers", peerA, "ff02::2", linkA, data},
		{"all routers of the site", hostA, "ff05::2", routerA, data},
		{"all nodes, from a global address, where the router has none", hostC, "ff02::1", linkC, data},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			port := s.a
			if c.from == hostC {
				port = s.c
			}
			port.Send(lab.Echo(c.from, c.to, 1, 1, c.body))
			wantEcho(t, port.Expect(), c.reply, c.from, c.body)
			st := s.Stats()
			if st.Consumed != 1 || st.Originated != 1 || st.Sent != 1 || st.TotalDropped() != 0 {
				t.Errorf("consumed, originated, sent, dropped = %d, %d, %d, %d, want 1, 1, 1, 0",
					st.Consumed, st.Originated, st.Sent, st.TotalDropped())
			}
		})
	}
	t.Run("extension headers are not sent back", func(t *testing.T) {
		s := newScene(t)
		s.a.Send(lab.Options(lab.Options(lab.Echo(hostA, routerA, 1, 1, data), header.ProtoDestinationOptions), header.ProtoHopByHop))
		wantEcho(t, s.a.Expect(), routerA, hostA, data)
	})
	t.Run("an atomic fragment is a whole packet", func(t *testing.T) {
		s := newScene(t)
		s.a.Send(lab.Fragment(lab.Echo(hostA, routerA, 1, 1, data), 0, false))
		wantEcho(t, s.a.Expect(), routerA, hostA, data)
	})
	t.Run("nobody asks all nodes", func(t *testing.T) {
		s := newScene(t)
		s.a.Send(lab.Echo("::", "ff02::1", 1, 1, data))
		s.wantDropped(t, dataplane.LocalIgnored)
		s.a.ExpectNone()
	})
}

// The hop limit of what the router sends is that of the route, or else of the interface.
func TestOwnHopLimit(t *testing.T) {
	r := lab.New(t)
	s := lab.Settings("a", routerA+"/64", linkA+"/64")
	s.HopLimit = 17
	a, b := r.AttachAs(s), r.Attach("b", routerB+"/64")
	check := func(p *lab.Port, want uint8) {
		t.Helper()
		if got := header.IPv6(p.Expect()).HopLimit(); got != want {
			t.Errorf("hop limit = %d, want %d", got, want)
		}
	}
	a.Send(lab.Echo(hostA, routerA, 1, 1, nil))
	check(a, 17)
	a.Send(lab.Echo(peerA, linkA, 1, 1, nil))
	check(a, 17)
	b.Send(lab.Echo(hostA, routerA, 1, 1, nil)) // comes in by b, and is answered by a
	check(a, 17)
	a.Send(lab.Echo(hostB, routerA, 1, 1, nil))
	check(b, 64)
	a.Send(udp(hostA, elsewhere))
	check(a, 17)
	r.Route(hostA+"/128", rib.Paths{{Iface: "a", HopLimit: 9}})
	a.Send(lab.Echo(hostA, routerA, 1, 1, nil))
	check(a, 9)
	a.Send(udp(hostA, elsewhere))
	check(a, 9)
	a.Send(lab.Echo(peerA, linkA, 1, 1, nil)) // takes no route
	check(a, 17)
	b.Send(udp(hostB, hostA)) // is not the router's own
	check(a, 63)
}

// The subnet-router anycast address is the router's, and answers from one that
// is not anycast, of the interface where the ping came in.
//
// Proves:
//   - RFC 4443 §4.2 reply-to-group
//   - RFC 4443 §4.2 reply-to-group-source
func TestRFC4291_2_6_1_SubnetRouterAnycast(t *testing.T) {
	s := newScene(t)
	s.a.Send(lab.Echo(hostA, "2001:db8:a::", 1, 1, data))
	wantEcho(t, s.a.Expect(), routerA, hostA, data)
	s.a.Send(lab.Echo(hostA, "2001:db8:b::", 1, 1, data))
	wantEcho(t, s.a.Expect(), routerA, hostA, data)
}

// On a /127 both addresses are routers', and neither is anycast.
func TestRFC6164_5_NoAnycastOnInterRouterLink(t *testing.T) {
	s := newScene(t)
	d := s.Attach("d", "2001:db8:d::1/127")
	pkt := lab.Echo(hostA, "2001:db8:d::", 1, 1, data)
	s.a.Send(pkt)
	wantPacket(t, d.Expect(), forwarded(pkt))
	s.a.Send(lab.Echo(hostA, "2001:db8:d::1", 1, 1, data))
	wantEcho(t, s.a.Expect(), "2001:db8:d::1", hostA, data)

	// RFC 6164 §5: packets to what nobody has must not go back and forth.
	pkt = lab.Echo("2001:db8:d::", "2001:db8:d::", 1, 1, data)
	d.Send(pkt)
	s.wantDropped(t, dataplane.SameLink)
}

// No group is forwarded, not even by the default route.
func TestRFC4291_2_7_MulticastStays(t *testing.T) {
	s := newScene(t)
	s.Route("::/0", lab.Dev("b"))
	for _, dst := range []string{"ff02::1", "ff02::2", "ff02::5", "ff05::2", "ff0e::1", "ff02::1:ff00:1"} {
		s.a.Send(udp(hostA, dst))
	}
	s.b.ExpectNone()
	s.c.ExpectNone()
	s.a.ExpectNone()
}

// The default route takes what nothing else does, and only that.
func TestDefaultRoute(t *testing.T) {
	s := newScene(t)
	s.Route("::/0", lab.Via("fe80::99", "b"))
	pkt := udp(hostA, elsewhere)
	s.a.Send(pkt)
	wantPacket(t, s.b.Expect(), forwarded(pkt))
	s.a.Send(udp(hostA, "fe80::1"))
	(&icmpError{1, 3, 0, routerA}).check(t, s.a.Expect(), udp(hostA, "fe80::1"))
	s.b.ExpectNone()
}

// An interface without carrier is in no lookup, its own addresses included; its
// neighbors still hear.
func TestDownInterface(t *testing.T) {
	s := newScene(t)
	s.b.Carrier(false)
	for _, dst := range []string{hostB, routerB} {
		pkt := udp(hostA, dst)
		s.a.Send(pkt)
		(&icmpError{1, 0, 0, routerA}).check(t, s.a.Expect(), pkt)
	}
	s.b.Carrier(true)
	s.a.Send(udp(hostA, hostB))
	wantPacket(t, s.b.Expect(), forwarded(udp(hostA, hostB)))
}

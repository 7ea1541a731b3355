package dataplane_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A lan is a router with a point-to-point port a and an Ethernet port e.
//
//	hostA ── a [router] e ══ hosts on 2001:db8:e1::/64
const (
	routerE, linkE = "2001:db8:e1::1", "fe80::e"
	hostE, hostE2  = "2001:db8:e1::2", "2001:db8:e1::3"
	localE         = "fe80::2"
)

var (
	macE     = header.MAC{2, 0, 0, 0, 0, 2}
	macE2    = header.MAC{2, 0, 0, 0, 0, 3}
	macOther = header.MAC{2, 0, 0, 0, 0, 9}
)

type lan struct {
	*scene
	e *lab.Port
}

func newLAN(t testing.TB) *lan {
	t.Helper()
	l := &lan{scene: newScene(t)}
	l.e = l.AttachEthernet(lab.Settings("e", routerE+"/64", linkE+"/64"))
	l.settleDiscovery()
	l.drop(l.e)
	return l
}

// settleDiscovery waits until the loop has looked at all that was told to it.
func (l *lan) settleDiscovery() {
	l.Settle()
	done := make(chan struct{})
	l.Turn(func(turn *loop.Turn) {
		turn.Defer(func(*loop.Turn) { close(done) }) // behind the inbox, which asked before
	})
	<-done
}

// drop takes what has come out.
func (l *lan) drop(p *lab.Port) {
	for p.Take() != nil {
	}
}

// out is what comes out of e, in order, once all is done. Reports of groups are not
// in it: they are repeated after a random time.
func (l *lan) out() (all [][]byte) {
	l.settleDiscovery()
	for b := l.e.Take(); b != nil; b = l.e.Take() {
		if !isReport(b) {
			all = append(all, b)
		}
	}
	return all
}

func isReport(frame []byte) bool {
	pkt := header.IPv6(frame[header.EthernetSize:])
	u, _ := header.UpperLayer(pkt)
	return u.Protocol == header.ProtoICMPv6 && pkt[u.Offset] == header.TypeMLDv2Report
}

// expect is the next of what out is.
func (l *lan) expect() []byte {
	for {
		if b := l.e.Expect(); !isReport(b) {
			return b
		}
	}
}

// expectFrame is expect with the virtio-net header.
func (l *lan) expectFrame() []byte {
	for {
		f := l.e.ExpectFrame()
		if _, b := lab.Unframe(f); !isReport(b) {
			return f
		}
	}
}

// packetsOf is those that have a type of ICMPv6 message, or the rest.
func packetsOf(frames [][]byte, typ uint8) (some [][]byte) {
	for _, f := range frames {
		pkt := header.IPv6(f[header.EthernetSize:])
		u, _ := header.UpperLayer(pkt)
		is := u.Protocol == header.ProtoICMPv6 && pkt[u.Offset] == typ
		if is || typ == 0 && (u.Protocol != header.ProtoICMPv6 || pkt[u.Offset] < header.TypeMLDQuery) {
			some = append(some, f)
		}
	}
	return some
}

// send puts packets on the wire in frames to the router, or to their group.
func (l *lan) send(from header.MAC, pkts ...[]byte) {
	for _, pkt := range pkts {
		to := lab.RouterMAC
		if dst := header.IPv6(pkt).DestinationBytes(); header.IsMulticast(dst) {
			to = header.GroupMAC(dst)
		}
		l.e.Send(lab.EthernetFrame(to, from, pkt))
	}
}

// solicit is a Neighbor Solicitation.
func solicit(from, target string, lla ...header.MAC) []byte {
	t := netip.MustParseAddr(target).As16()
	group := header.SolicitedNode(&t)
	return solicitTo(from, netip.AddrFrom16(group).String(), target, lla...)
}

func solicitTo(from, to, target string, lla ...header.MAC) []byte {
	body := append([]byte{}, netip.MustParseAddr(target).AsSlice()...)
	for _, m := range lla {
		body = append(append(body, 1, 1), m[:]...)
	}
	return lab.WithHopLimit(lab.ICMPv6(from, to, header.TypeNeighborSolicitation, 0, 0, body), 255)
}

// advertise is a Neighbor Advertisement, solicited and overriding.
func advertise(target, to string, mac header.MAC) []byte {
	body := append(netip.MustParseAddr(target).AsSlice(), 2, 1)
	return lab.WithHopLimit(lab.ICMPv6(target, to, header.TypeNeighborAdvertisement, 0, 0x60000000, append(body, mac[:]...)), 255)
}

// know has the router resolve a host.
func (l *lan) know(host string, mac header.MAC) {
	l.send(mac, solicitTo(host, routerE, routerE, mac))
	l.settleDiscovery()
	l.drop(l.e)
}

func wantFrame(t *testing.T, got []byte, to header.MAC, pkt []byte) {
	t.Helper()
	if want := lab.EthernetFrame(to, lab.RouterMAC, pkt); !bytes.Equal(got, want) {
		t.Errorf("came out: %x\nwant:     %x", got, want)
	}
}

// Packets cross between a port without frames and one with, once the neighbor is
// known.
func TestEthernetForward(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	in := udp(hostE, hostA)
	l.send(macE, in)
	wantPacket(t, l.a.Expect(), forwarded(in))
	back := udp(hostA, hostE)
	l.a.Send(back)
	wantFrame(t, l.expect(), macE, forwarded(back))
}

// A gateway is the neighbor, not the destination.
func TestEthernetGateway(t *testing.T) {
	l := newLAN(t)
	l.Route("2001:db8:9::/48", lab.Via(localE, "e"))
	l.know(localE, macE2)
	pkt := udp(hostA, "2001:db8:9::1")
	l.a.Send(pkt)
	wantFrame(t, l.expect(), macE2, forwarded(pkt))
}

// RFC 4861 §7.2.2: packets wait for the answer, and leave in order; the account
// balances at any time.
//
// Proves:
//   - RFC 4861 §7.2.2 resolve
//   - RFC 4861 §7.2.2 hold
//   - RFC 4861 §7.2.2 release
//   - RFC 4861 §7.2.7 anycast-as-unicast
func TestEthernetResolution(t *testing.T) {
	l := newLAN(t)
	first, second := udp(hostA, hostE), lab.UDP(hostA, hostE, 3, 4, data)
	l.a.Send(first, second)
	got := l.out()
	if len(got) != 1 || len(packetsOf(got, header.TypeNeighborSolicitation)) != 1 {
		t.Fatalf("came out %x, want one solicitation", got)
	}
	if st := l.Stats(); st.Held != 2 || st.Released != 0 || !st.Balanced() {
		t.Errorf("held, released = %d, %d, balanced = %v", st.Held, st.Released, st.Balanced())
	}
	l.send(macE, advertise(hostE, linkE, macE))
	got = l.out()
	if len(got) != 2 {
		t.Fatalf("came out %x, want two packets", got)
	}
	wantFrame(t, got[0], macE, forwarded(first))
	wantFrame(t, got[1], macE, forwarded(second))
	if st := l.Stats(); st.Held != 2 || st.Released != 2 || !st.Balanced() {
		t.Errorf("held, released = %d, %d, balanced = %v", st.Held, st.Released, st.Balanced())
	}
}

// A superframe waits as a whole.
func TestEthernetSuperframe(t *testing.T) {
	l := newLAN(t)
	pkt := lab.TCP(hostA, hostE, 1, 2, header.FlagACK, make([]byte, 5000))
	l.a.SendFrame(lab.Superframe(pkt, 1400))
	l.out()
	l.send(macE, advertise(hostE, linkE, macE))
	l.settleDiscovery()
	h, b := lab.Unframe(l.expectFrame())
	if start := h[6]; start != 54 || header.TCP(b[54:]).DestinationPort() != 2 {
		t.Errorf("checksum starts at %d, want 54", start)
	}
	if st := l.Stats(); st.Held != 4 || st.Released != 4 || !st.Balanced() {
		t.Errorf("held, released = %d, %d segments, balanced = %v", st.Held, st.Released, st.Balanced())
	}
	l.a.SendFrame(lab.Superframe(pkt, 1400))
	h, b = lab.Unframe(l.expectFrame())
	if start := h[6]; start != 54 || header.TCP(b[54:]).DestinationPort() != 2 {
		t.Errorf("checksum starts at %d, want 54", start)
	}
}

// RFC 4861 §7.2.2: without an answer who sent the packets is told.
//
// Proves:
//   - RFC 4861 §7.2.2 resolution-fails
//   - RFC 4443 §3.1 address-unreachable
func TestRFC4861_7_2_2_AddressUnreachable(t *testing.T) {
	if testing.Short() {
		t.Skip("takes three seconds")
	}
	l := newLAN(t)
	pkt := udp(hostA, hostE)
	l.a.Send(pkt)
	l.settleDiscovery()
	l.Until("the neighbor to be given up", func() bool { return l.Plane.Stats().Released == 1 })
	(&icmpError{1, 3, 0, routerA}).check(t, l.a.Expect(), forwarded(pkt))
	if st := l.Stats(); st.Dropped[dataplane.NeighborUnknown] != 1 || !st.Balanced() {
		t.Errorf("dropped = %v", st.Dropped)
	}
	if n := len(packetsOf(l.out(), header.TypeNeighborSolicitation)); n != 3 {
		t.Errorf("%d solicitations, want 3", n)
	}
}

// Who asks for an address of the router's is answered, by the worker or, where that
// takes time, by the loop.
//
// Proves:
//   - RFC 4861 §7.2.4 answer
//   - RFC 4861 §7.2.4 router-flag
//   - RFC 4861 §7.2.4 override
//   - RFC 4861 §7.2.4 to-unspecified
//   - RFC 4861 §7.2.4 to-source
func TestEthernetAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		pkt      []byte
		to       header.MAC
		dst, src string
		flags    byte
	}{
		{"with a link-layer address", solicit(hostE, routerE, macE), macE, hostE, routerE, 0xe0},
		{"for the link-local address", solicit(localE, linkE, macE), macE, localE, linkE, 0xe0},
		{"to the address itself", solicitTo(hostE, routerE, routerE, macE), macE, hostE, routerE, 0xe0},
		{"from nobody", solicit("::", routerE), header.MAC{0x33, 0x33, 0, 0, 0, 1}, "ff02::1", routerE, 0xa0},
		{"for the anycast address", solicit(hostE, "2001:db8:e1::", macE), macE, hostE, linkE, 0xc0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLAN(t)
			l.send(macE, c.pkt)
			var got [][]byte
			l.Until("an answer", func() bool {
				got = append(got, packetsOf(l.out(), header.TypeNeighborAdvertisement)...)
				return len(got) > 0
			})
			f := header.Ethernet(got[0])
			pkt := header.IPv6(got[0][header.EthernetSize:])
			msg := pkt.Payload()
			if len(got) != 1 || msg[0] != header.TypeNeighborAdvertisement || *f.Destination() != c.to || pkt.Destination().String() != c.dst ||
				pkt.Source().String() != c.src || msg[4] != c.flags || pkt.HopLimit() != 255 || !lab.ChecksumRight(pkt) {
				t.Errorf("came out %x", got)
			}
		})
	}
}

// What is learned from a solicitation is used.
//
// Proves:
//   - RFC 4861 §7.2.3 ns-learn
//   - RFC 4861 §7.3.3 first-packet
func TestEthernetLearns(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	l.Turn(func(turn *loop.Turn) {
		all := l.Interfaces.Neighbors(turn, l.e.ID)
		if len(all) != 1 || all[0].State != nd.Stale || all[0].MAC != macE || all[0].Addr.String() != hostE {
			t.Errorf("neighbors = %+v", all)
		}
	})
	l.a.Send(udp(hostA, hostE))
	l.settleDiscovery()
	l.Turn(func(turn *loop.Turn) {
		if all := l.Interfaces.Neighbors(turn, l.e.ID); len(all) != 1 || all[0].State != nd.Delay {
			t.Errorf("neighbors = %+v", all)
		}
	})
}

// Neighbors that come, move and go publish no FIB.
func TestNeighborsPublishNothing(t *testing.T) {
	l := newLAN(t)
	before := l.generation()
	l.know(hostE, macE)
	l.a.Send(udp(hostA, hostE2))
	l.settleDiscovery()
	l.send(macE2, advertise(hostE2, linkE, macE2))
	l.send(macOther, advertise(hostE2, linkE, macOther))
	l.settleDiscovery()
	l.drop(l.e)
	l.a.Send(udp(hostA, hostE2))
	wantFrame(t, l.expect(), macOther, forwarded(udp(hostA, hostE2)))
	if after := l.generation(); after != before {
		t.Errorf("the FIB was published %d times", after-before)
	}
}

// Frames that are not for the router, and packets that ought not to be in them.
//
// Proves:
//   - RFC 4861 §7.1.1 ns-checksum
//   - RFC 4861 §7.1.2 na-checksum
//   - RFC 4861 §7.1.1 ns-hop-limit
//   - RFC 4443 §2.4 about-link-group
//   - RFC 4443 §2.4 about-link-broadcast
func TestEthernetDrops(t *testing.T) {
	ping := lab.Echo(hostE, routerE, 1, 1, data)
	ns := solicit(hostE, routerE, macE)
	other := lab.EthernetFrame(lab.RouterMAC, macE, ping)
	other[12], other[13] = 0x08, 0
	for _, c := range []struct {
		name  string
		frame []byte
		why   dataplane.Drop
	}{
		{"half a header", make([]byte, 13), dataplane.Truncated},
		{"to another station", lab.EthernetFrame(macOther, macE, ping), dataplane.OtherStation},
		{"unicast, to a group", lab.EthernetFrame(header.MAC{0x33, 0x33, 0, 0, 0, 1}, macE, ping), dataplane.GroupFrame},
		{"unicast, to all", lab.EthernetFrame(header.MAC{255, 255, 255, 255, 255, 255}, macE, ping), dataplane.GroupFrame},
		{"IPv4", other, dataplane.NotIPv6},
		{"IPv4 to another station", append(macOther[:], other[6:]...), dataplane.OtherStation},
		{"IPv6 of another version", lab.EthernetFrame(lab.RouterMAC, macE, []byte{0x45, 0, 0, 0}), dataplane.NotIPv6},
		{"nothing in it", lab.EthernetFrame(lab.RouterMAC, macE, nil), dataplane.NotIPv6},
		{"too short", lab.EthernetFrame(lab.RouterMAC, macE, ping[:50]), dataplane.Truncated},
		{"hop limit of a solicitation", lab.EthernetFrame(lab.RouterMAC, macE, lab.WithHopLimit(bytes.Clone(ns), 254)), dataplane.DiscoveryInvalid},
		{"solicitation with a wrong checksum", lab.EthernetFrame(lab.RouterMAC, macE, wrong(bytes.Clone(ns))), dataplane.LocalChecksum},
		{"advertisement with a wrong checksum", lab.EthernetFrame(lab.RouterMAC, macE, wrong(advertise(hostE2, routerE, macE2))), dataplane.LocalChecksum},
		{"solicitation in a fragment", lab.EthernetFrame(lab.RouterMAC, macE, lab.Fragment(ns, 0, false)), dataplane.DiscoveryInvalid},
		{"solicitation for another", lab.EthernetFrame(lab.RouterMAC, macE, solicit(hostE, hostE2, macE)), dataplane.LocalIgnored},
		{"advertisement of nobody", lab.EthernetFrame(lab.RouterMAC, macE, advertise(hostE2, routerE, macE2)), dataplane.LocalIgnored},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLAN(t)
			l.e.Send(c.frame)
			l.wantDropped(t, c.why)
			if got := l.out(); len(got) != 0 {
				t.Errorf("came out %x", got)
			}
		})
	}
}

// RFC 6085 §3: a group may come in a frame to the router alone.
func TestRFC6085_3_GroupInUnicastFrame(t *testing.T) {
	l := newLAN(t)
	l.e.Send(lab.EthernetFrame(lab.RouterMAC, macE, solicit(hostE, routerE, macE)))
	if got := packetsOf(l.out(), header.TypeNeighborAdvertisement); len(got) != 1 {
		t.Errorf("came out %x, want an answer", got)
	}
}

// RFC 4861 §7.1: what is not valid is counted by what is wrong with it.
func TestRFC4861_7_1_InvalidIsCounted(t *testing.T) {
	l := newLAN(t)
	l.send(macE, lab.WithHopLimit(solicit(hostE, routerE, macE), 64), solicit(hostE, routerE, header.MAC{1}))
	l.Settle()
	l.Turn(func(turn *loop.Turn) {
		for _, in := range l.Interfaces.All(turn) {
			if in.ID == l.e.ID && (in.Discovery.Invalid["hop_limit"] != 1 || in.Discovery.Invalid["link_layer"] != 1) {
				t.Errorf("invalid = %v", in.Discovery.Invalid)
			}
		}
	})
}

// The router's own packets find their neighbors: replies, errors to link-local
// addresses, and what is injected.
func TestEthernetOwnPackets(t *testing.T) {
	l := newLAN(t)
	l.send(macE, lab.Echo(localE, linkE, 1, 1, data))
	if got := l.out(); len(got) != 1 || len(packetsOf(got, header.TypeNeighborSolicitation)) != 1 {
		t.Fatalf("came out %x, want a solicitation", got)
	}
	l.send(macE, advertise(localE, linkE, macE))
	got := l.out()
	if len(got) != 1 || *header.Ethernet(got[0]).Destination() != macE || got[0][54] != header.TypeEchoReply {
		t.Fatalf("came out %x, want an echo reply", got)
	}
	l.send(macE, udp(localE, hostA)) // a link-local source does not go further
	if got := l.out(); len(got) != 1 || *header.Ethernet(got[0]).Destination() != macE || got[0][54] != header.TypeDestinationUnreachable {
		t.Errorf("came out %x, want an error", got)
	}
	l.know(hostE, macE)
	j := l.Plane.NewInjector("test")
	defer j.Close()
	pkt := lab.WithHopLimit(udp(routerE, hostE), 64)
	if err := j.Inject(pkt); err != nil {
		t.Error(err)
	}
	wantFrame(t, l.expect(), macE, pkt)
}

// RFC 4861 §8.2: who sends a packet to the router that goes back to the same link
// is told of the better first hop, and the packet goes on.
//
// Proves:
//   - RFC 4861 §8 knows-link-local
//   - RFC 4861 §8.2 redirect
//   - RFC 4861 §8.2 redirect-target-router
//   - RFC 4861 §8.2 redirect-target-host
//   - RFC 4861 §8.2 redirect-destination
//   - RFC 4861 §8.2 redirect-quote
func TestRFC4861_8_2_Redirect(t *testing.T) {
	l := newLAN(t)
	l.Route("2001:db8:9::/48", lab.Via(localE, "e"))
	l.Route("2001:db8:8::/48", lab.Via(hostE2, "e"))
	l.know(hostE, macE)
	l.know(localE, macE2)
	l.know(hostE2, macE2)
	for _, c := range []struct {
		name, from, to, target string // no target: no redirect
		mac                    header.MAC
	}{
		{"to a neighbor", hostE, hostE2, hostE2, macE},
		{"to a router", hostE, "2001:db8:9::1", localE, macE},
		{"to a router whose link-local address is not known", hostE, "2001:db8:8::1", "", macE},
		{"from who is no neighbor", hostC, hostE2, "", macE},
		{"from the next hop itself", hostE, hostE2, "", macE2},
	} {
		t.Run(c.name, func(t *testing.T) {
			pkt := udp(c.from, c.to)
			l.send(c.mac, pkt)
			got := l.out()
			var passed, redirects [][]byte
			for _, f := range got {
				if bytes.Equal(f[header.EthernetSize:], forwarded(pkt)) {
					passed = append(passed, f)
				}
			}
			redirects = packetsOf(got, header.TypeRedirect)
			if len(passed) != 1 {
				t.Errorf("came out %x, want the packet", got)
			}
			if c.target == "" {
				if len(redirects) != 0 {
					t.Errorf("redirected: %x", redirects)
				}
				return
			}
			if len(redirects) != 1 {
				t.Fatalf("came out %x, want a redirect", got)
			}
			ip := header.IPv6(redirects[0][header.EthernetSize:])
			msg := ip.Payload()
			target, to := netip.AddrFrom16([16]byte(msg[8:])).String(), netip.AddrFrom16([16]byte(msg[24:])).String()
			if target != c.target || to != c.to || ip.Source().String() != linkE || ip.Destination().String() != c.from || ip.HopLimit() != 255 || !lab.ChecksumRight(ip) {
				t.Errorf("redirect = %x", redirects[0])
			}
			if !bytes.Equal(msg[48+8:], pkt[:len(pkt)&^7]) {
				t.Errorf("quotes %x, want %x", msg[56:], pkt)
			}
		})
	}
}

// RFC 4861 §8.2: redirects are limited.
//
// Proves:
//   - RFC 4861 §8.2 redirect-limit
func TestRFC4861_8_2_RedirectsAreLimited(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	l.know(hostE2, macE2)
	var redirects, passed int
	for range 10 {
		for range 64 {
			l.send(macE, udp(hostE, hostE2))
		}
		got := l.out()
		redirects += len(packetsOf(got, header.TypeRedirect))
		passed += len(packetsOf(got, 0))
	}
	if redirects == 0 || redirects > 100 || passed != 640 {
		t.Errorf("%d redirects and %d packets, want few, and 640", redirects, passed)
	}
}

// RFC 4861 §8.3: a router takes no redirects.
//
// Proves:
//   - RFC 4861 §8.2 routes-unchanged
func TestRFC4861_8_3_RedirectsAreIgnored(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	body := append(netip.MustParseAddr(localE).AsSlice(), netip.MustParseAddr(hostE).AsSlice()...)
	l.send(macE2, lab.WithHopLimit(lab.ICMPv6(localE, linkE, header.TypeRedirect, 0, 0, append(append(body, 2, 1), macE2[:]...)), 255))
	l.wantDropped(t, dataplane.LocalIgnored)
	pkt := udp(hostA, hostE)
	l.a.Send(pkt)
	wantFrame(t, l.expect(), macE, forwarded(pkt))
}

// RFC 4862 §5.4: an address is not the router's before it is known that nobody else
// has it; but its link is there.
//
// Proves:
//   - RFC 4862 §5.4 tentative-not-used
//   - RFC 4862 §5.4 every-address
func TestRFC4862_5_4_Tentative(t *testing.T) {
	s := newScene(t)
	settings := lab.Settings("e", routerE+"/64", linkE+"/64")
	settings.DADTransmits = 1
	l := &lan{scene: s, e: s.AttachEthernet(settings)}
	l.settleDiscovery()
	l.drop(l.e)
	l.send(macE, lab.Echo(localE, linkE, 1, 1, nil), lab.Echo(localE, "ff02::1", 1, 1, nil))
	l.a.Send(lab.Echo(hostA, routerE, 1, 1, nil))
	for _, f := range l.out() {
		if pkt := header.IPv6(f[header.EthernetSize:]); !header.IsUnspecified(pkt.SourceBytes()) {
			t.Errorf("came out %x", f)
		}
	}
	l.drop(l.a)
	l.Until("the address to be in use", func() bool { return l.addressState(routerE) == nd.Ready })
	l.a.Send(lab.Echo(hostA, routerE, 1, 1, nil))
	if b := l.a.Expect(); b[40] != header.TypeEchoReply {
		t.Errorf("came out %x, want an echo reply", b)
	}
}

// RFC 4862 §5.4.5: an address that somebody else has is not the router's.
//
// Proves:
//   - RFC 4862 §5.4.5 duplicate-not-assigned
func TestRFC4862_5_4_5_Duplicate(t *testing.T) {
	s := newScene(t)
	settings := lab.Settings("e", routerE+"/64", linkE+"/64")
	settings.DADTransmits = 1
	l := &lan{scene: s, e: s.AttachEthernet(settings)}
	l.claim(routerE)
	if s := l.addressState(routerE); s != nd.Duplicate {
		t.Errorf("the address is %v", s)
	}
}

// claim is somebody else who has an address.
func (l *lan) claim(addr string) {
	body := append(netip.MustParseAddr(addr).AsSlice(), 2, 1)
	l.send(macE, lab.WithHopLimit(lab.ICMPv6(addr, "ff02::1", header.TypeNeighborAdvertisement, 0, 0x20000000, append(body, macE[:]...)), 255))
	l.settleDiscovery()
}

// RFC 4862 §5.4.5: if somebody else has the hardware address, the interface sends and
// takes no IPv6, and nothing is forwarded to it.
//
// Proves:
//   - RFC 4862 §5.4.5 disable-interface
func TestRFC4862_5_4_5_Disabled(t *testing.T) {
	s := newScene(t)
	settings := lab.Settings("e", routerE+"/64")
	settings.DADTransmits = 1
	l := &lan{scene: s, e: s.AttachEthernet(settings)}
	mac := lab.RouterMAC
	link := netip.AddrFrom16(header.LinkLocalOf(&mac)).String()
	l.claim(link)
	if got := packetsOf(l.out(), header.TypeNeighborSolicitation); len(got) > 0 {
		t.Errorf("came out %x", got)
	}
	before := l.Plane.Stats()
	l.send(macE, lab.Echo(hostE, routerE, 1, 1, data), udp(hostE, hostA), lab.Echo(localE, "ff02::1", 1, 1, nil), solicit(hostE, routerE, macE))
	l.a.Send(udp(hostA, hostE))
	if got := l.a.Expect(); got[40] != header.TypeDestinationUnreachable {
		t.Errorf("came out %x, want an error: there is no route any more", got)
	}
	if got := l.out(); len(got) > 0 {
		t.Errorf("came out %x", got)
	}
	after := l.Plane.Stats()
	if n := after.Dropped[dataplane.InterfaceDisabled] - before.Dropped[dataplane.InterfaceDisabled]; n != 4 {
		t.Errorf("%d packets dropped as %v, want 4", n, dataplane.InterfaceDisabled)
	}
	if after.DeadLookups > 0 || !after.Balanced() {
		t.Errorf("account = %+v", after)
	}
}

// generation is that of the FIB.
func (l *lan) generation() (g uint64) {
	l.Turn(func(turn *loop.Turn) { g = l.FIB.Stats(turn).Generation })
	return g
}

// addressState is what neighbor discovery makes of an address of e.
func (l *lan) addressState(addr string) (s nd.AddressState) {
	l.Turn(func(turn *loop.Turn) {
		a := netip.MustParseAddr(addr).As16()
		s = l.Interfaces.Find(turn, l.e.ID).Addrs().Discovery(&a)
	})
	return s
}

// RFC 4861 §7.2.6: a change of the MAC is told, and frames have the new one.
//
// Proves:
//   - RFC 4861 §7.2.6 announce
func TestRFC4861_7_2_6_MACChange(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	l.e.SetMAC(macOther)
	var got [][]byte
	l.Until("an advertisement for each address", func() bool {
		got = append(got, packetsOf(l.out(), header.TypeNeighborAdvertisement)...)
		return len(got) >= 3
	})
	if *header.Ethernet(got[0]).Source() != macOther {
		t.Errorf("came out %x", got)
	}
	l.a.Send(udp(hostA, hostE))
	if got := l.expect(); *header.Ethernet(got).Source() != macOther {
		t.Errorf("came out %x", got)
	}
	l.e.Send(lab.EthernetFrame(lab.RouterMAC, macE, udp(hostE, hostA)))
	l.a.ExpectNone()
}

// Static neighbors need no resolution.
func TestEthernetStaticNeighbor(t *testing.T) {
	s := newScene(t)
	settings := lab.Settings("e", routerE+"/64", linkE+"/64")
	settings.Neighbors = map[netip.Addr][6]byte{netip.MustParseAddr(hostE): macE}
	l := &lan{scene: s, e: s.AttachEthernet(settings)}
	l.out()
	pkt := udp(hostA, hostE)
	l.a.Send(pkt)
	wantFrame(t, l.expect(), macE, forwarded(pkt))
}

// A detach purges what is held, and the ledger has it.
func TestEthernetDetachPurges(t *testing.T) {
	l := newLAN(t)
	l.a.Send(udp(hostA, hostE), udp(hostA, hostE), udp(hostA, hostE2))
	l.settleDiscovery()
	res := l.e.Detach()
	if res.Purged != 3 {
		t.Errorf("purged %d, want 3", res.Purged)
	}
	if st := l.Stats(); st.Held != 3 || st.Released != 3 || st.Dropped[dataplane.NeighborStopped] != 3 || !st.Balanced() {
		t.Errorf("held, released, stopped = %d, %d, %d", st.Held, st.Released, st.Dropped[dataplane.NeighborStopped])
	}
}

// Interfaces end while packets to their neighbors are on the way, are held, and are
// being released.
func TestEthernetDetachDuringResolution(t *testing.T) {
	l := &lan{scene: newScene(t)}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				l.a.TrySend(udp(hostA, fmt.Sprintf("2001:db8:e1::%x", 2+i%50)))
				time.Sleep(time.Microsecond) // there are others on this processor
			}
		}
	}()
	purged := 0
	for i := range 40 {
		settings := lab.Settings("e", routerE+"/64", linkE+"/64")
		settings.DADTransmits = i % 2
		e := l.AttachEthernet(settings)
		for j := range 200 {
			host := fmt.Sprintf("2001:db8:e1::%x", 2+j%50)
			e.TrySend(lab.EthernetFrame(lab.RouterMAC, macE, advertise(host, linkE, macE)))
			e.Take()
		}
		if i%5 == 0 {
			e.Carrier(false)
			e.Carrier(true)
		}
		purged += e.Detach().Purged
	}
	close(stop)
	<-done
	st := l.Stats()
	if !st.Balanced() || st.Held != st.Released {
		t.Errorf("held, released = %d, %d, balanced = %v", st.Held, st.Released, st.Balanced())
	}
	if purged == 0 || st.Released == 0 {
		t.Errorf("purged %d, released %d: this test is blind", purged, st.Released)
	}
}

// A scan and floods cost known neighbors nothing.
func TestEthernetFlood(t *testing.T) {
	l := newLAN(t)
	l.know(hostE, macE)
	lost := 0
	for round := range 50 {
		for i := range 60 {
			l.a.Send(udp(hostA, fmt.Sprintf("2001:db8:e1::%x:%x", round+1, i)))
			l.send(macE2, solicit(fmt.Sprintf("2001:db8:e1::a:%x:%x", round+1, i), routerE, macE2),
				advertise(fmt.Sprintf("2001:db8:e1::b:%x:%x", round+1, i), routerE, macE2),
				lab.WithHopLimit(lab.ICMPv6(fmt.Sprintf("fe80::b:%x:%x", round+1, i), "ff02::2", header.TypeRouterSolicitation, 0, 0, append([]byte{1, 1}, macE2[:]...)), 255))
		}
		pkt := lab.UDP(hostA, hostE, uint16(round), 9, data)
		l.a.Send(pkt)
		l.Settle()
		found := false
		for b := l.e.Take(); b != nil; b = l.e.Take() {
			found = found || bytes.Equal(b, lab.EthernetFrame(macE, lab.RouterMAC, forwarded(pkt)))
		}
		if !found {
			lost++
		}
	}
	if lost != 0 {
		t.Errorf("%d packets of a known neighbor lost", lost)
	}
	l.settleDiscovery()
	if st := l.Stats(); !st.Balanced() {
		t.Errorf("account does not balance: %+v", st)
	}
}

// framed is a port with frames that costs nothing.
type framed struct{ own }

func (framed) HardwareAddr() [6]byte { return lab.RouterMAC }

// hostF is on another Ethernet link.
const hostF = "2001:db8:e2::2"

// newEthernetRig is a rig between two ports with frames that cost nothing.
func newEthernetRig(t testing.TB) *rig {
	t.Helper()
	g := &rig{r: lab.New(t), rx: &replay{}}
	var ids []ifmgr.ID
	for name, x := range map[string]struct {
		own       string
		neighbors map[netip.Addr][6]byte
	}{
		"e": {routerE, map[netip.Addr][6]byte{netip.MustParseAddr(hostE): macE, netip.MustParseAddr(hostE2): macE2}},
		"f": {"2001:db8:e2::1", map[netip.Addr][6]byte{netip.MustParseAddr(hostF): macE2}},
	} {
		s := lab.Settings(name, x.own+"/64")
		s.Neighbors = x.neighbors
		g.r.Turn(func(turn *loop.Turn) {
			id, err := g.r.Interfaces.Attach(turn, framed{}, s)
			if err != nil {
				t.Error(err)
			}
			ids = append(ids, id)
			if name != "e" {
				return
			}
			h, err := g.r.Interfaces.Acquire(turn, id, ifmgr.Worker)
			if err != nil {
				t.Error(err)
			}
			g.Stepper = dataplane.NewStepper(g.r.Plane, h, g.rx)
		})
	}
	g.Unlimited()
	t.Cleanup(func() { g.Close(); g.r.DetachID(ids...) })
	return g
}

// Nothing is allocated for what known neighbors send and get, nor for what is not
// taken.
func TestEthernetNoAllocations(t *testing.T) {
	g := newEthernetRig(t)
	for name, pkt := range map[string][]byte{
		"forward": udp(hostE, hostF),
		"hairpin": udp(hostE2, hostE),
		"answer":  solicitTo(hostE, routerE, routerE, macE),
		"invalid": lab.WithHopLimit(solicitTo(hostE, routerE, routerE, macE), 64),
		"foreign": advertise("2001:db8:e1::9", routerE, macE2),
		"ping":    lab.Echo(hostE, routerE, 1, 1, data),
	} {
		t.Run(name, func(t *testing.T) {
			g.rx.pkts = nil
			for range link.VectorSize {
				g.rx.pkts = append(g.rx.pkts, lab.EthernetFrame(lab.RouterMAC, macE, pkt))
			}
			g.step()
			if n := testing.AllocsPerRun(100, g.step); n != 0 {
				t.Errorf("allocations for a batch of %d = %v, want 0", link.VectorSize, n)
			}
		})
	}
}

// A tap sees frames, in both directions, and those that are dropped whole as well.
func TestEthernetTap(t *testing.T) {
	for _, dropsOnly := range []bool{false, true} {
		l := newLAN(t)
		l.know(hostE, macE)
		tap := dataplane.NewTap(0, dropsOnly)
		l.Turn(func(turn *loop.Turn) {
			if err := l.Plane.Tap(turn, l.e.ID, tap); err != nil || !tap.Frames() {
				t.Errorf("frames = %v, %v", tap.Frames(), err)
			}
		})
		in, out := udp(hostE, hostA), udp(hostA, hostE)
		lost := lab.EthernetFrame(lab.RouterMAC, macE, udp(hostE, "ff0e::1"))
		l.send(macE, in)
		l.e.Send(lost)
		l.a.Send(out)
		l.Settle()
		var got [][]byte
		_ = tap.Each(func(s *dataplane.Sight) error { got = append(got, bytes.Clone(s.Bytes)); return nil })
		want := [][]byte{lab.EthernetFrame(lab.RouterMAC, macE, in), lost, lab.EthernetFrame(macE, lab.RouterMAC, forwarded(out))}
		if dropsOnly {
			want = want[1:2]
		}
		for _, w := range want {
			if !slices.ContainsFunc(got, func(b []byte) bool { return bytes.Equal(b, w) }) {
				t.Errorf("drops only %v: saw %x, want %x in it", dropsOnly, got, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("drops only %v: saw %d frames, want %d", dropsOnly, len(got), len(want))
		}
		l.Turn(func(turn *loop.Turn) { l.Plane.Untap(turn, tap) })
	}
}

// A VLAN has neighbors of its own.
func TestEthernetVLAN(t *testing.T) {
	l := newLAN(t)
	c, err := config.NewInterface("v")
	if err != nil {
		t.Fatal(err)
	}
	c.Type, c.Mode, c.Lower, c.MTU = config.TypeVLAN, config.ModeAttach, "e", 0
	c.VLAN = config.VLAN{ID: 5, Protocol: config.Protocol8021Q}
	c.Addresses = []netip.Prefix{netip.MustParsePrefix("2001:db8:e5::1/64"), netip.MustParsePrefix(linkE + "/64")}
	id, err := l.Interfaces.Add(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.DetachID(id)
	tagged := func(frame []byte) []byte {
		return slices.Concat(frame[:12], []byte{0x81, 0, 0, 5}, frame[12:])
	}
	untagged := func(all [][]byte) (some [][]byte) {
		for _, f := range all {
			if bytes.Equal(f[12:16], []byte{0x81, 0, 0, 5}) {
				some = append(some, slices.Concat(f[:12], f[16:]))
			}
		}
		return some
	}
	take := func() (all [][]byte) {
		l.settleDiscovery()
		for b := l.e.Take(); b != nil; b = l.e.Take() {
			all = append(all, b)
		}
		return all
	}
	take()
	const host = "2001:db8:e5::2"
	pkt := udp(hostA, host)
	l.a.Send(pkt)
	if got := packetsOf(untagged(take()), header.TypeNeighborSolicitation); len(got) != 1 {
		t.Fatalf("came out %x, want a solicitation with a tag", got)
	}
	l.e.Send(tagged(lab.EthernetFrame(lab.RouterMAC, macE, advertise(host, linkE, macE))))
	got := packetsOf(untagged(take()), 0)
	if len(got) != 1 {
		t.Fatalf("came out %x, want the packet with a tag", got)
	}
	wantFrame(t, got[0], macE, forwarded(pkt))
	l.e.Send(tagged(lab.EthernetFrame(lab.RouterMAC, macE, udp(host, hostA))))
	wantPacket(t, l.a.Expect(), forwarded(udp(host, hostA)))
	for _, iface := range []struct {
		id ifmgr.ID
		n  int
	}{{id, 1}, {l.e.ID, 0}} {
		l.Turn(func(turn *loop.Turn) {
			if n := len(l.Interfaces.Neighbors(turn, iface.id)); n != iface.n {
				t.Errorf("%d has %d neighbors, want %d", iface.id, n, iface.n)
			}
		})
	}
}

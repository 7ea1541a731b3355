package dataplane_test

import (
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

const (
	routerP, hostP = "2001:db8:f::1", "2001:db8:f::2"
	linkP          = "fe80::f"
)

// stack puts a port onto c.
func (s *scene) stack(session uint16) *lab.Port {
	return s.Stack("ppp", s.c, session, routerP+"/64", linkP+"/64")
}

// A stacked port is an interface like others, in both directions.
func TestStackedPort(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)

	out := udp(hostA, hostP)
	s.a.Send(out)
	wantPacket(t, ppp.Expect(), forwarded(out))

	back := udp(hostP, hostA)
	ppp.Send(back)
	wantPacket(t, s.a.Expect(), forwarded(back))

	for _, dst := range []string{routerP, linkP} {
		ppp.Send(lab.Echo("fe80::2", dst, 1, 1, data))
		wantEcho(t, ppp.Expect(), dst, "fe80::2", data)
	}
	ppp.Send(udp(hostP, "2001:db8:f::77")) // its link is not the lower one's
	(&icmpError{1, 3, 0, routerP}).check(t, ppp.Expect(), udp(hostP, "2001:db8:f::77"))

	// From the lower interface up is one router hop, not the same link.
	up := udp(hostC, hostP)
	s.c.Send(up)
	wantPacket(t, ppp.Expect(), forwarded(up))

	big := lab.UDP(hostA, hostP, 1, 2, make([]byte, 1493-48))
	s.a.Send(big)
	(&icmpError{2, 0, 1492, routerA}).check(t, s.a.Expect(), big)
}

// What the stacked port does not claim, and what it claims that is no IPv6, ends.
func TestStackedPortClaimsItsOwn(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)
	s.c.Send(lab.NewStacked("other", nil, 8).Encapsulate(udp(hostP, hostA)))
	ppp.Send([]byte{0x45, 0, 0, 0}, ppp.Encapsulate(udp(hostP, hostA)))
	if n := s.Stats().Dropped[dataplane.NotIPv6]; n != 3 {
		t.Errorf("dropped for %v = %d, want 3", dataplane.NotIPv6, n)
	}
	s.a.ExpectNone()
}

// Several ports on one interface have their own packets each.
func TestStackedPortsBesideEachOther(t *testing.T) {
	s := newScene(t)
	one := s.stack(7)
	two := s.Stack("ppp2", s.c, 8, "2001:db8:e::1/64")
	for _, c := range []struct {
		at   *lab.Port
		host string
	}{{two, "2001:db8:e::2"}, {one, hostP}} {
		in := udp(c.host, hostA)
		c.at.Send(in)
		wantPacket(t, s.a.Expect(), forwarded(in))
		out := udp(hostA, c.host)
		s.a.Send(out)
		wantPacket(t, c.at.Expect(), forwarded(out))
	}
	s.Settle()
	if a, b := one.Traffic().RxPackets.Load(), two.Traffic().RxPackets.Load(); a != 1 || b != 1 {
		t.Errorf("received = %d and %d, want 1 each", a, b)
	}
}

// Both interfaces count what passes: the lower one with its header.
func TestStackedPortCounts(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)
	pkt := udp(hostP, hostA)
	ppp.Send(pkt, pkt)
	s.a.Send(udp(hostA, hostP))
	s.Settle()
	up, down, size := ppp.Traffic(), s.c.Traffic(), uint64(len(pkt))
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"upper packets received", up.RxPackets.Load(), 2},
		{"upper bytes received", up.RxBytes.Load(), 2 * size},
		{"upper packets sent", up.TxPackets.Load(), 1},
		{"upper bytes sent", up.TxBytes.Load(), size},
		{"lower packets received", down.RxPackets.Load(), 2},
		{"lower bytes received", down.RxBytes.Load(), 2 * (size + 8)},
		{"lower packets sent", down.TxPackets.Load(), 1},
		{"lower bytes sent", down.TxBytes.Load(), size + 8},
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", c.what, c.got, c.want)
		}
	}
	if st := s.Stats(); st.Received != 3 || st.Sent != 3 {
		t.Errorf("received, sent = %d, %d, want 3 of each: stacking moves no packet twice", st.Received, st.Sent)
	}
}

// A port whose lower one fails has what was not sent given back as it was.
func TestStackedPortOnLowerThatIsDown(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)
	s.c.Near.SetDown(true)
	s.a.Send(udp(hostA, hostP))
	s.wantDropped(t, dataplane.InterfaceDown)
	if up := ppp.Traffic(); up.TxErrors.Load() != 1 || up.TxBytes.Load() != 0 {
		t.Errorf("refused, bytes sent = %d, %d, want 1, 0", up.TxErrors.Load(), up.TxBytes.Load())
	}
}

// Superframes pass a stacked port whole, with offsets that are true behind its
// header.
func TestSuperframeThroughStackedPort(t *testing.T) {
	s := newScene(t)
	ppp := s.stack(7)
	pkt := lab.TCP(hostA, hostP, 1, 2, header.FlagACK, make([]byte, 5000))
	frame := lab.Superframe(pkt, 1400)
	s.a.SendFrame(frame)
	h, b := lab.Unframe(ppp.ExpectFrame())
	if start := h[6]; start != 48 {
		t.Errorf("checksum starts at %d, want 48", start)
	}
	if tcp := header.TCP(b[48:]); tcp.DestinationPort() != 2 {
		t.Errorf("at 48 is no TCP header: %x", tcp[:20])
	}
	if n := ppp.Traffic().TxPackets.Load(); n != 4 {
		t.Errorf("segments sent = %d, want 4", n)
	}
}

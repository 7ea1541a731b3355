package dataplane_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

func newInjector(t *testing.T, s *scene) *dataplane.Injector {
	j := s.Plane.NewInjector("test")
	t.Cleanup(j.Close)
	return j
}

// An injected packet goes where a lookup says, unchanged but for a hop limit that
// was left to the interface.
func TestInject(t *testing.T) {
	s := newScene(t)
	j := newInjector(t, s)
	pkt := udp(routerA, hostB)
	for _, b := range [][]byte{pkt, append(bytes.Clone(pkt), 1, 2, 3), lab.WithHopLimit(bytes.Clone(pkt), 0)} {
		before := bytes.Clone(b)
		if err := j.Inject(b); err != nil {
			t.Fatal(err)
		}
		wantPacket(t, s.b.Expect(), pkt)
		if !bytes.Equal(b, before) {
			t.Error("the caller's packet has changed")
		}
	}
	one := lab.WithHopLimit(udp(routerA, hostB), 1)
	if err := j.Inject(one); err != nil {
		t.Fatal(err)
	}
	wantPacket(t, s.b.Expect(), one)
	if st := s.Stats(); st.Originated != 4 || st.Sent != 4 || st.Received != 0 {
		t.Errorf("originated, sent, received = %d, %d, %d, want 4, 4, 0", st.Originated, st.Sent, st.Received)
	}
}

// Inject says why a packet was not sent, and nobody gets an error about it.
func TestInjectRefuses(t *testing.T) {
	cases := []struct {
		name string
		pkt  []byte
		why  dataplane.Drop
	}{
		{"no route", udp(routerA, elsewhere), dataplane.NoRoute},
		{"prohibited", udp(routerA, "2001:db8:2::1"), dataplane.Prohibited},
		{"black hole", udp(routerA, "2001:db8:3::1"), dataplane.Blackholed},
		{"to the router itself", udp(routerA, routerB), dataplane.LocalIgnored},
		{"too big", lab.UDP(routerA, hostB, 1, 2, make([]byte, 1453)), dataplane.TooBig},
		{"no source", udp("::", hostB), dataplane.NoSource},
		{"from a group", udp("ff02::1", hostB), dataplane.BadSource},
		{"from loopback", udp("::1", hostB), dataplane.BadSource},
		{"to nobody", udp(routerA, "::"), dataplane.BadDestination},
		{"to loopback", udp(routerA, "::1"), dataplane.BadDestination},
		{"to a group, whose link is not said", udp(routerA, "ff02::1"), dataplane.Multicast},
		{"to a link-local address, whose link is not said", udp(routerA, "fe80::2"), dataplane.BeyondScope},
		{"from a link-local address", udp(linkA, hostB), dataplane.BeyondScope},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.Route("2001:db8:2::/48", lab.Refuse(fib.Prohibit))
			s.Route("2001:db8:3::/48", lab.Refuse(fib.Blackhole))
			wantRefused(t, newInjector(t, s).Inject(c.pkt), c.why)
			s.wantDropped(t, c.why)
			for _, p := range []*lab.Port{s.a, s.b, s.c} {
				p.ExpectNone()
			}
		})
	}
}

func wantRefused(t *testing.T, err error, why dataplane.Drop) {
	t.Helper()
	if !isFor(err, why) {
		t.Errorf("error = %v, want one for %v", err, why)
	}
}

// What a device refuses was not sent.
func TestInjectTellsWhatADeviceRefuses(t *testing.T) {
	s := newScene(t)
	j := newInjector(t, s)
	s.b.Near.SetDown(true)
	wantRefused(t, j.Inject(udp(routerA, hostB)), dataplane.InterfaceDown)
	s.wantDropped(t, dataplane.InterfaceDown)
	s.b.Near.SetDown(false)
	if err := j.Inject(udp(routerA, hostB)); err != nil {
		t.Errorf("error = %v, want none again", err)
	}
}

func TestInjectMalformed(t *testing.T) {
	s := newScene(t)
	j := newInjector(t, s)
	whole := udp(routerA, hostB)
	for _, b := range [][]byte{nil, whole[:39], whole[:len(whole)-1], append([]byte{0x45}, whole[1:]...)} {
		if err := j.Inject(b); !errors.Is(err, dataplane.ErrMalformed) {
			t.Errorf("error about %x = %v, want %v", b, err, dataplane.ErrMalformed)
		}
	}
	if st := s.Stats(); st.Originated != 0 {
		t.Errorf("originated = %d, want 0", st.Originated)
	}
}

// The largest packet there is fits, with anything behind it.
func TestInjectLargest(t *testing.T) {
	s := newScene(t)
	s.b.SetMTU(1 << 16 * 2)
	pkt := lab.Packet(routerA, hostB, header.ProtoESP, make([]byte, 65535))
	if err := newInjector(t, s).Inject(append(bytes.Clone(pkt), make([]byte, 600_000)...)); err != nil {
		t.Fatal(err)
	}
	wantPacket(t, s.b.Expect(), pkt)
}

// What the router itself sends, and may be cut, leaves in fragments when it does not
// fit: the way out, or its path.
//
// Proves:
//   - RFC 8200 §4.5 fits-the-path
//   - RFC 8200 §5 fragments-own
func TestSendInFragments(t *testing.T) {
	cases := []struct {
		name       string
		size, path int
		fragments  int // zero: it is whole
	}{
		{"as much as fits", 1452, 0, 0},
		{"one byte more", 1453, 0, 2},
		{"much", 60_000, 0, 49},
		{"all that a packet can have", 65_527, 0, 54},
		{"more than fits through its path", 1252, 1299, 2},
		{"as much as fits through its path", 1251, 1299, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			j := newInjector(t, s)
			want := lab.UDP(routerA, hostB, 1, 2, pattern(c.size))
			seg := dataplane.Segment{Pieces: [][]byte{want}, Fragment: true, PathMTU: c.path}
			if out := j.Send(&seg); out.Drop != dataplane.None || out.Via.ID != s.b.ID {
				t.Fatalf("outcome = %+v", out)
			}
			n := max(1, c.fragments)
			if c.fragments == 0 {
				wantPacket(t, s.b.Expect(), want)
			} else {
				wantPacket(t, gather(t, s.b, c.fragments), want)
			}
			if s.Stats().Originated != uint64(n) || s.Stats().Sent != uint64(n) {
				t.Errorf("originated, sent = %d, %d, want %d", s.Stats().Originated, s.Stats().Sent, n)
			}
			s.b.ExpectNone()
		})
	}
}

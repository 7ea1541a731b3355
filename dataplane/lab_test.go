package dataplane_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

// Most tests have this router in the middle. Interface c has no address but its
// link-local one.
//
//	hostA ── a [router] b ── hostB
//	              c
//	              │
//	            hostC
const (
	routerA, routerB = "2001:db8:a::1", "2001:db8:b::1"
	hostA, hostB     = "2001:db8:a::2", "2001:db8:b::2"
	hostC            = "2001:db8:c::2"
	linkA, linkC     = "fe80::a", "fe80::c"
	peerA            = "fe80::2"
	elsewhere        = "2001:db8:e::1" // no route
)

type scene struct {
	*lab.Router
	a, b, c *lab.Port
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{Router: lab.New(t)}
	s.a = s.Attach("a", routerA+"/64", linkA+"/64")
	s.b = s.Attach("b", routerB+"/64")
	s.c = s.Attach("c", linkC+"/64")
	s.Route("2001:db8:c::/64", lab.Dev("c"))
	return s
}

// wantDropped checks that one packet was dropped for a reason, none for others,
// and that all is accounted for.
func (s *scene) wantDropped(t *testing.T, why dataplane.Drop) {
	t.Helper()
	st := s.Stats()
	for _, d := range dataplane.Drops() {
		want := uint64(0)
		if d == why {
			want = 1
		}
		if got := st.Dropped[d]; got != want {
			t.Errorf("dropped for %v = %d, want %d", d, got, want)
		}
	}
	if !st.Balanced() {
		t.Errorf("account does not balance: %+v", st)
	}
}

// An icmpError is what an error message has to say.
type icmpError struct {
	typ, code uint8
	param     uint32
	source    string
}

// check reads got, which ought to be the error about a packet.
func (want *icmpError) check(t *testing.T, got, about []byte) {
	t.Helper()
	checkPacket(t, got)
	ip := header.IPv6(got)
	if len(got) > header.MinMTU {
		t.Errorf("error has %d bytes, want at most %d (RFC 4443 §2.4(c))", len(got), header.MinMTU)
	}
	if ip.NextHeader() != header.ProtoICMPv6 {
		t.Fatalf("next header = %d, want ICMPv6", ip.NextHeader())
	}
	if ip.HopLimit() != 64 {
		t.Errorf("hop limit = %d, want 64", ip.HopLimit())
	}
	if to := header.IPv6(about).Source(); ip.Destination() != to {
		t.Errorf("error goes to %v, want %v", ip.Destination(), to)
	}
	if from := netip.MustParseAddr(want.source); ip.Source() != from {
		t.Errorf("error comes from %v, want %v (RFC 4443 §2.2)", ip.Source(), from)
	}
	m := header.ICMPv6(ip.Payload())
	if m.Type() != want.typ || m.Code() != want.code || m.Param() != want.param {
		t.Errorf("error = type %d code %d param %d, want %d %d %d", m.Type(), m.Code(), m.Param(), want.typ, want.code, want.param)
	}
	quote := about[:min(len(about), header.MinMTU-header.IPv6Size-header.ICMPv6Size)]
	if !bytes.Equal(m.Body(), quote) {
		t.Errorf("quote = %x\nwant    %x", m.Body(), quote)
	}
}

// checkPacket checks what must be true of every packet that comes out.
func checkPacket(t *testing.T, b []byte) {
	t.Helper()
	ip, ok := header.ParseIPv6(b)
	if !ok || len(ip) != len(b) {
		t.Fatalf("not an IPv6 packet: %x", b)
	}
	if ip.HopLimit() == 0 {
		t.Errorf("hop limit 0 on the wire")
	}
	if !lab.ChecksumRight(b) {
		t.Errorf("checksum is wrong: %x", b)
	}
}

// forwarded is pkt as it is one hop further.
func forwarded(pkt []byte) []byte {
	b := bytes.Clone(pkt)
	header.IPv6(b).SetHopLimit(header.IPv6(b).HopLimit() - 1)
	return b
}

func wantPacket(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("came out: %x\nwant:     %x", got, want)
	}
}

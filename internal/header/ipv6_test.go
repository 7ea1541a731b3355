package header_test

import (
	"net/netip"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

func TestIPv6ReadsWhatWasPut(t *testing.T) {
	want := header.IPv6Fields{
		TrafficClass:  0xab,
		FlowLabel:     0xcdef1,
		PayloadLength: 0,
		NextHeader:    header.ProtoNone,
		HopLimit:      7,
		Source:        *host,
		Destination:   *peer,
	}
	b := make([]byte, header.IPv6Size)
	header.PutIPv6(b, &want)
	p, ok := header.ParseIPv6(b)
	if !ok || p.Version() != 6 {
		t.Fatalf("not a packet: %x", b)
	}
	got := header.IPv6Fields{
		TrafficClass:  p.TrafficClass(),
		FlowLabel:     p.FlowLabel(),
		PayloadLength: p.PayloadLength(),
		NextHeader:    p.NextHeader(),
		HopLimit:      p.HopLimit(),
		Source:        p.Source().As16(),
		Destination:   p.Destination().As16(),
	}
	if got != want {
		t.Errorf("fields = %+v, want %+v", got, want)
	}
	p.SetHopLimit(6)
	p.SetPayloadLength(9)
	if p.HopLimit() != 6 || p.PayloadLength() != 9 {
		t.Errorf("hop limit, payload length = %d, %d, want 6, 9", p.HopLimit(), p.PayloadLength())
	}
}

func TestPutIPv6KeepsFlowLabelToItself(t *testing.T) {
	b := make([]byte, header.IPv6Size)
	header.PutIPv6(b, &header.IPv6Fields{FlowLabel: 0xffffffff})
	if p := header.IPv6(b); p.Version() != 6 || p.TrafficClass() != 0 {
		t.Errorf("version, traffic class = %d, %#x, want 6, 0", p.Version(), p.TrafficClass())
	}
}

func TestParseIPv6(t *testing.T) {
	whole := packet(host, peer, header.ProtoNone, []byte("four"))
	version4 := append([]byte{0x45}, whole[1:]...)
	for _, c := range []struct {
		name string
		b    []byte
		want int
		ok   bool
	}{
		{"a whole packet is kept", whole, 44, true},
		{"padding of the link goes", append(whole[:44:44], 0, 0), 44, true},
		{"a missing byte refuses", whole[:43], 0, false},
		{"half a header refuses", whole[:39], 0, false},
		{"nothing refuses", nil, 0, false},
		{"IPv4 refuses", version4, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := header.ParseIPv6(c.b)
			if len(got) != c.want || ok != c.ok {
				t.Errorf("length, ok = %d, %v, want %d, %v", len(got), ok, c.want, c.ok)
			}
		})
	}
}

func TestPayloadEndsWithThePacket(t *testing.T) {
	p := packet(host, peer, header.ProtoNone, []byte("four"))
	p.SetPayloadLength(1000)
	if got := string(p.Payload()); got != "four" {
		t.Errorf("payload = %q, want what is there", got)
	}
	p.SetPayloadLength(3)
	if got := string(p.Payload()); got != "fou" {
		t.Errorf("payload = %q, want what was announced", got)
	}
}

// The slow twin is net/netip.
func TestAddressPredicatesAgreeWithNetip(t *testing.T) {
	for _, s := range []string{
		"::", "::1", "::2", "1::", "2001:db8::1", "fc00::1", "fe7f::1", "fe80::", "fe80::1",
		"febf:ffff::1", "fec0::1", "feff::1", "ff00::", "ff01::1", "ff02::1:ff00:1", "ff3e::8000:1",
	} {
		n, a := netip.MustParseAddr(s), addr(s)
		got := [4]bool{header.IsMulticast(a), header.IsUnspecified(a), header.IsLoopback(a), header.IsLinkLocal(a)}
		want := [4]bool{n.IsMulticast(), n.IsUnspecified(), n.IsLoopback(), n.IsLinkLocalUnicast()}
		if got != want {
			t.Errorf("%s: multicast, unspecified, loopback, link-local = %v, want %v", s, got, want)
		}
	}
}

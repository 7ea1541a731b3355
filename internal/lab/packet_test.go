package lab_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

const src, dst = "2001:db8::1", "2001:db8::2"

// The slow checksum and the fast one agree.
func TestChecksumTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		s, d := [16]byte{0x20, 1, byte(n)}, [16]byte{0xfe, 0x80, 15: byte(n)}
		if slow, fast := lab.Checksum(s, d, 17, b), header.Checksum(&s, &d, 17, b); slow != fast {
			t.Fatalf("checksum of %d bytes = %04x, the slow one = %04x", n, fast, slow)
		}
	}
}

// What is built here is what it claims to be.
func TestPackets(t *testing.T) {
	udp := lab.UDP(src, dst, 1, 2, []byte("data"))
	cases := []struct {
		name     string
		pkt      []byte
		protocol uint8
		more     header.Upper // what the chain says besides
	}{
		{"UDP", udp, header.ProtoUDP, header.Upper{}},
		{"TCP", lab.TCP(src, dst, 1, 2, header.FlagSYN, nil), header.ProtoTCP, header.Upper{}},
		{"echo", lab.Echo(src, dst, 1, 2, []byte("odd")), header.ProtoICMPv6, header.Upper{}},
		{"options", lab.Options(lab.Options(udp, header.ProtoDestinationOptions), header.ProtoHopByHop), header.ProtoUDP, header.Upper{}},
		{"routing header", lab.RoutingHeader(udp, 0, 1), header.ProtoUDP, header.Upper{Routing: header.Routing{Offset: 40, SegmentsLeft: 1}}},
		{"first fragment", lab.Fragment(udp, 0, true), header.ProtoUDP, header.Upper{Fragmented: true, More: true}},
		{"last fragment", lab.Fragment(udp, 9, false), header.ProtoUDP, header.Upper{Fragmented: true, NonFirst: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ip, ok := header.ParseIPv6(c.pkt)
			if !ok || len(ip) != len(c.pkt) {
				t.Fatalf("not one IPv6 packet: %x", c.pkt)
			}
			u, ok := header.UpperLayer(ip)
			if !ok || u.Protocol != c.protocol {
				t.Errorf("protocol = %d, whole = %v, want %d, true", u.Protocol, ok, c.protocol)
			}
			if u.Fragmented != c.more.Fragmented || u.More != c.more.More || u.NonFirst != c.more.NonFirst || u.Routing != c.more.Routing {
				t.Errorf("chain = %+v, want %+v", u, c.more)
			}
			if !lab.ChecksumRight(c.pkt) {
				t.Error("checksum is wrong")
			}
		})
	}
}

// A changed bit is noticed.
func TestChecksumRightSeesErrors(t *testing.T) {
	pkt := lab.UDP(src, dst, 1, 2, []byte("data"))
	for i := range pkt {
		if i < 8 || i == 40+4 || i == 40+5 { // what the checksum does not cover, or length
			continue
		}
		b := bytes.Clone(pkt)
		b[i] ^= 0x10
		if lab.ChecksumRight(b) {
			t.Errorf("a changed bit in byte %d goes unseen", i)
		}
	}
}

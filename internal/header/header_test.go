package header_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

var (
	host   = addr("2001:db8::1")
	peer   = addr("2001:db8:f00::2")
	router = addr("2001:db8::ffff")
	group  = addr("ff02::1")
	nobody = addr("::")
)

func addr(s string) *[16]byte {
	a := netip.MustParseAddr(s).As16()
	return &a
}

// packet joins parts to the payload of one packet from src to dst.
func packet(src, dst *[16]byte, next uint8, parts ...[]byte) header.IPv6 {
	p := make([]byte, header.IPv6Size)
	for _, part := range parts {
		p = append(p, part...)
	}
	header.PutIPv6(p, &header.IPv6Fields{
		PayloadLength: uint16(len(p) - header.IPv6Size),
		NextHeader:    next,
		HopLimit:      64,
		Source:        *src,
		Destination:   *dst,
	})
	return p
}

// unhex reads hexadecimal, spaces ignored.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// icmp is a message of one type with a right checksum.
func icmp(src, dst *[16]byte, typ uint8, data string) []byte {
	m := header.ICMPv6(append([]byte{typ, 0, 0, 0, 0x12, 0x34, 0, 1}, data...))
	m.SetChecksum(header.Checksum(src, dst, header.ProtoICMPv6, m))
	return m
}

// verifies reports whether the upper-layer checksum of an ICMPv6 packet is right.
func verifies(p header.IPv6, offset int) bool {
	return header.Checksum(p.SourceBytes(), p.DestinationBytes(), header.ProtoICMPv6, p[offset:]) == 0
}

func wantNoAllocs(t *testing.T, name string, step func()) {
	t.Helper()
	if got := testing.AllocsPerRun(100, step); got != 0 {
		t.Errorf("%s allocates %v times, want 0", name, got)
	}
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	chained := packet(host, peer, 0, unhex("3c00 0104 00000000 2c00 0104 00000000 0600 0000 00000001 1234 0050 0000 0000"))
	request := packet(host, peer, 58, icmp(host, peer, header.TypeEchoRequest, "data"))
	var buf [header.MinMTU]byte
	var work [128]byte

	wantNoAllocs(t, "UpperLayer", func() { header.UpperLayer(chained) })
	wantNoAllocs(t, "Destination", func() { header.Destination(chained) })
	wantNoAllocs(t, "FlowHash", func() { header.FlowHash(chained, 1) })
	wantNoAllocs(t, "MayAnswer", func() { header.MayAnswer(chained, header.TypeTimeExceeded, 0) })
	wantNoAllocs(t, "Checksum", func() { header.Checksum(host, peer, 58, request[40:]) })
	wantNoAllocs(t, "AppendError", func() {
		header.AppendError(buf[:0], router, host, 64, header.TypeTimeExceeded, 0, 0, request)
	})
	wantNoAllocs(t, "EchoReply", func() {
		if _, ok := header.EchoReply(work[:copy(work[:], request)], peer); !ok {
			t.Error("no reply")
		}
	})
}

package header_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

type mayAnswerCase struct {
	name      string
	pkt       header.IPv6
	typ, code uint8
	want      bool
}

func testMayAnswer(t *testing.T, cases []mayAnswerCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := header.MayAnswer(c.pkt, c.typ, c.code); got != c.want {
				t.Errorf("may answer = %v, want %v", got, c.want)
			}
		})
	}
}

// Proves:
//   - RFC 4443 §2.4 about-error
func TestRFC4443_2_4_e_1_NoErrorAboutAnError(t *testing.T) {
	const exceeded = header.TypeTimeExceeded
	failed := icmp(host, peer, header.TypeDestinationUnreachable, "")
	ping := icmp(host, peer, header.TypeEchoRequest, "")
	testMayAnswer(t, []mayAnswerCase{
		{"an error is not answered", packet(host, peer, 58, failed), exceeded, 0, false},
		{"an unknown error is not answered", packet(host, peer, 58, icmp(host, peer, 127, "")), exceeded, 0, false},
		{"an error behind options is not answered", packet(host, peer, 0, unhex("3a00"+hopByHop), failed), exceeded, 0, false},
		{"an error behind AH is not answered", packet(host, peer, 51, unhex("3a01 0000 00000001 00000001"), failed), exceeded, 0, false},
		{"a first fragment of an error is not answered", packet(host, peer, 44, unhex("3a00 0001 00000001"), failed), exceeded, 0, false},
		{"a later fragment of ICMPv6 is not answered", packet(host, peer, 44, unhex("3a00 0008 00000001"), ping), exceeded, 0, false},
		{"a later fragment that hides what it is is not answered", packet(host, peer, 44, unhex("3c00 0008 00000001"), ping), exceeded, 0, false},
		{"a later fragment of UDP is answered", packet(host, peer, 44, unhex("1100 0008 00000001"), ping), exceeded, 0, true},
		{"a first fragment of a request is answered", packet(host, peer, 44, unhex("3a00 0001 00000001"), ping), exceeded, 0, true},
		{"a request is answered", packet(host, peer, 58, ping), exceeded, 0, true},
		{"ICMPv6 without a type is not answered", packet(host, peer, 58), exceeded, 0, false},
		{"a broken chain is answered", packet(host, peer, 0, unhex("3a01"+hopByHop)), header.TypeParameterProblem, header.CodeErroneousField, true},
		{"a misplaced hop-by-hop header is answered", packet(host, peer, 60, unhex("0000"+hopByHop+"0600"+hopByHop)), header.TypeParameterProblem, header.CodeUnrecognizedNextHeader, true},
		{"half an IPv6 header is not answered", packet(host, peer, 58, ping)[:39], exceeded, 0, false},
		{"nothing is not answered", nil, exceeded, 0, false},
	})
}

// Proves:
//   - RFC 4443 §2.4 about-redirect
func TestRFC4443_2_4_e_2_NoErrorAboutARedirect(t *testing.T) {
	testMayAnswer(t, []mayAnswerCase{
		{"a redirect is not answered", packet(host, peer, 58, icmp(host, peer, header.TypeRedirect, "")), header.TypeTimeExceeded, 0, false},
		{"its neighbor 136 is", packet(host, peer, 58, icmp(host, peer, header.TypeNeighborAdvertisement, "")), header.TypeTimeExceeded, 0, true},
	})
}

// Proves:
//   - RFC 4443 §2.4 about-group
func TestRFC4443_2_4_e_3_NoErrorAboutAGroup(t *testing.T) {
	udp := packet(host, group, 17, unhex("0400 0035 0008 0000"))
	failed := packet(host, group, 58, icmp(host, group, header.TypeParameterProblem, ""))
	testMayAnswer(t, []mayAnswerCase{
		{"unreachable is not sent", udp, header.TypeDestinationUnreachable, header.CodePortUnreachable, false},
		{"time exceeded is not sent", udp, header.TypeTimeExceeded, 0, false},
		{"an erroneous field is not reported", udp, header.TypeParameterProblem, header.CodeErroneousField, false},
		{"an unrecognized header is not reported", udp, header.TypeParameterProblem, header.CodeUnrecognizedNextHeader, false},
		{"packet too big is sent", udp, header.TypePacketTooBig, 0, true},
		{"an unrecognized option is reported", udp, header.TypeParameterProblem, header.CodeUnrecognizedOption, true},
		{"but nothing about an error to a group", failed, header.TypePacketTooBig, 0, false},
	})
}

// Proves:
//   - RFC 4443 §2.4 to-nobody
func TestRFC4443_2_4_e_6_NoErrorToNobody(t *testing.T) {
	udp := unhex("0400 0035 0008 0000")
	testMayAnswer(t, []mayAnswerCase{
		{"the unspecified address is no node", packet(nobody, peer, 17, udp), header.TypePacketTooBig, 0, false},
		{"a group is no single node", packet(group, peer, 17, udp), header.TypePacketTooBig, 0, false},
		{"a unicast source is", packet(host, peer, 17, udp), header.TypePacketTooBig, 0, true},
	})
}

// Proves:
//   - RFC 4443 §2.4 quote
func TestRFC4443_2_4_c_ErrorQuotesWhatMinMTUPermits(t *testing.T) {
	for _, c := range []struct {
		name       string
		size, want int
	}{
		{"nothing", 0, 48},
		{"a short packet whole", 100, 148},
		{"the longest that fits", 1232, 1280},
		{"one byte too many", 1233, 1280},
		{"a superframe", 65000, 1280},
	} {
		t.Run(c.name, func(t *testing.T) {
			original := bytes.Repeat([]byte{0x5a}, c.size)
			got := header.AppendError(nil, router, host, 64, header.TypePacketTooBig, 0, 1280, original)
			checkError(t, got, original)
			if len(got) != c.want {
				t.Errorf("length = %d, want %d", len(got), c.want)
			}
		})
	}
}

func TestAppendErrorAppends(t *testing.T) {
	got := header.AppendError([]byte("virtio-net"), router, host, 255, header.TypeParameterProblem,
		header.CodeUnrecognizedNextHeader, 40, []byte("original"))
	if string(got[:10]) != "virtio-net" {
		t.Fatalf("what was there = %q", got[:10])
	}
	p := header.IPv6(got[10:])
	checkError(t, p, []byte("original"))
	m := header.ICMPv6(p.Payload())
	if m.Type() != header.TypeParameterProblem || m.Code() != header.CodeUnrecognizedNextHeader || m.Param() != 40 {
		t.Errorf("type, code, pointer = %d, %d, %d", m.Type(), m.Code(), m.Param())
	}
	if *p.SourceBytes() != *router || *p.DestinationBytes() != *host || p.HopLimit() != 255 {
		t.Errorf("%v -> %v, hop limit %d", p.Source(), p.Destination(), p.HopLimit())
	}
}

// checkError checks what holds for every error about original.
func checkError(t *testing.T, b, original []byte) {
	t.Helper()
	p, ok := header.ParseIPv6(b)
	if !ok || len(p) != len(b) || len(p) > header.MinMTU || p.NextHeader() != header.ProtoICMPv6 {
		t.Fatalf("not an ICMPv6 packet within the minimum MTU: %x", b)
	}
	if !verifies(p, header.IPv6Size) {
		t.Error("checksum is wrong")
	}
	if quote := header.ICMPv6(p.Payload()).Body(); !bytes.HasPrefix(original, quote) {
		t.Errorf("quote %x does not begin the original", quote)
	}
}

func ExampleAppendError() {
	datagram := packet(host, peer, header.ProtoUDP, []byte{0x30, 0x39, 0, 53, 0, 8, 0, 0})
	var buf [header.MinMTU]byte
	b := header.AppendError(buf[:0], router, datagram.SourceBytes(), 64,
		header.TypeTimeExceeded, header.CodeHopLimit, 0, datagram)

	p, _ := header.ParseIPv6(b)
	fmt.Println(p.Source(), "to", p.Destination(), "length", p.PayloadLength())
	// Output: 2001:db8::ffff to 2001:db8::1 length 56
}

func FuzzAppendError(f *testing.F) {
	f.Add(uint8(header.TypeTimeExceeded), uint8(0), uint32(0), []byte{})                                                   // nothing to quote
	f.Add(uint8(header.TypePacketTooBig), uint8(0), uint32(1280), make([]byte, 9000))                                      // more than fits
	f.Add(uint8(header.TypeParameterProblem), uint8(1), uint32(40), []byte(packet(host, peer, 0, unhex("c800"+hopByHop)))) // a real one
	f.Add(uint8(0x7f), uint8(0xff), uint32(0xffffffff), bytes.Repeat([]byte{0xff}, 1233))                                  // all carries, odd
	f.Fuzz(func(t *testing.T, typ, code uint8, param uint32, original []byte) {
		typ &= 0x7f // an error
		got := header.AppendError(nil, router, host, 64, typ, code, param, original)
		checkError(t, got, original)
		if header.MayAnswer(got, header.TypeTimeExceeded, 0) {
			t.Error("an error about an error")
		}
	})
}

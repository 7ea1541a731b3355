package header_test

import (
	"fmt"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

const (
	hopByHop = "0104 00000000" // without the two bytes before: next header, length
	routing0 = "0001 00000000 20010db8 00000000 00000000 00000009"
	routing4 = "0401 00000000 20010db8 00000000 00000000 00000009"
	routed   = "0000 00000000 20010db8 00000000 00000000 00000009"
)

func TestUpperLayer(t *testing.T) {
	for _, c := range []struct {
		name  string
		first uint8
		hex   string
		want  header.Upper
		ok    bool
	}{
		{
			"no extension header", 6, "",
			header.Upper{Protocol: 6, Offset: 40, NextHeader: 6},
			true,
		},
		{
			"nothing follows", 59, "",
			header.Upper{Protocol: 59, Offset: 40, NextHeader: 6},
			true,
		},
		{
			"an unknown protocol is pointed at", 0, "c800" + hopByHop,
			header.Upper{Protocol: 200, Offset: 48, NextHeader: 40},
			true,
		},
		{
			"options, then a long header", 0, "3c00" + hopByHop + "1101 010c 000000000000000000000000",
			header.Upper{Protocol: 17, Offset: 64, NextHeader: 48},
			true,
		},
		{
			"AH counts in units of 4", 51, "0604 0000 00000001 00000001 000000000000000000000000",
			header.Upper{Protocol: 6, Offset: 64, NextHeader: 40},
			true,
		},
		{
			"ESP hides the rest", 50, "00000001 00000001",
			header.Upper{Protocol: 50, Offset: 40, NextHeader: 6},
			true,
		},
		{
			"mobility, HIP and shim6 are walked", 135, "8b00" + hopByHop + "8c00" + hopByHop + "3a00" + hopByHop,
			header.Upper{Protocol: 58, Offset: 64, NextHeader: 56},
			true,
		},
		{
			"hop-by-hop in second place is unrecognized", 60, "0000" + hopByHop + "0600" + hopByHop,
			header.Upper{Protocol: 0, Offset: 48, NextHeader: 40},
			true,
		},
		{
			"a first fragment shows the upper layer", 44, "1100 0001 00000001",
			header.Upper{Protocol: 17, Offset: 48, NextHeader: 40, Fragmented: true, More: true},
			true,
		},
		{
			"an atomic fragment is a whole packet", 44, "11ff 0000 00000001",
			header.Upper{Protocol: 17, Offset: 48, NextHeader: 40, Fragmented: true},
			true,
		},
		{
			"a later fragment ends the walk", 44, "3c00 0008 00000001 ffff",
			header.Upper{Protocol: 60, Offset: 48, NextHeader: 40, Fragmented: true, NonFirst: true},
			true,
		},
		{
			"a fragment in a fragment", 44, "2c00 0001 00000001 1100 0000 00000002",
			header.Upper{Protocol: 17, Offset: 56, NextHeader: 48, Fragmented: true, More: true},
			true,
		},
		{
			"a routing header with segments left", 43, "0602" + routing4,
			header.Upper{Protocol: 6, Offset: 64, NextHeader: 40, Routing: header.Routing{Offset: 40, Type: 4, SegmentsLeft: 1}},
			true,
		},
		{
			"a routing header without segments left", 43, "0602" + routed,
			header.Upper{Protocol: 6, Offset: 64, NextHeader: 40},
			true,
		},
		{
			"routing type 0 behind another one", 43, "2b02" + routing4 + "0602" + routing0,
			header.Upper{Protocol: 6, Offset: 88, NextHeader: 64, Routing: header.Routing{Offset: 64, Type: 0, SegmentsLeft: 1}},
			true,
		},
		{
			"routing type 0 before another one", 43, "2b02" + routing0 + "0602" + routing4,
			header.Upper{Protocol: 6, Offset: 88, NextHeader: 64, Routing: header.Routing{Offset: 40, Type: 0, SegmentsLeft: 1}},
			true,
		},
		{
			"length 255 does not wrap to none", 0, "06ff" + hopByHop,
			header.Upper{Protocol: 0, Offset: 40, NextHeader: 6},
			false,
		},
		{
			"the second header leaves the packet", 0, "3c00" + hopByHop + "0601" + hopByHop,
			header.Upper{Protocol: 60, Offset: 48, NextHeader: 40},
			false,
		},
		{
			"one byte short", 60, "0601 0104 00000000 00000000000000",
			header.Upper{Protocol: 60, Offset: 40, NextHeader: 6},
			false,
		},
		{
			"half an extension header", 60, "0600 0104",
			header.Upper{Protocol: 60, Offset: 40, NextHeader: 6},
			false,
		},
		{
			"no extension header where one was named", 44, "",
			header.Upper{Protocol: 44, Offset: 40, NextHeader: 6},
			false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := header.UpperLayer(packet(host, peer, c.first, unhex(c.hex)))
			if got != c.want || ok != c.ok {
				t.Errorf("upper = %+v, %v, want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestUpperLayerStaysInThePayload(t *testing.T) {
	p := packet(host, peer, header.ProtoDestinationOptions, unhex("0600"+hopByHop))
	p.SetPayloadLength(4)
	if u, ok := header.UpperLayer(p); ok {
		t.Errorf("walked over the end of the payload to %+v", u)
	}
	if _, ok := header.UpperLayer(p[:39]); ok {
		t.Error("walked half an IPv6 header")
	}
}

func ExampleUpperLayer() {
	datagram := []byte{0x30, 0x39, 0, 53, 0, 8, 0, 0}
	options := []byte{header.ProtoUDP, 0, 1, 4, 0, 0, 0, 0}
	p := packet(host, peer, header.ProtoHopByHop, options, datagram)

	u, ok := header.UpperLayer(p)
	fmt.Println(ok, u.Protocol, u.Offset)
	fmt.Println(header.UDP(p[u.Offset:]).DestinationPort())
	// Output:
	// true 17 48
	// 53
}

func FuzzExtensionHeaders(f *testing.F) {
	f.Add(uint8(header.ProtoHopByHop), unhex("00ff 0000 00000000"))                          // 255 wraps in a byte
	f.Add(uint8(header.ProtoAH), unhex("3300 0000 00000000 06ff 0000"))                      // the shortest AH, then half of the longest
	f.Add(uint8(header.ProtoFragment), unhex("2cff 0001 00000000 3a00 fff8 00000000"))       // a fragment in a fragment
	f.Add(uint8(header.ProtoRouting), unhex("3a02 0001 00000000 00000000 0000000000000000")) // RH0 of RFC 5095, cut off
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		b = b[:min(len(b), 65535)]
		steps(t, first, b)
		p := packet(host, peer, first, b)
		u, ok := header.UpperLayer(p)
		if u.Offset < header.IPv6Size || u.Offset > len(p) {
			t.Fatalf("upper layer at %d of %d", u.Offset, len(p))
		}
		if p[u.NextHeader] != u.Protocol {
			t.Fatalf("field at %d names %d, want %d", u.NextHeader, p[u.NextHeader], u.Protocol)
		}
		if r := u.Routing; r.Offset != 0 && (p[r.Offset+2] != r.Type || p[r.Offset+3] != r.SegmentsLeft || r.SegmentsLeft == 0) {
			t.Fatalf("routing header %+v is not in %x", r, p)
		}
		if ok && header.IsExtension(u.Protocol) && !u.NonFirst && u.Protocol != header.ProtoHopByHop {
			t.Fatalf("walk ended early at %+v", u)
		}
		header.FlowHash(p, 0)
		header.MayAnswer(p, header.TypeTimeExceeded, 0)
	})
}

// steps takes one header after the other, blind to what they say.
func steps(t *testing.T, proto uint8, rest []byte) {
	t.Helper()
	for {
		next, after, ok := header.NextExtension(proto, rest)
		if !ok {
			return
		}
		if len(after) > len(rest)-8 {
			t.Fatalf("no progress at %d left", len(rest))
		}
		proto, rest = next, after
	}
}

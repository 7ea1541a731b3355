package header_test

import (
	"testing"

	"github.com/router6d/router6d/internal/header"
)

func TestDestination(t *testing.T) {
	for _, c := range []struct {
		name  string
		first uint8
		hex   string
		want  header.Reached
	}{
		{"nothing in between", 58, "8000", header.Reached{Protocol: 58, Offset: 40, NextHeader: 6}},
		{"options and an atomic fragment", 0, "2c00" + hopByHop + "3c00 0000 00000001 0600" + hopByHop, header.Reached{Protocol: 6, Offset: 64, NextHeader: 56}},
		{"a fragment ends the walk", 60, "2c00" + hopByHop + "3c00 0001 00000001", header.Reached{Stop: header.AtFragment, Protocol: 44, Offset: 48, NextHeader: 40}},
		{"segments left", 43, "0602" + routing4, header.Reached{Stop: header.AtRouting, Protocol: 43, Offset: 40, NextHeader: 6, Pointer: 42}},
		{"no segments left", 43, "0602" + routed, header.Reached{Protocol: 6, Offset: 64, NextHeader: 40}},
		{"hop-by-hop options that are not first", 60, "0000" + hopByHop + "0600" + hopByHop, header.Reached{Protocol: 0, Offset: 48, NextHeader: 40}},
		{"AH is no header of ours", 51, "0601 0000 00000001 00000001", header.Reached{Protocol: 51, Offset: 40, NextHeader: 6}},
		{"a header that leaves the packet", 60, "0601" + hopByHop, header.Reached{Stop: header.AtMisfit, Protocol: 60, Offset: 40, NextHeader: 6, Pointer: 41}},
		{"half a header", 60, "0600 0104", header.Reached{Stop: header.AtMisfit, Protocol: 60, Offset: 40, NextHeader: 6, Pointer: 41}},
		{"an option that leaves its header", 0, "0600 1e05 00000000", header.Reached{Stop: header.AtMisfit, Protocol: 0, Offset: 40, NextHeader: 6, Pointer: 43}},
		{"an option without a length", 0, "0600 0103 0000001e", header.Reached{Stop: header.AtMisfit, Protocol: 0, Offset: 40, NextHeader: 6, Pointer: 47}},
		{"an option to be discarded", 0, "0600 0100 4700 0000", header.Reached{Stop: header.AtOption, Protocol: 0, Offset: 40, NextHeader: 6, Pointer: 44}},
		{"eight bytes of padding", 0, "0601 0106 000000000000 1e00 00000000", header.Reached{Stop: header.AtLimit, Protocol: 0, Offset: 40, NextHeader: 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := header.Destination(packet(host, peer, c.first, unhex(c.hex))); got != c.want {
				t.Errorf("reached %+v, want %+v", got, c.want)
			}
		})
	}
}

// RFC 8200 §4.2: the first two bits of its type say what an unknown option wants.
func TestRFC8200_4_2_ReportsOption(t *testing.T) {
	for typ := range 256 {
		unicast, group := header.ReportsOption(uint8(typ), false), header.ReportsOption(uint8(typ), true)
		if unicast != (typ >= 0x80) || group != (typ >= 0x80 && typ < 0xc0) {
			t.Errorf("option %#02x is reported: %v, to a group: %v", typ, unicast, group)
		}
	}
}

func TestFragmentHeader(t *testing.T) {
	var b [header.FragmentSize]byte
	header.PutFragment(b[:], 58, 65528, true, 0x01020304)
	if want := unhex("3a00 fff9 01020304"); string(b[:]) != string(want) {
		t.Errorf("written: %x, want %x", b, want)
	}
	b[1], b[3] = 0xff, b[3]|6 // reserved
	f := header.Fragment(b[:])
	if f.NextHeader() != 58 || f.Offset() != 65528 || !f.More() || f.Identification() != 0x01020304 || f.IsAtomic() || len(f.Data()) != 0 {
		t.Errorf("read: %x", b)
	}
}

func TestRFC7112_5_ChainIsWhole(t *testing.T) {
	for _, c := range []struct {
		name  string
		proto uint8
		size  int
		want  bool
	}{
		{"a TCP header", header.ProtoTCP, 20, true},
		{"a byte less", header.ProtoTCP, 19, false},
		{"a UDP header", header.ProtoUDP, 8, true},
		{"a byte less", header.ProtoUDP, 7, false},
		{"an ICMPv6 header", header.ProtoICMPv6, 4, true},
		{"a byte less", header.ProtoICMPv6, 3, false},
		{"a protocol nobody knows", 253, 0, true},
	} {
		if got := header.ChainIsWhole(c.proto, make([]byte, c.size)); got != c.want {
			t.Errorf("%s: whole = %v, want %v", c.name, got, c.want)
		}
	}
	if !header.ChainIsWhole(header.ProtoDestinationOptions, unhex("1100"+hopByHop+"0000000000000000")) {
		t.Error("a UDP header behind options is not whole")
	}
	if header.ChainIsWhole(header.ProtoDestinationOptions, unhex("1100"+hopByHop+"00000000000000")) {
		t.Error("most of a UDP header behind options is whole")
	}
}

// slowDestination is the slow twin of Destination's way through headers without
// options: it makes a list of them first.
func slowDestination(p header.IPv6) (offsets []int, fits bool) {
	proto, at := p.NextHeader(), header.IPv6Size
	for proto == header.ProtoDestinationOptions || proto == header.ProtoRouting || proto == header.ProtoFragment || proto == header.ProtoHopByHop && at == header.IPv6Size {
		offsets = append(offsets, at)
		size := 8
		if at+8 <= len(p) && proto != header.ProtoFragment {
			size = 8 + 8*int(p[at+1])
		}
		if at+size > len(p) {
			return offsets, false
		}
		proto, at = p[at], at+size
	}
	return append(offsets, at), true
}

func FuzzDestination(f *testing.F) {
	f.Add(uint8(header.ProtoHopByHop), unhex("00ff 0000 00000000"))                     // 255 wraps in a byte
	f.Add(uint8(header.ProtoHopByHop), unhex("3c00 05020000 0000 3a00 c700 0000 0000")) // router alert, unknown option
	f.Add(uint8(header.ProtoDestinationOptions), unhex("3c00 0103 0000001e"))           // a type without a length
	f.Add(uint8(header.ProtoFragment), unhex("2c00 0000 00000000 3a00 0001 00000000"))
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		p := packet(host, peer, first, b[:min(len(b), 65535)])
		r := header.Destination(p)
		if p[r.NextHeader] != r.Protocol || r.Offset > len(p) {
			t.Fatalf("reached %+v: field at %d names %d", r, r.NextHeader, p[r.NextHeader])
		}
		all, fits := slowDestination(p)
		i := 0
		for i < len(all) && all[i] != r.Offset {
			i++
		}
		if i == len(all) {
			t.Fatalf("reached %+v, which is none of %v", r, all)
		}
		switch r.Stop {
		case header.AtUpperLayer:
			if !fits || i != len(all)-1 {
				t.Fatalf("reached the upper layer at %d of %v, fits %v", r.Offset, all, fits)
			}
		case header.AtOption:
			if typ := p[r.Pointer]; typ < 0x40 || r.Pointer < r.Offset+2 {
				t.Fatalf("option %#02x at %d stops at %d", typ, r.Pointer, r.Offset)
			}
		case header.AtRouting:
			if p[r.Offset+3] == 0 || r.Pointer != r.Offset+2 {
				t.Fatalf("routing header without segments left stops %+v", r)
			}
		case header.AtFragment:
			if header.Fragment(p[r.Offset:]).IsAtomic() {
				t.Fatalf("an atomic fragment stops %+v", r)
			}
		case header.AtMisfit:
			if r.Pointer <= r.Offset {
				t.Fatalf("misfit points at %d, header at %d", r.Pointer, r.Offset)
			}
		case header.AtLimit:
		}
		header.ChainIsWhole(first, b)
	})
}

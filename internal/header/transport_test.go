package header_test

import (
	"encoding/binary"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

func TestTCPReadsRecordedSegment(t *testing.T) {
	s := header.TCP(unhex("d431 01bb 11223344 00000000 a002 fd20 abcd 0000 020405a0 0402080a 00000000 00000000 01030307"))
	if s.SourcePort() != 54321 || s.DestinationPort() != 443 {
		t.Errorf("ports = %d, %d, want 54321, 443", s.SourcePort(), s.DestinationPort())
	}
	if s.DataOffset() != 40 || s.Flags() != header.FlagSYN {
		t.Errorf("data offset, flags = %d, %#x, want 40, SYN", s.DataOffset(), s.Flags())
	}
	if s.Checksum() != 0xabcd {
		t.Errorf("checksum = %#x, want 0xabcd", s.Checksum())
	}
	if s.SetChecksum(0x1234); s.Checksum() != 0x1234 {
		t.Errorf("checksum = %#x, want 0x1234", s.Checksum())
	}
}

func TestUDPReadsRecordedDatagram(t *testing.T) {
	d := header.UDP(unhex("3039 0035 0009 abcd ff"))
	if d.SourcePort() != 12345 || d.DestinationPort() != 53 || d.Length() != 9 || d.Checksum() != 0xabcd {
		t.Errorf("fields = %d, %d, %d, %#x", d.SourcePort(), d.DestinationPort(), d.Length(), d.Checksum())
	}
}

// flow is a UDP packet whose parts count up with n where told to.
func flow(n int, hostCounts, subnetCounts, peerCounts, labelCounts, portCounts int) header.IPv6 {
	src, dst := *host, *peer
	binary.BigEndian.PutUint32(src[12:], uint32(n*hostCounts))
	binary.BigEndian.PutUint32(src[4:], uint32(n*subnetCounts))
	binary.BigEndian.PutUint32(dst[12:], uint32(n*peerCounts))
	p := packet(&src, &dst, header.ProtoUDP, unhex("0400 0035 0008 0000"))
	binary.BigEndian.PutUint16(p[40:], uint16(1024+n*portCounts))
	binary.BigEndian.PutUint32(p, 6<<28|uint32(n*labelCounts)&0xfffff)
	return p
}

func TestFlowHashSpreadsSequentialFlows(t *testing.T) {
	const flows = 10000
	for _, c := range []struct {
		name                            string
		host, subnet, peer, label, port int
	}{
		{"sequential hosts", 1, 0, 0, 0, 0},
		{"sequential subnets", 0, 1, 0, 0, 0},
		{"sequential peers", 0, 0, 1, 0, 0},
		{"subnet and peer in step", 0, 1, 1, 0, 0},
		{"host and peer in step", 1, 0, 1, 0, 0},
		{"sequential flow labels", 0, 0, 0, 1, 0},
		{"sequential ports", 0, 0, 0, 0, 1},
		{"even ports", 0, 0, 0, 0, 2},
		{"everything in step", 1, 1, 1, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var hashes [flows]uint32
			for _, seed := range []uint64{0, 1, 0x0123456789abcdef} {
				for n := range hashes {
					hashes[n] = header.FlowHash(flow(n, c.host, c.subnet, c.peer, c.label, c.port), seed)
				}
				for buckets := 2; buckets <= 16; buckets++ {
					wantEven(t, hashes[:], buckets)
				}
			}
		})
	}
}

// wantEven puts hashes into buckets by their low and by their high bits. It
// allows five standard deviations from the mean of a fair draw.
func wantEven(t *testing.T, hashes []uint32, buckets int) {
	t.Helper()
	low, high := make([]int, buckets), make([]int, buckets)
	for _, h := range hashes {
		low[h%uint32(buckets)]++
		high[uint64(h)*uint64(buckets)>>32]++
	}
	want := len(hashes) / buckets
	for _, n := range append(low, high...) {
		if (n-want)*(n-want) > 25*want {
			t.Errorf("buckets by low bits = %v, by high bits = %v, want %d each", low, high, want)
			return
		}
	}
}

func TestFlowHashKeepsFragmentsTogether(t *testing.T) {
	first := packet(host, peer, header.ProtoFragment, unhex("1100 0001 00000007 0400 0035 0800 0000"))
	later := packet(host, peer, header.ProtoFragment, unhex("1100 0008 00000007 dead beef dead beef"))
	if got, want := header.FlowHash(later, 9), header.FlowHash(first, 9); got != want {
		t.Errorf("later fragment = %#x, want that of the first, %#x", got, want)
	}
}

func TestFlowHashSeesPortsOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		first uint8
		hex   string
		sees  bool
	}{
		{"TCP", header.ProtoTCP, "", true},
		{"UDP", header.ProtoUDP, "", true},
		{"DCCP", header.ProtoDCCP, "", true},
		{"SCTP", header.ProtoSCTP, "", true},
		{"UDP-Lite", header.ProtoUDPLite, "", true},
		{"TCP behind an extension header", header.ProtoHopByHop, "0600" + hopByHop, true},
		{"not ICMPv6, whose checksum lies there", header.ProtoICMPv6, "", false},
		{"not an atomic fragment", header.ProtoFragment, "0600 0000 00000001", false},
		{"not ESP", header.ProtoESP, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := packet(host, peer, c.first, unhex(c.hex), unhex("0400 0050"))
			b := packet(host, peer, c.first, unhex(c.hex), unhex("0401 0050"))
			if got := header.FlowHash(a, 0) != header.FlowHash(b, 0); got != c.sees {
				t.Errorf("ports seen = %v, want %v", got, c.sees)
			}
		})
	}
}

func TestFlowHashDependsOnSeed(t *testing.T) {
	same := 0
	for n := range 1000 {
		p := flow(n, 1, 0, 0, 0, 0)
		if header.FlowHash(p, 1)%2 == header.FlowHash(p, 2)%2 {
			same++
		}
	}
	if same < 400 || same > 600 {
		t.Errorf("two seeds agree on %d of 1000 flows, want about half", same)
	}
}

func TestFlowHashOfTruncatedPacketIsHarmless(t *testing.T) {
	p := packet(host, peer, header.ProtoHopByHop, unhex("0600"+hopByHop+"0400 0050"))
	for n := range p {
		header.FlowHash(p[:n], 0)
	}
}

func BenchmarkFlowHash(b *testing.B) {
	for _, c := range []struct {
		name string
		pkt  header.IPv6
	}{
		{"udp", flow(1, 1, 1, 1, 1, 1)},
		{"hop-by-hop", packet(host, peer, header.ProtoHopByHop, unhex("1100"+hopByHop+"0400 0050"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				header.FlowHash(c.pkt, 1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/pkt")
		})
	}
}

package link

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

// vnet is a virtio-net header by its fields.
type vnet struct {
	flags, gso                 byte
	headers, size, start, offs uint16
}

func (v vnet) bytes() []byte {
	h := []byte{v.flags, v.gso}
	for _, x := range []uint16{v.headers, v.size, v.start, v.offs} {
		h = binary.NativeEndian.AppendUint16(h, x)
	}
	return h
}

// tcp is an IPv6 packet of size bytes with TCP in it whose header has 32 bytes.
func tcp(size int) []byte {
	b := make([]byte, size)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(size-header.IPv6Size))
	b[6] = header.ProtoTCP
	b[header.IPv6Size+12] = 8 << 4
	return b
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name     string
		vnet     vnet
		pkt      []byte
		ok       bool
		segments int
		wire     int
	}{
		{"nothing left undone", vnet{}, tcp(100), true, 1, 100},
		{"nothing left undone, not IPv6", vnet{}, []byte{0x45}, true, 1, 1},
		{"an empty packet", vnet{}, nil, true, 1, 0},
		{"size without segmentation means nothing", vnet{size: 9}, tcp(100), true, 1, 100},
		{"offsets without a flag mean nothing", vnet{start: 900, offs: 900}, tcp(100), true, 1, 100},
		{"flags that are not ours", vnet{flags: 2}, tcp(100), true, 1, 100},

		{"checksum", vnet{flags: 1, start: 40, offs: 16}, tcp(100), true, 1, 100},
		{"checksum at the very end", vnet{flags: 1, start: 40, offs: 58}, tcp(100), true, 1, 100},
		{"checksum past the end", vnet{flags: 1, start: 40, offs: 59}, tcp(100), false, 1, 100},
		{"checksum far past the end", vnet{flags: 1, start: 65535, offs: 65535}, tcp(100), false, 1, 100},
		{"checksum in the IPv6 header", vnet{flags: 1, start: 39, offs: 1}, tcp(100), false, 1, 100},
		{"checksum in what is not IPv6", vnet{flags: 1, start: 20, offs: 16}, append([]byte{0x45}, make([]byte, 59)...), true, 1, 60},
		{"checksum of nothing", vnet{flags: 1}, nil, false, 1, 0},

		{"two segments", vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(72 + 2000), true, 2, 1072},
		{"two segments, and a byte", vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(72 + 2001), true, 3, 1072},
		{"segments with congestion notified", vnet{flags: 1, gso: gsoTCPv6 | gsoECN, size: 1000, start: 40, offs: 16}, tcp(72 + 2000), true, 2, 1072},
		{"one segment that is short", vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(72 + 1), true, 1, 73},
		{"segments of UDP", vnet{flags: 1, gso: gsoUDP, size: 100, start: 40, offs: 6}, tcp(48 + 250), true, 3, 148},
		{"the header length is not believed", vnet{flags: 1, gso: gsoTCPv6, headers: 2072, size: 1000, start: 40, offs: 16}, tcp(72 + 2000), true, 2, 1072},
		{"segments without payload", vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(72), false, 1, 72},
		{"segments of no size", vnet{flags: 1, gso: gsoTCPv6, start: 40, offs: 16}, tcp(2072), false, 1, 2072},
		{"segments without a checksum", vnet{gso: gsoTCPv6, size: 1000}, tcp(2072), false, 1, 2072},
		{"segments of a header cut short", vnet{flags: 1, gso: gsoTCPv6, size: 10, start: 81, offs: 2}, tcp(100), false, 1, 100},
		{"segments of IPv4", vnet{flags: 1, gso: 1, size: 1000, start: 40, offs: 16}, tcp(2072), false, 1, 2072},
		{"fragments of UDP", vnet{flags: 1, gso: 3, size: 1000, start: 40, offs: 6}, tcp(2072), false, 1, 2072},
		{"headers that don't fit in their count", vnet{flags: 1, gso: gsoTCPv6, size: 1, start: 65535, offs: 2}, tcp(MaxPacket), false, 1, MaxPacket},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o Offload
			if got := o.decode(tt.vnet.bytes(), tt.pkt, 0); got != tt.ok {
				t.Fatalf("ok = %v, want %v", got, tt.ok)
			}
			if o.Bad() == tt.ok {
				t.Errorf("bad = %v, want %v", o.Bad(), !tt.ok)
			}
			if got := o.segments(len(tt.pkt)); got != tt.segments {
				t.Errorf("segments = %d, want %d", got, tt.segments)
			}
			if got := o.wireSize(len(tt.pkt)); got != tt.wire {
				t.Errorf("wire size = %d, want %d", got, tt.wire)
			}
		})
	}
}

func TestEncodeIsWhatWasDecoded(t *testing.T) {
	for _, v := range []vnet{
		{},
		{flags: 1, start: 40, offs: 16},
		{flags: 1, gso: gsoTCPv6, headers: 72, size: 1000, start: 40, offs: 16},
		{flags: 1, gso: gsoTCPv6 | gsoECN, headers: 72, size: 1000, start: 40, offs: 16},
		{flags: 1, gso: gsoUDP, headers: 48, size: 1000, start: 40, offs: 6},
	} {
		var o Offload
		if !o.decode(v.bytes(), tcp(3000), 0) {
			t.Fatalf("%+v refused", v)
		}
		got := make([]byte, vnetHeaderSize)
		o.encode(got)
		if want := v.bytes(); !bytes.Equal(got, want) {
			t.Errorf("encoded = %x, want %x", got, want)
		}
	}
}

// batchOf is a batch of the packet that a TUN reads as v and pkt.
func batchOf(t *testing.T, v vnet, pkt []byte) (*Batch, *Packet) {
	t.Helper()
	b := NewBatch(NewPool(1))
	b.Inject(pkt)
	p := b.At(0)
	p.Offload.decode(v.bytes(), p.Bytes(), 0)
	t.Cleanup(b.End)
	return b, p
}

func TestOffsetsFollowTheFront(t *testing.T) {
	v := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}
	_, p := batchOf(t, v, tcp(72+2000))
	front := p.Prepend(8)
	if len(front) != 8 || &front[0] != &p.Bytes()[0] {
		t.Error("what was prepended is not the front")
	}
	if got := p.Offload; got.csumStart != 48 || got.headers != 80 || got.csumOffset != 16 {
		t.Errorf("offload = %+v, want start 48, headers 80", got)
	}
	if p.Segments() != 2 || p.WireSize() != 1080 {
		t.Errorf("segments = %d of %d, want 2 of 1080", p.Segments(), p.WireSize())
	}
	p.TrimFront(8)
	if got := p.Offload; got.csumStart != 40 || got.headers != 72 {
		t.Errorf("offload = %+v, want start 40, headers 72", got)
	}
}

func TestPlainPacketHasNoOffsetsToFollow(t *testing.T) {
	_, p := batchOf(t, vnet{}, tcp(100))
	p.Prepend(8)
	p.TrimFront(48)
	if p.Offload != (Offload{}) {
		t.Errorf("offload = %+v, want none", p.Offload)
	}
}

// The offload of a packet is about bytes that are then cut off.
func TestOffloadAboutWhatIsCutOffIsBad(t *testing.T) {
	super := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}
	tests := []struct {
		name string
		vnet vnet
		cut  func(*Packet)
		bad  bool
	}{
		{"checksum behind the end", vnet{flags: 1, start: 900, offs: 16}, func(p *Packet) { p.Trim(50) }, true},
		{"checksum at the end", vnet{flags: 1, start: 40, offs: 16}, func(p *Packet) { p.Trim(58) }, false},
		{"checksum over the end", vnet{flags: 1, start: 40, offs: 16}, func(p *Packet) { p.Trim(57) }, true},
		{"all payload of a superframe", super, func(p *Packet) { p.Trim(72) }, true},
		{"all but a byte of it", super, func(p *Packet) { p.Trim(73) }, false},
		{"half the headers of a superframe", super, func(p *Packet) { p.Trim(60) }, true},
		{"checksum in front of the front", vnet{flags: 1, start: 40, offs: 16}, func(p *Packet) { p.TrimFront(41) }, true},
		{"checksum at the front", vnet{flags: 1, start: 40, offs: 16}, func(p *Packet) { p.TrimFront(40) }, false},
		{"checksum far in front of the front", vnet{flags: 1, start: 40, offs: 16}, func(p *Packet) { p.TrimFront(2000) }, true},
		{"headers in front of the front", super, func(p *Packet) { p.CompleteChecksum(); p.TrimFront(2000) }, true},
		{"not cut at all", super, func(p *Packet) { p.Trim(2072) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := batchOf(t, tt.vnet, tcp(2072))
			tt.cut(p)
			if got := p.Offload.Bad(); got != tt.bad {
				t.Errorf("bad = %v, want %v: %+v", got, tt.bad, p.Offload)
			}
			if p.Segments() < 1 || p.WireSize() > len(p.Bytes()) {
				t.Errorf("%d segments of %d in %d bytes", p.Segments(), p.WireSize(), len(p.Bytes()))
			}
			p.CompleteChecksum() // does not panic
		})
	}
}

// slowChecksum is lab.Sum, which imports what is tested here.
func slowChecksum(b []byte) uint16 {
	var sum uint64
	for i, x := range b {
		if i%2 == 0 {
			sum += uint64(x) << 8
		} else {
			sum += uint64(x)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func TestCompleteChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		pkt := tcp(header.IPv6Size + header.TCPSize + 12 + r.IntN(1400))
		for i := header.IPv6Size - 32; i < len(pkt); i++ {
			pkt[i] = byte(r.Uint32())
		}
		pkt[header.IPv6Size+12] = 8 << 4
		// The sender leaves the folded sum of the pseudo-header in the field.
		v := header.IPv6(pkt)
		pseudo := header.PseudoSum(v.SourceBytes(), v.DestinationBytes(), uint32(len(pkt)-header.IPv6Size), header.ProtoTCP)
		header.TCP(pkt[header.IPv6Size:]).SetChecksum(header.Fold(pseudo))
		want := slowChecksum(pkt[header.IPv6Size:])
		if want == 0 {
			want = 0xffff
		}

		_, p := batchOf(t, vnet{flags: 1, start: 40, offs: 16}, pkt)
		p.CompleteChecksum()
		if got := header.TCP(p.Bytes()[header.IPv6Size:]).Checksum(); got != want {
			t.Fatalf("checksum = %#04x, want %#04x", got, want)
		}
		if p.Offload.PartialChecksum() {
			t.Fatal("the checksum is still to be completed")
		}
		whole := header.IPv6(p.Bytes())
		if got := header.Checksum(whole.SourceBytes(), whole.DestinationBytes(), header.ProtoTCP, whole[header.IPv6Size:]); got != 0 {
			t.Fatalf("it does not verify: %#04x", got)
		}
	}
}

func TestChecksumThatIsZeroIsSentAsAllOnes(t *testing.T) {
	pkt := tcp(100)
	pkt[header.IPv6Size+12] = 0
	pkt[50], pkt[51] = 0xff, 0xff
	_, p := batchOf(t, vnet{flags: 1, start: 40, offs: 16}, pkt)
	p.CompleteChecksum()
	if got := header.TCP(p.Bytes()[header.IPv6Size:]).Checksum(); got != 0xffff {
		t.Errorf("checksum = %#04x, want 0xffff", got)
	}
}

func TestSuperframeKeepsItsSegmentsWhenCompleted(t *testing.T) {
	_, p := batchOf(t, vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}, tcp(2072))
	p.CompleteChecksum()
	if !p.Offload.Superframe() || p.Segments() != 2 {
		t.Errorf("segments = %d, want 2", p.Segments())
	}
}

// What anyone may have written in front of a packet does no harm, whatever is
// then done with the packet.
func FuzzOffload(f *testing.F) {
	seed := func(v vnet, pkt []byte, front, cut uint16) { f.Add(v.bytes(), pkt, front, cut) }
	super := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 40, offs: 16}
	seed(vnet{}, tcp(100), 0, 100)
	seed(super, tcp(2072), 8, 1500)
	seed(vnet{flags: 1, start: 900, offs: 16}, tcp(1000), 0, 50)                                         // trimmed to what the IPv6 header says
	seed(vnet{flags: 1, start: 3, offs: 0}, append([]byte{0x11}, make([]byte, 60)...), 8, 20)            // stripped of an encapsulation
	seed(vnet{flags: 1, gso: gsoTCPv6, size: 1, start: 65535, offs: 2}, tcp(MaxPacket), 0, 65535)        // headers over 16 bits
	seed(vnet{flags: 1, gso: gsoUDP, size: 65535, start: 65535, offs: 0}, tcp(MaxPacket), 0, 65535)      // likewise
	seed(vnet{flags: 1, gso: gsoTCPv6, size: 1, start: 40, offs: 16, headers: 65535}, tcp(1000), 80, 80) // no payload left
	pool := NewPool(1)
	f.Fuzz(func(t *testing.T, h, pkt []byte, front, cut uint16) {
		if len(h) < vnetHeaderSize || len(pkt) > MaxPacket {
			return
		}
		b := NewBatch(pool)
		defer b.End()
		b.Inject(pkt)
		p := b.At(0)
		ok := p.Offload.decode(h, p.Bytes(), 0)
		check := func(what string) {
			size := len(p.Bytes())
			if p.Segments() < 1 || p.WireSize() > size || p.WireSize() < 0 {
				t.Fatalf("%s: %d segments of %d in %d bytes", what, p.Segments(), p.WireSize(), size)
			}
			if o := p.Offload; o.flags != 0 && o.checksumEnd() > size {
				t.Fatalf("%s: checksum ends at %d of %d", what, o.checksumEnd(), size)
			}
		}
		check("decoded")
		if ok {
			var again Offload
			out := make([]byte, vnetHeaderSize)
			p.Offload.encode(out)
			if !again.decode(out, p.Bytes(), 0) || again != p.Offload {
				t.Fatalf("decoded again = %+v, want %+v", again, p.Offload)
			}
		}
		p.Prepend(int(front) % (Headroom - vnetHeaderSize))
		check("prepended")
		p.TrimFront(min(int(front), len(p.Bytes())))
		check("front trimmed")
		p.Trim(min(int(cut), len(p.Bytes())))
		check("trimmed")
		p.CompleteChecksum()
		check("completed")
	})
}

package link

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// frame is an Ethernet frame around a payload, with tags, the outermost first.
func frame(payload []byte, tags ...uint32) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return append(append(b, 0x86, 0xdd), payload...)
}

func TestTagsKeepAddressesAndOffsets(t *testing.T) {
	plain, tagged := frame(tcp(2072)), frame(tcp(2072), 0x8100_a064)
	b := BatchOf(plain)
	defer b.End()
	p := b.At(0)
	super := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 54, offs: 16}
	if !p.Offload.decode(super.bytes(), p.Bytes(), networkOffset(p.Bytes())) {
		t.Fatal("the frame was not understood")
	}
	was := p.Offload
	p.pushTag(CTag, 0xa064)
	if !bytes.Equal(p.Bytes(), tagged) {
		t.Errorf("tagged = %x, want %x", p.Bytes()[:24], tagged[:24])
	}
	if p.Segments() != 2 || p.WireSize() != 1000+72+18 || p.Offload.csumStart != 58 {
		t.Errorf("%d segments of %d, checksum from %d, want 2, 1090, 58", p.Segments(), p.WireSize(), p.Offload.csumStart)
	}
	if tpid, tci, ok := tagOf(p.Bytes()); tpid != CTag || tci != 0xa064 || !ok {
		t.Errorf("tag = %x %x %v", tpid, tci, ok)
	}
	p.popTag()
	if !bytes.Equal(p.Bytes(), plain) || p.Offload != was {
		t.Errorf("untagged = %x, want %x", p.Bytes()[:24], plain[:24])
	}
}

func TestNetworkOffset(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"none", frame(nil), 14},
		{"a customer's tag", frame(nil, 0x8100_0001), 18},
		{"a provider's and a customer's", frame(nil, 0x88a8_0001, 0x8100_0001), 22},
		{"a third is payload", frame(nil, 0x88a8_0001, 0x8100_0001, 0x8100_0001), 22},
		{"cut in the tag", frame(nil, 0x8100_0001)[:15], 18},
		{"cut in the addresses", frame(nil)[:13], 14},
		{"nothing", nil, 14},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := networkOffset(c.frame); got != c.want {
				t.Errorf("offset = %d, want %d", got, c.want)
			}
		})
	}
}

// IEEE 802.1Q §6.9.1: a tag without a VLAN ID has a priority to tell, and no VLAN.
func TestPriorityTagIsNoVLAN(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"priority alone", frame(tcp(100), 0x8100_e000), frame(tcp(100))},
		{"a VLAN", frame(tcp(100), 0x8100_e001), frame(tcp(100), 0x8100_e001)},
		{"priority before a VLAN", frame(tcp(100), 0x88a8_e000, 0x8100_0001), frame(tcp(100), 0x8100_0001)},
		{"cut", frame(nil, 0x8100_0000)[:17], frame(nil, 0x8100_0000)[:17]},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := BatchOf(c.got)
			defer b.End()
			b.At(0).popPriorityTag()
			if !bytes.Equal(b.At(0).Bytes(), c.want) {
				t.Errorf("frame = %x, want %x", b.At(0).Bytes(), c.want)
			}
		})
	}
}

// The checksum of a packet in a frame is that of its upper layer.
func TestDecodeOfFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		start uint16
		ok    bool
	}{
		{"behind the IPv6 header", frame(tcp(100)), 54, true},
		{"in the IPv6 header", frame(tcp(100)), 53, false},
		{"in the frame's header", frame(tcp(100)), 0, false},
		{"behind the IPv6 header behind a tag", frame(tcp(100), 0x8100_0001), 58, true},
		{"in the IPv6 header behind a tag", frame(tcp(100), 0x8100_0001), 57, false},
		{"in what is not IPv6", frame([]byte{0x45, 19: 0, 50: 0}), 34, true},
		{"in no payload", frame(nil, 0x8100_0001)[:16], 14, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Offload
			v := vnet{flags: 1, start: c.start, offs: 16}
			if got := o.decode(v.bytes(), c.frame, networkOffset(c.frame)); got != c.ok {
				t.Errorf("ok = %v, want %v", got, c.ok)
			}
		})
	}
}

// Whatever the frame and its virtio-net header, tags come off and go back on.
func FuzzTags(f *testing.F) {
	super := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 58, offs: 16}
	f.Add(super.bytes(), frame(tcp(2072), 0x8100_0064))
	f.Add(vnet{flags: 1, start: 2, offs: 0}.bytes(), frame(tcp(100), 0x8100_0000)) // the tag takes its place
	f.Add(vnet{}.bytes(), frame(nil, 0x88a8_0001, 0x8100_0001))
	f.Add(vnet{}.bytes(), frame(nil)[:13])
	pool := NewPool(1)
	f.Fuzz(func(t *testing.T, h, in []byte) {
		if len(h) < vnetHeaderSize || len(in) > MaxFrame {
			return
		}
		b := NewBatch(pool)
		defer b.End()
		b.Inject(in)
		p := b.At(0)
		p.Offload.decode(h, p.Bytes(), networkOffset(p.Bytes()))
		tpid, tci, ok := tagOf(p.Bytes())
		if !ok {
			return
		}
		was := p.Offload
		p.popTag()
		if len(p.Bytes()) != len(in)-TagSize || networkOffset(p.Bytes()) > networkOffset(in) {
			t.Fatalf("%x without its tag is %x", in, p.Bytes())
		}
		spoiled := p.Offload.Bad()
		p.pushTag(tpid, tci)
		if !bytes.Equal(p.Bytes(), in) {
			t.Fatalf("%x with its tag again is %x", in, p.Bytes())
		}
		if !spoiled && p.Offload != was {
			t.Fatalf("offload = %+v, want %+v", p.Offload, was)
		}
		if p.Segments() < 1 || p.WireSize() > len(in) {
			t.Fatalf("%d segments of %d in %d bytes", p.Segments(), p.WireSize(), len(in))
		}
	})
}

package link

import (
	"bytes"
	"errors"
	"testing"
)

// carrier is a Pipe under a VLAN.
type carrier struct{ *Pipe }

func (carrier) HardwareAddr() [6]byte { return [6]byte{2, 5: 1} }
func (carrier) Probe() error          { return nil }

func TestVLANTakesItsOwn(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want []byte // nil: not its own
	}{
		{"its tag", frame(tcp(100), 0x8100_0064), frame(tcp(100))},
		{"its tag with a priority", frame(tcp(100), 0x8100_f064), frame(tcp(100))},
		{"a tag in its tag", frame(tcp(100), 0x8100_0064, 0x8100_0007), frame(tcp(100), 0x8100_0007)},
		{"its tag cut", frame(nil, 0x8100_0064)[:17], nil},
		{"its tag and no more", frame(nil, 0x8100_0064)[:18], frame(nil)},
		{"another ID", frame(tcp(100), 0x8100_0065), nil},
		{"another protocol", frame(tcp(100), 0x88a8_0064), nil},
		{"its tag in another", frame(tcp(100), 0x88a8_0001, 0x8100_0064), nil},
		{"no tag", frame(tcp(100)), nil},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, _ := NewPipe("near", "far")
			v := NewVLAN(carrier{near}, CTag, 100)
			b := BatchOf(c.in)
			defer b.End()
			want := c.want
			if want == nil {
				want = c.in
			}
			if got := v.Claim(b.At(0)) == Ours; got != (c.want != nil) || !bytes.Equal(b.At(0).Bytes(), want) {
				t.Errorf("claimed = %v, left %x, want %x", got, b.At(0).Bytes(), want)
			}
		})
	}
}

// Tags of stacked VLANs are in the order of the wire, and superframes stay whole.
func TestVLANsTagWhatTheySend(t *testing.T) {
	near, far := NewPipe("near", "far")
	inner := NewVLAN(NewVLAN(carrier{near}, STag, 7), CTag, 100)
	if inner.HardwareAddr() != (carrier{}).HardwareAddr() || inner.Probe() != nil {
		t.Error("it is not as its lower port is")
	}
	b := BatchOf(frame(tcp(2072)))
	defer b.End()
	super := vnet{flags: 1, gso: gsoTCPv6, size: 1000, start: 54, offs: 16}
	b.At(0).Offload.decode(super.bytes(), b.At(0).Bytes(), etherHeader)
	if err := inner.Send(&b.Vector); err != nil || b.Len() != 0 {
		t.Fatalf("send = %v, %d left", err, b.Len())
	}
	sent := far.TakeFrame()
	want := frame(tcp(2072), 0x88a8_0007, 0x8100_0064)
	if !bytes.Equal(sent[vnetHeaderSize:], want) {
		t.Errorf("sent = %x, want %x", sent[vnetHeaderSize:][:30], want[:30])
	}
	if v := (vnet{flags: 1, gso: gsoTCPv6, headers: 94, size: 1000, start: 62, offs: 16}); !bytes.Equal(sent[:vnetHeaderSize], v.bytes()) {
		t.Errorf("virtio-net header = %x, want %x", sent[:vnetHeaderSize], v.bytes())
	}
}

// What the lower port did not take is given back as it was.
func TestVLANGivesBack(t *testing.T) {
	near, far := NewPipe("near", "far")
	v := NewVLAN(carrier{near}, CTag, 100)
	b := BatchOf(frame(tcp(100)))
	defer b.End()
	near.SetDown(true)
	if err := v.Send(&b.Vector); !errors.Is(err, ErrDown) || b.Len() != 1 || !bytes.Equal(b.At(0).Bytes(), frame(tcp(100))) {
		t.Errorf("send = %v, %d left, want %v and the frame", err, b.Len(), ErrDown)
	}
	near.SetDown(false)
	if err := v.Sever(); err != nil {
		t.Fatal(err)
	}
	if err := v.Send(&b.Vector); !errors.Is(err, ErrSevered) || b.Len() != 1 || far.Take() != nil {
		t.Errorf("send = %v, %d left, want %v", err, b.Len(), ErrSevered)
	}
}

// What is claimed and sent again is the same frame.
func FuzzVLANClaim(f *testing.F) {
	f.Add(frame(tcp(100), 0x8100_0064), uint16(100), false)
	f.Add(frame(nil, 0x88a8_0007, 0x8100_0064), uint16(7), true)
	f.Add(frame(nil, 0x8100_0064)[:17], uint16(100), false)
	f.Fuzz(func(t *testing.T, in []byte, id uint16, provider bool) {
		if len(in) > MaxFrame {
			return
		}
		tpid := CTag
		if provider {
			tpid = STag
		}
		near, far := NewPipe("near", "far")
		v := NewVLAN(carrier{near}, tpid, id&tagID)
		b := BatchOf(in)
		defer b.End()
		if v.Claim(b.At(0)) == NotOurs {
			if !bytes.Equal(b.At(0).Bytes(), in) {
				t.Fatal("it was changed, and not claimed")
			}
			return
		}
		if err := v.Send(&b.Vector); err != nil {
			t.Fatal(err)
		}
		out := far.Take()
		out[etherHeader] |= in[etherHeader] & 0xf0 // priority is not kept
		if !bytes.Equal(out, in) {
			t.Fatalf("sent %x, want %x", out, in)
		}
	})
}

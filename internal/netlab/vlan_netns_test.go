package netlab

import (
	"bytes"
	"net/netip"
	"testing"
)

// A host that is in a VLAN sends with its tags, and hears who has them too.
func TestTagLink(t *testing.T) {
	a, b := pair(t)
	tags := []uint32{0x88a8_0009, 0x8100_0007}
	check(t, a.TagLink("left", tags...))
	wire, err := OpenCapture(b, "right", CaptureConfig{IgnoreOutgoing: true, AnyProtocol: true, Frames: true})
	check(t, err)
	frame := append(append(make([]byte, 12), 0x86, 0xdd), make([]byte, 60)...)
	in, err := OpenInjector(a, "left")
	check(t, err)
	check(t, in.Send(EtherTypeIPv6, frame))
	check(t, in.Close())
	got := make([]byte, 200)
	for { // the kernel has things to say by itself
		c, err := wire.Read(got)
		check(t, err)
		if c.VLAN != 9 {
			t.Errorf("came with VLAN %d, want 9", c.VLAN)
		}
		if !bytes.Equal(got[:12], frame[:12]) {
			continue
		}
		if want := []byte{0x81, 0x00, 0, 7, 0x86, 0xdd}; !bytes.Equal(got[12:18], want) {
			t.Errorf("came %x, want %x in it", got[:c.Len], want)
		}
		break
	}
	check(t, wire.Close())

	check(t, b.TagLink("right", tags...))
	p, err := StartUDPProbe(t.Context(), ProbeConfig{
		FromNS: a, From: netip.AddrPortFrom(addrA, 0), ToNS: b, To: netip.AddrPortFrom(addrB, 0), PacketsPerSecond: 1000,
	})
	check(t, err)
	eventually(t, "some have come", func() bool { return p.Report().Received > 10 })
	r, err := p.Stop(t.Context())
	check(t, err)
	if r.Received == 0 || r.Corrupt > 0 {
		t.Errorf("%d received, %d corrupt", r.Received, r.Corrupt)
	}
}

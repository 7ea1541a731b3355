package header

import (
	"net/netip"
	"testing"
)

func TestEthernet(t *testing.T) {
	dst, src := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	b := make([]byte, EthernetSize)
	PutEthernet(b, &dst, &src)
	f := Ethernet(b)
	if *f.Destination() != dst || *f.Source() != src || f.Type() != EtherTypeIPv6 {
		t.Errorf("frame = %x", b)
	}
}

func TestGroupMAC(t *testing.T) {
	group := netip.MustParseAddr("ff02::1:ff12:3456").As16()
	if got, want := GroupMAC(&group), (MAC{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	for mac, want := range map[MAC]bool{
		{0x33, 0x33}: true, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}: true, {2}: false, {0}: false,
	} {
		if got := IsGroupMAC(&mac); got != want {
			t.Errorf("IsGroupMAC(%x) = %v, want %v", mac, got, want)
		}
	}
}

func TestSolicitedNode(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::aa12:3456").As16()
	group := SolicitedNode(&a)
	if got, want := netip.AddrFrom16(group), netip.MustParseAddr("ff02::1:ff12:3456"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if !IsSolicitedNode(&group) || IsSolicitedNode(&a) {
		t.Error("solicited-node groups are not known from others")
	}
}

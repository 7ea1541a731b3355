package nd

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/router6d/router6d/internal/header"
)

// raw is a packet with an ICMPv6 message as its payload.
func raw(src, dst string, hopLimit uint8, msg []byte) []byte {
	b := append(make([]byte, header.IPv6Size), msg...)
	s, d := a16(src), a16(dst)
	m := header.ICMPv6(b[header.IPv6Size:])
	m.SetChecksum(0)
	m.SetChecksum(header.Checksum(&s, &d, header.ProtoICMPv6, m))
	header.PutIPv6(b, &header.IPv6Fields{
		PayloadLength: uint16(len(msg)), NextHeader: header.ProtoICMPv6, HopLimit: hopLimit, Source: s, Destination: d,
	})
	return b
}

// alerted is pkt with a hop-by-hop header that has these options.
func alerted(pkt []byte, options ...byte) []byte {
	ext := append([]byte{header.ProtoICMPv6, 0}, options...)
	ext[1] = byte(len(ext)/8 - 1)
	b := append(bytes.Clone(pkt[:header.IPv6Size]), append(ext, pkt[header.IPv6Size:]...)...)
	b[6] = header.ProtoHopByHop
	header.IPv6(b).SetPayloadLength(uint16(len(b) - header.IPv6Size))
	return b
}

// body is a message: type, code, 4 bytes behind the checksum, and the rest.
func body(typ, code byte, flags byte, rest ...[]byte) []byte {
	return append([]byte{typ, code, 0, 0, flags, 0, 0, 0}, bytes.Join(rest, nil)...)
}

func bytesOf(a string) []byte { b := a16(a); return b[:] }

func lla(option byte, m header.MAC) []byte { return append([]byte{option, 1}, m[:]...) }

// parse reads a packet as those do who receive one.
func parse(pkt []byte) (m Message, why Invalid, ok bool) {
	ip, ok := header.ParseIPv6(pkt)
	if !ok {
		return m, 0, false
	}
	u, ok := header.UpperLayer(ip)
	if !ok || u.Protocol != header.ProtoICMPv6 || u.NonFirst || len(ip) < u.Offset+header.ICMPv6Size {
		return m, 0, false
	}
	return m, Parse(ip, u.Offset, u.Fragmented, &m), true
}

const (
	solicitedOwn = "ff02::1:ff00:1"
	peer         = "fe80::a"
)

var (
	groupMAC = header.MAC{0x33, 0x33, 0, 0, 0, 1}
	stray    = []byte{99, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14} // an unknown option
	zero     = []byte{1, 0, 2, 0, 0, 0, 0, 1}
	long     = []byte{1, 2, 2, 0, 0, 0, 0, 1}
	half     = []byte{1}
)

// A case is a message, and what is wrong with it.
type badCase struct {
	name string
	pkt  []byte
	want Invalid
}

func checkInvalid(t *testing.T, cases []badCase) {
	t.Helper()
	for _, c := range cases {
		_, why, ok := parse(c.pkt)
		if !ok || why != c.want {
			t.Errorf("%s: %v, want %v", c.name, why, c.want)
		}
	}
}

// RFC 4861 §7.1.1: a solicitation that fails any of the checks is discarded
// silently.
//
// Proves:
//   - RFC 4861 §7.1.1 ns-hop-limit
//   - RFC 4861 §7.1.1 ns-code
//   - RFC 4861 §7.1.1 ns-length
//   - RFC 4861 §7.1.1 ns-target
//   - RFC 4861 §7.1.1 ns-option-length
//   - RFC 4861 §7.1.1 ns-unspecified-destination
//   - RFC 4861 §7.1.1 ns-unspecified-option
//   - RFC 4861 §7.1.1 ns-reserved
//   - RFC 4861 §7.1.1 ns-other-options
//   - RFC 4862 §5.4.1 validation
func TestRFC4861_7_1_1_SolicitationChecks(t *testing.T) {
	msg := func(rest ...[]byte) []byte {
		return body(header.TypeNeighborSolicitation, 0, 0, append([][]byte{bytesOf(own)}, rest...)...)
	}
	checkInvalid(t, []badCase{
		{"as it is to be", raw(hostA, solicitedOwn, 255, msg(lla(1, macA))), Valid},
		{"to the address itself", raw(hostA, own, 255, msg()), Valid},
		{"from nobody", raw("::", solicitedOwn, 255, msg()), Valid},
		{"an unknown option", raw(hostA, own, 255, msg(stray, lla(1, macA))), Valid},
		{"the other link-layer option, which is ignored", raw(hostA, own, 255, msg(lla(2, groupMAC))), Valid},
		{"reserved bits", raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 0, 0xff, bytesOf(own))), Valid},
		{"hop limit 254", raw(hostA, own, 254, msg()), BadHopLimit},
		{"code 1", raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 1, 0, bytesOf(own))), BadCode},
		{"23 bytes", raw(hostA, own, 255, msg()[:23]), BadLength},
		{"from a group", raw("ff02::1", own, 255, msg()), BadSource},
		{"target is a group", raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf("ff02::1"))), BadTarget},
		{"option of length 0", raw(hostA, own, 255, msg(zero)), BadOption},
		{"option of length 0 behind another", raw(hostA, own, 255, msg(stray, zero)), BadOption},
		{"option beyond the end", raw(hostA, own, 255, msg(long)), BadOption},
		{"half an option", raw(hostA, own, 255, msg(half)), BadOption},
		{"from nobody, to the address itself", raw("::", own, 255, msg()), BadUnspecified},
		{"from nobody, to all nodes", raw("::", "ff02::1", 255, msg()), BadUnspecified},
		{"from nobody, with a link-layer address", raw("::", solicitedOwn, 255, msg(lla(1, macA))), BadUnspecified},
		{"a group's link-layer address", raw(hostA, own, 255, msg(lla(1, groupMAC))), BadLinkLayer},
		{"no link-layer address at all", raw(hostA, own, 255, msg(lla(1, header.MAC{}))), BadLinkLayer},
		{"a link-layer address of 14 bytes", raw(hostA, own, 255, msg([]byte{1, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})), BadLinkLayer},
	})
}

// RFC 4861 §7.1.2: so is an advertisement.
//
// Proves:
//   - RFC 4861 §7.1.2 na-hop-limit
//   - RFC 4861 §7.1.2 na-code
//   - RFC 4861 §7.1.2 na-length
//   - RFC 4861 §7.1.2 na-target
//   - RFC 4861 §7.1.2 na-solicited-group
//   - RFC 4861 §7.1.2 na-option-length
//   - RFC 4861 §7.1.2 na-reserved
//   - RFC 4861 §7.1.2 na-other-options
//   - RFC 4862 §5.4.1 validation
func TestRFC4861_7_1_2_AdvertisementChecks(t *testing.T) {
	msg := func(flags byte, rest ...[]byte) []byte {
		return body(header.TypeNeighborAdvertisement, 0, flags, append([][]byte{bytesOf(hostA)}, rest...)...)
	}
	checkInvalid(t, []badCase{
		{"as it is to be", raw(hostA, own, 255, msg(flagSolicited|flagOverride, lla(2, macA))), Valid},
		{"to all", raw(hostA, "ff02::1", 255, msg(flagOverride, lla(2, macA))), Valid},
		{"an unknown option", raw(hostA, own, 255, msg(0, stray)), Valid},
		{"the other link-layer option, which is ignored", raw(hostA, own, 255, msg(0, lla(1, groupMAC))), Valid},
		{"reserved bits", raw(hostA, own, 255, msg(0x1f)), Valid},
		{"hop limit 64", raw(hostA, own, 64, msg(flagSolicited)), BadHopLimit},
		{"code 1", raw(hostA, own, 255, body(header.TypeNeighborAdvertisement, 1, 0, bytesOf(hostA))), BadCode},
		{"8 bytes", raw(hostA, own, 255, msg(0)[:8]), BadLength},
		{"23 bytes", raw(hostA, own, 255, msg(0)[:23]), BadLength},
		{"target is a group", raw(hostA, own, 255, body(header.TypeNeighborAdvertisement, 0, 0, bytesOf("ff02::1"))), BadTarget},
		{"to all, and asked for", raw(hostA, "ff02::1", 255, msg(flagSolicited)), BadSolicited},
		{"option of length 0", raw(hostA, own, 255, msg(0, zero)), BadOption},
		{"option beyond the end", raw(hostA, own, 255, msg(0, long)), BadOption},
		{"a group's link-layer address", raw(hostA, own, 255, msg(0, lla(2, groupMAC))), BadLinkLayer},
	})
	// What is ignored hides nothing.
	for _, c := range []struct {
		pkt  []byte
		want header.MAC
	}{
		{raw(hostA, own, 255, msg(0x1f|flagSolicited, stray, lla(1, macB), lla(2, macA))), macA},
		{raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 0, 0xff, bytesOf(own), stray, lla(2, macB), lla(1, macA))), macA},
	} {
		m, why, ok := parse(c.pkt)
		if !ok || why != Valid || !m.HasLinkLayer || m.LinkLayer != c.want || m.Router || m.Override {
			t.Errorf("%v, read %+v", why, m)
		}
	}
}

// RFC 4861 §6.1.1: so is a router solicitation.
func TestRFC4861_6_1_1_RouterSolicitationChecks(t *testing.T) {
	msg := func(rest ...[]byte) []byte { return body(header.TypeRouterSolicitation, 0, 0, rest...) }
	checkInvalid(t, []badCase{
		{"as it is to be", raw(peer, "ff02::2", 255, msg(lla(1, macA))), Valid},
		{"from nobody", raw("::", "ff02::2", 255, msg()), Valid},
		{"hop limit 1", raw(peer, "ff02::2", 1, msg()), BadHopLimit},
		{"code 255", raw(peer, "ff02::2", 255, body(header.TypeRouterSolicitation, 255, 0)), BadCode},
		{"option of length 0", raw(peer, "ff02::2", 255, msg(zero)), BadOption},
		{"from nobody, with a link-layer address", raw("::", "ff02::2", 255, msg(lla(1, macA))), BadUnspecified},
	})
}

// RFC 4861 §6.1.2: so is a router advertisement.
func TestRFC4861_6_1_2_RouterAdvertisementChecks(t *testing.T) {
	msg := func(rest ...[]byte) []byte {
		return body(header.TypeRouterAdvertisement, 0, 64, append([][]byte{make([]byte, 8)}, rest...)...)
	}
	checkInvalid(t, []badCase{
		{"as it is to be", raw(peer, "ff02::1", 255, msg(lla(1, macA))), Valid},
		{"from a global address", raw(hostA, "ff02::1", 255, msg()), BadSource},
		{"hop limit 254", raw(peer, "ff02::1", 254, msg()), BadHopLimit},
		{"code 1", raw(peer, "ff02::1", 255, body(header.TypeRouterAdvertisement, 1, 0, make([]byte, 8))), BadCode},
		{"15 bytes", raw(peer, "ff02::1", 255, msg()[:15]), BadLength},
		{"option of length 0", raw(peer, "ff02::1", 255, msg(zero)), BadOption},
	})
}

// RFC 4861 §8.1: so is a redirect.
func TestRFC4861_8_1_RedirectChecks(t *testing.T) {
	msg := func(target, to string, rest ...[]byte) []byte {
		return body(header.TypeRedirect, 0, 0, append([][]byte{bytesOf(target), bytesOf(to)}, rest...)...)
	}
	checkInvalid(t, []badCase{
		{"to a router", raw(peer, own, 255, msg("fe80::9", "2001:db8:9::1", lla(2, macA))), Valid},
		{"to the destination", raw(peer, own, 255, msg(hostB, hostB)), Valid},
		{"from a global address", raw(hostA, own, 255, msg("fe80::9", hostB)), BadSource},
		{"hop limit 254", raw(peer, own, 254, msg("fe80::9", hostB)), BadHopLimit},
		{"code 1", raw(peer, own, 255, body(header.TypeRedirect, 1, 0, bytesOf("fe80::9"), bytesOf(hostB))), BadCode},
		{"39 bytes", raw(peer, own, 255, msg("fe80::9", hostB)[:39]), BadLength},
		{"for a group", raw(peer, own, 255, msg("fe80::9", "ff0e::1")), BadTarget},
		{"to a router that is not link-local", raw(peer, own, 255, msg(hostA, hostB)), BadTarget},
		{"option of length 0", raw(peer, own, 255, msg("fe80::9", hostB, zero)), BadOption},
	})
}

// RFC 6980 §5: no fragment is taken, not even the only one.
func TestRFC6980_5_NoFragments(t *testing.T) {
	pkt := raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf(own)))
	b := append(bytes.Clone(pkt[:header.IPv6Size]), header.ProtoICMPv6, 0, 0, 0, 0, 0, 0, 7)
	b = append(b, pkt[header.IPv6Size:]...)
	b[6] = header.ProtoFragment
	header.IPv6(b).SetPayloadLength(uint16(len(b) - header.IPv6Size))
	checkInvalid(t, []badCase{{"an atomic fragment", b, Fragmented}})
}

// RFC 3810 §6.2: a query is ignored unless it is of this link and marked for
// routers.
func TestRFC3810_6_2_QueryChecks(t *testing.T) {
	v2 := body(header.TypeMLDQuery, 0, 0x27, make([]byte, 16), []byte{2, 125, 0, 0})
	v1 := body(header.TypeMLDQuery, 0, 0x27, make([]byte, 16))
	ok := []byte{5, 2, 0, 0, 1, 0}
	checkInvalid(t, []badCase{
		{"version 2", alerted(raw(peer, "ff02::1", 1, v2), ok...), Valid},
		{"version 1", alerted(raw(peer, "ff02::1", 1, v1), ok...), Valid},
		{"the alert is not the first option", alerted(raw(peer, "ff02::1", 1, v2), 0, 1, 1, 0, 5, 2, 0, 0, 1, 4, 0, 0, 0, 0), Valid},
		{"no option", alerted(raw(peer, "ff02::1", 1, v2), 1, 4, 0, 0, 0, 0), NoRouterAlert},
		{"an alert of RSVP", alerted(raw(peer, "ff02::1", 1, v2), 5, 2, 0, 1, 1, 0), NoRouterAlert},
		{"an option beyond the end", alerted(raw(peer, "ff02::1", 1, v2), 1, 9, 0, 0, 0, 0), NoRouterAlert},
		{"no hop-by-hop header", raw(peer, "ff02::1", 1, v2), NoRouterAlert},
		{"from a global address", alerted(raw(hostA, "ff02::1", 1, v2), ok...), BadSource},
		{"from nobody", alerted(raw("::", "ff02::1", 1, v2), ok...), BadSource},
		{"hop limit 2", alerted(raw(peer, "ff02::1", 2, v2), ok...), BadHopLimit},
		{"26 bytes", alerted(raw(peer, "ff02::1", 1, v2[:26]), ok...), BadLength},
		{"about an address that is no group", alerted(raw(peer, "ff02::1", 1,
			body(header.TypeMLDQuery, 0, 0, bytesOf(hostA), []byte{2, 125, 0, 0})), ok...), NotForThisLink},
	})
}

// RFC 3810 §5.1.3, §5.1.9: large times are floating.
func TestRFC3810_5_1_3_FloatingCodes(t *testing.T) {
	pkt := alerted(raw(peer, "ff02::1", 1, body(header.TypeMLDQuery, 0, 0x9f, make([]byte, 16), []byte{0, 0x8f, 0, 0})), 5, 2, 0, 0, 1, 0)
	binary.BigEndian.PutUint16(pkt[header.IPv6Size+8+4:], 0x9234)
	m, why, _ := parse(pkt)
	if why != Valid || m.Query.MaxResponse != (0x1234<<4)*time.Millisecond || m.Query.Interval != (0x1f<<3)*time.Second {
		t.Errorf("%v, %+v", why, m.Query)
	}
}

// RFC 4861 §4.3, §4.4: what is said is what is read.
func TestRFC4861_4_MessagesAreRead(t *testing.T) {
	m, _, _ := parse(raw(hostA, solicitedOwn, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf(own), lla(1, macA), []byte{14, 1, 1, 2, 3, 4, 5, 6})))
	if m.Target != a16(own) || m.LinkLayer != macA || !m.HasLinkLayer || m.Nonce != [6]byte{1, 2, 3, 4, 5, 6} || !m.HasNonce || m.Source != a16(hostA) {
		t.Errorf("solicitation = %+v", m)
	}
	m, _, _ = parse(raw(hostA, own, 255, body(header.TypeNeighborAdvertisement, 0, 0xa0, bytesOf(hostA), lla(2, macB))))
	if !m.Router || m.Solicited || !m.Override || m.LinkLayer != macB {
		t.Errorf("advertisement = %+v", m)
	}
}

// Whatever comes, nothing panics; and what is taken says the same to an
// independent reader.
func FuzzParse(f *testing.F) {
	for _, b := range [][]byte{
		raw(hostA, solicitedOwn, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf(own), lla(1, macA), stray)),
		raw("::", solicitedOwn, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf(own), []byte{14, 1, 1, 2, 3, 4, 5, 6})),
		raw(hostA, own, 255, body(header.TypeNeighborAdvertisement, 0, 0xe0, bytesOf(hostA), lla(2, macA))),
		raw(peer, "ff02::2", 255, body(header.TypeRouterSolicitation, 0, 0, lla(1, macA))),
		raw(peer, "ff02::1", 255, body(header.TypeRouterAdvertisement, 0, 64, make([]byte, 8), lla(1, macA))),
		raw(peer, own, 255, body(header.TypeRedirect, 0, 0, bytesOf("fe80::9"), bytesOf(hostB), lla(2, macA))),
		raw(hostA, own, 255, body(header.TypeNeighborSolicitation, 0, 0, bytesOf(own), zero)),
		alerted(raw(peer, "ff02::1", 1, body(header.TypeMLDQuery, 0, 0x27, make([]byte, 16), []byte{2, 125, 0, 0})), 5, 2, 0, 0, 1, 0),
		alerted(raw(peer, "ff02::1", 1, body(header.TypeMLDQuery, 0, 0x27, make([]byte, 16))), 0, 0, 5, 2, 0, 0),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, pkt []byte) {
		m, why, ok := parse(pkt)
		if !ok || why != Valid {
			return
		}
		ip, _ := header.ParseIPv6(pkt)
		u, _ := header.UpperLayer(ip)
		compare(t, m, ip[u.Offset:])
	})
}

// compare reads a message that was taken once more, with the package of others.
func compare(t *testing.T, m Message, msg []byte) {
	t.Helper()
	if m.HasLinkLayer && !isStation(&m.LinkLayer) {
		t.Errorf("link-layer address %x", m.LinkLayer)
	}
	if m.Type == header.TypeRedirect || m.Type == header.TypeMLDQuery {
		return // unknown to it
	}
	parsed, err := ndp.ParseMessage(msg)
	if err != nil {
		return // it takes less: it looks into options that are not of this message
	}
	switch p := parsed.(type) {
	case *ndp.NeighborSolicitation:
		if p.TargetAddress.As16() != m.Target {
			t.Errorf("target %v, want %v", m.Target, p.TargetAddress)
		}
	case *ndp.NeighborAdvertisement:
		if p.TargetAddress.As16() != m.Target || p.Router != m.Router || p.Solicited != m.Solicited || p.Override != m.Override {
			t.Errorf("%+v, want %+v", m, p)
		}
	}
}

// What the router writes, others read.
func TestOthersReadWhatIsWritten(t *testing.T) {
	src, dst, target := a16(own), a16(hostA), a16(own)
	b := AppendAdvertisement(nil, &src, &dst, &target, &ownMAC, true, false)
	if len(b) != AdvertisementSize {
		t.Errorf("%d bytes, want %d", len(b), AdvertisementSize)
	}
	parsed, err := ndp.ParseMessage(b[header.IPv6Size:])
	if err != nil {
		t.Fatal(err)
	}
	na := parsed.(*ndp.NeighborAdvertisement)
	if !na.Router || !na.Solicited || na.Override || na.TargetAddress.As16() != target {
		t.Errorf("advertisement = %+v", na)
	}
	if o := na.Options[0].(*ndp.LinkLayerAddress); o.Direction != ndp.Target || !bytes.Equal(o.Addr, ownMAC[:]) {
		t.Errorf("option = %+v", o)
	}
	nonce := [6]byte{1, 2, 3, 4, 5, 6}
	for _, from := range [][16]byte{src, {}} {
		parsed, err := ndp.ParseMessage(solicitation(&from, &dst, &dst, &ownMAC, &nonce)[header.IPv6Size:])
		if err != nil {
			t.Fatal(err)
		}
		if ns := parsed.(*ndp.NeighborSolicitation); ns.TargetAddress.As16() != dst || len(ns.Options) != 1 {
			t.Errorf("solicitation = %+v", ns)
		}
	}
}

// RFC 4861 §4.5, §8.2: a redirect quotes the packet, and is no larger than 1280
// bytes.
//
// Proves:
//   - RFC 4861 §8.2 redirect-destination
//   - RFC 4861 §8.2 redirect-target-address
//   - RFC 4861 §8.2 redirect-quote
func TestRFC4861_8_2_RedirectIsWritten(t *testing.T) {
	for _, size := range []int{header.IPv6Size, 100, 1500} {
		original := make([]byte, size)
		header.PutIPv6(original, &header.IPv6Fields{PayloadLength: uint16(size - 40), Source: a16(hostA), Destination: a16("2001:db8:9::1")})
		src, target := a16(local), a16("fe80::9")
		b := AppendRedirect(nil, &src, &target, &macB, true, original)
		m, why, ok := parse(b)
		if !ok || why != Valid || m.Target != target || m.LinkLayer != macB || m.Destination != a16(hostA) || m.Source != src {
			t.Errorf("%d: %v, %+v", size, why, m)
		}
		if !bytes.Equal(b[header.IPv6Size+24:][:16], bytesOf("2001:db8:9::1")) {
			t.Errorf("%d: destination is not told", size)
		}
		if len(b) > header.MinMTU || size > 1280 && len(b) < header.MinMTU-8 {
			t.Errorf("redirect of a packet of %d bytes has %d", size, len(b))
		}
		quoted := b[header.IPv6Size+40+8+8:]
		if !bytes.Equal(quoted, original[:len(quoted)]) || len(quoted) < min(size, 1100)&^7 {
			t.Errorf("%d: quotes %d bytes", size, len(quoted))
		}
	}
}

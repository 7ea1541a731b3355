package dataplane_test

import (
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

// options is pkt with an options header that holds these bytes, padded by Pad1.
func options(pkt []byte, proto uint8, b ...byte) []byte {
	size := (2 + len(b) + 7) &^ 7
	ext := append([]byte{0, byte(size/8 - 1)}, b...)
	return lab.Extend(pkt, proto, append(ext, make([]byte, size-len(ext))...))
}

// What the router does, as a destination, with options and the order of headers.
//
// Proves:
//   - RFC 8200 §4 in-order
//   - RFC 8200 §4 unrecognized-next-header
//   - RFC 8200 §4 hop-by-hop-elsewhere
//   - RFC 8200 §4.1 any-order
//   - RFC 8200 §4.2 options-in-order
//   - RFC 8200 §4.2 skip
//   - RFC 8200 §4.2 discard
//   - RFC 8200 §4.2 report
//   - RFC 8200 §4.2 report-unicast
//   - RFC 8200 §4.2 whole-type
//   - RFC 8200 §4.2 padding
//   - RFC 8200 §4.3 hop-by-hop-at-destination
//   - RFC 8200 §4.6 destination-options
//   - RFC 4443 §2.4 about-group
//   - RFC 4443 §3.4 problem
//   - RFC 4443 §3.4 problem-pointer
func TestRFC8200_4_2_OptionsToTheRouter(t *testing.T) {
	const hop, dst = header.ProtoHopByHop, header.ProtoDestinationOptions
	ping := lab.Echo(hostA, routerA, 1, 1, data)
	group := lab.Echo(hostA, "ff02::1", 1, 1, data)
	nine := []byte{0x0a, 0, 0x0b, 0, 0x0c, 0, 0x0d, 0, 0x0e, 0, 0x0f, 0, 0x10, 0, 0x11, 0, 0x12, 0}
	cases := []struct {
		name  string
		pkt   []byte
		why   dataplane.Drop // None: the ping is answered
		wants *icmpError
	}{
		{name: "Pad1 and PadN", pkt: options(ping, dst, 0, 1, 1, 0xff)},
		{name: "padding alone", pkt: options(ping, hop)},
		{name: "a router alert", pkt: options(ping, hop, 5, 2, 0, 0)},
		{name: "unknown 00 is skipped", pkt: options(ping, dst, 0x1e, 3, 1, 2, 3)},
		{name: "unknown 00 in hop-by-hop options", pkt: options(ping, hop, 0x3e, 0)},
		{name: "the low bits do not make Pad1 of 0x20", pkt: options(ping, dst, 0x20, 2, 0xc7, 0xc7)},
		{name: "the low bits do not make PadN of 0xc1", pkt: options(ping, dst, 0xc1, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 42, routerA}},
		{name: "unknown 01 is dropped", pkt: options(ping, dst, 0x41, 0), why: dataplane.LocalOption},
		{name: "unknown 10 is reported", pkt: options(ping, dst, 1, 0, 0x87, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 44, routerA}},
		{name: "unknown 11 is reported", pkt: options(ping, hop, 0, 0xc7, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 43, routerA}},
		{name: "a jumbo payload is unknown", pkt: options(ping, hop, 0xc2, 4, 0, 1, 0, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 42, routerA}},
		{name: "unknown 10 to a group is reported", pkt: options(group, dst, 0x87, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 42, routerA}},
		{name: "unknown 11 to a group is not", pkt: options(group, dst, 0xc7, 0), why: dataplane.LocalOption},
		{name: "the first of two decides", pkt: options(ping, dst, 0x47, 0, 0x87, 0), why: dataplane.LocalOption},
		{name: "the first of two headers decides", pkt: options(options(ping, dst, 0x47, 0), hop, 0x87, 0), why: dataplane.LocalOption, wants: &icmpError{4, 2, 42, routerA}},
		{name: "options go before a later routing header", pkt: options(lab.RoutingHeader(ping, 0, 1), dst, 0x47, 0), why: dataplane.LocalOption},
		{name: "an earlier routing header goes before options", pkt: lab.RoutingHeader(options(ping, dst, 0x47, 0), 0, 1), why: dataplane.RoutingHeader, wants: &icmpError{4, 0, 42, routerA}},
		{name: "options go before an unknown header", pkt: options(lab.Packet(hostA, routerA, 253, data), dst, 0x47, 0), why: dataplane.LocalOption},
		{name: "options of an error are not reported", pkt: options(lab.ICMPv6(hostA, routerA, 1, 0, 0, ping), dst, 0x87, 0), why: dataplane.LocalOption},

		{name: "an option longer than its header", pkt: options(ping, dst, 0x1e, 5), why: dataplane.LocalField, wants: &icmpError{4, 0, 43, routerA}},
		{name: "an option that ends before its length", pkt: options(ping, dst, 1, 3, 0, 0, 0, 0x1e), why: dataplane.LocalField, wants: &icmpError{4, 0, 47, routerA}},
		{name: "eight options", pkt: options(ping, dst, nine[:16]...)},
		{name: "nine options", pkt: options(ping, dst, nine...), why: dataplane.LocalLimit},
		{name: "seven bytes of padding", pkt: options(ping, dst, 0x1e, 5, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0)},
		{name: "eight bytes of padding", pkt: options(ping, dst, 1, 6, 0, 0, 0, 0, 0, 0, 0x1e, 4, 0, 0, 0, 0), why: dataplane.LocalLimit},

		{
			name: "any order, and more than once",
			pkt:  lab.Options(lab.Fragment(lab.Options(lab.RoutingHeader(lab.Options(lab.RoutingHeader(ping, 4, 0), dst), 3, 0), dst), 0, false), hop),
		},
		{name: "nine headers", pkt: repeat(9, ping, func(p []byte) []byte { return lab.Options(p, dst) }), why: dataplane.LocalLimit},
		{name: "hop-by-hop options behind others", pkt: lab.Options(lab.Options(ping, hop), dst), why: dataplane.LocalHeader, wants: &icmpError{4, 1, 40, routerA}},
		{name: "hop-by-hop options twice", pkt: lab.Options(lab.Options(ping, hop), hop), why: dataplane.LocalHeader, wants: &icmpError{4, 1, 40, routerA}},
		{name: "AH is not known", pkt: lab.Extend(ping, header.ProtoAH, make([]byte, 8)), why: dataplane.LocalHeader, wants: &icmpError{4, 1, 6, routerA}},
		{name: "ESP is not known", pkt: lab.Packet(hostA, routerA, header.ProtoESP, data), why: dataplane.LocalHeader, wants: &icmpError{4, 1, 6, routerA}},
		{name: "mobility is not known", pkt: lab.Extend(ping, header.ProtoMobility, make([]byte, 8)), why: dataplane.LocalHeader, wants: &icmpError{4, 1, 6, routerA}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.Send(c.pkt)
			switch {
			case c.wants != nil:
				c.wants.check(t, s.a.Expect(), c.pkt)
			case c.why == dataplane.None:
				wantEcho(t, s.a.Expect(), routerA, hostA, data)
			}
			s.a.ExpectNone()
			s.wantDropped(t, c.why)
		})
	}
}

func repeat(n int, pkt []byte, by func([]byte) []byte) []byte {
	for range n {
		pkt = by(pkt)
	}
	return pkt
}

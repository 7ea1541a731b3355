package dataplane_test

import (
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// Whatever comes in, by a plain interface or by one with a port stacked on it:
// nothing panics, every packet is accounted for, and what comes out is IPv6.
func FuzzForward(f *testing.F) {
	segment := lab.TCP(hostA, hostB, 1, 2, header.FlagACK, make([]byte, 3000))
	for _, frame := range [][]byte{
		lab.Frame(udp(hostA, hostB)),
		lab.Frame(udp(hostA, elsewhere)),
		lab.Frame(udp(hostA, routerB)),
		lab.Frame(udp(peerA, hostB)),
		lab.Frame(lab.Echo(hostA, routerA, 1, 1, data)),
		lab.Frame(lab.Echo(peerA, "ff02::1", 1, 1, data)),
		lab.Frame(lab.RoutingHeader(udp(hostA, hostB), 0, 1)),
		lab.Frame(lab.Fragment(lab.Options(udp(hostA, routerA), header.ProtoHopByHop), 0, true)),
		lab.Frame(lab.UDP(hostA, hostB, 1, 2, make([]byte, 1453))),
		lab.Frame(lab.Echo(hostA, routerA, 1, 1, make([]byte, 3000))), // the reply is cut
		lab.Frame(lab.Piece(lab.Echo(hostA, routerA, 1, 1, data), 0, 8, true, 1)),
		lab.Frame(lab.Piece(lab.Echo(hostA, routerA, 1, 1, data), 8, 8+len(data), false, 1)),
		lab.Frame(options(lab.Echo(hostA, routerA, 1, 1, data), header.ProtoHopByHop, 0xc7, 0)),
		lab.PartialChecksum(lab.Echo(hostA, routerA, 1, 1, data)),
		lab.PartialChecksum(udp(hostA, elsewhere)),
		lab.Superframe(segment, 1000),
		append(lab.Superframe(segment, 3000), make([]byte, 100)...), // segments behind the end
		with(append(lab.PartialChecksum(udp(hostA, elsewhere)), make([]byte, 100)...), 6, 130),
		lab.Frame(lab.NewStacked("", nil, 7).Encapsulate(udp(hostP, hostA))),
		lab.Frame(lab.NewStacked("", nil, 7).Encapsulate(lab.Echo(hostP, routerP, 1, 1, data))),
	} {
		f.Add(false, frame)
		f.Add(true, frame)
	}

	s := newScene(f)
	ppp := s.stack(7)
	steppers := map[bool]*dataplane.Stepper{}
	pipes := map[bool]*link.Pipe{}
	for onStacked, p := range map[bool]*lab.Port{false: s.a, true: s.c} {
		pipes[onStacked], _ = link.NewPipe("fuzz", "fuzz far")
		s.Turn(func(t *loop.Turn) {
			h, err := s.Interfaces.Acquire(t, p.ID, ifmgr.Worker)
			if err != nil {
				f.Error(err)
			}
			steppers[onStacked] = dataplane.NewStepper(s.Plane, h, pipes[onStacked])
		})
		steppers[onStacked].Unlimited()
		f.Cleanup(steppers[onStacked].Close)
	}

	f.Fuzz(func(t *testing.T, onStacked bool, frame []byte) {
		if len(frame) < 10 || len(frame) > 10+link.MaxPacket {
			return // a TUN delivers no such thing
		}
		pipes[onStacked].OfferFrame(frame)
		if err := steppers[onStacked].Recv(); err != nil {
			t.Fatal(err)
		}
		steppers[onStacked].Forward()
		if st := s.Plane.Stats(); !st.Balanced() || st.DeadLookups != 0 {
			t.Fatalf("account does not balance: %+v", st)
		}
		for _, p := range []*lab.Port{s.a, s.b, s.c} {
			for out := p.Far.TakeFrame(); out != nil; out = p.Far.TakeFrame() {
				h, pkt := lab.Unframe(out)
				if p == s.c && pkt[0]>>4 != 6 {
					pkt = ppp.Decapsulate(pkt)
				}
				checkFuzzed(t, h, pkt)
			}
		}
	})
}

func checkFuzzed(t *testing.T, h, pkt []byte) {
	t.Helper()
	ip, ok := header.ParseIPv6(pkt)
	if !ok || len(ip) != len(pkt) {
		t.Fatalf("not an IPv6 packet: %x", pkt)
	}
	whole := h[1] == 0
	if whole && len(pkt) > 1500 {
		t.Errorf("%d bytes came out of an interface of MTU 1500", len(pkt))
	}
	if ip.HopLimit() == 0 {
		t.Errorf("hop limit 0 came out: %x", pkt)
	}
	src, dst := ip.SourceBytes(), ip.DestinationBytes()
	if header.IsMulticast(src) || header.IsUnspecified(src) || header.IsMulticast(dst) || header.IsUnspecified(dst) {
		t.Errorf("from or to nobody: %x", pkt)
	}
	if u, _ := header.UpperLayer(ip); h[0] == 0 && u.Protocol == header.ProtoICMPv6 && !u.Fragmented && fromRouter(ip) && !lab.ChecksumRight(pkt) {
		t.Errorf("a packet of the router's own has a wrong checksum: %x", pkt)
	}
}

// fromRouter reports whether the router may have made the packet. Anyone may say
// that he is the router; but what we forward has one hop less than ours.
func fromRouter(ip header.IPv6) bool {
	switch ip.Source().String() {
	case routerA, routerB, routerP, linkA, linkC, linkP:
		return ip.HopLimit() == 64
	}
	return false
}

// Whatever frame comes in on an Ethernet port: nothing panics, every packet is
// accounted for, and what comes out is a frame of the router's with IPv6 in it.
func FuzzEthernet(f *testing.F) {
	for _, pkt := range [][]byte{
		udp(hostE, hostA),
		udp(hostE, hostE2),
		lab.Echo(hostE, routerE, 1, 1, data),
		lab.Echo(localE, "ff02::1", 1, 1, data),
		solicit(hostE, routerE, macE),
		solicit("::", routerE),
		solicit(hostE, "2001:db8:e1::", macE),
		advertise(hostE2, linkE, macE2),
		lab.WithHopLimit(lab.ICMPv6(localE, "ff02::2", header.TypeRouterSolicitation, 0, 0, []byte{1, 1, 2, 0, 0, 0, 0, 2}), 255),
		lab.WithHopLimit(lab.Extend(lab.ICMPv6(localE, "ff02::1", header.TypeMLDQuery, 0, 10<<16, make([]byte, 20)), 0, []byte{0, 0, 5, 2, 0, 0, 1, 0}), 1),
		lab.Fragment(solicit(hostE, routerE, macE), 0, true),
	} {
		f.Add(lab.Frame(lab.EthernetFrame(lab.RouterMAC, macE, pkt)))
		f.Add(lab.Frame(lab.EthernetFrame(header.MAC{0x33, 0x33, 0, 0, 0, 1}, macE, pkt)))
	}
	f.Add(lab.Frame(lab.EthernetFrame(lab.RouterMAC, macE, nil)[:13]))

	l := newLAN(f)
	l.know(hostE, macE)
	pipe, _ := link.NewPipe("fuzz", "fuzz far")
	var s *dataplane.Stepper
	l.Turn(func(t *loop.Turn) {
		h, err := l.Interfaces.Acquire(t, l.e.ID, ifmgr.Worker)
		if err != nil {
			f.Error(err)
		}
		s = dataplane.NewStepper(l.Plane, h, pipe)
	})
	s.Unlimited()
	f.Cleanup(s.Close)

	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 10 || len(frame) > 10+link.MaxPacket {
			return
		}
		pipe.OfferFrame(frame)
		if err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		s.Forward()
		_ = l.Loop.Do(t.Context(), func(*loop.Turn) error { return nil }) // it has the inbox
		if st := l.Plane.Stats(); !st.Balanced() || st.DeadLookups != 0 {
			t.Fatalf("account does not balance: %+v", st)
		}
		l.drop(l.a)
		for out := l.e.Take(); out != nil; out = l.e.Take() {
			e := header.Ethernet(out)
			if _, ok := header.ParseIPv6(out[header.EthernetSize:]); !ok || *e.Source() != lab.RouterMAC || e.Type() != header.EtherTypeIPv6 {
				t.Fatalf("came out %x", out)
			}
		}
	})
}

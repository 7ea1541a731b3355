package dataplane_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/reassembly"
)

// pattern is n bytes that are all in another place different.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*37)
	}
	return b
}

// gather takes what came out of a port as fragments of one packet, checks what
// RFC 8200 §4.5 says of a source, and puts them together.
func gather(t *testing.T, p *lab.Port, n int) []byte {
	t.Helper()
	p.Router().Settle()
	var whole []byte
	var id uint32
	for i := range n {
		b := header.IPv6(p.Take())
		if b == nil {
			t.Fatalf("fragment %d of %d is missing", i, n)
		}
		if pkt, ok := header.ParseIPv6(b); !ok || len(pkt) != len(b) || len(b) > header.MinMTU || b.NextHeader() != header.ProtoFragment || b.HopLimit() != 64 {
			t.Fatalf("no fragment, or too large: %x", b)
		}
		f := header.Fragment(b[header.IPv6Size:])
		if i == 0 {
			id, whole = f.Identification(), slices.Concat(b[:header.IPv6Size])
			header.IPv6(whole).SetNextHeader(f.NextHeader())
		}
		if f.Identification() != id || f.Offset() != len(whole)-header.IPv6Size || f.More() != (i < n-1) || f.NextHeader() != header.IPv6(whole).NextHeader() {
			t.Errorf("fragment %d: identification %x, offset %d, more %v", i, f.Identification(), f.Offset(), f.More())
		}
		if f.More() && len(f.Data())%8 != 0 {
			t.Errorf("fragment %d has %d bytes, no multiple of 8", i, len(f.Data()))
		}
		if f[1] != 0 || f[3]&6 != 0 {
			t.Errorf("fragment %d: reserved bits in %x", i, f[:8])
		}
		whole = append(whole, f.Data()...)
	}
	header.IPv6(whole).SetPayloadLength(uint16(len(whole) - header.IPv6Size))
	return whole
}

// Fragments that come in any order and by any interface are put together, and the
// reply is cut if its way out is narrower.
//
// Proves:
//   - RFC 8200 §4.5 identification
//   - RFC 8200 §4.5 reserved-sent
//   - RFC 8200 §4.5 per-fragment-headers
//   - RFC 8200 §4.5 headers-in-first
//   - RFC 8200 §4.5 fits-the-path
//   - RFC 8200 §4.5 multiple-of-8
//   - RFC 8200 §4.5 no-overlap-made
//   - RFC 8200 §4.5 same-key
//   - RFC 8200 §4.5 reassembled-length
//   - RFC 8200 §5 reassembles-1500
//   - RFC 8200 §5 fragments-own
//   - RFC 4443 §4.2 reply-data
func TestRFC8200_4_5_PingInFragments(t *testing.T) {
	for _, size := range []int{1453, 1500 - 48, 3000, 65535 - 8} {
		s := newScene(t)
		body := pattern(size)
		pkts := lab.Fragments(lab.Echo(hostA, routerB, 1, 1, body), 1232, 99)
		slices.Reverse(pkts)
		others := lab.Fragments(lab.Echo(hostA, routerB, 2, 2, body), 1232, 98)
		for i, p := range pkts {
			if i == len(pkts)-1 {
				s.a.Send(others[:len(others)-1]...) // of another packet
				s.Settle()
			}
			in := []*lab.Port{s.a, s.b, s.c}[i%3] // by any interface
			in.Send(p)
			s.Settle()
		}
		n := (8 + size + 1231) / 1232
		if 8+size <= 1500-40 {
			n = 0
			wantEcho(t, s.a.Expect(), routerB, hostA, body)
		} else {
			wantEcho(t, gather(t, s.a, n), routerB, hostA, body)
		}
		s.a.ExpectNone()
		st := s.Stats()
		in := uint64(len(pkts) + len(others) - 1)
		if st.Received != in || st.Consumed != in || st.Originated != uint64(max(1, n)) || st.TotalDropped() != 0 {
			t.Errorf("received, consumed, originated, dropped = %d, %d, %d, %d, want %d, %[5]d, %d, 0",
				st.Received, st.Consumed, st.Originated, st.TotalDropped(), in, max(1, n))
		}
		if r := s.Plane.Reassembly(); r.Reassembled != 1 || r.Held != 1 {
			t.Errorf("reassembly = %+v, want one done and one held", r)
		}
	}
}

// A reply to what came whole is cut as well, and no two packets between the same
// addresses have the same identification.
//
// Proves:
//   - RFC 8200 §4.5 identification
//   - RFC 8200 §5 fragments-own
func TestRFC8200_4_5_RepliesAreCut(t *testing.T) {
	s := newScene(t)
	s.a.SetMTU(1280)
	seen := map[uint32]bool{}
	for range 10 {
		body := pattern(1300)
		s.a.Send(lab.Echo(hostA, routerA, 1, 1, body), lab.Echo(peerA, linkA, 1, 1, body))
		for _, to := range []string{hostA, peerA} {
			s.Settle()
			first := s.a.Take()
			if to == hostA {
				seen[header.Fragment(first[40:]).Identification()] = true
			}
			rest := s.a.Take()
			if len(first) != 1280 || len(rest) != 48+8+1300-1232 {
				t.Errorf("fragments have %d and %d bytes", len(first), len(rest))
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d identifications for 10 packets", len(seen))
	}
}

// Fragments of the same packets come by several workers at once, and each packet
// is answered once.
func TestFragmentsByManyWorkers(t *testing.T) {
	s := newScene(t)
	ports := []*lab.Port{s.a, s.b, s.c}
	const many = reassembly.MaxSourceDatagrams // may all wait at once
	var sending sync.WaitGroup
	for turn, p := range ports {
		sending.Go(func() {
			for i := range many {
				for j, f := range lab.Fragments(lab.Echo(hostA, routerA, 1, uint16(i), pattern(184)), 64, uint32(i)) {
					if j%3 == turn && !p.TrySend(f) {
						t.Error("wire is full")
					}
				}
			}
		})
	}
	sending.Wait()
	s.Settle()
	seen := map[uint32]bool{}
	for b := s.a.Take(); b != nil; b = s.a.Take() {
		seen[header.ICMPv6(b[40:]).Param()] = true
	}
	if r := s.Plane.Reassembly(); r.Reassembled != many || r.Held != 0 || len(seen) != many {
		t.Errorf("%d answers, reassembly %+v, want %d", len(seen), r, many)
	}
}

// Many large replies find room, one after the other, also in one batch.
func TestManyRepliesAreCut(t *testing.T) {
	s := newScene(t)
	body := pattern(60000)
	var most, last [][]byte
	for i := range 10 {
		all := lab.Fragments(lab.Echo(hostA, routerA, 1, 1, body), 1232, uint32(i))
		most = append(most, all[:len(all)-1]...)
		last = append(last, all[len(all)-1])
	}
	s.a.Send(most...)
	s.Settle()
	s.a.Send(last...)
	for range 10 {
		wantEcho(t, gather(t, s.a, 49), routerA, hostA, body)
	}
	s.a.ExpectNone()
}

// What a fragment is refused for, and what is said about it.
//
// Proves:
//   - RFC 8200 §4.5 reserved-received
//   - RFC 8200 §4.5 headers-at-arrival
//   - RFC 8200 §4.5 odd-length
//   - RFC 8200 §4.5 odd-length-reported
//   - RFC 8200 §4.5 too-long
//   - RFC 8200 §4.5 too-long-reported
//   - RFC 8200 §4.5 incomplete-chain
//   - RFC 4443 §2.4 about-error
func TestRFC8200_4_5_FragmentsRefused(t *testing.T) {
	ping := lab.Echo(hostA, routerA, 1, 1, pattern(100))
	datagram := lab.UDP(hostA, routerA, 1, 2, pattern(100))
	tcp := lab.TCP(hostA, routerA, 1, 2, header.FlagSYN, nil)
	reserved := lab.Piece(ping, 0, 64, true, 1)
	reserved[41], reserved[43] = 0xff, reserved[43]|6
	cases := []struct {
		name  string
		pkt   []byte
		why   dataplane.Drop // None: kept
		wants *icmpError
	}{
		{name: "a first fragment is kept", pkt: lab.Piece(ping, 0, 64, true, 1)},
		{name: "reserved bits do not matter", pkt: reserved},
		{name: "a last one of any length is kept", pkt: lab.Piece(ping, 64, 101, false, 1)},
		{name: "length no multiple of 8", pkt: lab.Piece(ping, 0, 63, true, 1), why: dataplane.FragmentLength, wants: &icmpError{4, 0, 4, routerA}},
		{name: "in the middle", pkt: lab.Piece(datagram, 8, 63, true, 1), why: dataplane.FragmentLength, wants: &icmpError{4, 0, 4, routerA}},
		{name: "in the middle of what may be an error", pkt: lab.Piece(ping, 8, 63, true, 1), why: dataplane.FragmentLength},
		{name: "ends at the longest", pkt: lab.Fragment(lab.Packet(hostA, routerA, 17, pattern(7)), 8191, false)},
		{
			name: "ends behind the longest", why: dataplane.FragmentLength, wants: &icmpError{4, 0, 42, routerA},
			pkt: lab.Fragment(lab.Packet(hostA, routerA, 17, pattern(8)), 8191, false),
		},
		{
			name: "ends behind the longest with its headers", why: dataplane.FragmentLength, wants: &icmpError{4, 0, 50, routerA},
			pkt: lab.Options(lab.Fragment(lab.Packet(hostA, routerA, 17, pattern(7)), 8191, false), header.ProtoDestinationOptions),
		},
		{name: "nothing, with more to follow", pkt: lab.Piece(ping, 64, 64, true, 1), why: dataplane.FragmentIdle},
		{name: "all of a TCP header", pkt: lab.Fragment(tcp, 0, false), why: dataplane.LocalPort, wants: &icmpError{1, 4, 0, routerA}},
		{name: "half a TCP header", pkt: lab.Piece(tcp, 0, 16, true, 1), why: dataplane.FragmentChain, wants: &icmpError{4, 3, 0, routerA}},
		{
			name: "half an options header", why: dataplane.FragmentChain, wants: &icmpError{4, 3, 0, routerA},
			pkt: lab.Piece(lab.Extend(datagram, header.ProtoDestinationOptions, append([]byte{0, 1, 1, 4, 0, 0, 0, 0}, 1, 4, 0, 0, 0, 0, 0, 0)), 0, 8, true, 1),
		},
		{
			name: "options in front are looked at at once", why: dataplane.LocalOption, wants: &icmpError{4, 2, 42, routerA},
			pkt: options(lab.Piece(ping, 0, 64, true, 1), header.ProtoDestinationOptions, 0x87, 0),
		},
		{name: "to a group", pkt: lab.Piece(lab.UDP(hostA, "ff02::1", 1, 2, pattern(100)), 0, 63, true, 1), why: dataplane.FragmentLength},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.Send(c.pkt)
			if c.wants != nil {
				c.wants.check(t, s.a.Expect(), c.pkt)
			}
			s.a.ExpectNone()
			s.wantDropped(t, c.why)
			if st := s.Stats(); c.why == dataplane.None && (st.Consumed != 1 || s.Plane.Reassembly().Held != 1) {
				t.Errorf("consumed %d, held %d, want 1, 1", st.Consumed, s.Plane.Reassembly().Held)
			}
		})
	}
}

// Overlapping fragments end their packet without a word, those to come included;
// one that is exactly there already does no harm.
//
// Proves:
//   - RFC 8200 §4.5 overlap
//   - RFC 8200 §4.5 duplicate
func TestRFC5722_4_OverlapEndsThePacket(t *testing.T) {
	ping := lab.Echo(hostA, routerA, 1, 1, pattern(184)) // 192 bytes
	piece := func(at, end int) []byte { return lab.Piece(ping, at, end, end < 192, 5) }
	other := piece(64, 128)
	other[len(other)-1] ^= 1
	cases := []struct {
		name     string
		pkts     [][]byte
		answered bool
		why      dataplane.Drop
		drops    uint64
	}{
		{"no overlap", [][]byte{piece(64, 128), piece(0, 64), piece(128, 192)}, true, dataplane.None, 0},
		{"a duplicate", [][]byte{piece(64, 128), piece(64, 128), piece(0, 64), piece(128, 192)}, true, dataplane.FragmentIdle, 1},
		{"a duplicate of the last", [][]byte{piece(128, 192), piece(128, 192), piece(0, 64), piece(64, 128)}, true, dataplane.FragmentIdle, 1},
		{"another in the same place", [][]byte{piece(64, 128), other, piece(0, 64), piece(128, 192)}, false, dataplane.FragmentOverlap, 3},
		{"into the one before", [][]byte{piece(0, 64), piece(56, 128), piece(128, 192)}, false, dataplane.FragmentOverlap, 2},
		{"into the one behind", [][]byte{piece(64, 128), piece(0, 72), piece(128, 192)}, false, dataplane.FragmentOverlap, 2},
		{"around another", [][]byte{piece(64, 72), piece(0, 128), piece(128, 192)}, false, dataplane.FragmentOverlap, 2},
		{"inside another", [][]byte{piece(0, 128), piece(64, 72), piece(128, 192)}, false, dataplane.FragmentOverlap, 2},
		{"two ends", [][]byte{piece(128, 192), lab.Piece(ping, 64, 128, false, 5), piece(0, 64)}, false, dataplane.FragmentOverlap, 2},
		{"an end in front of another", [][]byte{piece(64, 128), lab.Piece(ping, 8, 16, false, 5), piece(0, 8)}, false, dataplane.FragmentOverlap, 2},
		{"behind the end", [][]byte{lab.Piece(ping, 64, 128, false, 5), piece(128, 192)}, false, dataplane.FragmentOverlap, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			for _, p := range c.pkts {
				s.a.Send(p)
				s.Settle()
			}
			if c.answered {
				wantEcho(t, s.a.Expect(), routerA, hostA, pattern(184))
			}
			s.a.ExpectNone()
			st := s.Stats()
			if st.ErrorsSent != 0 || st.TotalDropped() != c.drops || c.why != dataplane.None && st.Dropped[c.why] != c.drops {
				t.Errorf("errors sent %d, dropped %v, want none, and %d for %v", st.ErrorsSent, st.Dropped, c.drops, c.why)
			}
		})
	}
}

// An atomic fragment has nothing to do with others of its identification.
//
// Proves:
//   - RFC 8200 §4.5 atomic
func TestRFC6946_4_AtomicFragmentsStandAlone(t *testing.T) {
	s := newScene(t)
	long, short := lab.Echo(hostA, routerA, 1, 1, pattern(184)), lab.Echo(hostA, routerA, 1, 1, data)
	pieces := lab.Fragments(long, 64, 7)
	s.a.Send(pieces[0], pieces[1], lab.Fragment(short, 0, false))
	wantEcho(t, s.a.Expect(), routerA, hostA, data)
	s.a.Send(pieces[2])
	wantEcho(t, s.a.Expect(), routerA, hostA, pattern(184))
}

// The headers of the whole are those in front of the first fragment, and so is its
// next header.
//
// Proves:
//   - RFC 8200 §4.5 headers-of-the-first
//   - RFC 8200 §4.5 reassembled-length
func TestRFC8200_4_5_HeadersOfTheFirst(t *testing.T) {
	s := newScene(t)
	datagram := lab.UDP(hostA, routerA, 1, 2, pattern(184)) // 192 bytes
	pieces := lab.Fragments(datagram, 64, 7)
	pieces[0] = lab.WithFlowLabel(lab.Options(pieces[0], header.ProtoDestinationOptions), 0xabcde)
	pieces[1][40] = header.ProtoTCP
	pieces[2] = lab.Options(lab.WithHopLimit(pieces[2], 3), header.ProtoHopByHop)
	s.a.Send(pieces[2], pieces[1], pieces[0])
	whole := lab.WithFlowLabel(lab.Options(datagram, header.ProtoDestinationOptions), 0xabcde)
	(&icmpError{1, 4, 0, routerA}).check(t, s.a.Expect(), whole)
}

// RFC 3168 §5.3: congestion that one fragment has met, the whole has met, unless another
// says that its source knows nothing of that: then they are no whole.
//
// Proves:
//   - RFC 8200 §4.5 congestion
func TestRFC3168_5_3_CongestionOfFragments(t *testing.T) {
	for _, c := range []struct {
		name  string
		marks [3]byte
		want  byte // of the reply, which has that of the request
		drop  bool
	}{
		{"none", [3]byte{2, 2, 2}, 2, false},
		{"met by the last", [3]byte{2, 2, 3}, 3, false},
		{"met by the first", [3]byte{3, 1, 1}, 3, false},
		{"different, and not met", [3]byte{1, 2, 2}, 1, false},
		{"met by one of those that can't", [3]byte{0, 0, 3}, 0, true},
		{"met, and the last can't", [3]byte{3, 3, 0}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			pieces := lab.Fragments(lab.Echo(hostA, routerA, 1, 1, pattern(184)), 64, 7)
			for i, p := range pieces {
				p[1] |= c.marks[i] << 4
			}
			s.a.Send(pieces...)
			if c.drop {
				s.Settle()
				if st := s.Stats(); s.a.Take() != nil || st.Dropped[dataplane.FragmentOverlap] == 0 || s.Plane.Reassembly().Refused != 1 {
					t.Errorf("account = %+v", st)
				}
				return
			}
			if got := header.IPv6(s.a.Expect()).TrafficClass(); got != c.want {
				t.Errorf("traffic class %d, want %d", got, c.want)
			}
		})
	}
}

// What is put together may have extension headers, and be refused for them.
func TestWholePacketsAreProcessed(t *testing.T) {
	s := newScene(t)
	ping := options(lab.Echo(hostA, routerA, 1, 1, pattern(200)), header.ProtoDestinationOptions, 0x87, 0)
	s.a.Send(lab.Fragments(ping, 64, 7)...)
	(&icmpError{4, 2, 42, routerA}).check(t, s.a.Expect(), ping)
	st := s.Stats()
	if n := st.Dropped[dataplane.LocalOption]; n != 1 || st.TotalDropped() != 1 {
		t.Errorf("dropped for %v = %d of %d, want 1: the last fragment", dataplane.LocalOption, n, st.TotalDropped())
	}
	s.a.Send(lab.Fragments(lab.RoutingHeader(lab.Echo(hostA, routerA, 1, 1, pattern(200)), 0, 1), 64, 8)...)
	if typ := header.ICMPv6(s.a.Expect()[40:]).Type(); typ != header.TypeParameterProblem {
		t.Errorf("answer = type %d, want a parameter problem", typ)
	}
}

// After 60 seconds what is not complete is given up. If its first fragment came
// the source is told, whether anything else happens or not.
//
// Proves:
//   - RFC 8200 §4.5 timeout
//   - RFC 8200 §4.5 timeout-reported
//   - RFC 4443 §3.3 reassembly
func TestRFC8200_4_5_Timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		ping := lab.Echo(hostA, routerB, 1, 1, pattern(1500))
		first, rest := lab.Piece(ping, 0, 1232, true, 1), lab.Piece(ping, 1232, 1508, false, 1)
		other := lab.Piece(ping, 1232, 1508, false, 2)
		group := lab.Piece(lab.Echo(hostA, "ff02::1", 1, 1, pattern(1500)), 0, 1232, true, 3)
		link := lab.Piece(lab.Echo(peerA, linkA, 1, 1, pattern(1500)), 0, 1232, true, 4)
		s.a.Send(other, group)
		s.Settle()
		time.Sleep(10 * time.Second)
		s.a.Send(first)
		s.a.ExpectNone()
		time.Sleep(60*time.Second - time.Millisecond)
		synctest.Wait()
		s.a.ExpectNone()
		if r := s.Plane.Reassembly(); r.TimedOut != 2 || r.Held != 1 {
			t.Errorf("reassembly = %+v, want 2 timed out, and 1 held", r)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		(&icmpError{3, 1, 0, routerB}).check(t, s.a.Expect(), first)
		s.a.Send(rest) // begins anew
		s.a.ExpectNone()

		s.a.Send(link)
		s.Settle()
		time.Sleep(2 * reassembly.Timeout)
		synctest.Wait()
		(&icmpError{3, 1, 0, linkA}).check(t, s.a.Expect(), link)
		if r := s.Plane.Reassembly(); r.TimedOut != 5 || r.Held != 0 || r.Bytes != 0 {
			t.Errorf("reassembly = %+v, want 5 timed out, and none held", r)
		}
	})
}

// An interface by which fragments came ends as if there were none, and nobody is
// told of its fragments when their time is over.
func TestFragmentsKeepNoInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		pieces := lab.Fragments(lab.Echo(hostA, routerB, 1, 1, pattern(184)), 64, 7)
		s.b.Send(pieces[0], lab.Piece(lab.Echo(hostB, routerA, 1, 1, pattern(184)), 0, 64, true, 8))
		s.Settle()
		if res := s.b.Detach(); !res.Clean || s.Plane.Reassembly().Held != 2 {
			t.Errorf("clean = %v, held = %d, want true, 2", res.Clean, s.Plane.Reassembly().Held)
		}
		time.Sleep(2 * reassembly.Timeout)
		synctest.Wait()
		if st := s.Stats(); st.ErrorsSent != 0 || s.Plane.Reassembly().TimedOut != 2 {
			t.Errorf("errors sent, timed out = %d, %d, want 0, 2", st.ErrorsSent, s.Plane.Reassembly().TimedOut)
		}

		s.a.Send(pieces[1]) // routerB is gone, and so is its packet
		s.wantDropped(t, dataplane.NoRoute)
	})
}

// Errors about what was not complete in time have the limit of all errors.
//
// Proves:
//   - RFC 4443 §2.4 rate-limit
func TestTimeoutsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.Route("2001:db8:1::/48", lab.Dev("b"))
		const many = 150
		for i := range 2 * many {
			if i == many {
				time.Sleep(time.Millisecond)
			}
			src := "2001:db8:1::" + string("123456789abcdef"[i%15])
			s.a.Send(lab.Piece(lab.Echo(src, routerA, 1, 1, pattern(100)), 0, 64, true, uint32(i)))
			s.Settle()
		}
		time.Sleep(2 * reassembly.Timeout)
		synctest.Wait()
		const most = dataplane.ErrorBurst + dataplane.ErrorRate/1000 // in a millisecond
		if st := s.Stats(); st.ErrorsSent != most || st.ErrorsLimited != 2*many-most {
			t.Errorf("errors sent, held back = %d, %d, want %d, %d", st.ErrorsSent, st.ErrorsLimited, most, 2*many-most)
		}
	})
}

// A loop that had too much to do to hear of a fragment hears of the next one, and
// gives up both.
func TestTimeoutsSurviveABusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		pieces := lab.Fragments(lab.Echo(hostA, routerA, 1, 1, pattern(184)), 64, 7)
		busy, done := make(chan struct{}), make(chan struct{})
		s.Loop.Post(func(*loop.Turn) { close(busy); <-done })
		<-busy
		for s.Loop.Post(func(*loop.Turn) {}) {
		}
		s.a.Send(pieces[1])
		s.Settle()
		close(done)
		synctest.Wait()
		s.a.Send(lab.Piece(lab.Echo(hostA, routerA, 1, 1, pattern(184)), 64, 128, true, 8))
		s.Settle()
		time.Sleep(2 * reassembly.Timeout)
		synctest.Wait()
		if r := s.Plane.Reassembly(); r.TimedOut != 2 || r.Held != 0 {
			t.Errorf("reassembly = %+v, want 2 timed out, and none held", r)
		}
	})
}

// A link-local address is another on each link, and so are its packets.
func TestFragmentsStayOnTheirLink(t *testing.T) {
	s := newScene(t)
	pieces := lab.Fragments(lab.Echo(peerA, "ff02::1", 1, 1, pattern(184)), 64, 7)
	s.a.Send(pieces[0], pieces[1])
	s.Settle()
	s.b.Send(pieces[2])
	s.b.ExpectNone()
	s.a.ExpectNone()
	s.a.Send(pieces[2])
	if got := s.a.Expect(); !bytes.Equal(got[48:], pattern(184)) {
		t.Errorf("reply = %x", got)
	}
}

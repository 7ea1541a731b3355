package tcpstack_test

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/tcpstack"
)

// ICMPv6 errors are believed if they quote what is outstanding, and what they say can
// be: RFC 5927 §4.1, RFC 8201 §4.
func TestPacketTooBig(t *testing.T) {
	cases := []struct {
		name    string
		mtu     uint32
		change  func(quote []byte) // what is amiss with it
		learned bool
	}{
		{"of a router on the path", 1300, func([]byte) {}, true},
		{"about what was not sent yet", 1300, func(q []byte) { shift(q, 1<<24) }, false},
		{"about what was acknowledged long ago", 1300, func(q []byte) { shift(q, -1<<24) }, false},
		{"about another connection", 1300, func(q []byte) { q[header.IPv6Size+2]++ }, false},
		{"with less than every link takes", 1279, func([]byte) {}, false},
		{"with more than was sent", 1500, func([]byte) {}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			p := newPeer(t, hostA, 1500)
			port := s.Attach("a", routerA+"/64")
			p.connect(port)
			s.listen(t, 7, tcpstack.Where{}, echo)
			conn := p.mustDial(routerA, 7)
			var told atomic.Bool
			var largest atomic.Int64
			p.watch(func(pkt []byte) {
				if len(pkt) < 1400 || told.Swap(true) {
					largest.Store(max(largest.Load(), int64(len(pkt))))
					return
				}
				quote := bytes.Clone(pkt[:header.IPv6Size+header.TCPSize])
				c.change(quote)
				port.TrySend(lab.ICMPv6("2001:db8:ff::1", routerA, header.TypePacketTooBig, 0, c.mtu, quote))
			})
			for range 3 { // the error is about the first
				want := random(100_000)
				if got, err := exchange(conn, want); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("came back %d bytes, err %v", len(got), err)
				}
			}
			largest.Store(0)
			if _, err := exchange(conn, random(100_000)); err != nil {
				t.Fatal(err)
			}
			if small := largest.Load() <= 1300; small != c.learned {
				t.Errorf("largest packet = %d after an MTU of %d", largest.Load(), c.mtu)
			}
			if refused := s.tcp.Stats().ErrorsRefused; c.learned && refused != 0 {
				t.Errorf("%d errors refused", refused)
			}
		})
	}
}

// shift changes the sequence number of a quoted segment.
func shift(quote []byte, by int32) {
	seq := quote[header.IPv6Size+4:]
	binary.BigEndian.PutUint32(seq, binary.BigEndian.Uint32(seq)+uint32(by))
}

// An unreachable about a connection that stands does not end it: RFC 5927 §5.
func TestUnreachableIsSoft(t *testing.T) {
	s := newScene(t)
	p := newPeer(t, hostA, 1500)
	port := s.Attach("a", routerA+"/64")
	p.connect(port)
	s.listen(t, 7, tcpstack.Where{}, echo)
	conn := p.mustDial(routerA, 7)
	p.watch(func(pkt []byte) {
		for code := range uint8(7) {
			port.TrySend(lab.ICMPv6(hostA, routerA, header.TypeDestinationUnreachable, code, 0, pkt[:min(len(pkt), 200)]))
		}
	})
	want := random(50_000)
	if got, err := exchange(conn, want); err != nil || !bytes.Equal(got, want) {
		t.Errorf("came back %d bytes, err %v", len(got), err)
	}
}

// A source may not have more than its share; others are served.
func TestLimits(t *testing.T) {
	l := tcpstack.DefaultLimits
	l.PerSource, l.SYNRate = 3, 1000
	s := newSceneWith(t, l)
	p := newPeer(t, hostA, 1500)
	port := s.Attach("a", routerA+"/64")
	p.connect(port)
	q := newPeer(t, hostB, 1500)
	q.connect(s.Attach("b", routerB+"/64"))
	s.listen(t, 7, tcpstack.Where{}, echo)
	for range l.PerSource {
		if _, err := exchange(p.mustDial(routerA, 7), []byte("ping")); err != nil {
			t.Fatal(err)
		}
	}
	port.Send(lab.TCP(hostA, routerA, 1000, 7, header.FlagSYN, nil))
	if n := s.Stats().Dropped[dataplane.LocalLimited]; n != 1 {
		t.Errorf("%d dropped, want the SYN of one more", n)
	}
	if _, err := exchange(q.mustDial(routerB, 7), []byte("ping")); err != nil {
		t.Errorf("another source: %v", err)
	}
}

// Of SYNs over the limit for everybody, those are answered that come again.
func TestFirstSYNs(t *testing.T) {
	l := tcpstack.DefaultLimits
	l.FirstSYNs = 0
	s := newSceneWith(t, l)
	port := s.Attach("a", routerA+"/64")
	s.listen(t, 7, tcpstack.Where{}, echo)
	syn := func(from uint16, sequence byte) []byte {
		pkt := header.IPv6(lab.TCP(hostA, routerA, from, 7, header.FlagSYN, nil))
		tcp := header.TCP(pkt[header.IPv6Size:])
		tcp[7] = sequence
		tcp.SetChecksum(0)
		tcp.SetChecksum(lab.Checksum(*pkt.SourceBytes(), *pkt.DestinationBytes(), header.ProtoTCP, tcp))
		return pkt
	}
	for _, c := range []struct {
		name   string
		pkt    []byte
		passes bool
	}{
		{"the first one", syn(1000, 1), false},
		{"from another port", syn(1001, 1), false},
		{"with another sequence number", syn(1000, 2), false},
		{"again", syn(1001, 1), true},
		{"and again, as its answer may be lost", syn(1001, 1), true},
	} {
		before := s.Stats().Dropped[dataplane.LocalLimited]
		port.Send(c.pkt)
		if passed := s.Stats().Dropped[dataplane.LocalLimited] == before; passed != c.passes {
			t.Errorf("%s: passes %v, want %v", c.name, passed, c.passes)
		}
	}
	var answer header.IPv6
	s.Until("an answer", func() bool { answer = port.Take(); return answer != nil })
	if got := header.TCP(answer[header.IPv6Size:]); got.DestinationPort() != 1001 || got.Flags() != header.FlagSYN|header.FlagACK {
		t.Errorf("answer to port %d, flags %#x", got.DestinationPort(), got.Flags())
	}
}

// A segment whose checksum is wrong is not taken.
func TestChecksum(t *testing.T) {
	s := newScene(t)
	port := s.Attach("a", routerA+"/64")
	s.listen(t, 7, tcpstack.Where{}, echo)
	syn := lab.TCP(hostA, routerA, 1000, 7, header.FlagSYN, nil)
	header.TCP(syn[header.IPv6Size:]).SetChecksum(1)
	port.Send(syn)
	if n := s.Stats().Dropped[dataplane.LocalChecksum]; n != 1 {
		t.Errorf("%d dropped for their checksum, want 1", n)
	}
	port.ExpectNone()
}

// Whatever comes in, the router goes on.
func FuzzDeliver(f *testing.F) {
	f.Add(lab.TCP(hostA, routerA, 1000, 7, header.FlagSYN, nil))
	f.Add(lab.TCP(hostA, routerA, 1000, 7, header.FlagACK|header.FlagPSH, []byte("x")))
	f.Add(lab.ICMPv6(hostA, routerA, header.TypePacketTooBig, 0, 1280, lab.TCP(routerA, hostA, 7, 1000, header.FlagACK, nil)))
	f.Add(lab.ICMPv6(hostA, routerA, header.TypeDestinationUnreachable, 4, 0, lab.TCP(routerA, hostA, 7, 1000, header.FlagACK, nil)))
	f.Add(lab.UDP(hostA, routerA, 1000, 7, []byte("x")))
	f.Add(lab.Options(lab.UDP(hostA, routerA, 1000, 7, nil), header.ProtoDestinationOptions))
	f.Add(lab.ICMPv6(hostA, routerA, header.TypePacketTooBig, 0, 1280, lab.UDP(routerA, hostA, 7, 1000, random(1400))[:1232]))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		s := newScene(t)
		port := s.Attach("a", routerA+"/64")
		s.listen(t, 7, tcpstack.Where{}, echo)
		s.echoPacket(t, 7, tcpstack.Where{})
		if len(pkt) >= header.IPv6Size { // so that it gets there
			copy(pkt[8:], lab.Packet(hostA, routerA, 0, nil)[8:])
			fix(pkt)
		}
		port.TrySend(bytes.Clone(pkt))
		port.TrySend(lab.Echo(hostA, routerA, 1, 1, nil))
		s.Settle()
		for b := port.Take(); b != nil; b = port.Take() {
			if header.IPv6(b).NextHeader() == header.ProtoICMPv6 && b[header.IPv6Size] == header.TypeEchoReply {
				return
			}
		}
		t.Error("no answer to a ping behind it")
	})
}

// FuzzTimestamps finds the option in whatever comes, and nothing else.
func FuzzTimestamps(f *testing.F) {
	option := []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	f.Add([]byte{}, uint8(5))
	f.Add(append([]byte{1, 1}, option...), uint8(8))
	f.Add(append([]byte{4, 2}, option...), uint8(8))
	f.Add(option[:9], uint8(15))
	f.Add([]byte{3, 0, 8}, uint8(6))
	f.Fuzz(func(t *testing.T, options []byte, words uint8) {
		seg := append(make(header.TCP, header.TCPSize), options...)
		const offset = 12 // RFC 9293 §3.1
		seg[offset] = words << 4
		got := tcpstack.Timestamps(seg)
		if got == nil {
			return
		}
		at := bytes.Index(options, append([]byte{8, 10}, got...))
		if len(got) != 8 || at < 0 {
			t.Fatalf("timestamps are %x, options %x", got, options)
		}
		if clear(got); !bytes.Contains(seg[header.TCPSize:], []byte{8, 10, 0, 0, 0, 0, 0, 0, 0, 0}) {
			t.Error("it is a copy")
		}
	})
}

// fix makes version, length and the checksum right, so that what is inside is looked at.
func fix(pkt []byte) {
	pkt[0] = 6<<4 | pkt[0]&0xf
	header.IPv6(pkt).SetPayloadLength(uint16(len(pkt) - header.IPv6Size))
	b := pkt[header.IPv6Size:]
	src, dst := header.IPv6(pkt).SourceBytes(), header.IPv6(pkt).DestinationBytes()
	switch next := header.IPv6(pkt).NextHeader(); {
	case next == header.ProtoTCP && len(b) >= header.TCPSize:
		header.TCP(b).SetChecksum(0)
		header.TCP(b).SetChecksum(header.Checksum(src, dst, next, b))
	case next == header.ProtoUDP && len(b) >= header.UDPSize:
		header.UDP(b).SetChecksum(0)
		header.UDP(b).SetChecksum(header.Checksum(src, dst, next, b))
	case next == header.ProtoICMPv6 && len(b) >= header.ICMPv6Size:
		header.ICMPv6(b).SetChecksum(0)
		header.ICMPv6(b).SetChecksum(header.Checksum(src, dst, next, b))
	}
}

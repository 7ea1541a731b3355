package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/router6d/router6d/internal/header"
)

// A super is a superframe by what matters when it is cut.
type super struct {
	gso        byte
	flags      uint8 // of TCP
	extensions int   // bytes of extension headers, in eights
	options    int   // bytes of TCP options, in fours
	payload    int
	size       int // payload bytes of a segment
}

// build makes the packet, every byte of which tells its place, and its virtio-net
// header.
func (s super) build() (v vnet, pkt []byte) {
	proto, transport, offset := uint8(header.ProtoTCP), header.TCPSize+s.options, tcpChecksumAt
	if s.gso == gsoUDP {
		proto, transport, offset = header.ProtoUDP, header.UDPSize, udpChecksumAt
	}
	start := header.IPv6Size + s.extensions
	pkt = make([]byte, start+transport+s.payload)
	for i := range pkt {
		pkt[i] = byte(i + i>>8)
	}
	f := header.IPv6Fields{
		TrafficClass: 0xb9, FlowLabel: 0xabcde, PayloadLength: uint16(len(pkt) - header.IPv6Size),
		NextHeader: proto, HopLimit: 17,
		Source: [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1}, Destination: [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 5: 2, 15: 2},
	}
	if s.extensions > 0 {
		f.NextHeader = header.ProtoDestinationOptions
		clear(pkt[header.IPv6Size:start])
		pkt[header.IPv6Size] = proto
		pkt[header.IPv6Size+1] = byte(s.extensions/8 - 1)
		pkt[header.IPv6Size+2] = 1 // PadN
		pkt[header.IPv6Size+3] = byte(s.extensions - 4)
	}
	header.PutIPv6(pkt, &f)
	upper := pkt[start:]
	binary.BigEndian.PutUint16(upper, 4000)
	binary.BigEndian.PutUint16(upper[2:], 4001)
	if s.gso == gsoUDP {
		binary.BigEndian.PutUint16(upper[udpLengthAt:], uint16(len(upper)))
	} else {
		binary.BigEndian.PutUint32(upper[tcpSequenceAt:], 0xfffffc00) // wraps
		upper[12], upper[tcpFlagsAt] = byte(transport/4)<<4, s.flags
		clear(upper[18:20]) // urgent pointer
		for i := header.TCPSize; i < transport; i++ {
			upper[i] = 1 // no-operation
		}
	}
	pseudo := header.PseudoSum(&f.Source, &f.Destination, uint32(len(upper)), proto)
	binary.BigEndian.PutUint16(upper[offset:], header.Fold(pseudo))
	return vnet{flags: 1, gso: s.gso, size: uint16(s.size), start: uint16(start), offs: uint16(offset)}, pkt
}

// cutUp is what Cut makes of a superframe.
func cutUp(t *testing.T, v vnet, pkt []byte) (segments [][]byte) {
	t.Helper()
	_, p := batchOf(t, v, pkt)
	if err := p.Cut(func(p *Packet) error {
		if p.Offload != (Offload{}) {
			t.Errorf("offload of a segment = %+v, want none", p.Offload)
		}
		segments = append(segments, bytes.Clone(p.Bytes()))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return segments
}

// slowCut makes each segment from the original, one field after the other.
func slowCut(s super, pkt []byte) (segments [][]byte) {
	start := header.IPv6Size + s.extensions
	headers := start + header.TCPSize + s.options
	if s.gso == gsoUDP {
		headers = start + header.UDPSize
	}
	for at := headers; at < len(pkt); at += s.size {
		end := min(at+s.size, len(pkt))
		seg := append(bytes.Clone(pkt[:headers]), pkt[at:end]...)
		header.IPv6(seg).SetPayloadLength(uint16(len(seg) - header.IPv6Size))
		upper, proto, field := seg[start:], uint8(header.ProtoTCP), tcpChecksumAt
		if s.gso == gsoUDP {
			proto, field = header.ProtoUDP, udpChecksumAt
			binary.BigEndian.PutUint16(upper[udpLengthAt:], uint16(len(upper)))
		} else {
			seq := binary.BigEndian.Uint32(upper[tcpSequenceAt:])
			binary.BigEndian.PutUint32(upper[tcpSequenceAt:], seq+uint32(at-headers))
			if end < len(pkt) {
				upper[tcpFlagsAt] &^= header.FlagFIN | header.FlagPSH
			}
			if at > headers {
				upper[tcpFlagsAt] &^= flagCWR
			}
		}
		upper[field], upper[field+1] = 0, 0
		pseudo := make([]byte, 40)
		copy(pseudo, seg[8:40])
		binary.BigEndian.PutUint32(pseudo[32:], uint32(len(upper)))
		pseudo[39] = proto
		sum := slowChecksum(append(pseudo, upper...))
		if sum == 0 && s.gso == gsoUDP {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(upper[field:], sum)
		segments = append(segments, seg)
	}
	return segments
}

const (
	flagECE     = 0x40
	everyFlag   = header.FlagFIN | header.FlagPSH | header.FlagACK | flagECE | flagCWR
	commonFlags = header.FlagPSH | header.FlagACK
)

var supers = map[string]super{
	"TCP":                          {gso: gsoTCPv6, flags: commonFlags, options: 12, payload: 60_000, size: 1428},
	"TCP, one byte over":           {gso: gsoTCPv6, flags: commonFlags, payload: 2001, size: 1000},
	"TCP, one segment":             {gso: gsoTCPv6, flags: everyFlag, payload: 1, size: 1000},
	"TCP with every flag":          {gso: gsoTCPv6 | gsoECN, flags: everyFlag, options: 40, payload: 10_000, size: 1400},
	"TCP, segments below a header": {gso: gsoTCPv6, flags: everyFlag, options: 40, payload: 301, size: 7},
	"TCP behind an extension":      {gso: gsoTCPv6, flags: commonFlags, extensions: 16, options: 12, payload: 20_000, size: 1400},
	"UDP":                          {gso: gsoUDP, payload: 60_000, size: 1200},
	"UDP, odd sizes":               {gso: gsoUDP, payload: 9_999, size: 333},
	"UDP, a byte left":             {gso: gsoUDP, payload: 1001, size: 1000},
	"UDP behind an extension":      {gso: gsoUDP, extensions: 8, payload: 9_000, size: 1000},
}

// AnySuper is a superframe of several segments.
func AnySuper(r *rand.Rand) super {
	s := super{gso: gsoTCPv6, size: 1 + r.IntN(1300), flags: header.FlagACK | uint8(r.IntN(256))&everyFlag}
	s.extensions = []int{0, 0, 8, 16}[r.IntN(4)]
	s.payload = s.size + 1 + r.IntN(min(40*s.size, 60_000))
	switch r.IntN(3) {
	case 0:
		s.options = 4 * r.IntN(11)
	case 1:
		s.options, s.gso = 12, gsoTCPv6|gsoECN
		s.flags |= flagCWR
	case 2:
		s.gso = gsoUDP
	}
	return s
}

// Build is build, for tests outside.
func (s super) Build() (h, pkt []byte) {
	v, pkt := s.build()
	return v.bytes(), pkt
}

// CutUp is what Cut makes of it.
func (s super) CutUp(t *testing.T) [][]byte {
	t.Helper()
	v, pkt := s.build()
	return cutUp(t, v, pkt)
}

func (s super) String() string {
	return fmt.Sprintf("gso %#x flags %#02x extensions %d options %d payload %d size %d", s.gso, s.flags, s.extensions, s.options, s.payload, s.size)
}

func TestCutIsAsTheRFCsSay(t *testing.T) {
	for name, s := range supers {
		t.Run(name, func(t *testing.T) {
			v, pkt := s.build()
			got, want := cutUp(t, v, pkt), slowCut(s, pkt)
			if len(got) != len(want) {
				t.Fatalf("%d segments, want %d", len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("segment %d = %x\nwant        %x", i, got[i][:min(120, len(got[i]))], want[i][:min(120, len(want[i]))])
				}
			}
		})
	}
}

// A port puts its own headers in front of each segment.
func TestCutLeavesHeadroom(t *testing.T) {
	s := supers["TCP, segments below a header"]
	v, pkt := s.build()
	want := slowCut(s, pkt)
	_, p := batchOf(t, v, pkt)
	i := 0
	err := p.Cut(func(p *Packet) error {
		copy(p.Prepend(Headroom-vnetHeaderSize), bytes.Repeat([]byte{0xee}, Headroom))
		if !bytes.Equal(p.Bytes()[Headroom-vnetHeaderSize:], want[i]) {
			t.Errorf("segment %d is not what it was without a header in front", i)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Errorf("%d segments, %v, want %d", i, err, len(want))
	}
}

func TestCutCompletesWhatIsNoSuperframe(t *testing.T) {
	v, pkt := super{gso: gsoTCPv6, payload: 100, size: 1000}.build()
	v.gso = gsoNone
	got := cutUp(t, v, pkt)
	if len(got) != 1 || header.Checksum(header.IPv6(got[0]).SourceBytes(), header.IPv6(got[0]).DestinationBytes(), header.ProtoTCP, got[0][header.IPv6Size:]) != 0 {
		t.Errorf("%d packets, or a wrong checksum: %x", len(got), got)
	}
}

// What is left when a port takes no more counts as not sent.
func TestCutEndsAtTheFirstError(t *testing.T) {
	s := supers["UDP"] // of 50 segments
	v, pkt := s.build()
	b, p := batchOf(t, v, pkt)
	sent := 0
	err := b.Cut(func(*Packet) error {
		if sent == 20 {
			return ErrFull
		}
		sent++
		return nil
	})
	if !errors.Is(err, ErrFull) || b.Len() != 1 || p.Segments() != 30 {
		t.Errorf("error, left = %v, %d packets of %d segments, want full, 1 of 30", err, b.Len(), p.Segments())
	}
	if want := header.IPv6Size + header.UDPSize + 30*1200; b.Size() != want {
		t.Errorf("bytes left = %d, want %d", b.Size(), want)
	}
}

func TestCutRefusesWhatItCannotCut(t *testing.T) {
	v, pkt := supers["TCP"].build()
	none := func(*Packet) error { t.Error("something was sent"); return nil }
	_, p := batchOf(t, v, pkt)
	p.Bytes()[0] = 0x45
	if err := p.Cut(none); !errors.Is(err, ErrRejected) {
		t.Errorf("IPv4 = %v, want %v", err, ErrRejected)
	}
	_, p = batchOf(t, v, pkt)
	p.CompleteChecksum() // of the whole
	if err := p.Cut(none); !errors.Is(err, ErrRejected) {
		t.Errorf("completed = %v, want %v", err, ErrRejected)
	}
}

func TestCutDoesNotAllocate(t *testing.T) {
	v, pkt := supers["TCP"].build()
	b := NewBatch(NewPool(1))
	frame := v.bytes()
	bytesSent := 0
	n := testing.AllocsPerRun(100, func() {
		b.Inject(pkt)
		b.At(0).Offload.decode(frame, b.At(0).Bytes(), 0)
		_ = b.Cut(func(p *Packet) error { bytesSent += len(p.Bytes()); return nil })
		b.End()
	})
	if n != 0 || bytesSent == 0 {
		t.Errorf("allocations = %v for %d bytes, want 0", n, bytesSent)
	}
}

// Whatever anyone has written in front of a packet: all payload comes out, once and
// in order, and no segment is over its size.
func FuzzCut(f *testing.F) {
	for _, s := range supers {
		v, pkt := s.build()
		f.Add(v.bytes(), pkt)
	}
	v, pkt := supers["UDP, a byte left"].build()
	v.gso |= gsoECN // means nothing
	f.Add(v.bytes(), pkt)
	pool := NewPool(1)
	f.Fuzz(func(t *testing.T, h, pkt []byte) {
		if len(h) < vnetHeaderSize || len(pkt) == 0 || len(pkt) > MaxPacket {
			return
		}
		b := NewBatch(pool)
		defer b.End()
		b.Inject(pkt)
		p := b.At(0)
		if !p.Offload.decode(h, p.Bytes(), 0) {
			return
		}
		segments, wire, headers := p.Segments(), p.WireSize(), int(p.Offload.headers)
		super := p.Offload.Superframe()
		var payload []byte
		n := 0
		err := p.Cut(func(p *Packet) error {
			if len(p.Bytes()) > wire {
				t.Fatalf("a segment of %d bytes, want at most %d", len(p.Bytes()), wire)
			}
			payload = append(payload, p.Bytes()[headers:]...)
			n++
			return nil
		})
		if err != nil {
			return
		}
		if n != segments {
			t.Fatalf("%d segments, want %d", n, segments)
		}
		if super && !bytes.Equal(payload, pkt[headers:]) {
			t.Fatal("the payload is another")
		}
	})
}

func BenchmarkCut(b *testing.B) {
	for _, name := range []string{"TCP", "UDP"} {
		b.Run(name, func(b *testing.B) {
			v, pkt := supers[name].build()
			frame := v.bytes()
			batch := NewBatch(NewPool(1))
			b.SetBytes(int64(len(pkt)))
			b.ReportAllocs()
			for b.Loop() {
				batch.Inject(pkt)
				batch.At(0).Offload.decode(frame, batch.At(0).Bytes(), 0)
				_ = batch.Cut(func(*Packet) error { return nil })
				batch.End()
			}
		})
	}
}

package dataplane_test

import (
	"bytes"
	"testing"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

// A superframe passes whole: its offload as it came, its hop limit one less.
func TestSuperframePassesWhole(t *testing.T) {
	payload := make([]byte, 60_000)
	tcp := lab.TCP(hostA, hostB, 1, 2, header.FlagACK, payload)
	cases := []struct {
		name     string
		frame    []byte
		segments int
	}{
		{"TCP", lab.Superframe(tcp, 1440), 42},
		{"UDP", lab.Superframe(lab.UDP(hostA, hostB, 1, 2, payload), 1000), 60},
		{"TCP behind options", lab.Superframe(lab.Options(tcp, header.ProtoDestinationOptions), 1432), 42},
		{"with congestion", congested(lab.Superframe(tcp, 1440)), 42},
		{"one segment", lab.Superframe(lab.TCP(hostA, hostB, 1, 2, 0, make([]byte, 100)), 1440), 1},
		{"none, but a partial checksum", lab.PartialChecksum(udp(hostA, hostB)), 1},
		{"none, and nothing left undone", lab.Frame(udp(hostA, hostB)), 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			s.a.SendFrame(bytes.Clone(c.frame))
			h, pkt := lab.Unframe(s.b.ExpectFrame())
			wantH, wantPkt := lab.Unframe(c.frame)
			if !bytes.Equal(h[:2], wantH[:2]) || !bytes.Equal(h[4:], wantH[4:]) { // between is a hint
				t.Errorf("virtio-net header = %x, want %x", h, wantH)
			}
			wantPacket(t, pkt, forwarded(wantPkt))
			s.b.ExpectNone()

			st := s.Stats()
			if n := uint64(c.segments); st.Received != n || st.Sent != n {
				t.Errorf("received, sent = %d, %d, want %d segments", st.Received, st.Sent, n)
			}
			rx, tx := s.a.Traffic(), s.b.Traffic()
			if n := uint64(c.segments); rx.RxPackets.Load() != n || tx.TxPackets.Load() != n {
				t.Errorf("interfaces received, sent = %d, %d, want %d segments", rx.RxPackets.Load(), tx.TxPackets.Load(), n)
			}
			if n := uint64(len(wantPkt)); rx.RxBytes.Load() != n || tx.TxBytes.Load() != n {
				t.Errorf("interfaces received, sent = %d, %d bytes, want %d", rx.RxBytes.Load(), tx.TxBytes.Load(), n)
			}
		})
	}
}

// congested marks a TCP superframe as one whose first segment only has CWR. It
// takes frame.
func congested(frame []byte) []byte {
	frame[1] |= 0x80
	return frame
}

// What has to fit is a segment. All segments count when it does not, and one
// error goes out, about the packet with its checksum.
func TestSuperframeTooBig(t *testing.T) {
	s := newScene(t)
	s.b.SetMTU(1400)
	pkt := lab.TCP(hostA, hostB, 1, 2, header.FlagACK, make([]byte, 10_000))
	s.a.SendFrame(lab.Superframe(pkt, 1340)) // 60 bytes of headers
	if s.b.ExpectFrame() == nil {
		t.Fatal("segments that fit did not pass")
	}
	s.a.SendFrame(lab.Superframe(pkt, 1341))
	(&icmpError{2, 0, 1400, routerA}).check(t, s.a.Expect(), pkt)
	st := s.Stats()
	if st.Dropped[dataplane.TooBig] != 8 || st.ErrorsSent != 1 || !st.Balanced() {
		t.Errorf("dropped, errors, balanced = %d, %d, %v, want 8, 1, true", st.Dropped[dataplane.TooBig], st.ErrorsSent, st.Balanced())
	}
}

// What is quoted is what would have been on the wire.
func TestPartialChecksumIsCompletedBeforeAQuote(t *testing.T) {
	s := newScene(t)
	for _, pkt := range [][]byte{udp(hostA, elsewhere), lab.TCP(hostA, elsewhere, 1, 2, 0, data), udp(hostA, routerA)} {
		s.a.SendFrame(lab.PartialChecksum(pkt))
		got := s.a.Expect()
		if quote := got[48:]; !bytes.Equal(quote, pkt) || !lab.ChecksumRight(quote) {
			t.Errorf("quote = %x\nwant    %x", quote, pkt)
		}
	}
}

// A ping whose checksum was left to us is answered with a right one.
func TestPartialChecksumIsCompletedBeforeAnEcho(t *testing.T) {
	s := newScene(t)
	s.a.SendFrame(lab.PartialChecksum(lab.Echo(hostA, routerA, 1, 1, data)))
	h, pkt := lab.Unframe(s.a.ExpectFrame())
	wantEcho(t, pkt, routerA, hostA, data)
	if !bytes.Equal(h, make([]byte, 10)) {
		t.Errorf("virtio-net header = %x, want nothing left undone", h)
	}
}

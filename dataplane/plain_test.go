package dataplane_test

import (
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

// A way out without offload gets what a wire carries; the account is in segments
// either way.
func TestSuperframeIsCutForAPlainPort(t *testing.T) {
	for name, frame := range map[string][]byte{
		"TCP": lab.Superframe(lab.TCP(hostA, hostB, 1, 2, header.FlagACK|header.FlagPSH, make([]byte, 10_000)), 1400),
		"UDP": lab.Superframe(lab.UDP(hostA, hostB, 1, 2, make([]byte, 10_000)), 1400),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.b.Near.SetPlain()
			s.a.SendFrame(frame)
			size := 0
			for i := range 8 {
				got := s.b.Expect()
				checkPacket(t, got)
				if len(got) > 1500 || i == 7 && len(got) > 1500-1200 {
					t.Errorf("segment %d has %d bytes", i, len(got))
				}
				size += len(header.IPv6(got).Payload())
			}
			s.b.ExpectNone()
			if size < 10_000 {
				t.Errorf("%d bytes came, want 10000 and headers", size)
			}
			if st := s.Stats(); st.Received != 8 || st.Sent != 8 || !st.Balanced() {
				t.Errorf("received, sent, balanced = %d, %d, %v, want 8, 8, true", st.Received, st.Sent, st.Balanced())
			}
		})
	}
}

func TestChecksumIsCompletedForAPlainPort(t *testing.T) {
	s := newScene(t)
	s.b.Near.SetPlain()
	s.a.SendFrame(lab.PartialChecksum(udp(hostA, hostB)))
	wantPacket(t, s.b.Expect(), forwarded(udp(hostA, hostB)))
}

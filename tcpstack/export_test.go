package tcpstack

import (
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// GiveUpAfter is for tests that have not the patience of TCP.
var GiveUpAfter = (*Conn).giveUpAfter

// Timeouts is how often a timer ran out before what was sent was acknowledged.
func (s *Stack) Timeouts() uint64 { return s.net.Stats().TCP.Timeouts.Value() }

// Timestamps is for its fuzz target.
var Timestamps = timestamps

// HeldAfter reports whether a segment would be sent again that was acknowledged after it
// was sent, and before that was noted.
func HeldAfter(pkt header.IPv6, ack header.TCP) bool {
	f, t := &flow{}, header.TCP(pkt[header.IPv6Size:])
	f.sending(t, len(t)-t.DataOffset(), time.Time{})
	f.arrived(ack, 0)
	f.hold(&dataplane.Segment{Pieces: [][]byte{pkt}}, time.Time{})
	return f.holding()
}

package tcpstack

import (
	"encoding/binary"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// away is the reasons that may pass: a connection waits for them.
var away = map[dataplane.Drop]bool{
	dataplane.NoRoute:          true,
	dataplane.NoSource:         true,
	dataplane.SourceLeft:       true,
	dataplane.DeadInterface:    true,
	dataplane.InterfaceDown:    true,
	dataplane.InterfaceGone:    true,
	dataplane.InterfaceSevered: true,
	dataplane.NoSession:        true,
}

const (
	// pause is how long a held segment is left alone when it was sent.
	pause = 200 * time.Millisecond // as the least retransmission timeout
	// firstWait is that by a way that is new, of which nothing is known: RFC 6298 §2.1.
	firstWait = time.Second
	// lastWait is from when on it is left to TCP, whose timer is no slower.
	lastWait = time.Minute

	// retryMost segments are sent again at once, the next after retryGap: a line that is
	// back, and queues at its other end, have room for that and for the answers.
	retryMost = 8
	retryGap  = 10 * time.Millisecond
)

// A held segment is the first one of a connection that found no way, or had to be sent
// again, or went by a way by which nothing was acknowledged yet. When there is another way
// it is sent as if TCP had just done so, and by that way again, as by a timer that has not
// backed off, until it is acknowledged: nobody has to wait for one that has, to a minute
// (RFC 6069 has the same aim), also when the peer learns of the way a moment later. A
// connection that loses nothing has none.
type held struct {
	pkt        header.IPv6   // a hop limit of zero is filled in anew
	begin, end uint32        // sequence numbers
	made       time.Time     // for its timestamp
	sent       time.Time     // by retry, the last time
	wait       time.Duration // until it is sent again by the same way; zero: it is not
}

// newHeld is the first of the segments that s stands for.
func newHeld(s *dataplane.Segment, now time.Time) *held {
	var b []byte
	for _, piece := range s.Pieces {
		b = append(b, piece...)
	}
	t := header.TCP(b[header.IPv6Size:])
	if most := header.IPv6Size + t.DataOffset() + s.Size; s.Size != 0 && len(b) > most {
		b = b[:most:most]
		header.IPv6(b).SetPayloadLength(uint16(most - header.IPv6Size))
	}
	h := &held{pkt: b, begin: t.Sequence(), made: now}
	h.end = h.begin + uint32(len(b)-header.IPv6Size-t.DataOffset())
	if t.Flags()&(header.FlagSYN|header.FlagFIN) != 0 {
		h.end++
	}
	return h
}

// segment is what is to be sent. The checksum is left undone, so that the segment
// can be cut, but that of a SYN.
func (h *held) segment() dataplane.Segment {
	t := header.TCP(h.pkt[header.IPv6Size:])
	src, dst := h.pkt.SourceBytes(), h.pkt.DestinationBytes()
	if t.Flags()&header.FlagSYN != 0 {
		t.SetChecksum(0)
		t.SetChecksum(header.Checksum(src, dst, header.ProtoTCP, t))
		return dataplane.Segment{Pieces: [][]byte{h.pkt}}
	}
	t.SetChecksum(header.Fold(header.PseudoSum(src, dst, uint32(len(t)), header.ProtoTCP)))
	return dataplane.Segment{Pieces: [][]byte{h.pkt}, Checksum: header.IPv6Size}
}

// renew makes the timestamp that of now, RFC 7323 §3: the time for which it was held
// is not one that the path took. gVisor's clock of it counts milliseconds.
func (h *held) renew(now time.Time) {
	if b := timestamps(header.TCP(h.pkt[header.IPv6Size:])); b != nil {
		late := uint32(now.Sub(h.made).Milliseconds())
		binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)+late)
	}
	h.made = now
}

const (
	optionNone      = 1 // RFC 9293 §3.1
	optionTimestamp = 8 // RFC 7323 §3.2
)

// timestamps is TSval and TSecr of a segment, in place; nil if it has none.
func timestamps(t header.TCP) []byte {
	if len(t) < header.TCPSize || len(t) < t.DataOffset() || t.DataOffset() < header.TCPSize {
		return nil
	}
	for o := t[header.TCPSize:t.DataOffset()]; len(o) > 1; {
		switch {
		case o[0] == optionNone:
			o = o[1:]
			continue
		case o[0] == 0 || o[1] < 2 || int(o[1]) > len(o):
			return nil
		case o[0] == optionTimestamp && o[1] == 10:
			return o[2:10]
		}
		o = o[o[1]:]
	}
	return nil
}

// became notes what became of a segment. It reports whether there is another way, by which
// nothing was acknowledged yet.
func (f *flow) became(out dataplane.Outcome, t header.TCP, now time.Time) (moved bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.Drop != out.Drop {
		f.since = now
	}
	if f.last != out && out.Drop == dataplane.None {
		if b := timestamps(t); b != nil && f.last != (dataplane.Outcome{}) { // not the first
			f.moved, f.newWay = true, binary.BigEndian.Uint32(b)
		}
		if f.held != nil {
			f.held.wait = firstWait // TCP was the first to go this way, maybe with what comes later
		}
	}
	f.last = out
	return f.moved
}

// echoes reports whether what a segment echoes may be a measure of the way that there is.
// What was sent by the one before is none: a peer that had got what is sent again echoes
// what it got then (RFC 7323 §4.3), and TCP would take the time without a way for that of
// a round trip, and be as slow to send again from then on.
func (f *flow) echoes(t header.TCP) bool {
	if !f.moved {
		return true
	}
	b := timestamps(t)
	return b == nil || !before(binary.BigEndian.Uint32(b[4:]), f.newWay)
}

// hold keeps a copy of a segment, unless one before it is held, or it was acknowledged
// while it was sent.
func (f *flow) hold(s *dataplane.Segment, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := newHeld(s, now)
	switch {
	case !before(f.una, h.end):
		return
	case f.held == nil && f.moved:
		h.wait = firstWait
	case f.held == nil:
	case before(f.held.begin, h.begin):
		return
	default:
		h.wait = f.held.wait
	}
	f.held = h
}

// setHopLimit has what is held sent with another one.
func (f *flow) setHopLimit(n uint8) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		f.held.pkt.SetHopLimit(n)
	}
}

// again is a copy of what is held, if it is to be sent by this way now.
func (f *flow) again(way dataplane.Way, now time.Time) *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held
	if h == nil || way.Drop != dataplane.None || !h.due(f.last != dataplane.Outcome{Via: way.Via}, now) {
		return nil
	}
	h.sent = now
	out := *h
	out.pkt = append(header.IPv6(nil), h.pkt...)
	out.renew(now)
	return &out
}

// due reports whether it is time to send it, and puts off the next time: by another way
// than the last segment, which may have found none, or by the same once more.
func (h *held) due(elsewhere bool, now time.Time) bool {
	switch passed := now.Sub(h.sent); {
	case elsewhere && passed >= pause:
		h.wait = firstWait
	case !elsewhere && h.wait != 0 && h.wait < lastWait && min(passed, now.Sub(h.made)) >= h.wait:
		h.wait *= 2
	default:
		return false
	}
	return true
}

// holding reports whether something is held.
func (f *flow) holding() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held != nil
}

// retry sends what is held where there is another way now, or some of it. It returns when
// to call it again; zero: nothing is held.
func (s *Stack) retry() (next time.Duration) {
	n := 0
	for _, f := range s.flows.each() {
		if !f.holding() {
			continue
		}
		if next = pause; n == retryMost {
			return retryGap
		}
		at := now()
		h := f.again(s.way(f.local.Addr(), f.remote.Addr()), at)
		if h == nil {
			continue
		}
		n++
		seg := h.segment()
		seg.PathMTU = s.paths.get(f.remote.Addr(), at)
		f.became(s.out.send(&seg), header.TCP(h.pkt[header.IPv6Size:]), at)
		s.retried.Add(1)
	}
	return next
}

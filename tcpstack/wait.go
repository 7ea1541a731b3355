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

// again is how long a held segment is left alone when it was sent.
const again = 200 * time.Millisecond // as the least retransmission timeout

// A held segment is the first one of a connection that found no way. Whenever the FIB
// has changed it is sent as if TCP had just sent it again, until it is acknowledged:
// nobody has to wait for a timer that has backed off to a minute (RFC 6069 is about
// the same).
type held struct {
	pkt        header.IPv6 // a hop limit of zero is filled in anew
	begin, end uint32      // sequence numbers
	made       time.Time   // for its timestamp
	sent       time.Time   // by retry, the last time
	due        bool        // the FIB has changed since
}

// hold is the first of the segments that s stands for.
func hold(s *dataplane.Segment, now time.Time) *held {
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
	t := header.TCP(h.pkt[header.IPv6Size:])
	if v := timestamp(t); v != nil {
		late := uint32(now.Sub(h.made).Milliseconds())
		binary.BigEndian.PutUint32(v, binary.BigEndian.Uint32(v)+late)
	}
	h.made = now
}

const (
	optionNone      = 1 // RFC 9293 §3.1
	optionTimestamp = 8 // RFC 7323 §3.2
)

// timestamp is the TSval of a segment of gVisor's, in place; nil if it has none.
func timestamp(t header.TCP) []byte {
	for o := t[header.TCPSize:t.DataOffset()]; len(o) > 1; {
		switch {
		case o[0] == optionNone:
			o = o[1:]
			continue
		case o[0] == 0 || o[1] < 2 || int(o[1]) > len(o):
			return nil
		case o[0] == optionTimestamp && o[1] == 10:
			return o[2:6]
		}
		o = o[o[1]:]
	}
	return nil
}

// settle notes what became of a segment.
func (f *flow) settle(why dataplane.Drop, s *dataplane.Segment, now time.Time) {
	f.became(why, now)
	if !away[why] {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := hold(s, now); f.held == nil || !before(f.held.begin, h.begin) {
		f.held = h
	}
}

// became notes why a segment was not sent; None: it was.
func (f *flow) became(why dataplane.Drop, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waits != why {
		f.waits, f.since = why, now
	}
}

// again is a copy of what is held, if it is to be sent again. The FIB has changed, or
// has some time ago when it was too soon.
func (f *flow) again(changed bool, now time.Time) *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held
	if h == nil {
		return nil
	}
	h.due = h.due || changed
	if !h.due || now.Sub(h.sent) < again {
		return nil
	}
	h.due, h.sent = false, now
	out := *h
	out.pkt = append(header.IPv6(nil), h.pkt...)
	out.renew(now)
	return &out
}

// retry sends what is held, since there may be a way now.
func (s *Stack) retry(changed bool) {
	for _, f := range s.flows.each() {
		at := now()
		h := f.again(changed, at)
		if h == nil {
			continue
		}
		seg := h.segment()
		seg.PathMTU = s.paths.get(f.remote.Addr(), at)
		f.became(s.out.send(&seg), at)
		s.retried.Add(1)
	}
}

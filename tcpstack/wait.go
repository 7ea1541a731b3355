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

// A held segment is the last one of a connection that found no way. When there is
// one again it is sent as if TCP had just sent it again: nobody has to wait for a
// timer that has backed off to a minute.
type held struct {
	pkt  header.IPv6 // a hop limit of zero is filled in anew
	end  uint32      // sequence number behind it
	when time.Time   // it was made
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
	h := &held{pkt: b, when: now}
	h.end = t.Sequence() + uint32(len(b)-header.IPv6Size-t.DataOffset())
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
		late := uint32(now.Sub(h.when).Milliseconds())
		binary.BigEndian.PutUint32(v, binary.BigEndian.Uint32(v)+late)
	}
	h.when = now
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if why == dataplane.None {
		f.waits, f.held = why, nil
		return
	}
	if f.waits != why {
		f.waits, f.since = why, now
	}
	if away[why] {
		f.held = hold(s, now)
	}
}

// again is the segment that is to be sent again, renewed; nil if there is none.
func (f *flow) again(now time.Time) *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		return nil
	}
	h := *f.held // what is sent is nobody else's
	h.pkt = append(header.IPv6(nil), h.pkt...)
	h.renew(now)
	return &h
}

// retry sends what waits for a way, since there may be one now.
func (s *Stack) retry() {
	for _, f := range s.flows.each() {
		at := now()
		h := f.again(at)
		if h == nil {
			continue
		}
		seg := h.segment()
		seg.PathMTU = s.paths.get(f.remote.Addr(), at)
		f.settle(s.out.send(&seg), &seg, at)
		s.retried.Add(1)
	}
}

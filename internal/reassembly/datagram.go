package reassembly

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/router6d/router6d/internal/header"
)

const (
	// maxPayload is the longest packet behind its IPv6 header.
	maxPayload = 65535
	unknown    = -1
	// What is kept about a packet and about each of its fragments costs about as
	// much, and counts: there may be many with few bytes.
	datagramSize = 256
	pieceSize    = 64
)

// A datagram is a packet of which fragments are missing.
type datagram struct {
	key
	began  time.Time
	pieces []piece // by offset; they do not overlap
	have   int     // bytes in them
	end    int     // of the packet behind the headers, unknown until the last piece came
	size   int     // for the bounds
	marks  uint8   // a bit for each codepoint of congestion that a fragment had, RFC 3168 §5

	// The fragment with offset zero as it came, nil before: its headers are those
	// of the packet.
	first       header.IPv6
	firstZone   uint64
	firstHeader header.Reached

	refused bool // it had fragments that overlap: all of it is, RFC 5722
}

// A piece is the data of one fragment.
type piece struct {
	offset int
	data   []byte
	more   bool
}

func (p *piece) end() int { return p.offset + len(p.data) }

func (d *datagram) deadline() time.Time { return d.began.Add(Timeout) }

// add takes a copy of what the fragment brings, if it is consistent with others.
func (d *datagram) add(pkt header.IPv6, r *header.Reached, zone uint64) Verdict {
	f := header.Fragment(pkt[r.Offset:])
	p := piece{f.Offset(), f.Data(), f.More()}
	i, found := slices.BinarySearchFunc(d.pieces, p.offset, func(x piece, at int) int { return cmp.Compare(x.offset, at) })
	switch {
	case found && d.pieces[i].more == p.more && bytes.Equal(d.pieces[i].data, p.data):
		return Idle
	case d.overlaps(i, &p):
		return Overlap
	case len(d.pieces) == MaxPieces:
		return TooMany
	}
	if d.marks |= 1 << (pkt.TrafficClass() & 3); d.marks&congested == congested {
		return Mixed
	}
	if !p.more {
		d.end = p.end()
	}
	d.keep(i, p, pkt, r, zone)
	if d.have == d.end {
		return Whole
	}
	return Kept
}

// Of the codepoints, those that do not go together: somebody who says that it was
// congested, and somebody who could not have said so.
const (
	incapable   = 1 << 0
	experienced = 1 << 3
	congested   = incapable | experienced
)

// overlaps reports whether p, which belongs before the i-th piece, contradicts
// what is there: two say what stands in one place, or where the packet ends.
func (d *datagram) overlaps(i int, p *piece) bool {
	last := len(d.pieces) - 1
	switch {
	case i > 0 && d.pieces[i-1].end() > p.offset:
		return true
	case i <= last && p.end() > d.pieces[i].offset:
		return true
	case !p.more && last >= 0 && d.pieces[last].end() > p.end():
		return true
	}
	return d.end != unknown && (p.end() > d.end || !p.more && p.end() != d.end)
}

// keep puts a copy of p before the i-th piece.
func (d *datagram) keep(i int, p piece, pkt header.IPv6, r *header.Reached, zone uint64) {
	d.have += len(p.data)
	d.size += pieceSize + len(p.data)
	if p.offset == 0 {
		d.first, d.firstHeader, d.firstZone = bytes.Clone(pkt), *r, zone
		p.data = header.Fragment(d.first[r.Offset:]).Data()
		d.size += r.Offset
	} else {
		p.data = bytes.Clone(p.data)
	}
	d.pieces = slices.Insert(d.pieces, i, p)
}

// join returns the packet, of which no piece is missing: the headers in front of
// the first fragment's fragment header, and the data. It is nil if that is longer
// than a packet can be.
func (d *datagram) join() header.IPv6 {
	r := &d.firstHeader
	payload := r.Offset - header.IPv6Size + d.end
	if payload > maxPayload {
		return nil
	}
	whole := append(make(header.IPv6, 0, header.IPv6Size+payload), d.first[:r.Offset]...)
	for _, p := range d.pieces {
		whole = append(whole, p.data...)
	}
	whole[r.NextHeader] = header.Fragment(d.first[r.Offset:]).NextHeader()
	whole.SetPayloadLength(uint16(payload))
	if d.marks&experienced != 0 {
		whole[1] |= 3 << 4 // of the traffic class
	}
	return whole
}

// refuse lets go of all that d has.
func (d *datagram) refuse() {
	*d = datagram{key: d.key, began: d.began, end: unknown, size: datagramSize, refused: true}
}

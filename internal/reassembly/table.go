package reassembly

import (
	"slices"
	"sync"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// Timeout is how long a packet may take from the first of its fragments, RFC 8200
// §4.5.
const Timeout = 60 * time.Second

// Bounds, RFC 8200 leaves them to us. Bytes are those of fragments and of what is
// kept about them.
const (
	MaxBytes           = 4 << 20 // 60 of the largest packets
	MaxSourceBytes     = 1 << 20 // of one source
	MaxDatagrams       = 1024
	MaxSourceDatagrams = 64
	MaxPieces          = 256 // of one packet: the largest has 54 on a link of 1280 bytes
)

// A Verdict is what became of a fragment.
type Verdict uint8

const (
	// Kept means that others are missing.
	Kept Verdict = iota
	// Whole means that it was the last that was missing.
	Whole
	// Idle means that it adds nothing: it is there already, or has no data.
	Idle
	// Overlap means that its packet has overlapping fragments, RFC 5722.
	Overlap
	// OddLength means that more are to follow and it is no multiple of 8 bytes.
	OddLength
	// TooLong means that it ends behind the longest packet there can be.
	TooLong
	// NoChain means that it is the first, and without all headers, RFC 7112.
	NoChain
	// TooMany means that its packet has more than MaxPieces, and is given up.
	TooMany
	// Mixed means that fragments contradict each other about congestion, RFC 3168 §5.3,
	// and that their packet is given up.
	Mixed
)

// Stats counts packets, not fragments.
type Stats struct {
	Reassembled uint64
	TimedOut    uint64 // not complete after Timeout
	Refused     uint64 // given up for fragments that overlap or do not go together, are too many or too long
	Evicted     uint64 // given up for newer ones, at a bound

	Held, Bytes int // now
}

// A Table is the packets of which fragments are missing.
type Table struct {
	// Fragments of one packet come by any interface, each with a worker of its own,
	// and what is held changes with each: neither a Turn nor a Guard fits. Taken for
	// fragments to the router itself, for as long as it takes to copy one.
	mu    sync.Mutex
	byKey map[key]*datagram
	order []*datagram         // as they began
	usage map[[16]byte]*usage // by source
	bytes int
	stats Stats
}

// A key is what fragments of one packet have in common, RFC 8200 §4.5. An address
// of a link means something there only: zone is the link then, else zero.
type key struct {
	src, dst       [16]byte
	identification uint32
	zone           uint64
}

// usage is what one source has.
type usage struct{ datagrams, bytes int }

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{byKey: map[key]*datagram{}, usage: map[[16]byte]*usage{}}
}

// Add takes a copy of the fragment pkt, which came in by zone, and whose fragment
// header is at r.Offset. With Whole it returns the packet, for the caller to keep.
func (t *Table) Add(now time.Time, zone uint64, pkt header.IPv6, r *header.Reached) (header.IPv6, Verdict) {
	f := header.Fragment(pkt[r.Offset:])
	if v := check(f, r.Offset); v != Kept {
		return nil, v
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.find(now, newKey(zone, pkt, f))
	if d.refused {
		return nil, Overlap
	}
	before := d.size
	v := d.add(pkt, r, zone)
	t.account(d, before)
	switch v {
	case Overlap, TooMany, Mixed:
		t.stats.Refused++
		t.clear(d)
	case Kept:
		t.makeRoom(d)
	case Whole:
		t.remove(d)
		whole := d.join()
		if whole == nil {
			t.stats.Refused++
			return nil, TooLong
		}
		t.stats.Reassembled++
		return whole, Whole
	}
	return nil, v
}

// check is what a fragment is refused for, whatever the others are. Headers of
// size bytes are in front of its fragment header.
func check(f header.Fragment, size int) Verdict {
	n := len(f.Data())
	switch {
	case f.More() && n%8 != 0:
		return OddLength
	case size-header.IPv6Size+f.Offset()+n > maxPayload:
		return TooLong
	case f.Offset() == 0 && !header.ChainIsWhole(f.NextHeader(), f.Data()):
		return NoChain
	case f.More() && n == 0:
		return Idle
	}
	return Kept
}

func newKey(zone uint64, pkt header.IPv6, f header.Fragment) key {
	k := key{*pkt.SourceBytes(), *pkt.DestinationBytes(), f.Identification(), zone}
	if !header.IsLinkLocal(&k.src) && !header.IsLinkLocal(&k.dst) && !header.IsMulticast(&k.dst) {
		k.zone = 0
	}
	return k
}

// find returns the packet of the key, a new one if there is none.
func (t *Table) find(now time.Time, k key) *datagram {
	d := t.byKey[k]
	if d != nil {
		return d
	}
	d = &datagram{key: k, began: now, end: unknown}
	t.byKey[k] = d
	t.order = append(t.order, d)
	u := t.usage[k.src]
	if u == nil {
		u = new(usage)
		t.usage[k.src] = u
	}
	u.datagrams++
	d.size = datagramSize
	t.account(d, 0)
	return d
}

// account follows a change of d's size.
func (t *Table) account(d *datagram, before int) {
	t.bytes += d.size - before
	t.usage[d.src].bytes += d.size - before
}

// makeRoom keeps the bounds after d has grown, at the expense of others.
func (t *Table) makeRoom(d *datagram) {
	u := t.usage[d.src]
	for u.bytes > MaxSourceBytes || u.datagrams > MaxSourceDatagrams {
		t.evict(func(x *datagram) bool { return x != d && x.src == d.src })
	}
	for t.bytes > MaxBytes || len(t.order) > MaxDatagrams {
		t.evict(func(x *datagram) bool { return x != d })
	}
}

// evict gives up the oldest of those. There is one: no packet alone is as large as
// a bound.
func (t *Table) evict(those func(*datagram) bool) {
	d := t.order[slices.IndexFunc(t.order, those)]
	if !d.refused {
		t.stats.Evicted++
	}
	t.remove(d)
}

// clear gives up what d has. It stays, to refuse what is yet to come of it.
func (t *Table) clear(d *datagram) {
	before := d.size
	d.refuse()
	t.account(d, before)
}

func (t *Table) remove(d *datagram) {
	delete(t.byKey, d.key)
	i := slices.Index(t.order, d)
	t.order = slices.Delete(t.order, i, i+1)
	t.bytes -= d.size
	u := t.usage[d.src]
	u.bytes -= d.size
	u.datagrams--
	if u.datagrams == 0 {
		delete(t.usage, d.src)
	}
}

// A Late packet was not complete in time, but its first fragment had come: its
// source is told, RFC 8200 §4.5.
type Late struct {
	Zone  uint64      // by which the first fragment came in
	First header.IPv6 // that fragment, as it came
}

// Expire gives up what is too old at now. It returns what is to be reported, and
// when there is more to give up; zero when nothing is held.
func (t *Table) Expire(now time.Time) (late []Late, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 {
		d := t.order[0]
		if now.Before(d.deadline()) {
			return late, d.deadline()
		}
		if !d.refused {
			t.stats.TimedOut++
		}
		if d.first != nil {
			late = append(late, Late{d.firstZone, d.first})
		}
		t.remove(d)
	}
	return late, time.Time{}
}

// Stats is what the table has done and holds.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Held, s.Bytes = len(t.order), t.bytes
	return s
}

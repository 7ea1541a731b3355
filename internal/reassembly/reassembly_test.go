package reassembly_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/reassembly"
)

const router = "2001:db8::1"

var start = time.Unix(1e9, 0)

// add gives a table one fragment.
func add(t *testing.T, table *reassembly.Table, now time.Time, zone uint64, pkt []byte) (header.IPv6, reassembly.Verdict) {
	t.Helper()
	r := header.Destination(pkt)
	if r.Stop != header.AtFragment {
		t.Fatalf("no fragment: %x", pkt)
	}
	return table.Add(now, zone, pkt, &r)
}

// source is one of many.
func source(i int) string {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8, 1}
	binary.BigEndian.PutUint32(a[12:], uint32(i)+1)
	return header.IPv6(append(make([]byte, 8), append(a[:], a[:]...)...)).Source().String()
}

// Whatever comes, memory is bounded, and what is oldest goes first.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name      string
		source    func(int) string
		size      int
		datagrams int // most that are held
		bytes     int
	}{
		{"many sources", source, 64, reassembly.MaxDatagrams, reassembly.MaxBytes},
		{"many sources, much data", source, 60000, reassembly.MaxDatagrams, reassembly.MaxBytes},
		{"one source", func(int) string { return source(0) }, 64, reassembly.MaxSourceDatagrams, reassembly.MaxSourceBytes},
		{"one source, much data", func(int) string { return source(0) }, 60000, reassembly.MaxSourceDatagrams, reassembly.MaxSourceBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := reassembly.NewTable()
			const many = 3000
			for i := range many {
				pkt := lab.UDP(c.source(i), router, 1, 2, make([]byte, c.size+8))
				if _, v := add(t, table, start, 1, lab.Piece(pkt, 0, c.size, true, uint32(i))); v != reassembly.Kept {
					t.Fatalf("verdict = %v, want %v", v, reassembly.Kept)
				}
				if s := table.Stats(); s.Held > c.datagrams || s.Bytes > c.bytes || s.Held+int(s.Evicted) != i+1 {
					t.Fatalf("after %d: %+v, want at most %d held, %d bytes, and the rest evicted", i+1, s, c.datagrams, c.bytes)
				}
			}
			pkt := lab.UDP(c.source(many-1), router, 1, 2, make([]byte, c.size+8))
			if _, v := add(t, table, start, 1, lab.Piece(pkt, c.size, c.size+16, false, many-1)); v != reassembly.Whole {
				t.Errorf("verdict of the newest = %v, want %v", v, reassembly.Whole)
			}
			if late, next := table.Expire(start.Add(reassembly.Timeout)); len(late) == 0 || !next.IsZero() {
				t.Errorf("%d late, next at %v, want some, and no next", len(late), next)
			}
			if s := table.Stats(); s.Held != 0 || s.Bytes != 0 {
				t.Errorf("held %+v, want nothing", s)
			}
		})
	}
}

// A source that is over its share makes room at its own expense.
func TestASourceDoesNotEvictOthers(t *testing.T) {
	table := reassembly.NewTable()
	victim := lab.Fragments(lab.UDP(source(1), router, 1, 2, make([]byte, 3000)), 1232, 1)
	add(t, table, start, 1, victim[0])
	for i := range 5000 {
		add(t, table, start, 1, lab.Piece(lab.UDP(source(2), router, 1, 2, make([]byte, 3000)), 0, 1232, true, uint32(i)))
	}
	add(t, table, start, 1, victim[1])
	if _, v := add(t, table, start, 1, victim[2]); v != reassembly.Whole {
		t.Errorf("verdict = %v, want %v", v, reassembly.Whole)
	}
}

// More fragments than any packet needs are a way to make others work.
func TestTooManyPieces(t *testing.T) {
	table := reassembly.NewTable()
	pkt := lab.UDP(source(1), router, 1, 2, make([]byte, 8*2*(reassembly.MaxPieces+2)))
	for i := range reassembly.MaxPieces {
		if _, v := add(t, table, start, 1, lab.Piece(pkt, 16*i, 16*i+8, true, 1)); v != reassembly.Kept {
			t.Fatalf("verdict of fragment %d = %v, want %v", i, v, reassembly.Kept)
		}
	}
	if _, v := add(t, table, start, 1, lab.Piece(pkt, 16*reassembly.MaxPieces, 16*reassembly.MaxPieces+8, true, 1)); v != reassembly.TooMany {
		t.Errorf("verdict = %v, want %v", v, reassembly.TooMany)
	}
	if _, v := add(t, table, start, 1, lab.Piece(pkt, 8, 16, true, 1)); v != reassembly.Overlap {
		t.Errorf("verdict afterwards = %v, want %v", v, reassembly.Overlap)
	}
	late, _ := table.Expire(start.Add(reassembly.Timeout))
	if len(late) != 0 {
		t.Errorf("%d are reported, want none", len(late))
	}
}

// The headers of the first fragment may make a packet too long that was not.
func TestHeadersMakeTooLong(t *testing.T) {
	table := reassembly.NewTable()
	pkt := lab.UDP(source(1), router, 1, 2, make([]byte, 65535-8))
	pieces := lab.Fragments(pkt, 1232, 1)
	for _, p := range pieces[1:] {
		add(t, table, start, 1, p)
	}
	if _, v := add(t, table, start, 1, lab.Options(pieces[0], header.ProtoDestinationOptions)); v != reassembly.TooLong {
		t.Errorf("verdict = %v, want %v", v, reassembly.TooLong)
	}
	if s := table.Stats(); s.Held != 0 || s.Bytes != 0 || s.Refused != 1 {
		t.Errorf("%+v, want nothing held, and one refused", s)
	}
}

// A naive is the slow twin of a Table for one packet: a byte for each byte, and
// who wrote it.
type naive struct {
	data    [65536 + 65536]byte
	written [65536 + 65536]bool
	pieces  [][2]int
	end     int
	dead    bool
}

func (n *naive) add(at int, data []byte, more bool) reassembly.Verdict {
	if n.dead {
		return reassembly.Overlap
	}
	end := at + len(data)
	if slices.Contains(n.pieces, [2]int{at, end}) && bytes.Equal(n.data[at:end], data) && more == (end != n.end) {
		return reassembly.Idle
	}
	n.dead = !more && n.end >= 0 && n.end != end
	if !more {
		n.end = end
	}
	for i := range data {
		n.dead = n.dead || n.written[at+i]
		n.written[at+i], n.data[at+i] = true, data[i]
	}
	n.pieces = append(n.pieces, [2]int{at, end})
	for i, w := range n.written {
		n.dead = n.dead || w && n.end >= 0 && i >= n.end
	}
	switch {
	case n.dead:
		return reassembly.Overlap
	case n.end >= 0 && !slices.Contains(n.written[:n.end], false):
		return reassembly.Whole
	}
	return reassembly.Kept
}

// Each three bytes are a fragment: where, how long, and whether more follow. The
// table says and makes of them what its slow twin does.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 4, 1, 4, 4, 0}, uint64(1))                   // in order
	f.Add([]byte{4, 4, 0, 0, 4, 1}, uint64(1))                   // the other way round
	f.Add([]byte{0, 4, 1, 3, 4, 1, 7, 1, 0}, uint64(1))          // overlap
	f.Add([]byte{0, 4, 1, 0, 4, 1, 4, 4, 0}, uint64(1))          // duplicate
	f.Add([]byte{0, 4, 1, 4, 0, 0}, uint64(1))                   // an empty last one
	f.Add([]byte{8, 2, 0, 4, 2, 0, 0, 4, 1}, uint64(1))          // two ends
	f.Add([]byte{8, 2, 1, 1, 1, 0, 0, 1, 1}, uint64(1))          // an end in front of another
	f.Add([]byte{4, 0, 0, 4, 2, 1, 0, 4, 1}, uint64(1))          // behind an empty last one
	f.Add([]byte{0, 4, 1, 4, 4, 3, 8, 1, 1, 9, 0, 2}, uint64(1)) // other bytes in the same place
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		table, twin := reassembly.NewTable(), &naive{end: -1}
		original := make([]byte, 256*8+8)
		r := rand.New(rand.NewPCG(seed, 0))
		for i := range original {
			original[i] = byte(r.Uint32())
		}
		for s := script; len(s) >= 3; s = s[3:] {
			at, size, more := int(s[0])*8, int(s[1]%8)*8, s[2]&1 != 0
			if !more {
				size += int(s[2] >> 5)
			}
			data := bytes.Clone(original[at : at+size%(len(original)-at+1)])
			if s[2]&2 != 0 && len(data) > 0 {
				data[0] ^= 1
			}
			if more && (len(data) == 0 || len(data)%8 != 0) || at == 0 && !more {
				continue // refused for itself, or no fragment
			}
			pkt := lab.Fragment(lab.Packet(source(1), router, 253, data), uint16(at/8), more)
			whole, got := add(t, table, start, 1, pkt)
			want := twin.add(at, data, more)
			if got != want {
				t.Fatalf("fragment %d+%d, more %v: verdict = %v, want %v", at, len(data), more, got, want)
			}
			if got == reassembly.Whole {
				if !bytes.Equal(whole[header.IPv6Size:], twin.data[:twin.end]) || whole.NextHeader() != 253 || int(whole.PayloadLength()) != twin.end {
					t.Fatalf("whole = %x, want %x", whole, twin.data[:twin.end])
				}
				twin = &naive{end: -1}
			}
			if s := table.Stats(); s.Bytes > reassembly.MaxBytes || s.Held > 1 {
				t.Fatalf("holds %+v", s)
			}
		}
		table.Expire(start.Add(reassembly.Timeout))
		if s := table.Stats(); s.Held != 0 || s.Bytes != 0 {
			t.Fatalf("holds %+v in the end", s)
		}
	})
}

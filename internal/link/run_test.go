package link

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/header"
)

// datagrams is n times the same but for what is in them.
func datagrams(n, payload int, change func(*super)) (all []framed) {
	for i := range n {
		s := super{gso: gsoUDP, payload: payload, size: payload}
		if change != nil {
			change(&s)
		}
		v, pkt := s.build()
		v.gso, v.size = gsoNone, 0
		for at := len(pkt) - s.payload; at < len(pkt); at++ {
			pkt[at] = byte(at * (i + 1))
		}
		all = append(all, framed{v, pkt})
	}
	return all
}

// A framed is a packet as a TUN reads it.
type framed struct {
	v   vnet
	pkt []byte
}

func batchOfAll(t testing.TB, all []framed) *Batch {
	t.Helper()
	b := NewBatch(NewPool(1))
	b.begin()
	for _, f := range all {
		b.push(f.pkt)
		p := b.At(b.Len() - 1)
		if !p.Offload.decode(f.v.bytes(), p.Bytes(), 0) {
			t.Fatal("a packet that is bad is no help")
		}
	}
	return b
}

// runs is what is written for a batch, a packet or a run each.
func runs(b *Batch) (written [][]byte, counts []int) {
	for rest := b.pkts[:b.n]; len(rest) > 0; {
		n := follow(rest, false)
		var all []byte
		for _, p := range join(nil, rest[:n]) {
			all = append(all, unsafe.Slice(p.Base, p.Len)...)
		}
		part(rest[:n])
		written, counts, rest = append(written, all), append(counts, n), rest[n:]
	}
	return written, counts
}

// cutAll is what a wire would carry of a written packet or run.
func cutAll(t *testing.T, frame []byte) (segments [][]byte) {
	t.Helper()
	b := BatchOfFrame(frame, frame[vnetHeaderSize:])
	if err := b.At(0).Cut(func(p *Packet) error {
		segments = append(segments, bytes.Clone(p.Bytes()))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return segments
}

// Whatever becomes a run, cut up again it is what was sent, in order; and the
// packets are what they were.
func TestRunsAreTheirPackets(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 19))
	longest := 0
	for range 300 {
		var all []framed
		for size := 0; len(all) < VectorSize && size < batchBytes; {
			for _, f := range someOf(r) {
				if size += len(f.pkt); len(all) < VectorSize && size < batchBytes {
					all = append(all, f)
				}
			}
		}
		var want [][]byte
		b := batchOfAll(t, all)
		for i := range b.Len() {
			if b.At(i).Offload.Superframe() {
				want = append(want, cutUp(t, all[i].v, bytes.Clone(all[i].pkt))...)
				continue
			}
			b.At(i).CompleteChecksum()
			want = append(want, bytes.Clone(b.At(i).Bytes()))
		}
		b = batchOfAll(t, all)
		written, counts := runs(b)
		var got [][]byte
		for i, w := range written {
			got = append(got, cutAll(t, w)...)
			longest = max(longest, counts[i])
		}
		if len(got) != len(want) {
			t.Fatalf("%d packets, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("packet %d = %x\nwant %x", i, got[i], want[i])
			}
		}
		for i := range b.Len() {
			if !bytes.Equal(b.At(i).Bytes(), all[i].pkt) {
				t.Fatalf("packet %d is not what it was", i)
			}
		}
	}
	if longest < 10 {
		t.Errorf("the longest run has %d packets, so this shows nothing", longest)
	}
}

// someOf is a few packets of one kind.
func someOf(r *rand.Rand) []framed {
	n := 1 + r.IntN(30)
	switch r.IntN(6) {
	case 0:
		s := AnySuper(r)
		v, pkt := s.build()
		return []framed{{v, pkt}}
	case 1: // complete
		all := datagrams(n, 1+r.IntN(1400), nil)
		for i := range all {
			all[i].v = vnet{}
		}
		return all
	case 2:
		return datagrams(n, 100, func(s *super) { s.extensions = 8 })
	case 3: // each of another size
		return datagrams(n, 1, func(s *super) { s.payload = 1 + r.IntN(3) })
	}
	return datagrams(n, 1+r.IntN(9000), nil)
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []framed
		want []int
	}{
		{"as many as there are", datagrams(64, 100, nil), []int{64}},
		{"as much as a packet may have", datagrams(64, 1200, nil), []int{54, 10}},
		{"no run of one", datagrams(2, 40_000, nil), []int{1, 1}},
		{"no data", datagrams(2, 0, nil), []int{1, 1}},
		{"behind an extension header", datagrams(3, 100, func(s *super) { s.extensions = 8 }), []int{1, 1, 1}},
		{"in a tunnel", tunneled(datagrams(3, 100, nil)), []int{1, 1, 1}},
		{"another size", append(datagrams(3, 100, nil), datagrams(2, 99, nil)...), []int{3, 2}},
		{"another hop limit", changed(datagrams(4, 100, nil), 2, 7), []int{2, 1, 1}},
		{"another traffic class", changed(datagrams(4, 100, nil), 1, 0), []int{1, 1, 2}},
		{"another port", changed(datagrams(4, 100, nil), 3, 40), []int{3, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := runs(batchOfAll(t, c.all))
			if !slices.Equal(got, c.want) {
				t.Errorf("runs of %v, want %v", got, c.want)
			}
		})
	}
}

// changed has one byte of the i-th packet be another.
func changed(all []framed, i, at int) []framed {
	all[i].pkt[at] ^= 1
	return all
}

// tunneled is the packets in IPv6, whose sender left the inner checksum to an offload.
func tunneled(all []framed) []framed {
	for i := range all {
		f := &all[i]
		outer := make([]byte, header.IPv6Size, header.IPv6Size+len(f.pkt))
		header.PutIPv6(outer, &header.IPv6Fields{PayloadLength: uint16(len(f.pkt)), NextHeader: 41, HopLimit: 9})
		f.pkt = append(outer, f.pkt...)
		f.v.start += header.IPv6Size
	}
	return all
}

// Whatever says that it is a datagram, and whoever: what is written is what was sent.
func FuzzRun(f *testing.F) {
	for _, all := range [][]framed{datagrams(1, 9, nil), tunneled(datagrams(1, 9, nil))} {
		f.Add(all[0].v.bytes(), all[0].pkt)
	}
	f.Fuzz(func(t *testing.T, h, pkt []byte) {
		if len(h) < vnetHeaderSize || len(pkt) == 0 || len(pkt) > MaxPacket {
			return
		}
		for _, frames := range []bool{false, true} {
			b := BatchOf(pkt, pkt, pkt)
			for i := range b.Len() {
				if !b.At(i).Offload.decode(h, pkt, networkOf(pkt, frames)) {
					return
				}
			}
			n := follow(b.pkts[:b.n], frames)
			if n == 1 {
				continue
			}
			var all []byte
			for _, p := range join(nil, b.pkts[:n]) {
				all = append(all, unsafe.Slice(p.Base, p.Len)...)
			}
			part(b.pkts[:n])
			whole := BatchOf(all[vnetHeaderSize:]).At(0)
			if !whole.Offload.decode(all, whole.Bytes(), networkOf(pkt, frames)) || whole.Segments() != n {
				t.Fatalf("%d segments in %x, want %d of %x", whole.Segments(), whole.Bytes(), n, pkt)
			}
			if !bytes.Equal(b.At(0).Bytes(), pkt) {
				t.Fatalf("first = %x, want %x", b.At(0).Bytes(), pkt)
			}
		}
	})
}

func networkOf(pkt []byte, frames bool) int {
	if frames {
		return networkOffset(pkt)
	}
	return 0
}

func TestRunDoesNotAllocate(t *testing.T) {
	b := batchOfAll(t, datagrams(VectorSize, 1200, nil))
	n := testing.AllocsPerRun(10, func() {
		var room [VectorSize]unix.Iovec
		for rest := b.pkts[:b.n]; len(rest) > 0; {
			n := follow(rest, false)
			join(room[:0], rest[:n])
			part(rest[:n])
			rest = rest[n:]
		}
	})
	if n != 0 {
		t.Errorf("allocations for a batch = %v, want 0", n)
	}
}

package netlab

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A slowWindow is the slow twin of a seqWindow.
type slowWindow struct {
	seen map[uint64]bool
	next uint64
}

func (w *slowWindow) mark(seq uint64) arrival {
	a := reordered
	switch {
	case seq >= w.next:
		a = inOrder
		w.next = seq + 1
	case w.next-seq > windowSize:
		return stale
	case w.seen[seq]:
		return duplicate
	}
	w.seen[seq] = true
	return a
}

func TestSeqWindowAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fast, slow := &seqWindow{}, &slowWindow{seen: make(map[uint64]bool)}
		steps := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(-8, 8),
			rapid.Int64Range(-windowSize-2, windowSize+2),
		), 1, 100).Draw(t, "steps")
		for _, step := range steps {
			seq := uint64(max(0, int64(slow.next)+step))
			if got, want := fast.mark(seq), slow.mark(seq); got != want {
				t.Fatalf("mark(%d) = %v, want %v", seq, got, want)
			}
		}
	})
}

func TestHistogramBucketsHoldTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Uint64Range(0, 1<<62).Draw(t, "ns")
		b := bucket(ns)
		if top := ceiling(b); uint64(top) < ns {
			t.Fatalf("ceiling(%d) = %d, below %d", b, top, ns)
		}
		if b > 0 && uint64(ceiling(b-1)) >= ns {
			t.Fatalf("%d also fits bucket %d, up to %d", ns, b-1, ceiling(b-1))
		}
	})
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing = %v, want 0", got)
	}
	for ms := range 1000 {
		h.add(time.Duration(ms+1) * time.Millisecond)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{
		{0.5, 500 * time.Millisecond},
		{0.99, 990 * time.Millisecond},
		{1, 1000 * time.Millisecond},
	} {
		if got := h.quantile(c.q); got < c.want || got > c.want*17/16 {
			t.Errorf("quantile(%v) = %v, want %v and up to 1/16 more", c.q, got, c.want)
		}
	}
}

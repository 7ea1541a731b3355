package netlab

import (
	"math/bits"
	"time"
)

// A histogram counts delays in buckets that are 1/16 of their value wide, from
// a nanosecond to centuries.
type histogram struct {
	counts [61 * 16]uint64
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
}

// quantile returns a delay that the fraction q of all did not exceed, to within
// a bucket.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rest := uint64(q * float64(h.total))
	for b, n := range h.counts {
		if n > rest {
			return min(ceiling(b), h.max)
		}
		rest -= n
	}
	return h.max
}

// bucket keeps the five highest bits: below 16 exactly, from there on an
// exponent and four bits.
func bucket(ns uint64) int {
	if ns < 16 {
		return int(ns)
	}
	e := bits.Len64(ns) - 5
	return e*16 + int(ns>>e)
}

// ceiling is the highest value in a bucket.
func ceiling(b int) time.Duration {
	if b < 32 {
		return time.Duration(b)
	}
	e := b/16 - 1
	return time.Duration(uint64(b%16+16+1)<<e - 1)
}

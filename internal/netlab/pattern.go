package netlab

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// lap is the length of a pattern: a prime, so that no sum of whole segments
// that goes missing or comes twice is likely to be one of its multiples; and
// no larger than a cache holds.
const lap = 256<<10 + 3

// A pattern is an endless stream in which every byte is known from its offset:
// a block of noise again and again, whose first eight bytes are the number of
// the lap. Both ends make it from the same key. Making it costs a store a lap,
// and checking it a comparison of memory.
type pattern struct {
	block [lap]byte
	at    int    // < lap
	laps  uint64 // the stamp
}

func newPattern(key uint64) *pattern {
	p := &pattern{}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], key)
	noise := rand.NewChaCha8(seed)
	_, _ = noise.Read(p.block[:]) // never fails
	p.stamp()
	return p
}

// next returns the bytes to come, as many as there are in one piece up to
// most. They are good until advance.
func (p *pattern) next(most int) []byte {
	return p.block[p.at:min(p.at+most, lap)]
}

// advance passes over n bytes, no more than next returned.
func (p *pattern) advance(n int) {
	p.at += n
	if p.at == lap {
		p.at = 0
		p.laps++
		p.stamp()
	}
}

// match passes over as much of b as is as it should be, and returns how much.
func (p *pattern) match(b []byte) int {
	matched := 0
	for matched < len(b) {
		want := p.next(len(b) - matched)
		n := common(b[matched:matched+len(want)], want)
		p.advance(n)
		matched += n
		if n < len(want) {
			break
		}
	}
	return matched
}

func (p *pattern) stamp() {
	binary.BigEndian.PutUint64(p.block[:], p.laps)
}

// common is the length of the common beginning of two slices of one length.
func common(a, b []byte) int {
	if bytes.Equal(a, b) {
		return len(a)
	}
	n := 0
	for a[n] == b[n] {
		n++
	}
	return n
}

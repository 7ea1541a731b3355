package netlab

import (
	"encoding/binary"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// byteAt is the slow twin of a pattern.
func byteAt(noise []byte, offset int) byte {
	if i := offset % lap; i < 8 {
		return binary.BigEndian.AppendUint64(nil, uint64(offset/lap))[i]
	}
	return noise[offset%lap]
}

func TestPatternIsKnownFromItsOffset(t *testing.T) {
	first := newPattern(7)
	noise := first.block
	rapid.Check(t, func(t *rapid.T) {
		p := newPattern(7)
		offset := 0
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			b := p.next(rapid.IntRange(1, 2*lap).Draw(t, "most"))
			for i, got := range b {
				if want := byteAt(noise[:], offset+i); got != want {
					t.Fatalf("byte %d = %#x, want %#x", offset+i, got, want)
				}
			}
			n := rapid.IntRange(1, len(b)).Draw(t, "n")
			p.advance(n)
			offset += n
		}
	})
}

func TestPatternMatchFindsTheFirstWrongByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3*lap).Draw(t, "n")
		b := stream(9, n)
		wrong := rapid.IntRange(0, n-1).Draw(t, "wrong")
		b[wrong] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")

		p, got := newPattern(9), 0
		for rest := b; len(rest) > 0; {
			piece := min(len(rest), rapid.IntRange(1, lap).Draw(t, "piece"))
			right := p.match(rest[:piece])
			got += right
			if right < piece {
				break
			}
			rest = rest[piece:]
		}
		if got != wrong {
			t.Fatalf("matched %d bytes, want %d", got, wrong)
		}
	})
}

func TestPatternTellsWholeLapsApart(t *testing.T) {
	b := stream(9, 2*lap)
	p := newPattern(9)
	if got := p.match(b[lap:]); got != 7 { // the last byte of the stamp
		t.Errorf("the second lap matched the first for %d bytes, want 7", got)
	}
}

func TestLapIsPrime(t *testing.T) {
	if !big.NewInt(lap).ProbablyPrime(20) {
		t.Errorf("lap = %d is not a prime", lap)
	}
}

// stream returns the first n bytes of a pattern.
func stream(key uint64, n int) []byte {
	p := newPattern(key)
	b := make([]byte, 0, n)
	for len(b) < n {
		next := p.next(n - len(b))
		b = append(b, next...)
		p.advance(len(next))
	}
	return b
}

func BenchmarkPatternMatch(b *testing.B) {
	got, p := stream(9, lap), newPattern(9)
	b.SetBytes(lap)
	b.ReportAllocs()
	for b.Loop() {
		p.laps = 0
		p.stamp()
		if p.match(got) != lap {
			b.Fatal("no match")
		}
	}
}

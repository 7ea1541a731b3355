package header_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
)

func TestRFC1071_3_NumericalExample(t *testing.T) {
	if got := header.Fold(header.Sum(unhex("0001 f203 f4f5 f6f7"), 0)); got != 0xddf2 {
		t.Errorf("sum = %#04x, want 0xddf2", got)
	}
}

func TestSumAgreesWithSlowTwinAtEveryLength(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 300)
	for n := range b {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		initial := r.Uint32()
		got, want := header.Fold(header.Sum(b[:n], initial)), lab.Sum(b[:n], initial)
		if got != want {
			t.Errorf("length %d: sum = %#04x, want %#04x", n, got, want)
		}
	}
}

func TestSumCarries(t *testing.T) {
	ones := make([]byte, 65535)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, n := range []int{1, 2, 7, 8, 9, 16, 63, 64, 65, 128, 1500, 65534, 65535} {
		for _, initial := range []uint32{0, 1, 0xffff, 0x10000, 0xffffffff} {
			got, want := header.Fold(header.Sum(ones[:n], initial)), lab.Sum(ones[:n], initial)
			if got != want {
				t.Errorf("%d bytes of ones from %#x: sum = %#04x, want %#04x", n, initial, got, want)
			}
		}
	}
}

// Proves:
//   - RFC 4443 §2.3 checksum
func TestRFC8200_8_1_PseudoHeader(t *testing.T) {
	payload := make([]byte, 70000) // over 16 bits: the length has 32
	pseudo := append(append(host[:len(host):len(host)], peer[:]...), unhex("00011170 000000 3a")...)
	got, want := header.Checksum(host, peer, header.ProtoICMPv6, payload), ^lab.Sum(pseudo, 0)
	if got != want {
		t.Errorf("checksum = %#04x, want %#04x", got, want)
	}
}

func TestRFC8200_8_1_UDPNeverSendsZero(t *testing.T) {
	u := header.UDP(make([]byte, header.UDPSize))
	u.SetChecksum(0)
	if got := u.Checksum(); got != 0xffff {
		t.Errorf("checksum = %#04x, want 0xffff", got)
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{}, uint32(0))                                   // nothing
	f.Add([]byte{0xff}, uint32(0xffffffff))                      // odd, and a full initial sum
	f.Add(unhex("ffffffffffffffff 0000000000000001"), uint32(0)) // a carry out of 64 bits
	f.Add(make([]byte, 129), uint32(0xffff))                     // two rounds and an odd tail
	f.Fuzz(func(t *testing.T, b []byte, initial uint32) {
		if got, want := header.Fold(header.Sum(b, initial)), lab.Sum(b, initial); got != want {
			t.Errorf("sum = %#04x, want %#04x", got, want)
		}
	})
}

func BenchmarkChecksum(b *testing.B) {
	for _, size := range []int{40, 1240, 1460, 65000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				header.Checksum(host, peer, header.ProtoTCP, payload)
			}
		})
	}
}

package reassembly_test

import (
	"encoding/binary"
	"testing"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/reassembly"
)

// A fragment of a packet that becomes whole, and one of a flood in which none does:
// the table is at its bounds, and each new packet takes the place of another.
func BenchmarkAdd(b *testing.B) {
	b.Run("whole", func(b *testing.B) {
		pieces := lab.Fragments(lab.UDP(source(1), router, 1, 2, make([]byte, 60000)), 1232, 1)
		table := reassembly.NewTable()
		b.ReportAllocs()
		for i := 0; b.Loop(); i = (i + 1) % len(pieces) {
			r := header.Destination(pieces[i])
			table.Add(start, 1, pieces[i], &r)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/pkt")
	})
	for _, c := range []struct {
		name    string
		sources uint32
	}{{"one source", 1}, {"many sources", 1 << 20}} {
		b.Run("flood of "+c.name, func(b *testing.B) {
			pkt := lab.Piece(lab.UDP(source(1), router, 1, 2, make([]byte, 1300)), 0, 1232, true, 1)
			r := header.Destination(pkt)
			table := reassembly.NewTable()
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				binary.BigEndian.PutUint32(pkt[20:], i%c.sources)
				binary.BigEndian.PutUint32(pkt[44:], i)
				table.Add(start, 1, pkt, &r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/pkt")
		})
	}
}

package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/loop"
)

// BenchmarkDifference is the turn in which a reload looks what changes: nothing else
// happens meanwhile.
func BenchmarkDifference(b *testing.B) {
	for _, n := range []int{250, 1000} {
		b.Run(fmt.Sprintf("interfaces=%d", n), func(b *testing.B) {
			var file strings.Builder
			file.WriteString("interfaces:\n")
			for i := range n {
				fmt.Fprintf(&file, "  t%d: {addresses: [\"2001:db8:%x::1/64\"]}\n", i, i)
			}
			d := newDesk(b, file.String())
			for b.Loop() {
				d.turn(func(t *loop.Turn) error { _, err := d.difference(t, d.cfg); return err })
			}
		})
	}
}

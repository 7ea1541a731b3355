package fib_test

import (
	"fmt"
	"math/bits"
	"net/netip"
	"testing"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/loop"
)

// width is the bits of the scaled-down addresses.
const width = 3

// All sets of prefixes that three bits allow, wherever in the address they are:
// across bytes, across the edges of leaves, at both ends. Each step adds or
// removes one prefix (a Gray code), so that every change between neighboring
// sets is made as well.
func TestEverySetOfPrefixes(t *testing.T) {
	for _, offset := range []int{1, 6, 15, 22, 31, 46, 63, 94, 103, 125} {
		t.Run(fmt.Sprint("offset=", offset), func(t *testing.T) { everySet(t, offset) })
	}
}

func everySet(t *testing.T, offset int) {
	f := newFixture(t)
	all := prefixesAt(offset)
	groups := make([]*fib.Group, len(all))
	slots := make([]fib.GroupID, len(all))
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for i := range all {
			slots[i] = x.NewGroup(fib.Blackhole)
			groups[i] = x.Group(slots[i])
		}
	})
	f.turn(func(turn *loop.Turn) {
		unreachable := lookup(f.table.Snapshot(turn), netip.IPv6Unspecified())
		for n := 1; n < 1<<len(all); n++ {
			set := n ^ n>>1
			k := bits.TrailingZeros(uint(n)) // the bit in which it differs from the one before
			f.table.Update(turn, func(x *fib.Txn) {
				if set>>k&1 != 0 {
					x.Set(all[k], slots[k])
				} else {
					x.Delete(all[k])
				}
			})
			s := f.table.Snapshot(turn)
			for a := range 1 << width {
				addr := addressAt(offset, a)
				want := unreachable
				for i, p := range all { // by length
					if set>>i&1 != 0 && p.Contains(addr) {
						want = groups[i]
					}
				}
				if got := lookup(s, addr); got != want {
					t.Errorf("set %015b: lookup %v = %v", set, addr, s.Explain(addr))
					return
				}
			}
		}
		if err := f.table.Recount(turn); err != nil {
			t.Error(err)
		}
	})
}

// prefixesAt is all prefixes of one to three bits after offset bits, by length.
func prefixesAt(offset int) (all []netip.Prefix) {
	for n := 1; n <= width; n++ {
		for v := range 1 << n {
			all = append(all, netip.PrefixFrom(addressAt(offset, v<<(width-n)), offset+n).Masked())
		}
	}
	return all
}

// addressAt has v in the bits after offset, and a pattern in those around.
func addressAt(offset, v int) netip.Addr {
	var a [16]byte
	for i := range 128 {
		bit := byte(i % 3 & 1)
		if k := i - offset; k >= 0 && k < width {
			bit = byte(v >> (width - 1 - k) & 1)
		}
		a[i/8] |= bit << (7 - i%8)
	}
	return netip.AddrFrom16(a)
}

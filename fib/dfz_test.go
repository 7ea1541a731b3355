package fib_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

// within is a random address in p.
func within(p netip.Prefix, rng *rand.Rand) netip.Addr {
	a := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		a[i/8] |= byte(rng.Uint32()&1) << (7 - i%8)
	}
	return netip.AddrFrom16(a)
}

func TestFullTableAnswersAsBart(t *testing.T) {
	all := lab.FullTable(t)
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	f := newFixture(t)
	peer := new(bart.Table[fib.GroupID])
	compare := func() {
		t.Helper()
		f.turn(func(turn *loop.Turn) {
			s := f.table.Snapshot(turn)
			for range 500 {
				var in [100][16]byte
				var dst [100]*[16]byte
				var batch [100]*fib.Group
				for i := range in {
					in[i] = within(all[rng.IntN(len(all))], rng).As16()
					dst[i] = &in[i]
				}
				s.LookupBatch(dst[:], batch[:])
				for i := range in {
					a := netip.AddrFrom16(in[i])
					slot, _ := peer.Lookup(a) // slot 0 is what answers when nothing matches
					if got, want := lookup(s, a), s.Group(slot); got != want || batch[i] != want {
						t.Errorf("lookup %v = %v, in a batch %v, want that of slot %d", a, s.Explain(a), batch[i], slot)
					}
				}
			}
		})
	}
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		var slots [64]fib.GroupID
		for i := range slots {
			slots[i] = x.NewGroup(fib.Blackhole)
		}
		for _, p := range all {
			g := slots[rng.IntN(len(slots))]
			x.Set(p, g)
			peer.Insert(p, g)
		}
	})
	compare()
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for _, p := range all[:len(all)/2] {
			x.Delete(p)
			peer.Delete(p)
		}
	})
	compare()
	f.turn(func(turn *loop.Turn) {
		if err := f.table.Recount(turn); err != nil {
			t.Errorf("books: %v", err)
		}
		if got, want := f.table.Stats(turn).Prefixes, peer.Size(); got != want {
			t.Errorf("prefixes = %d, want %d", got, want)
		}
	})
}

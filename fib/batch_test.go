package fib_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

// However many changes a transaction has, and whatever was there before, the
// same prefixes make the same trie as one by one.
func TestOnePassMakesTheSameTrie(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, c := range []struct {
		name string
		all  []netip.Prefix
	}{
		{"nested at random", nested(rng, 3000)},
		{"a sample of the full table", lab.Prefixes(t, 5000)},
		{"the full table", lab.FullTable(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := candidatesOf(rng, c.all)
			one, bulk, over := newPlain(t), newPlain(t), newPlain(t)
			one.turn(func(turn *loop.Turn) {
				for p, slots := range want {
					one.table.Update(turn, func(x *fib.Txn) { x.Set(p, slots...) })
				}
			})
			bulk.set(want)
			// Of what is there, a part stays, a part changes, a part goes.
			before := candidatesOf(rng, append(nested(rng, 1000), c.all[:len(c.all)/2]...))
			over.set(before)
			over.update(func(_ *loop.Turn, x *fib.Txn) {
				for p := range before {
					if want[p] == nil {
						x.Delete(p)
					}
				}
				for p, slots := range want {
					x.Set(p) // the last change counts
					x.Set(p, slots...)
				}
			})
			form := one.form()
			if got := bulk.form(); !bytes.Equal(got, form) {
				t.Errorf("a load makes another trie than one by one: %d bytes, want %d", len(got), len(form))
			}
			if got := over.form(); !bytes.Equal(got, form) {
				t.Errorf("a load over other prefixes makes another trie than one by one: %d bytes, want %d", len(got), len(form))
			}
		})
	}
}

// nested is prefixes of which many are within others.
func nested(rng *rand.Rand, n int) []netip.Prefix {
	all := []netip.Prefix{netip.MustParsePrefix("::/1")}
	for len(all) < n {
		p := all[rng.IntN(len(all))]
		if rng.IntN(10) == 0 {
			p = netip.PrefixFrom(p.Addr(), rng.IntN(p.Bits()))
		}
		if bits := p.Bits() + 1 + rng.IntN(24); bits <= 128 {
			all = append(all, netip.PrefixFrom(within(p.Masked(), rng), bits).Masked())
		}
	}
	return all
}

// candidatesOf gives every prefix one candidate or two.
func candidatesOf(rng *rand.Rand, all []netip.Prefix) map[netip.Prefix][]fib.GroupID {
	want := make(map[netip.Prefix][]fib.GroupID, len(all))
	for _, p := range all {
		first := fib.GroupID(2 + rng.IntN(plainSlots))
		want[p] = []fib.GroupID{first, first%plainSlots + 2}[:1+rng.IntN(2)]
	}
	return want
}

const plainSlots = 8

// newPlain is a fixture with plainSlots slots that drop.
func newPlain(t *testing.T) *fixture {
	f := newFixture(t)
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for range plainSlots {
			x.NewGroup(fib.Blackhole)
		}
	})
	return f
}

func (f *fixture) set(want map[netip.Prefix][]fib.GroupID) {
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for p, slots := range want {
			x.Set(p, slots...)
		}
	})
}

// form is that of the trie, whose books are right.
func (f *fixture) form() (b []byte) {
	f.turn(func(t *loop.Turn) {
		if err := f.table.Recount(t); err != nil {
			f.t.Errorf("books: %v", err)
		}
		b = f.table.Form(t)
	})
	return b
}

// A slot can be dropped in the transaction that takes the last prefix from it.
func TestDropSeesTheChangesBeforeIt(t *testing.T) {
	f := newFixture(t)
	all := nested(rand.New(rand.NewPCG(15, 16)), 400)
	all = slices.Compact(slices.SortedFunc(slices.Values(all), netip.Prefix.Compare))
	slots := make([]fib.GroupID, len(all))
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for i, p := range all {
			slots[i] = x.NewGroup(fib.Blackhole)
			x.Set(p, slots[i])
		}
	})
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for i, p := range all {
			if i%7 > 0 {
				x.Delete(p)
				x.Drop(slots[i])
			}
		}
	})
	f.form()
}

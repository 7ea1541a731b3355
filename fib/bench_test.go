package fib_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

// BenchmarkLookup is cold: random addresses in random prefixes of the real
// table, over 16 groups.
func BenchmarkLookup(b *testing.B) {
	f, all, _ := loaded(b, 1<<30, 16)
	rng := rand.New(rand.NewPCG(5, 6))
	bytes := make([][16]byte, 1<<18)
	dst := make([]*[16]byte, len(bytes))
	for i := range dst {
		bytes[i] = within(all[rng.IntN(len(all))], rng).As16()
		dst[i] = &bytes[i]
	}
	r := f.dom.Register("reader")
	defer r.Close()
	g := r.Enter()
	defer g.Leave()
	s := f.table.Load(g)
	b.Run("single", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			sink = s.Lookup(dst[i%len(dst)])
		}
	})
	b.Run("batch", func(b *testing.B) {
		const batch = 64
		var out [batch]*fib.Group
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			s.LookupBatch(dst[i:i+batch], out[:])
			i = (i + batch) % len(dst)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/lookup")
	})
}

var sink *fib.Group

// loaded is a table of the first n prefixes over slots that lead to "a".
func loaded(b *testing.B, n, slots int) (f *fixture, all []netip.Prefix, ids []fib.GroupID) {
	b.Helper()
	all = lab.FullTable(b)
	all = all[:min(n, len(all))]
	f = newFixture(b)
	a := f.attach("a")
	f.update(func(t *loop.Turn, x *fib.Txn) {
		for i := range slots {
			ids = append(ids, x.NewGroup(fib.Forward, f.nexthop(t, a, fmt.Sprintf("fe80::%x", i+1), 1)))
		}
		for i, p := range all {
			x.Set(p, ids[i%len(ids)])
		}
	})
	return f, all, ids
}

func BenchmarkLoadFullTable(b *testing.B) {
	all := lab.FullTable(b)
	b.Run("sorted", func(b *testing.B) { loadAll(b, all) })
	rng := rand.New(rand.NewPCG(7, 8))
	all = slices.Clone(all)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b.Run("shuffled", func(b *testing.B) { loadAll(b, all) })
}

func loadAll(b *testing.B, all []netip.Prefix) {
	f := newFixture(b)
	b.ReportAllocs()
	for b.Loop() {
		f.table = fib.NewTable()
		f.update(func(_ *loop.Turn, x *fib.Txn) {
			g := [2]fib.GroupID{x.NewGroup(fib.Blackhole), x.NewGroup(fib.Prohibit)}
			for i, p := range all {
				x.Set(p, g[i%2])
			}
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/prefix")
}

// BenchmarkChange moves random prefixes of the full table, some in an update.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1, 16, 1024} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			f, all, slots := loaded(b, 1<<30, 16)
			rng := rand.New(rand.NewPCG(9, 10))
			b.ReportAllocs()
			for b.Loop() {
				f.turn(func(t *loop.Turn) {
					for range 1024 / n {
						f.table.Update(t, func(x *fib.Txn) {
							for range n {
								x.Set(all[rng.IntN(len(all))], slots[rng.IntN(len(slots))])
							}
						})
					}
				})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/change")
		})
	}
}

// BenchmarkWithdraw takes an interface out of all slots, and puts it back. The
// times are equal for any number of prefixes.
func BenchmarkWithdraw(b *testing.B) {
	for _, groups := range []int{16, 256} {
		for _, prefixes := range []int{10, 1000, 160_000} {
			b.Run(fmt.Sprintf("groups=%d/prefixes=%d", groups, prefixes), func(b *testing.B) {
				f, _, slots := loaded(b, prefixes, groups)
				var id ifmgr.ID
				f.turn(func(t *loop.Turn) { id = f.ifs.All(t)[0].ID })
				b.ReportAllocs()
				withdrawRestore(b, f, id, slots)
			})
		}
	}
}

func withdrawRestore(b *testing.B, f *fixture, id ifmgr.ID, slots []fib.GroupID) {
	var withdraw, restore int64
	for b.Loop() {
		err := f.loop.Do(context.Background(), func(t *loop.Turn) error {
			withdraw += took(func() { f.table.Update(t, func(x *fib.Txn) { x.Withdraw(id) }) })
			restore += took(func() {
				f.table.Update(t, func(x *fib.Txn) {
					for _, g := range slots {
						x.Rewrite(g, fib.Forward, f.nexthop(t, id, "", 1))
					}
				})
			})
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(withdraw)/float64(b.N), "ns/withdraw")
	b.ReportMetric(float64(restore)/float64(b.N), "ns/restore")
}

func took(fn func()) int64 {
	begin := time.Now()
	fn()
	return time.Since(begin).Nanoseconds()
}

//go:build bench

package bench

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaissmai/bart"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

var fibJSON = flag.String("fib-json", "", "where bench-fib writes its figures")

const (
	turns        = 9       // of contestants in turns
	destinations = 1 << 18 // per round
	batch        = 64
	updateBurst  = 256 // updates in a turn, each published
	churnBatch   = 1024
	churnChanges = 1 << 20
)

// TestFIB measures the table beside bart's: lookups, memory, loading, updates
// and churn.
func TestFIB(t *testing.T) {
	all := lab.FullTable(t)
	fibLookups(t, all)
	fibMemory(t)
	fibLoad(t, all)
	fibUpdates(t, all)
	fibChurn(t, all)
	if *fibJSON != "" {
		b, err := json.MarshalIndent(results, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*fibJSON, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A fibBed is a table with its loop.
type fibBed struct {
	t     testing.TB
	dom   *epoch.Domain
	loop  *loop.Loop
	table *fib.Table
	slots []fib.GroupID
}

// newFIBBed returns a table without prefixes over a number of slots.
func newFIBBed(t testing.TB, slots int) *fibBed {
	b := &fibBed{t: t, dom: epoch.NewDomain()}
	b.loop = loop.New(b.dom)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.loop.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b.renew(slots)
	return b
}

// renew has a new table over a number of slots.
func (b *fibBed) renew(slots int) {
	b.table, b.slots = fib.NewTable(), nil
	b.update(func(x *fib.Txn) {
		for range slots {
			b.slots = append(b.slots, x.NewGroup(fib.Blackhole))
		}
	})
}

func (b *fibBed) do(fn func(*loop.Turn)) {
	b.t.Helper()
	err := b.loop.Do(context.Background(), func(t *loop.Turn) error { fn(t); return nil })
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *fibBed) update(change func(*fib.Txn)) {
	b.t.Helper()
	b.do(func(t *loop.Turn) { b.table.Update(t, change) })
}

// load gives each prefix a slot, as if at random, in one update.
func (b *fibBed) load(all []netip.Prefix) {
	b.update(func(x *fib.Txn) {
		for i, p := range all {
			x.Set(p, b.slots[i*7919%len(b.slots)])
		}
	})
}

func (b *fibBed) memory() (m fib.Memory) {
	b.do(func(t *loop.Turn) { m = b.table.Stats(t).Memory })
	return m
}

// contestants take turns; the result is each one's median, in nanoseconds an
// operation. What comes before a round's clock starts warms its memory.
func contestants(ops int, warm bool, run ...func(round int)) []float64 {
	took := make([]times, len(run))
	for round := range turns {
		for i, fn := range run {
			if warm {
				fn(round)
			}
			began := time.Now()
			fn(round)
			took[i] = append(took[i], time.Since(began))
		}
	}
	medians := make([]float64, len(run))
	for i := range run {
		medians[i] = took[i].at(50) * 1e3 / float64(ops)
	}
	return medians
}

func fibLookups(t *testing.T, all []netip.Prefix) {
	table, fast := new(bart.Table[fib.GroupID]), new(bart.Fast[fib.GroupID])
	b := newFIBBed(t, 16)
	wide := newFIBBed(t, 256)
	b.load(all)
	wide.load(all)
	for i, p := range all {
		table.Insert(p, b.slots[i*7919%len(b.slots)])
		fast.Insert(p, b.slots[i*7919%len(b.slots)])
	}
	rng := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(rng, 1.1, 10, uint64(len(all)-1))
	order := rng.Perm(len(all))
	kinds := []struct {
		name string
		next func() netip.Addr
	}{
		{"match", func() netip.Addr { return within(all[rng.IntN(len(all))], rng) }},
		{"zipf", func() netip.Addr { return within(all[order[zipf.Uint64()]], rng) }},
		{"miss", func() netip.Addr {
			for {
				a := within(netip.MustParsePrefix("2000::/3"), rng)
				if _, hit := table.Lookup(a); !hit {
					return a
				}
			}
		}},
	}
	r := b.dom.Register("bench")
	defer r.Close()
	wr := wide.dom.Register("bench")
	defer wr.Close()
	g, wg := r.Enter(), wr.Enter()
	defer g.Leave()
	defer wg.Leave()
	for _, k := range kinds {
		addrs := make([]netip.Addr, destinations)
		bytes := make([][16]byte, destinations)
		dst := make([]*[16]byte, destinations)
		for i := range addrs {
			addrs[i] = k.next()
			bytes[i] = addrs[i].As16()
			dst[i] = &bytes[i]
		}
		var out [batch]*fib.Group
		inBatches := func(s *fib.Snapshot) func(int) {
			return func(int) {
				for i := 0; i < len(dst); i += batch {
					s.LookupBatch(dst[i:i+batch], out[:])
				}
			}
		}
		s, ws := b.table.Load(g), wide.table.Load(wg)
		ns := contestants(destinations, true, inBatches(s),
			func(int) {
				for _, a := range dst {
					groupSink = s.Lookup(a)
				}
			},
			inBatches(ws),
			func(int) {
				for _, a := range addrs {
					slotSink, _ = table.Lookup(a)
				}
			},
			func(int) {
				for _, a := range addrs {
					slotSink, _ = fast.Lookup(a)
				}
			})
		bartNS := min(ns[3], ns[4])
		figure("batch_"+k.name+"_ns", ns[0])
		figure("single_"+k.name+"_ns", ns[1])
		figure("batch_"+k.name+"_256_groups_ns", ns[2])
		figure("bart_table_"+k.name+"_ns", ns[3])
		figure("bart_fast_"+k.name+"_ns", ns[4])
		ratio("batch_"+k.name+"_vs_bart", bartNS/ns[0])
		ratio("single_"+k.name+"_vs_bart", bartNS/ns[1])
	}
}

var (
	groupSink *fib.Group
	slotSink  fib.GroupID
)

// within is a random address in p.
func within(p netip.Prefix, rng *rand.Rand) netip.Addr {
	a := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		a[i/8] |= byte(rng.Uint32()&1) << (7 - i%8)
	}
	return netip.AddrFrom16(a)
}

// fibMemory is all that a table takes: its trie, and what the heap grew by.
func fibMemory(t *testing.T) {
	full := len(lab.FullTable(t))
	for _, c := range []struct {
		name   string
		n      int
		groups int
	}{{"1k", 1_000, 16}, {"10k", 10_000, 16}, {"full", full, 16}, {"full_256_groups", full, 256}, {"1M", 1_000_000, 16}} {
		prefixes := lab.Prefixes(t, c.n)
		b := newFIBBed(t, 1)  // what is around the table has been allocated
		var kept []*fib.Table // several of a small one, or the heap's own noise shows
		before := heapInUse()
		trie := 0
		for range max(1, 100_000/c.n) {
			b.renew(c.groups)
			b.load(prefixes)
			kept = append(kept, b.table)
			trie += b.memory().Trie
		}
		figure("bytes_per_route_"+c.name, (float64(trie)+heapInUse()-before)/float64(len(kept)*c.n))
		runtime.KeepAlive(prefixes)
		runtime.KeepAlive(kept)
		if c.n == full && c.groups == 16 {
			peer := heapInUse()
			table := new(bart.Table[uint32])
			for i, p := range prefixes {
				table.Insert(p, uint32(i))
			}
			figure("bart_bytes_per_route_full", (heapInUse()-peer)/float64(c.n))
			runtime.KeepAlive(table)
		}
	}
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// fibLoad fills an empty table in one update, in order and in none.
func fibLoad(t *testing.T, all []netip.Prefix) {
	b := newFIBBed(t, 16)
	shuffled := slices.Clone(all)
	rng := rand.New(rand.NewPCG(13, 14))
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	ours := func(all []netip.Prefix) func(int) {
		return func(int) {
			b.renew(16)
			b.load(all)
		}
	}
	barts := func(all []netip.Prefix) func(int) {
		return func(int) {
			table := new(bart.Table[uint32])
			for i, p := range all {
				table.Insert(p, uint32(i%16))
			}
		}
	}
	ns := contestants(len(all), false, ours(all), barts(all), ours(shuffled), barts(shuffled))
	for i, name := range []string{"load", "load_shuffled"} {
		mine, peer := ns[2*i], ns[2*i+1]
		figure(name+"_ms", mine*float64(len(all))/1e6)
		figure("bart_"+name+"_ms", peer*float64(len(all))/1e6)
		ratio(name+"_vs_bart", mine/peer)
	}
}

// fibUpdates changes one prefix of the full table at a time, each change
// published for readers.
func fibUpdates(t *testing.T, all []netip.Prefix) {
	b := newFIBBed(t, 16)
	b.load(all)
	peer := new(bart.Table[fib.GroupID])
	for _, p := range all {
		peer.Insert(p, b.slots[0])
	}
	const updates = 1 << 15
	rng := rand.New(rand.NewPCG(7, 8))
	var published atomic.Pointer[bart.Table[fib.GroupID]]
	pick := make([]int, updates)
	fresh := func() {
		for i := range pick {
			pick[i] = rng.IntN(len(all))
		}
	}
	ns := contestants(updates, false,
		func(round int) {
			fresh()
			for i := 0; i < updates; i += updateBurst {
				b.do(func(turn *loop.Turn) {
					for _, k := range pick[i : i+updateBurst] {
						b.table.Update(turn, func(x *fib.Txn) { x.Set(all[k], b.slots[(k+round)%len(b.slots)]) })
					}
				})
			}
		},
		func(round int) {
			for _, k := range pick {
				peer = peer.InsertPersist(all[k], b.slots[(k+round)%len(b.slots)])
				published.Store(peer)
			}
		})
	figure("update_ns", ns[0])
	figure("bart_update_ns", ns[1])
	ratio("update_vs_bart", ns[1]/ns[0])
}

// fibChurn withdraws, announces and moves prefixes without end, in batches,
// while somebody reads.
func fibChurn(t *testing.T, all []netip.Prefix) {
	b := newFIBBed(t, 16)
	b.load(all)
	var stop atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() { b.read(all, &stop) })
	rng := rand.New(rand.NewPCG(9, 10))
	gone := make([]bool, len(all))
	var began time.Time
	var first fib.Memory
	var firstRSS float64
	var took time.Duration
	for done := 0; done < churnChanges; done += churnBatch {
		began = time.Now()
		b.update(func(x *fib.Txn) {
			for range churnBatch {
				k := rng.IntN(len(all))
				if gone[k] = !gone[k] && rng.IntN(3) == 0; gone[k] {
					x.Delete(all[k])
				} else {
					x.Set(all[k], b.slots[rng.IntN(len(b.slots))])
				}
			}
		})
		took += time.Since(began)
		if first == (fib.Memory{}) && done >= churnChanges/10 {
			first, firstRSS = b.memory(), residentBytes(t)
		}
	}
	last, lastRSS := b.memory(), residentBytes(t)
	stop.Store(true)
	reader.Wait()
	figure("churn_updates_per_s", churnChanges/took.Seconds())
	ratio("churn_blocks_growth", float64(last.Trie)/float64(first.Trie))
	ratio("churn_live_growth", live(last)/live(first))
	ratio("churn_resident_growth", lastRSS/firstRSS)
}

func live(m fib.Memory) float64 { return float64(m.Trie - m.Waiting - m.Idle) }

// read looks up addresses of the table, batch after batch.
func (b *fibBed) read(all []netip.Prefix, stop *atomic.Bool) {
	r := b.dom.Register("reader")
	defer r.Close()
	rng := rand.New(rand.NewPCG(11, 12))
	var bytes [batch][16]byte
	var dst [batch]*[16]byte
	var out [batch]*fib.Group
	for !stop.Load() {
		for i := range dst {
			bytes[i] = all[rng.IntN(len(all))].Addr().As16()
			dst[i] = &bytes[i]
		}
		g := r.Enter()
		b.table.Load(g).LookupBatch(dst[:], out[:])
		g.Leave()
	}
}

// residentBytes is the process's memory.
func residentBytes(t *testing.T) float64 {
	runtime.GC()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}

package fib_test

import (
	"bufio"
	"compress/gzip"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gaissmai/bart"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/loop"
)

// fullTable is the IPv6 prefixes of a real full Internet routing table, about
// 160,000, out of the test data of the module bart.
var fullTable = sync.OnceValues(func() ([]netip.Prefix, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "internal", "tests", "testdata", "prefixes.txt.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for lines := bufio.NewScanner(z); lines.Scan(); {
		p, err := netip.ParsePrefix(lines.Text())
		if err == nil && p.Addr().Is6() {
			all = append(all, p)
		}
	}
	return all, nil
})

func loadFullTable(t testing.TB) []netip.Prefix {
	t.Helper()
	all, err := fullTable()
	if err != nil || len(all) < 100_000 {
		t.Fatalf("full table: %d prefixes, %v", len(all), err)
	}
	return all
}

// within is a random address in p.
func within(p netip.Prefix, rng *rand.Rand) netip.Addr {
	a := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		a[i/8] |= byte(rng.Uint32()&1) << (7 - i%8)
	}
	return netip.AddrFrom16(a)
}

func TestFullTableAnswersAsBart(t *testing.T) {
	all := loadFullTable(t)
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	f := newFixture(t)
	peer := new(bart.Table[fib.GroupID])
	compare := func() {
		t.Helper()
		f.turn(func(turn *loop.Turn) {
			s := f.table.Snapshot(turn)
			for range 50_000 {
				a := within(all[rng.IntN(len(all))], rng)
				slot, _ := peer.Lookup(a) // slot 0 is what answers when nothing matches
				if got, want := lookup(s, a), s.Group(slot); got != want {
					t.Errorf("lookup %v = %v, want that of slot %d", a, s.Explain(a), slot)
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

package fib_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/loop"
)

var probe = netip.MustParseAddr("2001:db8::1")

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// now is what is published, for a test that nobody runs beside.
func (f *fixture) now() (s *fib.Snapshot) {
	f.turn(func(t *loop.Turn) { s = f.table.Snapshot(t) })
	return s
}

func TestNothingChangedIsNotPublished(t *testing.T) {
	f := newFixture(t)
	var g fib.GroupID
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		g = x.NewGroup(fib.Prohibit)
		x.Set(prefix("::/0"), g)
		x.Set(prefix("2001:db8::/32"), g)
		x.SetSource(probe)
	})
	before := f.now()
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		x.Set(prefix("::/0"), g)
		x.Set(prefix("2001:db8::/32"), g)
		x.Delete(prefix("2001:db8::/48"))
		x.Withdraw(77)
		x.SetSource(probe)
	})
	if got := f.now(); got != before {
		t.Errorf("generation = %d, want %d", got.Generation(), before.Generation())
	}
	if got := before.Source(); got != probe {
		t.Errorf("source = %v, want %v", got, probe)
	}
}

func TestNexthopIsHeldUntilItsReadersLeave(t *testing.T) {
	f := newFixture(t)
	id := f.attach("a")
	held := func() (n int64) {
		f.turn(func(t *loop.Turn) { n = f.ifs.All(t)[0].Held["route"] })
		return n
	}
	f.update(func(t *loop.Turn, x *fib.Txn) { x.NewGroup(fib.Forward, f.nexthop(t, id, "", 1)) })
	r := f.dom.Register("reader")
	g := r.Enter()
	f.update(func(_ *loop.Turn, x *fib.Txn) { x.Withdraw(id) })
	for range 10 {
		if got := held(); got != 1 {
			t.Fatalf("held = %d while a reader is inside, want 1", got)
		}
	}
	g.Leave()
	if got := f.held(); got != 0 {
		t.Errorf("held = %d after the reader left, want 0", got)
	}
}

// The pair (X, A, cover) dies with the first prefix that is moved and comes back
// with the second.
func TestPairComesBackWithinOneOperation(t *testing.T) {
	f := newFixture(t)
	var a, x1 fib.GroupID
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		a, x1 = x.NewGroup(fib.Forward), x.NewGroup(fib.Forward)
		x.Set(prefix("2001:db8:0::/48"), x1, a)
		x.Set(prefix("2001:db8:1::/48"), x1)
		x.Set(prefix("2001:db8::/32"), a)
	})
	f.turn(func(turn *loop.Turn) {
		if err := f.table.Recount(turn); err != nil {
			t.Error(err)
		}
	})
}

func TestDropOfANamedSlotPanics(t *testing.T) {
	f := newFixture(t)
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		g := x.NewGroup(fib.Prohibit)
		x.Set(prefix("2001:db8::/32"), g)
		for name, broken := range map[string]func(){
			"drop of a named slot":      func() { x.Drop(g) },
			"drop of slot 0":            func() { x.Drop(0) },
			"prefix with slot 0":        func() { x.Set(prefix("::/0"), 0) },
			"rewrite of no slot":        func() { x.Rewrite(99, fib.Prohibit) },
			"nexthops on a refusal":     func() { x.NewGroup(fib.Blackhole, &fib.Nexthop{}) },
			"two interfaces to deliver": func() { x.NewGroup(fib.Deliver, &fib.Nexthop{}, &fib.Nexthop{}) },
		} {
			if !panics(broken) {
				t.Errorf("%s does not panic", name)
			}
		}
	})
}

func panics(fn func()) (did bool) {
	defer func() { did = recover() != nil }()
	fn()
	return false
}

func TestRetiredSnapshotsArePoisoned(t *testing.T) {
	f := newFixture(t)
	old := f.now()
	if !panics(func() { f.table.Load(epoch.Guard{}) }) {
		t.Skip("checks are off: neither -race nor -tags invariants")
	}
	r := f.dom.Register("reader")
	g := r.Enter()
	f.update(func(_ *loop.Turn, x *fib.Txn) { x.SetSource(probe) })
	for range 10 {
		f.turn(func(*loop.Turn) {})
		lookup(old, probe)
	}
	g.Leave()
	for !panics(func() { lookup(old, probe) }) {
		f.turn(func(*loop.Turn) {})
	}
}

// flows is which member each of 256 flows takes.
func flows(g *fib.Group) (names [256]string) {
	for i := range names {
		names[i] = g.Nexthop(uint32(i) << 24).Name()
	}
	return names
}

func TestOnlyFlowsOfALostMemberMove(t *testing.T) {
	f := newFixture(t)
	names := []string{"a", "b", "c", "d"}
	weights := []uint8{1, 1, 2, 4}
	var g fib.GroupID
	var ids [4]ifmgr.ID
	for i, n := range names {
		ids[i] = f.attach(n)
	}
	f.update(func(t *loop.Turn, x *fib.Txn) {
		g = x.NewGroup(fib.Forward, f.nexthop(t, ids[0], "", weights[0]), f.nexthop(t, ids[1], "", weights[1]),
			f.nexthop(t, ids[2], "", weights[2]), f.nexthop(t, ids[3], "", weights[3]))
		x.Set(prefix("::/0"), g)
	})
	all := flows(f.now().Group(g))
	shares := map[string]int{}
	for _, n := range all {
		shares[n]++
	}
	for i, n := range names {
		if want := 256 * int(weights[i]) / 8; shares[n] < want/2 || shares[n] > want*3/2 {
			t.Errorf("%s has %d of 256 buckets, want about %d", n, shares[n], want)
		}
	}
	for i, lost := range names {
		f.update(func(_ *loop.Turn, x *fib.Txn) { x.Withdraw(ids[i]) })
		for b, n := range flows(f.now().Group(g)) {
			if n == lost || all[b] != lost && n != all[b] {
				t.Fatalf("bucket %d went from %s to %s when %s left", b, all[b], n, lost)
			}
		}
		f.update(func(t *loop.Turn, x *fib.Txn) {
			// The member comes back as another one, and last.
			nhs := append(x.Group(g).Nexthops()[:3:3], f.nexthop(t, ids[i], "", weights[i]))
			x.Rewrite(g, fib.Forward, nhs...)
		})
		if got := flows(f.now().Group(g)); got != all {
			t.Errorf("flows are not where they were when %s is back", lost)
		}
	}
}

func TestDefaultRouteTouchesNoOtherPrefix(t *testing.T) {
	f := newFixture(t)
	var a, b fib.GroupID
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		a, b = x.NewGroup(fib.Forward), x.NewGroup(fib.Blackhole)
		x.Set(prefix("2001:db8::/32"), a)
	})
	if got := lookup(f.now(), probe).Verdict(); got != fib.Unreachable {
		t.Errorf("without a default route: %v, want unreachable", got)
	}
	f.update(func(_ *loop.Turn, x *fib.Txn) { x.Set(prefix("::/0"), a, b) })
	if got := lookup(f.now(), probe).Verdict(); got != fib.Blackhole {
		t.Errorf("with a default route: %v, want blackhole", got)
	}
	want := []string{fmt.Sprint("2001:db8::/32 ", a), fmt.Sprint("::/0 ", a), fmt.Sprint("::/0 ", b)}
	var got []string
	for _, st := range f.now().Explain(probe) {
		got = append(got, fmt.Sprint(st.Prefix, " ", st.Slot))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("explain = %v, want %v", got, want)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	f := newFixture(t)
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		x.Set(prefix("2001:db8::/32"), x.NewGroup(fib.Forward))
		x.Set(prefix("2001::/16"), x.NewGroup(fib.Blackhole))
	})
	r := f.dom.Register("reader")
	a := probe.As16()
	dst := []*[16]byte{&a, &a}
	out := make([]*fib.Group, len(dst))
	n := testing.AllocsPerRun(100, func() {
		g := r.Enter()
		f.table.Load(g).LookupBatch(dst, out)
		g.Leave()
	})
	if n != 0 || out[1].Verdict() != fib.Blackhole {
		t.Errorf("%v allocations, %v; want none, blackhole", n, out[1].Verdict())
	}
}

func ExampleTable_Update() {
	dom := epoch.NewDomain()
	l := loop.New(dom)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = l.Run(ctx) }()

	table := fib.NewTable()
	err := l.Do(ctx, func(t *loop.Turn) error {
		table.Update(t, func(x *fib.Txn) {
			x.Set(netip.MustParsePrefix("2001:db8::/32"), x.NewGroup(fib.Prohibit))
		})
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}

	worker := dom.Register("worker")
	defer worker.Close()
	g := worker.Enter() // a batch begins
	dst := netip.MustParseAddr("2001:db8::1").As16()
	fmt.Println(table.Load(g).Lookup(&dst).Verdict())
	g.Leave() // nothing of the table is used any more
	// Output: prohibit
}

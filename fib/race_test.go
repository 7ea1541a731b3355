package fib_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// Readers check each answer against the oracle of the generation they read.
func TestReadersSeeOneGeneration(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	s := newStory(t, rng.IntN)
	s.step()
	oracles := newLibrary(s)
	stop := s.readers(4, func(_ *epoch.Reader, snap *fib.Snapshot) {
		want := oracles.of(snap.Generation())
		for i, a := range addresses {
			if got := text(lookup(snap, a)); got != want[i] {
				t.Errorf("generation %d: lookup %v = %q, want %q", snap.Generation(), a, got, want[i])
			}
		}
	})
	for range 500 {
		s.update(func(t *loop.Turn, x *fib.Txn) {
			s.change(t, x)
			oracles.add(s)
		})
	}
	stop()
	s.end()
}

// A library has the right answers of every generation.
type library struct{ m sync.Map }

func newLibrary(s *story) *library {
	l := &library{}
	s.turn(func(t *loop.Turn) { l.m.Store(s.table.Generation(t), answers(&s.oracle)) })
	return l
}

// add is called before the generation is published.
func (l *library) add(s *story) {
	l.m.Store(s.table.Generation(nil)+1, answers(&s.oracle))
}

func (l *library) of(gen uint64) []string {
	v, _ := l.m.Load(gen)
	return v.([]string)
}

func answers(o *lab.LinearFIB[string]) []string {
	var all []string
	for _, a := range addresses {
		c := o.Lookup(a)
		if c == "" {
			c = "unreachable"
		}
		all = append(all, c)
	}
	return all
}

// readers call fn under a guard, over and over, until stop.
func (f *fixture) readers(n int, fn func(*epoch.Reader, *fib.Snapshot)) (stop func()) {
	var ended atomic.Bool
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := f.dom.Register(fmt.Sprintf("reader %d", i))
			defer r.Close()
			for !ended.Load() {
				g := r.Enter()
				fn(r, f.table.Load(g))
				g.Leave()
			}
		})
	}
	return func() { ended.Store(true); wg.Wait() }
}

// Interfaces come and go while readers send; a pipe panics when it is used
// after it was closed.
func TestNoLookupReturnsAClosedPort(t *testing.T) {
	f := newFixture(t)
	stop := f.readers(2, func(_ *epoch.Reader, snap *fib.Snapshot) {
		var v link.Vector
		for i, a := range addresses {
			g := lookup(snap, a)
			if nh := g.Nexthop(uint32(i) << 29); nh != nil {
				if err := nh.Port().Send(&v); err != nil {
					t.Errorf("send: %v", err)
				}
				if w := nh.Withdrawn(); w != 0 && snap.Generation() >= w {
					t.Errorf("generation %d returns %s, withdrawn in %d", snap.Generation(), nh.Name(), w)
				}
			}
		}
	})
	var slots []fib.GroupID
	f.update(func(_ *loop.Turn, x *fib.Txn) {
		for i, a := range addresses {
			slots = append(slots, x.NewGroup(fib.Forward))
			p, _ := a.Prefix(16 * (i + 1))
			x.Set(p, slots[i])
		}
	})
	for range 30 {
		a, b := f.attach("a"), f.attach("b")
		f.update(func(t *loop.Turn, x *fib.Txn) {
			for _, g := range slots {
				x.Rewrite(g, fib.Forward, f.nexthop(t, a, "", 1), f.nexthop(t, b, "fe80::1", 2))
			}
		})
		f.detach(a)
		f.detach(b)
	}
	stop()
}

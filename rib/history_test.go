package rib

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// A step of a history: what one interface's coming and going, and lookups under
// guards of their own, did and saw. An answer is the interface; zero is none.
type step struct {
	lookup bool
	set    ifmgr.ID // of a change: what lookups find from its end on
}

// register is what a prefix must be like for all who look: as if there were one
// place that a change writes and a lookup reads. So a lookup that begins after a
// withdrawal has returned never finds the interface, and two lookups one after
// the other never go back in time.
var register = porcupine.Model{
	Init: func() any { return ifmgr.ID(0) },
	Step: func(state, input, output any) (bool, any) {
		if in := input.(step); !in.lookup {
			return true, in.set
		}
		return output.(ifmgr.ID) == state.(ifmgr.ID), state
	},
	DescribeOperation: func(input, output any) string {
		if in := input.(step); !in.lookup {
			return fmt.Sprintf("set %d", in.set)
		}
		return fmt.Sprintf("lookup: %d", output)
	},
}

// A historian notes operations with their beginning and end.
type historian struct {
	start time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (h *historian) note(client int, in step, fn func() ifmgr.ID) {
	call := time.Since(h.start).Nanoseconds()
	out := fn()
	end := time.Since(h.start).Nanoseconds()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: end})
}

// TestLookupsAreLinearizable takes histories of lookups on several goroutines
// while an interface is withdrawn, restored, detached and attached again, and
// has them checked against a register.
func TestLookupsAreLinearizable(t *testing.T) {
	const readers, rounds, most = 3, 50, 5000 // most lookups of a reader, for the checker's sake
	f := newFixture(t)
	f.static("2001:db8::/32 dev wan")
	h := &historian{start: time.Now()}
	var all sync.WaitGroup
	var done atomic.Bool
	for client := range readers {
		all.Go(func() {
			r := f.dom.Register(fmt.Sprint("reader ", client))
			defer r.Close()
			for n := 0; n < most && !done.Load(); n++ {
				h.note(client+1, step{lookup: true}, func() ifmgr.ID {
					g := r.Enter()
					defer g.Leave()
					return found(f.fib.Load(g))
				})
			}
		})
	}
	for range rounds {
		f.live(h)
	}
	done.Store(true)
	all.Wait()
	t.Logf("%d operations", len(h.ops))
	if porcupine.CheckOperationsTimeout(register, h.ops, time.Minute) != porcupine.Ok {
		t.Errorf("history of %d operations is not linearizable", len(h.ops))
	}
}

func found(s *fib.Snapshot) ifmgr.ID {
	dst := netip.MustParseAddr("2001:db8::1").As16()
	if nh := s.Lookup(&dst).Nexthop(0); nh != nil {
		return nh.ID()
	}
	return 0
}

// live is an interface's life: up, down, up, and its end.
func (f *fixture) live(h *historian) {
	id := f.attach("wan", false)
	change := func(set ifmgr.ID, fn func(*loop.Turn)) {
		h.note(0, step{set: set}, func() ifmgr.ID { f.turn(fn); return 0 })
	}
	change(id, func(t *loop.Turn) { f.ifs.Carrier(t, id, true) })
	change(0, func(t *loop.Turn) { f.ifs.Carrier(t, id, false) })
	change(id, func(t *loop.Turn) { f.ifs.Carrier(t, id, true) })
	ended := make(chan ifmgr.Result, 1)
	change(0, func(t *loop.Turn) {
		f.ifs.Detach(t, id, ifmgr.ErrRequested, func(r ifmgr.Result) { ended <- r })
	})
	<-ended
}

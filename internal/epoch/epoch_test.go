package epoch

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

func TestStampPassesWhenReadersFromBeforeHaveLeft(t *testing.T) {
	d := NewDomain()
	a, b := d.Register("a"), d.Register("b")
	before := a.Enter()
	s := d.Stamp()
	after := b.Enter()
	if d.Passed(s) {
		t.Error("passed with a reader from before inside")
	}
	if got, want := d.Waiting(s), []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("waiting = %v, want %v", got, want)
	}
	before.Leave()
	if !d.Passed(s) {
		t.Error("not passed, with only a reader from after inside")
	}
	if got := d.Waiting(s); len(got) != 0 {
		t.Errorf("waiting = %v, want nobody", got)
	}
	after.Leave()
}

func TestReaderThatEntersAgainIsNotFromBefore(t *testing.T) {
	d := NewDomain()
	r := d.Register("r")
	r.Enter().Leave()
	s := d.Stamp()
	g := r.Enter()
	defer g.Leave()
	if !d.Passed(s) {
		t.Error("a busy reader keeps the stamp for ever")
	}
}

func TestStampsAreInOrder(t *testing.T) {
	d := NewDomain()
	r := d.Register("r")
	first := d.Stamp()
	g := r.Enter()
	second := d.Stamp()
	if second <= first {
		t.Errorf("second stamp = %d, want more than %d", second, first)
	}
	if !d.Passed(first) || d.Passed(second) {
		t.Errorf("passed = %v, %v, want true, false", d.Passed(first), d.Passed(second))
	}
	g.Leave()
}

func TestClosedReaderIsForgotten(t *testing.T) {
	d := NewDomain()
	r := d.Register("r")
	d.Register("other")
	r.Close()
	if got := d.Readers(); got != 1 {
		t.Errorf("readers = %d, want 1", got)
	}
}

func TestReaderInsideIsNotClosed(t *testing.T) {
	r := NewDomain().Register("r")
	g := r.Enter()
	defer g.Leave()
	defer func() {
		if recover() == nil {
			t.Error("closed inside without a panic")
		}
	}()
	r.Close()
}

func TestChangedOnlyWhileWatched(t *testing.T) {
	d := NewDomain()
	r := d.Register("r")
	changed := func() bool {
		select {
		case <-d.Changed():
			return true
		default:
			return false
		}
	}
	r.Enter().Leave()
	if changed() {
		t.Error("told without being watched")
	}
	d.Watch(true)
	r.Enter().Leave()
	r.Enter().Leave() // does not block on a wake-up that nobody took
	if !changed() {
		t.Error("not told although watched")
	}
	if changed() {
		t.Error("told twice")
	}
	d.Watch(false)
	r.Enter().Leave()
	if changed() {
		t.Error("told after the watch ended")
	}
}

// What the writer waits for is told, whatever the interleaving: without the
// wake-up this test hangs.
func TestNoWakeUpIsLost(t *testing.T) {
	d := NewDomain()
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r := d.Register("r")
			defer r.Close()
			for !stop.Load() {
				g := r.Enter()
				runtime.Gosched()
				g.Leave()
			}
		})
	}
	rounds := 20_000
	if testing.Short() {
		rounds = 2_000
	}
	for range rounds {
		s := d.Stamp()
		for d.Watch(true); !d.Passed(s); {
			<-d.Changed()
		}
		d.Watch(false)
	}
	stop.Store(true)
	readers.Wait()
}

// An object that is closed after a grace period is not found closed by readers.
func TestPublishedIsOpenUntilEveryReaderHasLeft(t *testing.T) {
	type resource struct{ closed atomic.Bool }
	d := NewDomain()
	var p Pointer[resource]
	p.Publish(new(resource))
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			r := d.Register("r")
			defer r.Close()
			for !stop.Load() {
				g := r.Enter()
				x := p.Load(g)
				for range 3 {
					if x.closed.Load() {
						t.Error("closed under a reader")
						stop.Store(true)
					}
					runtime.Gosched()
				}
				g.Leave()
			}
		})
	}
	old := p.p.Load()
	for range 3_000 {
		next := new(resource)
		p.Publish(next)
		s := d.Stamp()
		for d.Watch(true); !d.Passed(s); {
			<-d.Changed()
		}
		old.closed.Store(true)
		old = next
	}
	stop.Store(true)
	readers.Wait()
}

func TestMisuseOfGuardsPanics(t *testing.T) {
	if !checked {
		t.Skip("only in builds with -race or -tags invariants")
	}
	d := NewDomain()
	var p Pointer[int]
	p.Publish(new(int))
	tests := []struct {
		name string
		use  func(*Reader)
	}{
		{"load under a forged guard", func(*Reader) { p.Load(Guard{}) }},
		{"load under a guard that was left", func(r *Reader) { g := r.Enter(); g.Leave(); p.Load(g) }},
		{"leave a forged guard", func(*Reader) { Guard{}.Leave() }},
		{"leave twice", func(r *Reader) { g := r.Enter(); g.Leave(); g.Leave() }},
		{"enter twice", func(r *Reader) { r.Enter(); r.Enter() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.use(d.Register("r"))
		})
	}
}

func TestGuardsDoNotAllocate(t *testing.T) {
	d := NewDomain()
	r := d.Register("r")
	d.Watch(true)
	if n := testing.AllocsPerRun(100, func() { r.Enter().Leave() }); n != 0 {
		t.Errorf("allocations = %v, want 0", n)
	}
}

func BenchmarkEnterLeave(b *testing.B) {
	r := NewDomain().Register("r")
	b.ReportAllocs()
	for b.Loop() {
		r.Enter().Leave()
	}
}

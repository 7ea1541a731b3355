package loop

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/router6d/router6d/internal/epoch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a loop until the test ends.
func start(t *testing.T) (*Loop, *epoch.Domain) {
	t.Helper()
	d := epoch.NewDomain()
	l := New(d)
	run(t, l)
	return l, d
}

func run(t *testing.T, l *Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
	})
}

// do takes a turn.
func do(t *testing.T, l *Loop, fn func(*Turn)) {
	t.Helper()
	err := l.Do(context.Background(), func(x *Turn) error { fn(x); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

// halt keeps the loop in a turn until the returned function is called.
func halt(t *testing.T, l *Loop) (resume func()) {
	t.Helper()
	in, out := make(chan struct{}), make(chan struct{})
	if !l.Post(func(*Turn) { close(in); <-out }) {
		t.Fatal("the mailbox is full")
	}
	<-in
	return func() { close(out) }
}

func TestDoReturnsTheError(t *testing.T) {
	l, _ := start(t)
	want := errors.New("no")
	if got := l.Do(context.Background(), func(*Turn) error { return want }); !errors.Is(got, want) {
		t.Errorf("error = %v, want %v", got, want)
	}
}

func TestTurnsRunOneAtATimeInOrder(t *testing.T) {
	l, _ := start(t)
	var got []int
	for i := range 100 {
		l.Post(func(*Turn) { got = append(got, i) })
	}
	do(t, l, func(*Turn) {})
	if len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("order = %v, want 0 to 99", got)
	}
}

func TestDoWhoseContextEndedNeverRuns(t *testing.T) {
	l, _ := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 2_000 {
		if err := l.Do(ctx, func(*Turn) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Fatalf("error = %v, want %v", err, context.Canceled)
		}
	}
}

func TestDoWhoseContextEndsBeforeItsTurnNeverRuns(t *testing.T) {
	l, _ := start(t)
	for range 200 {
		resume := halt(t, l)
		ctx, cancel := context.WithCancel(context.Background())
		err := make(chan error)
		go func() { err <- l.Do(ctx, func(*Turn) error { t.Error("it ran"); return nil }) }()
		for len(l.mail) == 0 {
			runtime.Gosched()
		}
		cancel() // the caller may not be awake when its turn comes
		resume()
		if got := <-err; !errors.Is(got, context.Canceled) {
			t.Fatalf("error = %v, want %v", got, context.Canceled)
		}
	}
}

func TestDoThatHasStartedIsWaitedFor(t *testing.T) {
	l, _ := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	var ended atomic.Bool
	err := l.Do(ctx, func(*Turn) error {
		cancel()
		for range 100 {
			runtime.Gosched()
		}
		ended.Store(true)
		return nil
	})
	if err != nil || !ended.Load() {
		t.Errorf("error = %v, ended = %v, want nil, true", err, ended.Load())
	}
}

func TestStoppedLoopTakesNothing(t *testing.T) {
	l := New(epoch.NewDomain())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := l.Do(context.Background(), func(*Turn) error { return nil }); !errors.Is(err, ErrStopped) {
			t.Fatalf("do = %v, want %v", err, ErrStopped)
		}
	}
	if l.Post(func(*Turn) {}) {
		t.Error("post was taken")
	}
}

func TestDoFinishesOrIsStopped(t *testing.T) {
	for range 200 {
		l := New(epoch.NewDomain())
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				var ran atomic.Bool
				err := l.Do(context.Background(), func(*Turn) error { ran.Store(true); return nil })
				if (err == nil) != ran.Load() || err != nil && !errors.Is(err, ErrStopped) {
					t.Errorf("ran = %v, error = %v", ran.Load(), err)
				}
			})
		}
		cancel()
		<-ended
		callers.Wait()
	}
}

func TestPostIsRefusedByAFullMailbox(t *testing.T) {
	l, _ := start(t)
	resume := halt(t, l)
	ran := 0
	for i := range mailboxSize {
		if !l.Post(func(*Turn) { ran++ }) {
			t.Fatalf("refused at %d, want %d taken", i, mailboxSize)
		}
	}
	if l.Post(func(*Turn) { ran++ }) {
		t.Error("taken over the limit")
	}
	told := make(chan struct{})
	l.Notify(func(*Turn) { close(told) }) // never refused
	resume()
	<-told
	do(t, l, func(*Turn) {
		if ran != mailboxSize {
			t.Errorf("ran = %d, want %d", ran, mailboxSize)
		}
	})
}

func TestTurnKeptPastItsFunctionFails(t *testing.T) {
	l, _ := start(t)
	var kept *Turn
	do(t, l, func(x *Turn) { kept = x })
	do(t, l, func(*Turn) {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		kept.AfterGrace(func(*Turn) {})
	})
}

func TestTimersFireInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t)
		began := time.Now()
		var got []time.Duration
		at := func(x *Turn, d time.Duration) *Timer {
			return x.At(began.Add(d), func(x *Turn) { got = append(got, x.Now().Sub(began)) })
		}
		do(t, l, func(x *Turn) {
			at(x, 3*time.Hour) // over the longest sleep
			at(x, 2*time.Second)
			at(x, time.Millisecond)
			stopped := at(x, time.Second)
			stopped.Stop(x)
			stopped.Stop(x)
			(*Timer)(nil).Stop(x)
		})
		time.Sleep(4 * time.Hour)
		do(t, l, func(*Turn) {
			if want := []time.Duration{time.Millisecond, 2 * time.Second, 3 * time.Hour}; !slices.Equal(got, want) {
				t.Errorf("fired at %v, want %v", got, want)
			}
		})
	})
}

// A loop that comes late must not take for overdue what has come in time.
func TestNotificationComesBeforeADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t)
		var got []string
		do(t, l, func(x *Turn) {
			x.At(x.Now().Add(time.Second), func(*Turn) { got = append(got, "deadline") })
			l.Notify(func(*Turn) { got = append(got, "notified") })
			time.Sleep(time.Minute) // the whole process was stopped, say
		})
		synctest.Wait()
		do(t, l, func(*Turn) {
			if want := []string{"notified", "deadline"}; !slices.Equal(got, want) {
				t.Errorf("order = %v, want %v", got, want)
			}
		})
	})
}

func TestTimerStopsAnotherThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t)
		fired := false
		do(t, l, func(x *Turn) {
			when := x.Now().Add(time.Second)
			var second *Timer
			x.At(when, func(x *Turn) { second.Stop(x) })
			second = x.At(when.Add(1), func(*Turn) { fired = true })
		})
		time.Sleep(2 * time.Second)
		do(t, l, func(*Turn) {
			if fired {
				t.Error("a stopped timer fired")
			}
		})
	})
}

func TestTimerInThePastLeavesRoomForOthers(t *testing.T) {
	l, _ := start(t)
	stop := false
	var again func(*Turn)
	again = func(x *Turn) {
		if !stop {
			x.At(x.Now().Add(-time.Hour), again)
		}
	}
	do(t, l, again)
	do(t, l, func(*Turn) { stop = true }) // hangs if the timers have the loop
}

func TestAfterGraceWaitsForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d := start(t)
		r := d.Register("late")
		g := r.Enter()
		over := false
		do(t, l, func(x *Turn) { x.AfterGrace(func(*Turn) { over = true }) })
		time.Sleep(time.Second)
		do(t, l, func(x *Turn) {
			s := x.Stats()
			if over {
				t.Error("over with a reader inside")
			}
			if s.Deferred != 1 || s.Oldest != time.Second || !slices.Equal(s.Slowest, []string{"late"}) {
				t.Errorf("stats = %+v, want one function waiting a second for late", s)
			}
		})
		g.Leave()
		synctest.Wait() // Changed wakes the loop
		do(t, l, func(x *Turn) {
			if s := x.Stats(); !over || s.Graces != 1 || s.GraceMax != time.Second || s.Deferred != 0 {
				t.Errorf("over = %v, stats = %+v, want one grace period of a second", over, s)
			}
		})
	})
}

func TestGracesEndInOrder(t *testing.T) {
	l, d := start(t)
	r := d.Register("r")
	g := r.Enter()
	var got []int
	for i := range 10 {
		do(t, l, func(x *Turn) {
			x.AfterGrace(func(*Turn) { got = append(got, 2*i) })
			x.AfterGrace(func(*Turn) { got = append(got, 2*i+1) })
		})
	}
	ended := make(chan struct{})
	do(t, l, func(x *Turn) { x.AfterGrace(func(*Turn) { close(ended) }) })
	g.Leave()
	<-ended
	do(t, l, func(*Turn) {
		if len(got) != 20 || !slices.IsSorted(got) {
			t.Errorf("order = %v, want 0 to 19", got)
		}
	})
}

func TestBurstSharesAGracePeriod(t *testing.T) {
	l, _ := start(t)
	resume := halt(t, l)
	var over sync.WaitGroup
	for range 200 {
		over.Add(1)
		l.Post(func(x *Turn) { x.AfterGrace(func(*Turn) { over.Done() }) })
	}
	resume()
	over.Wait()
	do(t, l, func(x *Turn) {
		if s := x.Stats(); s.Graces != 1 {
			t.Errorf("grace periods = %d, want 1", s.Graces)
		}
	})
}

func TestSteadyTurnsDoNotPutOffTheStamp(t *testing.T) {
	l, _ := start(t)
	var stop atomic.Bool
	var again func(*Turn)
	again = func(*Turn) {
		if !stop.Load() {
			l.Post(again)
		}
	}
	l.Post(again)
	over := make(chan struct{})
	l.Post(func(x *Turn) { x.AfterGrace(func(*Turn) { close(over) }) })
	<-over
	stop.Store(true)
}

func TestDeferredTurnsAreNotLost(t *testing.T) {
	l, _ := start(t)
	over := make(chan struct{})
	left := 1000
	var next func(*Turn)
	next = func(x *Turn) {
		if left--; left == 0 {
			close(over)
			return
		}
		x.Defer(next)
	}
	do(t, l, next)
	<-over
}

func TestNotifyFromManyGoroutines(t *testing.T) {
	l, _ := start(t)
	over := make(chan struct{})
	n := 0
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 500 {
				l.Notify(func(*Turn) {
					if n++; n == 4000 {
						close(over)
					}
				})
			}
		})
	}
	callers.Wait()
	<-over
}

// What ended must not be kept by the loop until its next grace period.
func TestLoopKeepsNothingOfWhatEnded(t *testing.T) {
	l, _ := start(t)
	collected := make(chan struct{})
	func() {
		big := new([1 << 16]byte)
		runtime.AddCleanup(big, func(int) { close(collected) }, 0)
		over := make(chan struct{})
		do(t, l, func(x *Turn) {
			x.At(x.Now(), func(*Turn) { big[0] = 1 })
			x.AfterGrace(func(*Turn) { big[0] = 2; close(over) })
			x.Defer(func(*Turn) { big[0] = 3 })
		})
		<-over
		do(t, l, func(*Turn) {})
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-collected:
			return
		default:
			runtime.Gosched() // cleanups have a goroutine of their own
		}
	}
	t.Error("still held")
}

func TestBeatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := start(t)
		time.Sleep(time.Minute)
		do(t, l, func(*Turn) {})
		synctest.Wait()
		if got := time.Since(l.Beat()); got != 0 {
			t.Errorf("beat is %v old, want 0", got)
		}
	})
}

func BenchmarkDo(b *testing.B) {
	l := New(epoch.NewDomain())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Do(ctx, func(*Turn) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	<-ended
}

// TestDeferredCountsFromTheTurnOn: what a turn puts off is not forgotten until
// its grace period begins.
func TestDeferredCountsFromTheTurnOn(t *testing.T) {
	l, _ := start(t)
	do(t, l, func(t2 *Turn) {
		t2.AfterGrace(func(*Turn) {})
		if n := t2.Stats().Deferred; n != 1 {
			t.Errorf("deferred = %d, want 1", n)
		}
	})
}

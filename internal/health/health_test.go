package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a loop until the test ends, in a bubble of its own time.
func run(t *testing.T, story func(t *testing.T, l *loop.Loop, d *epoch.Domain)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := epoch.NewDomain()
		l := loop.New(d)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		story(t, l, d)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
	})
}

// check checks what Check says, and how long it takes to say so.
func check(t *testing.T, l *loop.Loop, want string, within time.Duration) {
	t.Helper()
	began, got := time.Now(), ""
	if err := Check(t.Context(), l); err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("health = %q, want %q", got, want)
	}
	if took := time.Since(began); took > within {
		t.Errorf("it took %v, want at most %v", took, within)
	}
}

func TestIdleRouterIsHealthy(t *testing.T) {
	run(t, func(t *testing.T, l *loop.Loop, d *epoch.Domain) {
		r := d.Register("red")
		time.Sleep(time.Hour)
		check(t, l, "", 0)
		r.Close()
	})
}

func TestBatchThatEndsIsHealthy(t *testing.T) {
	run(t, func(t *testing.T, l *loop.Loop, d *epoch.Domain) {
		g := d.Register("red").Enter()
		time.AfterFunc(Patience/2, g.Leave)
		check(t, l, "", Patience/2)
	})
}

func TestWorkerThatDoesNotMoveIsNamed(t *testing.T) {
	run(t, func(t *testing.T, l *loop.Loop, d *epoch.Domain) {
		g := d.Register("red").Enter()
		defer g.Leave()
		d.Register("blue")
		const want = "workers: no end of a batch within 1s: red"
		check(t, l, want, Patience)
		for range 10 { // known by now, and no more waits for it than before
			check(t, l, want, 0)
		}
		_ = l.Do(t.Context(), func(turn *loop.Turn) error {
			if n := turn.Stats().Deferred; n != 1 {
				t.Errorf("%d functions wait, want 1", n)
			}
			return nil
		})
	})
}

func TestLoopThatDoesNotMove(t *testing.T) {
	run(t, func(t *testing.T, l *loop.Loop, _ *epoch.Domain) {
		resume := make(chan struct{})
		l.Post(func(*loop.Turn) { <-resume })
		synctest.Wait()
		check(t, l, "loop: no turn within 1s", Patience)
		close(resume)
		check(t, l, "", 0)
	})
}

func TestStoppedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loop.New(epoch.NewDomain())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		check(t, l, loop.ErrStopped.Error(), 0)
	})
}

func TestWhoAsksMayGiveUp(t *testing.T) {
	run(t, func(t *testing.T, l *loop.Loop, d *epoch.Domain) {
		g := d.Register("red").Enter()
		defer g.Leave()
		ctx, cancel := context.WithTimeout(t.Context(), Patience/2)
		defer cancel()
		if err := Check(ctx, l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

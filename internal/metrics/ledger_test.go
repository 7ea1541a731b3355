package metrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// alone is the metrics of a router that nobody runs.
func alone() (*Metrics, *loop.Loop) {
	d := epoch.NewDomain()
	l := loop.New(d)
	table, ifs := fib.NewTable(), ifmgr.New(l, zap.NewNop(), time.Second)
	return New(Source{Loop: l, Interfaces: ifs, FIB: table, Plane: dataplane.New(table, ifs, l, d)}), l
}

func TestDetachesByResultAndCause(t *testing.T) {
	m, l := alone()
	stop(t, l)
	for _, c := range []struct {
		cause  error
		result string
		label  string
	}{
		{ifmgr.ErrRequested, clean, "requested"},
		{fmt.Errorf("red: %w", ifmgr.ErrDeleted), clean, "deleted"},
		{ifmgr.ErrShutdown, orphaned, "shutdown"},
		{ifmgr.ErrLower, orphaned, "lower"},
		{errors.New("input/output error"), clean, "failed"},
	} {
		m.Detached(ifmgr.Result{Cause: c.cause, Clean: c.result == clean})
		ask(t, m).want(t, "detach_total{cause="+c.label+",result="+c.result+"}", 1)
	}
	got := 0.0
	for _, d := range ask(t, m)["router6d_detach_total"].Metric {
		got += d.Counter.GetValue()
	}
	if got != 5 {
		t.Errorf("detaches = %v, want 5", got)
	}
}

// A phase that did not end has no length.
func TestPhasesOfAnOrphan(t *testing.T) {
	m, l := alone()
	stop(t, l)
	m.Detached(ifmgr.Result{Cause: ifmgr.ErrRequested, Withdraw: 40 * time.Microsecond, Grace: time.Millisecond, Total: time.Second})
	m.Detached(ifmgr.Result{Cause: ifmgr.ErrRequested, Clean: true, Withdraw: 4 * time.Microsecond, Close: 20 * time.Millisecond, Total: 21 * time.Millisecond})
	got := ask(t, m)
	for series, want := range map[string]float64{
		"detach_phase_seconds_count{phase=withdraw}":           2,
		"detach_phase_seconds_bucket{phase=withdraw,le=5e-06}": 1,
		"detach_phase_seconds_bucket{phase=withdraw,le=5e-05}": 2,
		"detach_phase_seconds_count{phase=grace}":              2,
		"detach_phase_seconds_count{phase=hold}":               1,
		"detach_phase_seconds_count{phase=close}":              1,
		"detach_phase_seconds_sum{phase=close}":                0.02,
		"detach_seconds_sum":                                   1.021,
	} {
		got.want(t, series, want)
	}
}

func TestGraces(t *testing.T) {
	m, l := alone()
	stop(t, l)
	m.Grace(30 * time.Microsecond)
	m.Grace(2 * time.Second)
	ask(t, m).want(t, "grace_seconds_bucket{le=5e-05}", 1)
	ask(t, m).want(t, "grace_seconds_count", 2)
}

// What is remembered of names that never return is bounded, and a name that is
// shown is not forgotten.
func TestNamesAreForgotten(t *testing.T) {
	p := newPast()
	one := ifmgr.Counts{RxPackets: 1}
	p.add("red", one)
	p.shown = map[string]bool{"red": true}
	for i := range 3 * maxPast {
		p.add(fmt.Sprint(i), one)
		if len(p.counted) > maxPast+1 {
			t.Fatalf("%d names are remembered, want at most %d", len(p.counted), maxPast+1)
		}
	}
	p.add("red", one)
	if got := p.counted["red"]; got.RxPackets != 2 {
		t.Errorf("counted of red = %+v, want two packets", got)
	}
}

// stop runs a loop until it has ended.
func stop(t *testing.T, l *loop.Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// A loop that has stopped, or does not move, hides only what it alone knows.
func TestLoopThatDoesNotAnswer(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		m, l := alone()
		stop(t, l)
		wantSilence(t, m)
	})
	t.Run("stuck", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, l := alone()
			defer run(t, l)()
			resume := make(chan struct{})
			defer close(resume)
			l.Post(func(*loop.Turn) { <-resume })
			began := time.Now()
			wantSilence(t, m)
			if took := time.Since(began); took != patience {
				t.Errorf("it took %v, want %v", took, patience)
			}
		})
	})
}

func wantSilence(t *testing.T, m *Metrics) {
	t.Helper()
	got := ask(t, m)
	got.want(t, "loop_answers", 0)
	got.want(t, "received_packets_total", 0)
	for _, name := range []string{"router6d_epoch_current", "router6d_ifaces", "router6d_fib_prefixes"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is told, and only the loop knows", name)
		}
	}
}

// run runs a loop until the returned function is called.
func run(t *testing.T, l *loop.Loop) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
	}
}

// An orphan leaves its name to the next one, and the two are not mixed up.
func TestOrphanAndItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := alone()
		defer run(t, l)()
		m.of.Interfaces.Hook(ifmgr.Hooks{
			Attached: func(*loop.Turn, ifmgr.ID) {}, Up: func(*loop.Turn, ifmgr.ID) {},
			Withdraw:   func(*loop.Turn, ifmgr.ID) (routes, slots int) { return 0, 0 },
			Ended:      func(_ *loop.Turn, res ifmgr.Result) { m.Detached(res) },
			Generation: m.of.FIB.Generation,
		})
		var held *ifmgr.Handle
		attach := func() (id ifmgr.ID) {
			do(t, l, func(turn *loop.Turn) (err error) {
				near, _ := link.NewPipe("red", "red far")
				id, err = m.of.Interfaces.Attach(turn, near, ifmgr.Settings{Name: "red", MTU: 1500, Up: true})
				return err
			})
			return id
		}
		first := attach()
		do(t, l, func(turn *loop.Turn) (err error) {
			held, err = m.of.Interfaces.Acquire(turn, first, ifmgr.Worker)
			m.of.Interfaces.Detach(turn, first, ifmgr.ErrRequested, nil)
			return err
		})
		time.Sleep(2 * time.Second) // past the deadline
		second := attach()
		got := ask(t, m)
		for series, want := range map[string]float64{
			"orphans":                                              1,
			"ifaces{state=orphaned}":                               1,
			"ifaces{state=up}":                                     1,
			"holders{kind=worker,state=orphaned}":                  1,
			"holders{kind=worker,state=up}":                        0,
			"interface_state{iface=red,state=up}":                  1,
			"detach_total{cause=requested,result=orphaned}":        1,
			"interface_info{device=,id=2,iface=red,lower=,netns=}": 1,
		} {
			got.want(t, series, want)
		}
		held.Release()
		synctest.Wait()
		do(t, l, func(turn *loop.Turn) error {
			m.of.Interfaces.Detach(turn, second, ifmgr.ErrRequested, nil)
			return nil
		})
		synctest.Wait()
		ask(t, m).want(t, "orphans", 0)
	})
}

func do(t *testing.T, l *loop.Loop, fn func(*loop.Turn) error) {
	t.Helper()
	if err := l.Do(context.Background(), fn); err != nil {
		t.Error(err)
	}
}

func TestSpansAreInOrder(t *testing.T) {
	if !slices.IsSorted(spans) {
		t.Errorf("spans = %v", spans)
	}
}

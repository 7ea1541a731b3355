package loop

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/internal/epoch"
)

const (
	mailboxSize = 1024 // posted turns; a full box is backpressure, not loss, for Do
	// burstSize bounds the turns that may share one grace period, so that a
	// steady stream of turns can't put off the stamp of the first.
	burstSize = 256
)

// ErrStopped is returned once the loop has ended.
var ErrStopped = errors.New("loop: stopped")

// A Loop runs turns one at a time.
type Loop struct {
	// OnGrace, if set before Run, is told on the loop how long each grace period
	// took.
	OnGrace func(time.Duration)

	dom  *epoch.Domain
	mail chan func(*Turn)
	done chan struct{} // closed when Run has ended

	// The last release of a handle may come from any goroutine and must never
	// be refused, so it can't use the bounded mailbox; nor has it a Turn.
	mu       sync.Mutex
	notified []func(*Turn)
	wake     chan struct{} // capacity 1

	// Owned by Run.
	timers  timers
	pending []func(*Turn) // AfterGrace of this burst, not stamped yet
	graces  []grace       // oldest first
	stats   Stats

	beat atomic.Int64 // when the last burst ended, Unix nanoseconds
}

// New returns a loop over d. Run must be called for anything to happen.
func New(d *epoch.Domain) *Loop {
	return &Loop{
		dom:  d,
		mail: make(chan func(*Turn), mailboxSize),
		done: make(chan struct{}),
		wake: make(chan struct{}, 1),
	}
}

// Run takes turns until ctx ends. It runs once. What still waits then, in the
// mailbox, for time or for readers, never runs.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.done)
	defer l.dom.Watch(false)
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		l.settle()
		l.flushNotified()
		l.expire(time.Now()) // what has come about counts before its deadline
		l.stamp()
		l.beat.Store(time.Now().UnixNano())
		if len(l.graces) > 0 && l.graces[0].passed(l.dom) {
			continue
		}
		sleep.Reset(l.timers.wait(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case fn := <-l.mail:
			l.burst(fn)
		case <-l.wake:
		case <-l.dom.Changed():
		case <-sleep.C:
		}
	}
}

// burst runs fn and what already waits behind it.
func (l *Loop) burst(fn func(*Turn)) {
	for range burstSize {
		l.turn(fn)
		select {
		case fn = <-l.mail:
		default:
			return
		}
	}
	l.turn(fn)
}

func (l *Loop) turn(fn func(*Turn)) {
	l.stats.Turns++
	t := Turn{l: l, now: time.Now()}
	fn(&t)
	t.l = nil // a Turn kept past its function fails at once
}

// Do runs fn in a turn and returns its error. If ctx ends before the turn
// starts, fn never runs; once started it is waited for.
func (l *Loop) Do(ctx context.Context, fn func(*Turn) error) error {
	var claimed atomic.Bool // by the turn, or by a caller that gave up
	res := make(chan error, 1)
	turn := func(t *Turn) {
		if claimed.Swap(true) {
			return
		}
		if err := ctx.Err(); err != nil { // its end may not have woken the caller yet
			res <- err
			return
		}
		res <- fn(t)
	}
	select {
	case l.mail <- turn:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return ErrStopped
	}
	select {
	case err := <-res:
		return err
	case <-ctx.Done():
		if !claimed.Swap(true) {
			return ctx.Err()
		}
	case <-l.done:
	}
	select {
	case err := <-res:
		return err
	case <-l.done:
		return l.last(res)
	}
}

// last looks for a result that came just before the loop ended.
func (l *Loop) last(res <-chan error) error {
	select {
	case err := <-res:
		return err
	default:
		return ErrStopped
	}
}

// Post asks for a turn and does not wait for it; false means that the mailbox
// is full, or that the loop has ended. The caller counts what it loses.
func (l *Loop) Post(fn func(*Turn)) bool {
	select {
	case <-l.done:
		return false
	default:
	}
	select {
	case l.mail <- fn:
		return true
	default:
		return false
	}
}

// Notify asks for a turn and is never refused. It is for those whose number
// bounds their calls: the last release of an interface, a device closed.
func (l *Loop) Notify(fn func(*Turn)) {
	l.mu.Lock()
	l.notified = append(l.notified, fn)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) flushNotified() {
	l.mu.Lock()
	fns := l.notified
	l.notified = nil
	l.mu.Unlock()
	for _, fn := range fns {
		l.turn(fn)
	}
}

// Beat is when the loop last finished what it had to do. One that is older
// than a moment, with turns waiting, is stuck.
func (l *Loop) Beat() time.Time { return time.Unix(0, l.beat.Load()) }

// Package health says whether a router moves. It looks at nothing that could be
// stale: it has the loop take a turn and waits for one grace period, which every
// worker must let pass.
package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/router6d/router6d/internal/loop"
)

// Patience is how long a turn, or a batch, may take. A batch takes less than a
// millisecond; the rest is for a machine that is starved.
const Patience = time.Second

// Check returns nil if the loop takes a turn and all readers that are inside
// leave, each within Patience, or why not. It takes twice Patience at most.
func Check(ctx context.Context, l *loop.Loop) error {
	left := make(chan struct{})
	err := turn(ctx, l, func(t *loop.Turn) error {
		if s := t.Stats(); s.Oldest >= Patience { // no need to wait, nor to add to what waits
			return late(s)
		}
		t.AfterGrace(func(*loop.Turn) { close(left) })
		return nil
	})
	if err != nil {
		return err
	}
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return turn(ctx, l, func(t *loop.Turn) error { return late(t.Stats()) })
	}
}

var errNoTurn = fmt.Errorf("loop: no turn within %v", Patience)

// turn runs fn in a turn that must come soon.
func turn(ctx context.Context, l *loop.Loop, fn func(*loop.Turn) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, errNoTurn)
	defer cancel()
	err := l.Do(ctx, fn)
	if errors.Is(err, ctx.Err()) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// late is what is wrong with a grace period that does not end.
func late(s loop.Stats) error {
	if len(s.Slowest) == 0 {
		return fmt.Errorf("grace period: none over within %v", Patience) // and now, just too late, it is
	}
	return fmt.Errorf("workers: no end of a batch within %v: %s", Patience, strings.Join(s.Slowest, ", "))
}

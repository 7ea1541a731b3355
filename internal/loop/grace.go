package loop

import (
	"slices"
	"time"

	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/fault"
)

// A grace is what waits for one stamp to pass.
type grace struct {
	at    epoch.Stamp
	began time.Time
	fns   []func(*Turn)
}

func (g *grace) passed(d *epoch.Domain) bool { return fault.NoGrace || d.Passed(g.at) }

// stamp begins one grace period for all that this burst unpublished.
func (l *Loop) stamp() {
	if len(l.pending) > 0 {
		l.graces = append(l.graces, grace{l.dom.Stamp(), time.Now(), l.pending})
		l.pending = nil
	}
	// Before the next look at Passed: see Guard.Leave.
	l.dom.Watch(len(l.graces) > 0)
}

// settle runs what waited for a grace period that is over.
func (l *Loop) settle() {
	for len(l.graces) > 0 && l.graces[0].passed(l.dom) {
		g := l.graces[0]
		l.graces = slices.Delete(l.graces, 0, 1) // and clear: its functions hold what has ended
		took := time.Since(g.began)
		l.stats.Graces++
		l.stats.GraceSum += took
		l.stats.GraceMax = max(l.stats.GraceMax, took)
		if l.OnGrace != nil {
			l.OnGrace(took)
		}
		for _, fn := range g.fns {
			l.turn(fn)
		}
	}
}

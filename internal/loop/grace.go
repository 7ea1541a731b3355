package loop

import (
	"time"

	"github.com/router6d/router6d/internal/epoch"
)

// A grace is what waits for one stamp to pass.
type grace struct {
	at    epoch.Stamp
	began time.Time
	fns   []func(*Turn)
}

func (g *grace) passed(d *epoch.Domain) bool { return d.Passed(g.at) }

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
		l.graces = l.graces[1:]
		took := time.Since(g.began)
		l.stats.Graces++
		l.stats.GraceSum += took
		l.stats.GraceMax = max(l.stats.GraceMax, took)
		for _, fn := range g.fns {
			l.turn(fn)
		}
	}
}

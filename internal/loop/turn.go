package loop

import "time"

// A Turn is proof of running on the loop, until its function returns.
type Turn struct {
	l   *Loop
	now time.Time
}

// Now is when the turn began.
func (t *Turn) Now() time.Time { return t.now }

// AfterGrace runs fn in a later turn, once nobody sees what this turn has
// unpublished. Functions run in the order they were given.
func (t *Turn) AfterGrace(fn func(*Turn)) { t.l.pending = append(t.l.pending, fn) }

// Defer runs fn in a turn of its own, soon, and is never refused.
func (t *Turn) Defer(fn func(*Turn)) { t.l.Notify(fn) }

// At runs fn in a turn at or soon after when.
func (t *Turn) At(when time.Time, fn func(*Turn)) *Timer { return t.l.timers.add(when, fn) }

// Stats is what the loop has done so far.
func (t *Turn) Stats() Stats {
	s := t.l.stats
	s.Epoch = t.l.dom.Epoch()
	s.Readers = t.l.dom.Readers()
	s.Deferred = len(t.l.pending) // of this burst, whose grace period is yet to begin
	for _, g := range t.l.graces {
		s.Deferred += len(g.fns)
	}
	if len(t.l.graces) > 0 {
		s.Oldest = t.now.Sub(t.l.graces[0].began)
		s.Slowest = t.l.dom.Waiting(t.l.graces[0].at)
	}
	return s
}

// Stats describes turns and grace periods.
type Stats struct {
	Turns    uint64        // turns taken
	Graces   uint64        // grace periods over
	GraceSum time.Duration // their total length
	GraceMax time.Duration // the longest of them

	Epoch    uint64
	Readers  int
	Deferred int           // functions waiting for a grace period
	Oldest   time.Duration // age of the oldest open grace period
	Slowest  []string      // readers it waits for
}

package loop

import (
	"container/heap"
	"time"
)

// A Timer is a turn that is to come. It belongs to the loop.
type Timer struct {
	when  time.Time
	fn    func(*Turn)
	index int // in the heap; -1: fired or stopped
}

// Stop takes the timer back. Stopping one that has fired does nothing; a nil
// Timer is one that was never set.
func (x *Timer) Stop(t *Turn) {
	if x != nil && x.index >= 0 {
		heap.Remove(&t.l.timers, x.index)
	}
}

// timers is a heap, the soonest first.
type timers []*Timer

func (ts *timers) add(when time.Time, fn func(*Turn)) *Timer {
	x := &Timer{when: when, fn: fn}
	heap.Push(ts, x)
	return x
}

// wait is how long the loop may sleep.
func (ts timers) wait(now time.Time) time.Duration {
	if len(ts) == 0 {
		return time.Hour
	}
	return max(0, ts[0].when.Sub(now))
}

// expire runs the timers whose time has come, and no more of them than there
// were: one that sets itself again in the past must leave room for others.
func (l *Loop) expire(now time.Time) {
	for range len(l.timers) {
		if len(l.timers) == 0 || l.timers[0].when.After(now) {
			return
		}
		x := heap.Pop(&l.timers).(*Timer)
		l.turn(x.fn)
	}
}

func (ts timers) Len() int           { return len(ts) }
func (ts timers) Less(i, j int) bool { return ts[i].when.Before(ts[j].when) }

func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].index, ts[j].index = i, j
}

// Push implements heap.Interface.
func (ts *timers) Push(x any) {
	t := x.(*Timer)
	t.index = len(*ts)
	*ts = append(*ts, t)
}

// Pop implements heap.Interface.
func (ts *timers) Pop() any {
	old := *ts
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*ts = old[:len(old)-1]
	x.index = -1
	return x
}

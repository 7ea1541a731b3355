package nd

import (
	"container/heap"
	"time"
)

// A timer calls fire once when its time has come. The zero value is not set.
type timer struct {
	when  time.Time
	fire  func(now time.Time)
	place int // in the heap, from 1; zero: not set
}

// set has t fire at when, whatever was set before.
func (m *Machine) set(t *timer, when time.Time, fire func(now time.Time)) {
	t.when, t.fire = when, fire
	if t.place > 0 {
		heap.Fix(&m.timers, t.place-1)
		return
	}
	heap.Push(&m.timers, t)
}

func (m *Machine) cancel(t *timer) {
	if t.place > 0 {
		heap.Remove(&m.timers, t.place-1)
	}
}

// expire runs what is due, and no more than there was: what sets itself again
// waits for the next step.
func (m *Machine) expire(now time.Time) {
	for range len(m.timers) {
		if len(m.timers) == 0 || m.timers[0].when.After(now) {
			return
		}
		t := heap.Pop(&m.timers).(*timer)
		t.fire(now)
	}
}

// timers is a heap, the soonest first.
type timers []*timer

func (ts timers) Len() int           { return len(ts) }
func (ts timers) Less(i, j int) bool { return ts[i].when.Before(ts[j].when) }

func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].place, ts[j].place = i+1, j+1
}

// Push implements heap.Interface.
func (ts *timers) Push(x any) {
	t := x.(*timer)
	*ts = append(*ts, t)
	t.place = len(*ts)
}

// Pop implements heap.Interface.
func (ts *timers) Pop() any {
	old := *ts
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*ts = old[:len(old)-1]
	t.place = 0
	return t
}

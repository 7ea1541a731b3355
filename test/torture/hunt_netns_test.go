package torture

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/internal/fault"
)

// A holder holds those who are between lookup and send until what they may have found
// has been replaced.
type holder struct {
	newest  atomic.Int64 // incarnation that is there, or was last
	holding atomic.Bool
}

func (h *holder) hold() {
	found := h.newest.Load()
	for began := time.Now(); time.Since(began) < holdMost && h.holding.Load() && h.newest.Load() == found; {
		time.Sleep(time.Millisecond) // it is a worker's goroutine, which nobody wakes
	}
}

// A hunt is for segments of the router's own that leave with what is another
// incarnation's.
type hunt struct {
	s *stage
	holder
	flaps        int
	right, wrong atomic.Uint64 // segments
	readers      sync.WaitGroup
}

// during flaps for some time, and holds meanwhile; under the mutant until it is caught,
// which is a matter of chance.
func (h *hunt) during(d time.Duration, flap func()) {
	h.s.t.Helper()
	h.holding.Store(true)
	defer h.holding.Store(false)
	if fault.NoGuard {
		d = patience
	}
	for end := time.Now().Add(d); time.Now().Before(end) && !h.proven(); {
		flap()
	}
}

// proven reports whether what the mutant breaks was seen.
func (h *hunt) proven() bool { return fault.NoGuard && h.wrong.Load() != 0 }

// judge says whether what must not happen did not; or under the mutant, whether it was
// seen.
func (h *hunt) judge(all ...*transfers) {
	h.s.t.Helper()
	h.readers.Wait()
	t, st, dead := h.s.t, h.s.r.Transport.Stats(), h.s.r.Plane.Stats().DeadLookups
	right, wrong := h.right.Load(), h.wrong.Load()
	t.Logf("%d flaps, %d segments right, %d wrong, %d sent again, %d that had waited, %d dead lookups",
		h.flaps, right, wrong, st.Retransmitted, st.Resumed, dead)
	for _, x := range all {
		t.Logf("%d of %d transfers complete, the last one %v after the last flap", x.done.Load(), x.n, time.Duration(x.last.Load()).Round(time.Millisecond))
		if x.done.Load() != int64(x.n) && !fault.NoGuard {
			t.Error("not all transfers are complete")
		}
	}
	switch {
	case fault.NoGuard && !h.proven():
		t.Error("segments are sent outside of the epoch, and none was wrong: the test is blind")
	case fault.NoGuard:
	case wrong != 0, dead != 0:
		t.Errorf("%d segments with what is another incarnation's, %d dead lookups", wrong, dead)
	case right == 0 || st.Resumed == 0 || st.Retransmitted == 0:
		t.Error("nothing was sent, or nothing again: the test is blind")
	case h.s.orphans() != 0:
		t.Errorf("%d detaches ended orphaned", h.s.orphans())
	}
}

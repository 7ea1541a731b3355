//go:build torture

package torture

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/fault"
)

const (
	holdEvery = 20                     // batches
	holdMost  = 300 * time.Millisecond // unless the next incarnation is there before
)

// holdWorkers stops a worker between lookup and send now and then, until the
// incarnation that it may have found has been replaced.
func (f *flapper) holdWorkers(t *testing.T) {
	var batches atomic.Int64
	fault.SetHold(func(string) {
		if batches.Add(1)%holdEvery != 0 {
			return
		}
		found := f.newest.Load()
		for began := time.Now(); time.Since(began) < holdMost && !f.freed.Load() && f.newest.Load() == found; {
			time.Sleep(time.Millisecond)
		}
	})
	t.Cleanup(func() { fault.SetHold(nil) })
}

func (f *flapper) release() { f.freed.Store(true) }

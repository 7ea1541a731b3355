//go:build torture

package torture

import (
	"sync/atomic"
	"testing"

	"github.com/router6d/router6d/internal/fault"
)

// holdWorkers stops a worker between lookup and send, once in so many batches of
// all workers, for as long as hold takes.
func holdWorkers(t *testing.T, every int64, hold func()) {
	var batches atomic.Int64
	fault.SetHold(func(string) {
		if batches.Add(1)%every == 0 {
			hold()
		}
	})
	t.Cleanup(func() { fault.SetHold(nil) })
}

//go:build torture

package fault

import "sync/atomic"

var hold atomic.Pointer[func()]

// SetHold has fn called by every worker that has looked up a batch and not yet
// sent it; nil for nothing.
func SetHold(fn func()) {
	if fn == nil {
		hold.Store(nil)
		return
	}
	hold.Store(&fn)
}

// Hold is where a worker can be stopped.
func Hold() {
	if fn := hold.Load(); fn != nil {
		(*fn)()
	}
}

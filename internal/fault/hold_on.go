//go:build torture

package fault

import "sync/atomic"

var hold atomic.Pointer[func(worker string)]

// SetHold has fn called by every worker that has looked up a batch and not yet
// sent it, and for every vector that a PPPoE session is to send, with the name of the
// session's interface; nil for nothing.
func SetHold(fn func(worker string)) {
	if fn == nil {
		hold.Store(nil)
		return
	}
	hold.Store(&fn)
}

// Hold is where a worker can be stopped.
func Hold(worker string) {
	if fn := hold.Load(); fn != nil {
		(*fn)(worker)
	}
}

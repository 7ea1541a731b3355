package ifmgr

import "sync/atomic"

// A Holder says what a Handle is for: the ledger counts handles by it.
type Holder uint8

const (
	// Route is a nexthop of the FIB. Refused unless the interface is Up.
	Route Holder = iota + 1
	// Worker reads from the interface's port.
	Worker
	// Stacked is a port on top of this one.
	Stacked
	// Setup is setting up the kernel's end.
	Setup

	holders
)

// String is the name the ledger uses.
func (h Holder) String() string {
	return [holders]string{"none", "route", "worker", "stacked", "setup"}[h]
}

// A Handle is one counted reference to an interface: while it is held, the
// interface's port is not closed. It has one owner, who releases it once.
//
// A batch does not need one: what a lookup returns is good until the reader
// leaves its epoch.
type Handle struct {
	_ noCopy
	*Interface
	who      Holder
	released atomic.Bool
}

// noCopy makes vet complain about copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Release gives the reference back.
func (h *Handle) Release() {
	if h.released.Swap(true) {
		panic("ifmgr: double release of " + h.Interface.name)
	}
	h.Interface.held[h.who].Add(-1)
	h.Interface.release()
}

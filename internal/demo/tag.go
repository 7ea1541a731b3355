package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

const (
	firstTag = 0x10000 // number of the wire of the first incarnation
	tagRate  = 2000    // packets a second
	tagPast  = 8       // incarnations that are written to: this one and those before it
)

// An incarnation is one interface of the churn, from its making to its end.
type incarnation struct {
	name   string
	number int
	ns     *netlab.Namespace
	ended  chan struct{} // closed when the router has detached it
	watch  *netlab.TagWatch
}

// deleteNamespace ends the namespace with all that is in it. A socket there
// would keep it alive, so the watch goes first.
func (i *incarnation) deleteNamespace() error {
	return errors.Join(i.watch.Close(), i.ns.Delete())
}

// waitEnd returns when the router has noticed the end.
func (i *incarnation) waitEnd() error {
	select {
	case <-i.ended:
		return nil
	case <-time.After(cleanupTimeout):
		return fmt.Errorf("%s: its end was not noticed in %v", i.name, cleanupTimeout)
	}
}

// tagged sends to the newest incarnation and to those just before it, which
// are ending or gone: their packets may go nowhere, but to nobody else.
func (s *stage) tagged(ctx context.Context) {
	s.tags.Pace(ctx, tagRate, func(n int) (netip.Addr, uint64) {
		number := s.newest.Load() - int64(n%tagPast)
		if number <= 0 {
			return netip.Addr{}, 0
		}
		return netlab.End(netlab.Wire(firstTag+int(number)), 2), uint64(number)
	})
}

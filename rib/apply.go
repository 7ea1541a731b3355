package rib

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/router6d/router6d/internal/loop"
)

// ErrNoRoute means that there is no such route to withdraw.
var ErrNoRoute = errors.New("no such route")

// An Update is applied whole or not at all. Routes in Set replace those with
// the same key.
type Update struct {
	Source   Source
	Replace  bool // withdraw whatever else Source has on offer
	Set      []Route
	Withdraw []Key
}

// Apply changes what a source offers. The first routes are in the FIB when it
// returns, which is all of them in an update of usual size; Settled tells of
// the rest. On error nothing has changed.
//
// All else waits for its turn: about a millisecond for a thousand routes. Who has
// many that do not depend on each other applies them in several updates.
func (r *RIB) Apply(t *loop.Turn, u Update) error {
	set, err := u.checkSet()
	if err != nil {
		return err
	}
	if err := r.checkWithdraw(u); err != nil {
		return err
	}
	var dirty []netip.Prefix
	for _, k := range u.Withdraw {
		r.retract(k)
		dirty = append(dirty, k.Prefix)
	}
	if u.Replace {
		dirty = r.retractOthers(u.Source, set, dirty)
	}
	for _, o := range set {
		if r.offer(o) {
			dirty = append(dirty, o.Prefix)
		}
	}
	r.install(t, dirty)
	return nil
}

// checkSet returns the routes to set in canonical form.
func (u Update) checkSet() ([]Route, error) {
	if u.Source <= Connected || u.Source >= sources {
		return nil, fmt.Errorf("update of source %d: connected routes come with their interface", u.Source)
	}
	set := make([]Route, len(u.Set))
	seen := make(map[Key]struct{}, len(u.Set))
	for i, o := range u.Set {
		o, err := o.check(u.Source)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[o.Key()]; twice {
			return nil, fmt.Errorf("route %v: is there twice with metric %d", o.Prefix, o.Metric)
		}
		seen[o.Key()] = struct{}{}
		set[i] = o
	}
	return set, nil
}

func (r *RIB) checkWithdraw(u Update) error {
	seen := make(map[Key]struct{}, len(u.Withdraw))
	for _, k := range u.Withdraw {
		_, twice := seen[k]
		if k.Source != u.Source || twice || r.lookup(k) == nil {
			return fmt.Errorf("withdraw %v: %w", k, ErrNoRoute)
		}
		seen[k] = struct{}{}
	}
	return nil
}

// retractOthers takes back all routes of a source that are not in set.
func (r *RIB) retractOthers(source Source, set []Route, dirty []netip.Prefix) []netip.Prefix {
	keep := make(map[Key]struct{}, len(set))
	for _, o := range set {
		keep[o.Key()] = struct{}{}
	}
	var gone []Key
	for _, e := range r.entries {
		for _, rt := range e.routes {
			if _, kept := keep[rt.Key()]; rt.Source == source && !kept {
				gone = append(gone, rt.Key())
			}
		}
	}
	for _, k := range gone {
		r.retract(k)
		dirty = append(dirty, k.Prefix)
	}
	return dirty
}

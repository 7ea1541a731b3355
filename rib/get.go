package rib

import "github.com/router6d/router6d/internal/loop"

// Get is the route with key k, if it is on offer.
func (r *RIB) Get(_ *loop.Turn, k Key) (Route, bool) {
	if rt := r.lookup(k); rt != nil {
		return rt.Route, true
	}
	return Route{}, false
}

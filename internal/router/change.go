package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// AddInterface makes an interface at run time. It waits for an older one of the
// same name that is on its way out.
func (r *Router) AddInterface(ctx context.Context, c config.Interface) (ifmgr.ID, error) {
	id, err := r.Interfaces.Add(ctx, c)
	switch {
	case c.Mode == config.ModeAttach && (err == nil || errors.Is(err, link.ErrNotExist) || errors.Is(err, link.ErrBusy)):
		r.keeper.Keep(c) // now, or when the device is there to be had
		return id, nil
	case err == nil && c.Recreate:
		r.keeper.Keep(c)
	}
	return id, err
}

// DeleteInterface detaches an interface and waits for the end, which comes
// within the detach timeout. It is not made again.
func (r *Router) DeleteInterface(ctx context.Context, name string) (ifmgr.Result, error) {
	r.keeper.Drop(name)
	done := make(chan ifmgr.Result, 1)
	err := r.Loop.Do(ctx, func(t *loop.Turn) error {
		id, ok := r.Interfaces.Lookup(t, name)
		switch {
		case !ok && r.Interfaces.Forget(t, name): // between two incarnations
			done <- ifmgr.Result{Name: name, Cause: ifmgr.ErrRequested, Clean: true}
			return nil
		case !ok:
			return ifmgr.ErrNotFound
		}
		r.Interfaces.Detach(t, id, ifmgr.ErrRequested, func(res ifmgr.Result) { done <- res })
		return nil
	})
	if err != nil {
		return ifmgr.Result{}, err
	}
	select {
	case res := <-done:
		return res, nil
	case <-ctx.Done(): // the detach goes on
		return ifmgr.Result{}, ctx.Err()
	}
}

// ErrRouteExists means that there is a static route to the prefix with that
// metric already.
var ErrRouteExists = errors.New("route exists")

// AddRoute offers a static route at run time. It returns what lookups make of
// the route now; that is zero if they find better ones.
func (r *Router) AddRoute(ctx context.Context, c config.Route) (now rib.Step, err error) {
	route := staticRoute(c, rib.Runtime)
	err = r.Loop.Do(ctx, func(t *loop.Turn) error {
		if old, ok := r.RIB.Get(t, route.Key()); ok {
			return fmt.Errorf("%v metric %d, from %v: %w", c.Prefix, c.Metric, old.Origin, ErrRouteExists)
		}
		err := r.RIB.Apply(t, rib.Update{Source: rib.Static, Set: []rib.Route{route}})
		if err == nil {
			r.log.Info("route added", zap.Stringer("prefix", c.Prefix), zap.Uint32("metric", c.Metric),
				zap.Stringer("target", route.Target))
			now = r.step(t, route.Key())
		}
		return err
	})
	return now, err
}

// step is that of a route in the lookup of its prefix.
func (r *Router) step(t *loop.Turn, k rib.Key) rib.Step {
	for _, s := range r.RIB.Explain(t, k.Prefix.Addr()) {
		if s.Route.Target != nil && s.Route.Key() == k {
			return s
		}
	}
	return rib.Step{}
}

// DeleteRoute takes back a static route.
func (r *Router) DeleteRoute(ctx context.Context, prefix netip.Prefix, metric uint32) error {
	key := rib.Key{Prefix: prefix, Source: rib.Static, Metric: metric}
	return r.Loop.Do(ctx, func(t *loop.Turn) error {
		if _, ok := r.RIB.Get(t, key); !ok {
			return r.noRoute(t, key)
		}
		err := r.RIB.Apply(t, rib.Update{Source: rib.Static, Withdraw: []rib.Key{key}})
		if err == nil {
			r.log.Info("route deleted", zap.Stringer("prefix", prefix), zap.Uint32("metric", metric))
		}
		return err
	})
}

// noRoute says which metrics there are instead.
func (r *Router) noRoute(t *loop.Turn, k rib.Key) error {
	var others []string
	for s := range r.RIB.All(t) {
		if s.Prefix == k.Prefix && s.Source == rib.Static {
			others = append(others, strconv.FormatUint(uint64(s.Metric), 10))
		}
	}
	err := fmt.Errorf("%w: no static route to %v with metric %d", rib.ErrNoRoute, k.Prefix, k.Metric)
	if len(others) > 0 {
		err = fmt.Errorf("%w, only with %s", err, strings.Join(others, " and "))
	}
	return err
}

// staticRoute is what a route of the configuration offers.
func staticRoute(c config.Route, origin rib.Origin) rib.Route {
	return rib.Route{Prefix: c.Prefix, Source: rib.Static, Metric: c.Metric, Target: target(c), Origin: origin}
}

func target(c config.Route) rib.Target {
	switch c.Refuse {
	case config.RefuseUnreachable:
		return rib.Refuse{Verdict: fib.Unreachable}
	case config.RefuseProhibit:
		return rib.Refuse{Verdict: fib.Prohibit}
	case config.RefuseBlackhole:
		return rib.Refuse{Verdict: fib.Blackhole}
	case config.RefuseNone:
	}
	var paths rib.Paths
	for _, p := range c.Paths {
		paths = append(paths, rib.Path{Iface: p.Dev, Gateway: p.Via, Weight: uint8(p.Weight), HopLimit: c.HopLimit})
	}
	// As the RIB has them: a reload compares texts.
	slices.SortFunc(paths, func(a, b rib.Path) int {
		return cmp.Or(cmp.Compare(a.Iface, b.Iface), a.Gateway.Compare(b.Gateway))
	})
	return paths
}

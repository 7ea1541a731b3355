package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// A Change is one difference between the file and the router.
type Change struct {
	Action string // add, delete or change
	What   string // "interface red", "route 2001:db8::/32 metric 0"
	Detail string // what changes; may be empty
}

// A reload is the difference between a file and the router, in the order in
// which it is applied.
type reload struct {
	changes []Change
	add     []config.Interface // to be made now; persistent devices are the keeper's
	change  []config.Interface
	remove  []string
	routes  []rib.Route // all static ones, those of run time included
}

// Reload makes the router what next says, as far as it came from a file: what
// was added at run time stays. It is all or nothing: on error nothing has
// changed, and the error names all that can't be. A dry run only tells. The
// caller sees to it that there is one at a time, with the newest file last.
func (r *Router) Reload(ctx context.Context, next *config.Config, dry bool) ([]Change, error) {
	var d *reload
	err := r.Loop.Do(ctx, func(t *loop.Turn) (err error) { d, err = r.difference(t, next); return err })
	if err != nil || dry {
		return d.told(), err
	}
	made, err := r.prepare(ctx, d.add)
	if err != nil {
		return nil, err
	}
	attached, ended, err := r.apply(ctx, d, made, next)
	if err != nil {
		return nil, errors.Join(err, r.discard(made, d.add))
	}
	for _, p := range made {
		if slices.Contains(attached, p) {
			p.Settle(ctx)
		} else if err := p.Discard(); err != nil { // told by apply
			r.log.Error("device not closed", zap.Error(err))
		}
	}
	for _, done := range ended {
		<-done // within the detach timeout
	}
	r.log.Info("configuration reloaded", zap.Int("differences", len(d.changes)))
	return d.changes, nil
}

func (d *reload) told() []Change {
	if d == nil {
		return nil
	}
	return d.changes
}

// difference compares next with the router and its last file.
func (r *Router) difference(t *loop.Turn, next *config.Config) (*reload, error) {
	d := &reload{}
	err := errors.Join(
		r.fixed(next),
		d.services(r.cfg.Services, next.Services),
		r.differInterfaces(t, next, d),
		r.differRoutes(t, next, d),
	)
	if err != nil {
		return nil, err
	}
	if next.DetachTimeout != r.cfg.DetachTimeout {
		d.note("change", "detach-timeout", fmt.Sprintf("%v to %v", r.cfg.DetachTimeout, next.DetachTimeout))
	}
	if next.Log.Level != r.cfg.Log.Level {
		d.note("change", "log.level", fmt.Sprintf("%s to %s", r.cfg.Log.Level, next.Log.Level))
	}
	return d, nil
}

func (d *reload) note(action, what, detail string) {
	d.changes = append(d.changes, Change{action, what, detail})
}

// fixed refuses what only a new start can change.
func (r *Router) fixed(next *config.Config) error {
	var errs []error
	refuse := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("%s can't be changed in place: restart the router", key))
		}
	}
	refuse("control", next.Control == r.cfg.Control)
	refuse("icmp-errors", next.ICMPErrors == r.cfg.ICMPErrors)
	refuse("log.format", next.Log.Format == r.cfg.Log.Format)
	refuse("metrics.listen", next.Metrics.Listen == r.cfg.Metrics.Listen)
	return errors.Join(errs...)
}

// services notes what is offered and what no longer, and refuses what can't change in
// place. Whoever runs them makes it so.
func (d *reload) services(old, next config.Services) error {
	was, will := old.Named(), next.Named()
	names := maps.Clone(was)
	maps.Copy(names, will)
	var err error
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := was[name], will[name]
		switch {
		case a == nil:
			d.note("add", "service "+name, fmt.Sprintf("port %d", b.Port))
			continue
		case b == nil:
			d.note("delete", "service "+name, "")
			continue
		}
		changed := offerSettings(a, b)
		if name == "http" {
			files := fileSettings(old.HTTP, next.HTTP)
			if len(files) > 0 && a.Port == b.Port {
				err = errors.Join(err, fmt.Errorf("service http: %s can't be changed in place: give it another port too, or restart the router (a file that is replaced is read anew)",
					strings.Join(files, ", ")))
			}
			changed = append(changed, files...)
		}
		if len(changed) > 0 {
			d.note("change", "service "+name, strings.Join(changed, ", "))
		}
	}
	return err
}

// offerSettings names those in which two offers of a service differ.
func offerSettings(a, b *config.Service) (changed []string) {
	differ := differences(&changed)
	differ("protocols", slices.Equal(a.Protocols, b.Protocols))
	differ("port", a.Port == b.Port)
	differ("addresses", slices.Equal(a.Addresses, b.Addresses))
	differ("interfaces", slices.Equal(a.Interfaces, b.Interfaces))
	return changed
}

func fileSettings(a, b *config.HTTP) (changed []string) {
	differ := differences(&changed)
	differ("certificate", a.Certificate == b.Certificate)
	differ("key", a.Key == b.Key)
	differ("token-file", a.TokenFile == b.TokenFile)
	return changed
}

// differences returns what adds a key to a list where it is not the same.
func differences(list *[]string) func(key string, same bool) {
	return func(key string, same bool) {
		if !same {
			*list = append(*list, key)
		}
	}
}

func (r *Router) differInterfaces(t *loop.Turn, next *config.Config, d *reload) error {
	live := map[string]ifmgr.Info{}
	for _, in := range r.Interfaces.All(t) {
		if in.State < ifmgr.Draining {
			live[in.Name] = in
		}
	}
	kept := r.keeper.Wanted()
	var errs []error
	wanted := map[string]bool{}
	for _, c := range next.Interfaces {
		wanted[c.Name] = true
		errs = append(errs, r.differInterface(c, live, kept, d))
	}
	for _, c := range r.cfg.Interfaces { // those of the file that are there, or waited for
		_, waited := kept[c.Name]
		in, there := live[c.Name]
		if ours := there && in.FromFile || !there && waited && kept[c.Name].Line != 0; ours && !wanted[c.Name] {
			d.remove = append(d.remove, c.Name)
			d.note("delete", "interface "+c.Name, "")
		}
	}
	return errors.Join(append(errs, clash(next, live))...)
}

// differInterface compares one interface of the file with the one that has its
// name now: it is there, the keeper waits for it, or there is none.
func (r *Router) differInterface(c config.Interface, live map[string]ifmgr.Info, kept map[string]config.Interface, d *reload) error {
	in, there := live[c.Name]
	wish, waited := kept[c.Name]
	switch {
	case there && !in.FromFile, !there && waited && wish.Line == 0:
		return fmt.Errorf("interface %s: there is one of that name that was added at run time: delete it first", c.Name)
	case there:
		return d.compare(r.configured(c.Name), c)
	case waited && same(wish, c):
	case c.Mode == config.ModeAttach:
		d.note("add", "interface "+c.Name, "when its "+waitsFor(c)+" is there")
	default:
		d.add = append(d.add, c)
		d.note("add", "interface "+c.Name, "")
	}
	return nil
}

// waitsFor is what an interface needs that somebody else makes.
func waitsFor(c config.Interface) string {
	if c.Type.Stacked() {
		return "lower interface"
	}
	return "device"
}

// configured is an interface of the last file, which has it.
func (r *Router) configured(name string) config.Interface {
	i := slices.IndexFunc(r.cfg.Interfaces, func(c config.Interface) bool { return c.Name == name })
	return r.cfg.Interfaces[i]
}

// compare notes what changes in place, and refuses what can't.
func (d *reload) compare(old, c config.Interface) error {
	fixed, changed := settings(old, c)
	if len(fixed) > 0 {
		return fmt.Errorf("interface %s: %s can't be changed in place: delete it first (router6d interface del %s), then reload",
			c.Name, strings.Join(fixed, ", "), c.Name)
	}
	if len(changed) > 0 {
		d.change = append(d.change, c)
		d.note("change", "interface "+c.Name, strings.Join(changed, ", "))
	}
	return nil
}

// settings names those in which two interfaces differ: those that can't change
// in place, and those that can.
func settings(a, b config.Interface) (fixed, changed []string) {
	fix, change := differences(&fixed), differences(&changed)
	fix("type", a.Type == b.Type)
	fix("mode", a.Mode == b.Mode)
	fix("mtu", a.MTU == b.MTU)
	fix("queues", a.Queues == b.Queues)
	fix("mac", a.MAC == b.MAC)
	fix("lower", a.Lower == b.Lower)
	fix("vlan", a.VLAN.ID == b.VLAN.ID)
	fix("protocol", a.VLAN.Protocol == b.VLAN.Protocol)
	fix("default-route", a.DefaultRoute == b.DefaultRoute)
	fix("dad-transmits", a.DADTransmits == b.DADTransmits)
	fix("kernel", sameKernel(a.Kernel, b.Kernel))
	fix("user, password, password-file, service, ac or identity", samePPPoE(a.PPPoE, b.PPPoE))
	change("addresses", slices.Equal(a.Addresses, b.Addresses))
	change("neighbors", slices.Equal(a.Neighbors, b.Neighbors))
	change("hop-limit", a.HopLimit == b.HopLimit)
	change("unreachables", a.NoUnreachables == b.NoUnreachables)
	change("recreate", a.Recreate == b.Recreate)
	return fixed, changed
}

func same(a, b config.Interface) bool {
	fixed, changed := settings(a, b)
	return len(fixed)+len(changed) == 0
}

func samePPPoE(a, b *config.PPPoE) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sameKernel(a, b *config.Kernel) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Netns == b.Netns && a.MAC == b.MAC && a.TxQueueLen == b.TxQueueLen &&
		slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Routes, b.Routes)
}

// clash refuses addresses that an interface of run time has. Among themselves
// those of the file agree.
func clash(next *config.Config, live map[string]ifmgr.Info) error {
	taken := map[netip.Addr]string{}
	for _, in := range live {
		for _, p := range in.Addresses {
			if !in.FromFile && !p.Addr().IsLinkLocalUnicast() {
				taken[p.Addr()] = in.Name
			}
		}
	}
	var errs []error
	for _, c := range next.Interfaces {
		for _, a := range c.Addresses {
			if name, there := taken[a.Addr()]; there {
				errs = append(errs, fmt.Errorf("interface %s: %v: %w: it is %s's, which was added at run time",
					c.Name, a.Addr(), ifmgr.ErrAddressTaken, name))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Router) differRoutes(t *loop.Turn, next *config.Config, d *reload) error {
	var errs []error
	now := map[rib.Key]rib.Route{}
	for s := range r.RIB.All(t) {
		if s.Source == rib.Static {
			now[s.Key()] = s.Route
		}
	}
	for _, c := range next.Routes {
		route := staticRoute(c, rib.FromFile)
		old, there := now[route.Key()]
		switch {
		case there && old.Origin == rib.Runtime:
			errs = append(errs, fmt.Errorf("route %v metric %d to %v: there is one to %v that was added at run time: delete it first",
				c.Prefix, c.Metric, route.Target, old.Target))
		case !there:
			d.note("add", routeName(route), route.Target.String())
		case old.Target.String() != route.Target.String():
			d.note("change", routeName(route), fmt.Sprintf("%v to %v", old.Target, route.Target))
		}
		d.routes = append(d.routes, route)
		delete(now, route.Key())
	}
	for _, key := range slices.SortedFunc(maps.Keys(now), func(a, b rib.Key) int { return cmp.Compare(a.String(), b.String()) }) {
		if left := now[key]; left.Origin == rib.Runtime {
			d.routes = append(d.routes, left)
		} else {
			d.note("delete", routeName(left), "")
		}
	}
	return errors.Join(errs...)
}

func routeName(r rib.Route) string { return fmt.Sprintf("route %v metric %d", r.Prefix, r.Metric) }

// prepare opens every device that is to be made, or none.
func (r *Router) prepare(ctx context.Context, add []config.Interface) (made []*ifmgr.Prepared, err error) {
	for _, c := range add {
		p, err := r.Interfaces.Prepare(ctx, c)
		if err != nil {
			return nil, errors.Join(err, r.discard(made, add))
		}
		made = append(made, p)
	}
	return made, nil
}

// discard ends what was prepared in vain. The keeper may have found the names
// taken meanwhile, and has to look again.
func (r *Router) discard(made []*ifmgr.Prepared, add []config.Interface) (err error) {
	for _, p := range made {
		err = errors.Join(err, p.Discard())
	}
	kept := r.keeper.Wanted()
	for _, c := range add {
		if wish, ok := kept[c.Name]; ok {
			r.keeper.Keep(wish)
		}
	}
	return err
}

// apply does it all in one turn. What could refuse comes first, and is undone.
func (r *Router) apply(ctx context.Context, d *reload, made []*ifmgr.Prepared, next *config.Config) (attached []*ifmgr.Prepared, ended []chan ifmgr.Result, err error) {
	err = r.Loop.Do(ctx, func(t *loop.Turn) error {
		now, err := r.difference(t, next)
		if err == nil && !slices.Equal(now.changes, d.changes) {
			err = errors.New("the router changed meanwhile: reload again")
		}
		if err != nil {
			return err
		}
		// What is at run time may have changed: it is that of now which stays.
		if err := r.RIB.Apply(t, rib.Update{Source: rib.Static, Replace: true, Set: now.routes}); err != nil {
			return err
		}
		for _, name := range now.remove {
			ended = append(ended, r.remove(t, name)...)
		}
		r.change(t, now.change)
		for _, p := range made {
			// Names are reserved, and addresses were compared in this turn.
			if _, err := p.Attach(t); err != nil {
				r.log.Error("interface not attached", zap.Error(err))
				continue
			}
			attached = append(attached, p)
		}
		r.Interfaces.SetTimeout(t, next.DetachTimeout)
		r.keep(next)
		r.cfg = next
		return nil
	})
	return attached, ended, err
}

// remove detaches an interface that the file no longer has, or waits for it no
// more.
func (r *Router) remove(t *loop.Turn, name string) []chan ifmgr.Result {
	r.keeper.Drop(name) // or it would be made again
	id, there := r.Interfaces.Lookup(t, name)
	if !there {
		r.Interfaces.Forget(t, name)
		return nil
	}
	ended := make(chan ifmgr.Result, 1)
	r.Interfaces.Detach(t, id, errReloaded, func(res ifmgr.Result) { ended <- res })
	return []chan ifmgr.Result{ended}
}

// errReloaded is the cause of a detach of what the file no longer has.
var errReloaded = fmt.Errorf("%w: no longer in the configuration", ifmgr.ErrRequested)

// change changes in place what can be. Addresses are taken from all before they
// are given to any: two interfaces may swap theirs. One that stays is not taken:
// its routes would be gone for a moment.
func (r *Router) change(t *loop.Turn, all []config.Interface) {
	for _, c := range all {
		old := r.configured(c.Name).Addresses
		if stay := remaining(old, c.Addresses); len(stay) < len(old) {
			r.setAddresses(t, c.Name, stay)
		}
	}
	for _, c := range all {
		if old := r.configured(c.Name).Addresses; !slices.Equal(old, c.Addresses) {
			r.setAddresses(t, c.Name, c.Addresses)
		}
		id, _ := r.Interfaces.Lookup(t, c.Name)
		r.Interfaces.SetHopLimit(t, id, c.HopLimit)
		r.Interfaces.SetUnreachables(t, id, !c.NoUnreachables)
		if !slices.Equal(r.configured(c.Name).Neighbors, c.Neighbors) {
			r.Interfaces.SetNeighbors(t, id, c)
		}
	}
}

// remaining is those of old that next has too, with whatever length.
func remaining(old, next []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(old), func(p netip.Prefix) bool {
		return !slices.ContainsFunc(next, func(n netip.Prefix) bool { return n.Addr() == p.Addr() })
	})
}

func (r *Router) setAddresses(t *loop.Turn, name string, to []netip.Prefix) {
	id, _ := r.Interfaces.Lookup(t, name)
	if err := r.Interfaces.SetAddresses(t, id, to); err != nil {
		r.log.Error("interface addresses not changed", zap.String("iface", name), zap.Error(err))
	}
}

// keep has the interfaces of the file there whenever they can be, if they want
// to be. It leaves alone what the keeper has already.
func (r *Router) keep(next *config.Config) {
	kept := r.keeper.Wanted()
	for _, c := range next.Interfaces {
		if wish, ok := kept[c.Name]; !ok || !same(wish, c) {
			r.care(c)
		}
	}
}

// care has an interface of the file there whenever it can be, if it wants to be.
func (r *Router) care(c config.Interface) {
	if c.Mode == config.ModeAttach || c.Recreate {
		r.keeper.Keep(c)
	} else {
		r.keeper.Drop(c.Name)
	}
}

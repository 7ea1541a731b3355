package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// auditInterval is how often the proof counters are looked at.
const auditInterval = time.Second

// Start brings up what the configuration wants. When it fails, all of it is
// undone.
func (r *Router) Start(ctx context.Context) error {
	r.started = time.Now()
	r.run("loop", r.Loop.Run)
	r.run("watch", r.watch.Run)
	r.run("tcpstack", r.Transport.Run)
	err := r.bringUp(ctx)
	if err == nil {
		r.run("keeper", r.keeper.Run)
		err = r.Loop.Do(ctx, func(t *loop.Turn) error { r.audit(t, 0); return nil })
	}
	if err != nil {
		r.Stop()
	}
	return err
}

func (r *Router) bringUp(ctx context.Context) error {
	if err := r.Interfaces.RestoreLinks(r.ownsLink); err != nil {
		r.log.Warn("kernel not restored", zap.Error(err))
	}
	for _, c := range r.cfg.Interfaces {
		if c.Mode == config.ModeCreate {
			if _, err := r.Interfaces.Add(ctx, c); err != nil {
				return err
			}
		}
		r.care(c)
	}
	var routes []rib.Route
	for _, c := range r.cfg.Routes {
		routes = append(routes, staticRoute(c, rib.FromFile))
	}
	return r.Loop.Do(ctx, func(t *loop.Turn) error {
		return r.RIB.Apply(t, rib.Update{Source: rib.Static, Replace: true, Set: routes})
	})
}

// ownsLink reports whether the kernel is to be silent on a link.
func (r *Router) ownsLink(name string) bool {
	return slices.ContainsFunc(r.cfg.Interfaces, func(c config.Interface) bool {
		return c.Name == name && c.Type == config.TypePacket && c.MAC == config.MAC{}
	})
}

// run starts a task. It ends when Stop comes to it.
func (r *Router) run(name string, fn func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{cancel, make(chan struct{})}
	r.running = append(r.running, t)
	go func() {
		defer close(t.done)
		if err := fn(ctx); err != nil {
			r.log.Error("part failed", zap.String("part", name), zap.Error(err))
			select {
			case r.failures <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	}()
}

// stopTasks ends all tasks but the first keep, the last started first.
func (r *Router) stopTasks(keep int) {
	for len(r.running) > keep {
		t := r.running[len(r.running)-1]
		r.running = r.running[:len(r.running)-1]
		t.stop()
		<-t.done
	}
}

// Stop detaches every interface and ends every goroutine. It returns the ledger
// of each detach. Nothing of the router is left, unless an interface was
// orphaned. It does nothing to one that is stopped already.
func (r *Router) Stop() []ifmgr.Result {
	const loopAndWatch = 2
	r.stopTasks(min(loopAndWatch, len(r.running))) // the keeper makes nothing new; peers are told
	results := r.detachAll()
	r.waitWorkers(results)
	r.stopTasks(0)
	return results
}

// detachAll ends all interfaces at once: they share a grace period.
func (r *Router) detachAll() []ifmgr.Result {
	var done chan ifmgr.Result // one for each interface
	err := r.Loop.Do(context.Background(), func(t *loop.Turn) error {
		all := r.Interfaces.All(t)
		done = make(chan ifmgr.Result, len(all))
		for _, in := range all {
			r.Interfaces.Detach(t, in.ID, ifmgr.ErrShutdown, func(res ifmgr.Result) { done <- res })
		}
		return nil
	})
	if err != nil {
		return nil
	}
	results := make([]ifmgr.Result, cap(done))
	for i := range results {
		results[i] = <-done
	}
	return results
}

// waitWorkers joins the workers, unless one is what orphaned its interface.
func (r *Router) waitWorkers(results []ifmgr.Result) {
	for _, res := range results {
		if !res.Clean {
			return
		}
	}
	r.Plane.Wait()
}

// audit raises the alarm if a lookup has returned a withdrawn interface since it
// last looked. That must never happen.
func (r *Router) audit(t *loop.Turn, before uint64) {
	n := r.Plane.Stats().DeadLookups
	if n > before {
		r.log.Error("lookup returned a withdrawn interface",
			zap.Uint64("lookup_dead_total", n), zap.Error(errors.New("the lifetime protocol is broken")))
	}
	t.At(t.Now().Add(auditInterval), func(t *loop.Turn) { r.audit(t, n) })
}

package ifmgr

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// retryInterval is how soon what could not be made is tried again: it was
// attached to someone else, say, whose end nothing tells.
const retryInterval = time.Second

// A Keeper has interfaces there whenever they can be: persistent devices that
// come and go, VLANs on interfaces that do, and devices of ours that are to be made
// again when someone else deletes them.
type Keeper struct {
	m    *Manager
	wake chan struct{} // capacity 1

	// Wanted by the control plane and read by the Keeper's own goroutine and by
	// the watch's, neither of which has a Turn.
	mu     sync.Mutex
	wanted map[string]*wish
}

// A wish is an interface that is to be there.
type wish struct {
	config.Interface
	due    bool   // worth trying now
	failed bool   // a moment ago: not worth trying before the retry
	told   string // the failure that was logged last
}

// NewKeeper returns a Keeper that wants nothing. The Manager tells it of names
// that are free again.
func NewKeeper(m *Manager) *Keeper {
	k := &Keeper{m: m, wake: make(chan struct{}, 1), wanted: map[string]*wish{}}
	m.came, m.freed = k.came, k.freed
	return k
}

// Keep wants the interface from now on, and tries at once unless it is there.
func (k *Keeper) Keep(c config.Interface) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted[c.Name] = &wish{Interface: c}
	k.mark(k.wanted[c.Name])
}

// Drop no longer wants the interface.
func (k *Keeper) Drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.wanted, name)
}

// Wanted is what is to be there, by name.
func (k *Keeper) Wanted() map[string]config.Interface {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[string]config.Interface, len(k.wanted))
	for name, w := range k.wanted {
		all[name] = w.Interface
	}
	return all
}

// Try says that there is a device of that name. That matters where it is someone
// else's to make; one of ours is there because it is being tried.
func (k *Keeper) Try(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.wanted[name]; w != nil && w.Mode == config.ModeAttach {
		k.mark(w)
	}
}

// came is the attach of an interface: others may wait to be on it.
func (k *Keeper) came(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wanted {
		if w.Lower == name {
			k.mark(w)
		}
	}
}

// freed is the end of an interface.
func (k *Keeper) freed(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.wanted[name]; w != nil {
		k.mark(w)
	}
}

// mark wants a wish tried. Trying makes devices appear and change, so that one
// that failed must wait for its time, or it would cause the next try itself.
func (k *Keeper) mark(w *wish) {
	if w.failed {
		return
	}
	w.due = true
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run makes what is wanted until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	retry := time.NewTimer(retryInterval)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-retry.C:
			k.forgive()
			retry.Reset(retryInterval)
		}
		for _, w := range k.takeDue() {
			k.try(ctx, w)
		}
	}
}

// forgive lets what has failed be tried again.
func (k *Keeper) forgive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.wanted {
		if w.failed {
			w.failed = false
			k.mark(w)
		}
	}
}

func (k *Keeper) takeDue() []*wish {
	k.mu.Lock()
	defer k.mu.Unlock()
	var due []*wish
	for _, name := range slices.Sorted(maps.Keys(k.wanted)) {
		if w := k.wanted[name]; w.due {
			w.due = false
			due = append(due, w)
		}
	}
	return due
}

// try makes one interface. One that failed is tried again soon.
func (k *Keeper) try(ctx context.Context, w *wish) {
	id, err := k.m.Add(ctx, w.Interface)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		w.told = ""
		if k.wanted[w.Name] != w { // no longer, since a moment ago
			k.m.loop.Notify(func(t *loop.Turn) { k.m.Detach(t, id, ErrRequested, nil) })
		}
	case errors.Is(err, ErrExists), ctx.Err() != nil:
	case errors.Is(err, link.ErrNotExist): // its appearance is told
		if text := err.Error(); text != w.told {
			w.told = text
			k.m.log.Info("waiting for device", zap.String("iface", w.Name))
		}
	default:
		w.due, w.failed = false, true
		if text := err.Error(); text != w.told { // said once, not every second
			w.told = text
			k.m.log.Warn("interface not there yet", zap.String("iface", w.Name), zap.Error(err))
		}
	}
}

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

// retryInterval is how soon a device that could not be had is asked for again,
// when nothing tells that it changed: it was attached to someone else, say.
const retryInterval = time.Second

// A Keeper has interfaces there whenever they can be: persistent devices that
// come and go, and devices of ours that are to be made again when someone else
// deletes them.
type Keeper struct {
	m    *Manager
	wake chan struct{} // capacity 1

	// Wanted by the control plane and read by the Keeper's own goroutine and by
	// the watch's, neither of which has a Turn.
	mu     sync.Mutex
	wanted map[string]config.Interface
	due    map[string]bool // worth trying now
}

// NewKeeper returns a Keeper that wants nothing. The Manager tells it of names
// that are free again.
func NewKeeper(m *Manager) *Keeper {
	k := &Keeper{m: m, wake: make(chan struct{}, 1), wanted: map[string]config.Interface{}, due: map[string]bool{}}
	m.freed = func(_ *loop.Turn, name string) { k.Try(name) }
	return k
}

// Keep wants the interface from now on, and tries at once unless it is there.
func (k *Keeper) Keep(c config.Interface) {
	k.mu.Lock()
	k.wanted[c.Name] = c
	k.mu.Unlock()
	k.Try(c.Name)
}

// Drop no longer wants the interface.
func (k *Keeper) Drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.wanted, name)
	delete(k.due, name)
}

// Try says that it is worth trying to have the interface now.
func (k *Keeper) Try(name string) {
	k.mu.Lock()
	_, ok := k.wanted[name]
	if ok {
		k.due[name] = true
	}
	k.mu.Unlock()
	if ok {
		select {
		case k.wake <- struct{}{}:
		default:
		}
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
		}
		for _, c := range k.takeDue() {
			if k.try(ctx, c) {
				retry.Reset(retryInterval)
			}
		}
	}
}

func (k *Keeper) takeDue() []config.Interface {
	k.mu.Lock()
	defer k.mu.Unlock()
	var due []config.Interface
	for _, name := range slices.Sorted(maps.Keys(k.due)) {
		due = append(due, k.wanted[name])
	}
	clear(k.due)
	return due
}

// try makes one interface and reports whether it should be tried again soon.
func (k *Keeper) try(ctx context.Context, c config.Interface) (again bool) {
	_, err := k.m.Add(ctx, c)
	switch {
	case err == nil, errors.Is(err, ErrExists), ctx.Err() != nil:
		return false
	case errors.Is(err, link.ErrNotExist):
		return false // its appearance is told
	}
	k.m.log.Warn("interface not there yet", zap.String("iface", c.Name), zap.Error(err))
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.wanted[c.Name]; ok {
		k.due[c.Name] = true
	}
	return true
}

package router

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
	"github.com/router6d/router6d/tcpstack"
)

// A Router is the whole of it. Its parts are exported for those who show or
// test them; what changes anything goes through the Loop.
type Router struct {
	Domain     *epoch.Domain
	Loop       *loop.Loop
	Interfaces *ifmgr.Manager
	FIB        *fib.Table
	RIB        *rib.RIB
	Plane      *dataplane.Plane
	Transport  *tcpstack.Stack // TCP and UDP of its own

	// OnDetach, if set before Start, is called with every ledger, in a turn.
	OnDetach func(ifmgr.Result)

	cfg     *config.Config // the last file; owned by the loop once that runs
	log     *zap.Logger
	watch   *ifmgr.Watch
	keeper  *ifmgr.Keeper
	started time.Time

	// Of Start and Stop.
	running  []*task    // in the order of their start
	failures chan error // of a task that ended by itself
}

// New builds the router that cfg describes. It opens the kernel's link messages
// and nothing else; nothing runs before Start.
func New(cfg *config.Config, log *zap.Logger) (*Router, error) {
	d := epoch.NewDomain()
	l := loop.New(d)
	ifs := ifmgr.New(l, log.Named("ifmgr"), cfg.DetachTimeout)
	ifs.Records(cfg.Control + ".silenced")
	ifs.Recall(cfg.Control + ".sessions")
	table := fib.NewTable()
	r := &Router{
		Domain: d, Loop: l, Interfaces: ifs, FIB: table,
		RIB:   rib.New(table, ifs),
		Plane: dataplane.New(table, ifs, l, d),
		cfg:   cfg, log: log,
		keeper:   ifmgr.NewKeeper(ifs),
		failures: make(chan error, 1),
	}
	r.Plane.LimitErrors(cfg.ICMPErrors)
	ifs.Hook(ifmgr.Hooks{
		Attached:   r.Plane.Attached,
		Up:         r.RIB.Up,
		Withdraw:   r.withdraw,
		Ended:      r.ended,
		Transmit:   r.Plane.Transmit,
		Generation: r.generation,
	})
	var err error
	if r.Transport, err = tcpstack.New(r.Plane, tcpstack.DefaultLimits); err != nil {
		return nil, err
	}
	table.Changed = r.Transport.Changed
	r.watch, err = ifmgr.NewWatch(ifs, r.keeper.Try)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("hear of devices: needs root, or CAP_NET_ADMIN: %w", fs.ErrPermission)
	}
	if err != nil {
		r.Transport.Close()
	}
	return r, err
}

func (r *Router) withdraw(t *loop.Turn, id ifmgr.ID) (routes, slots int) {
	if fault.NoWithdraw {
		return 0, 0
	}
	w := r.RIB.Withdraw(t, id)
	return w.Routes, w.Slots
}

func (r *Router) ended(t *loop.Turn, res ifmgr.Result) {
	r.RIB.Forget(t, res.ID)
	r.Plane.Ended(t, res.ID)
	if r.OnDetach != nil {
		r.OnDetach(res)
	}
}

func (r *Router) generation(t *loop.Turn) uint64 { return r.FIB.Snapshot(t).Generation() }

// Uptime is the time since Start.
func (r *Router) Uptime() time.Duration { return time.Since(r.started) }

// Failed delivers the error of a part that ended by itself: the router is to be
// stopped.
func (r *Router) Failed() <-chan error { return r.failures }

// A task is a goroutine that runs until it is stopped.
type task struct {
	stop context.CancelFunc
	done chan struct{}
}

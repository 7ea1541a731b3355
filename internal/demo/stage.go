package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/router"
	"github.com/router6d/router6d/rib"
)

const (
	// namePrefix begins the names of the demo's namespaces.
	namePrefix = "r6demo-"
	// wanRoutes is what the interface that comes and goes carries.
	wanRoutes = 20_000
	// cleanupTimeout bounds each step of taking down the lab.
	cleanupTimeout = 10 * time.Second
)

// A stage is the lab of one demo.
type stage struct {
	o      Options
	ns     map[string]*netlab.Namespace // by what it is called here
	router *router.Router
	ring   *events.Ring
	served chan error         // of the control socket; nil: none
	unplug context.CancelFunc // of the control socket

	traffic traffic
	acts    sync.WaitGroup
	tags    *netlab.Tags
	newest  atomic.Int64 // incarnation that was raised

	mu       sync.Mutex // churners and the router's loop meet here
	numbered int        // incarnations of the churn, those not made for lack of time included
	made     int
	alive    map[ifmgr.ID]*incarnation
	ledgers  []ifmgr.Result
	faults   []error // of the demo, not of the router
}

// build makes namespaces and a running router with west and east.
func (s *stage) build(ctx context.Context) error {
	s.ns, s.alive = map[string]*netlab.Namespace{}, map[ifmgr.ID]*incarnation{}
	for _, name := range []string{"west", "east", "wan"} {
		if err := s.namespace(name); err != nil {
			return err
		}
	}
	cfg := config.Default()
	cfg.DetachTimeout = s.o.DetachTimeout
	for i, name := range []string{"west", "east"} {
		c, err := netlab.Leg(name, s.ns[name], netlab.Wire(i+1))
		if err != nil {
			return err
		}
		cfg.Interfaces = append(cfg.Interfaces, c)
	}
	s.ring = events.NewRing(1024, zapcore.InfoLevel)
	r, err := router.New(cfg, zap.New(s.ring))
	if err != nil {
		return err
	}
	r.OnDetach = s.ledger
	if err := r.Start(ctx); err != nil {
		return err
	}
	s.router = r
	if err := s.serve(); err != nil {
		return err
	}
	return s.offerRoutes(ctx)
}

// namespace makes one, and puts it where strike finds it.
func (s *stage) namespace(name string) error {
	ns, err := netlab.NewNamespace(fmt.Sprintf("%s%d-%s", namePrefix, os.Getpid(), name))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns[name] = ns
	return nil
}

// serve opens the control socket, so that the demo can be looked at.
func (s *stage) serve() error {
	if s.o.Control == "" {
		return nil
	}
	c, err := control.Listen(s.o.Control, s.router, s.ring, zap.NewAtomicLevel())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.unplug, s.served = stop, make(chan error, 1)
	go func() { s.served <- c.Run(ctx) }()
	return nil
}

// offerRoutes has a large share of all routes lead through wan, which is not
// there yet.
func (s *stage) offerRoutes(ctx context.Context) error {
	var routes []rib.Route
	for i := range wanRoutes {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb9, byte(i >> 8), byte(i)}), 48)
		routes = append(routes, rib.Route{Prefix: p, Source: rib.Static, Target: rib.Paths{{Iface: "wan", Weight: 1}}})
	}
	return s.router.Loop.Do(ctx, func(t *loop.Turn) error {
		return s.router.RIB.Apply(t, rib.Update{Source: rib.Static, Set: routes})
	})
}

// ledger notes the end of an interface. In a turn.
func (s *stage) ledger(res ifmgr.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledgers = append(s.ledgers, res)
	if i := s.alive[res.ID]; i != nil {
		close(i.ended)
		delete(s.alive, res.ID)
	}
}

// fault notes that the demo itself went wrong.
func (s *stage) fault(err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, err)
}

// strike takes the lab down, whatever of it there is.
func (s *stage) strike() error {
	var errs []error
	errs = append(errs, s.stopTraffic())
	if s.unplug != nil {
		s.unplug()
		errs = append(errs, <-s.served)
	}
	if s.router != nil {
		s.router.Stop()
	}
	errs = append(errs, s.stopTags())
	for _, ns := range s.ns {
		errs = append(errs, ns.Delete())
	}
	return errors.Join(errs...)
}

// stopTags comes after the router, whose devices the watches look at.
func (s *stage) stopTags() error {
	if s.tags == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	return s.tags.Stop(ctx)
}

// waysIn says how to look around in a lab that is kept.
func (s *stage) waysIn() string {
	var b strings.Builder
	b.WriteString("the lab is up until you interrupt it:\n")
	for _, name := range []string{"west", "east", "wan"} {
		fmt.Fprintf(&b, "  ip netns exec %s sh\n", s.ns[name].Name())
	}
	fmt.Fprintf(&b, "  ip netns exec %s ping %s\n", s.ns["west"].Name(), netlab.End(netlab.Wire(2), 2))
	if s.o.Control != "" {
		fmt.Fprintf(&b, "  router6d show interfaces --socket %s\n", s.o.Control)
	}
	return b.String()
}

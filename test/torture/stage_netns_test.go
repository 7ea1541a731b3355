package torture

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
	"github.com/router6d/router6d/internal/router"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// patience is for what should take no time, on a machine that is busy.
const patience = 60 * time.Second

// mutant is whether a fault is built in, with which much goes wrong.
const mutant = fault.NoGrace || fault.NoWithdraw || fault.NoGuard

// A stage is a router in this process, with west and east, to which nothing
// happens, and room for interfaces to which everything does.
type stage struct {
	t          *testing.T
	r          *router.Router
	ring       *events.Ring
	west, east *netlab.Namespace
	home       *netlab.Namespace // the router's own
	numbered   atomic.Int64

	mu      sync.Mutex // test goroutines and the router's loop meet here
	ledgers []ifmgr.Result
	ended   map[ifmgr.ID]chan ifmgr.Result
}

func newStage(t *testing.T, detachTimeout time.Duration) *stage {
	t.Helper()
	return newStageWith(t, detachTimeout, func(*config.Config) {})
}

// newStageWith is newStage with more in its configuration.
func newStageWith(t *testing.T, detachTimeout time.Duration, more func(*config.Config)) *stage {
	t.Helper()
	nstest.Privileged(t)
	if !mutant {
		nstest.NoLeaks(t)
	}
	s := &stage{t: t, ended: map[ifmgr.ID]chan ifmgr.Result{}}
	s.west, s.east, s.home = s.namespace("west"), s.namespace("east"), s.own()
	cfg := config.Default()
	cfg.DetachTimeout = detachTimeout
	for i, ns := range []*netlab.Namespace{s.west, s.east} {
		c, err := netlab.Leg(ns.Name(), ns, netlab.Wire(i+1))
		s.must(err)
		cfg.Interfaces = append(cfg.Interfaces, c)
	}
	more(cfg)
	s.ring = events.NewRing(1<<16, zapcore.InfoLevel)
	r, err := router.New(cfg, zap.New(s.ring))
	s.must(err)
	r.OnDetach = s.ledger
	s.must(r.Start(t.Context()))
	s.r = r
	t.Cleanup(s.stop)
	return s
}

// stop ends the router and holds it to what must be so in the end.
func (s *stage) stop() {
	s.r.Stop()
	if mutant {
		return
	}
	stats := s.r.Plane.Stats()
	if !stats.Balanced() {
		s.t.Errorf("account does not balance: %+v", stats)
	}
	if stats.Held != stats.Released {
		s.t.Errorf("%d packets are still held", stats.Held-stats.Released)
	}
	if stats.DeadLookups != 0 {
		s.t.Errorf("%d lookups returned a withdrawn interface", stats.DeadLookups)
	}
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) namespace(name string) *netlab.Namespace {
	s.t.Helper()
	ns, err := netlab.NewNamespace(name)
	s.must(err)
	s.t.Cleanup(func() {
		if err := ns.Delete(); err != nil {
			s.t.Error(err)
		}
	})
	return ns
}

// own gives the namespace of this process a name.
func (s *stage) own() *netlab.Namespace {
	s.t.Helper()
	ns, err := netlab.NameOwn("home")
	s.must(err)
	s.t.Cleanup(func() { s.must(ns.Delete()) })
	return ns
}

func (s *stage) ledger(res ifmgr.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledgers = append(s.ledgers, res)
	s.endOf(res.ID) <- res
}

// endOf is where the ledger of an interface will be. With the mutex held.
func (s *stage) endOf(id ifmgr.ID) chan ifmgr.Result {
	if s.ended[id] == nil {
		s.ended[id] = make(chan ifmgr.Result, 1)
	}
	return s.ended[id]
}

// An incarnation is an interface that will end.
type incarnation struct {
	id     ifmgr.ID
	number int
	c      config.Interface
	ns     *netlab.Namespace // of its kernel end
}

const firstTag = 0x10000 // number of the wire of the first incarnation

// raise makes an interface with addresses that no other ever has.
func (s *stage) raise(name string, ns *netlab.Namespace) (*incarnation, error) {
	i, err := s.design(name, ns)
	if err != nil {
		return nil, err
	}
	return i, s.attach(i)
}

// design is an interface that is to be made, with addresses that no other ever has.
func (s *stage) design(name string, ns *netlab.Namespace) (*incarnation, error) {
	i := &incarnation{number: int(s.numbered.Add(1)), ns: ns}
	place := ns
	if ns == s.home {
		place = nil
	}
	var err error
	i.c, err = netlab.Leg(name, place, netlab.Wire(firstTag+i.number))
	return i, err
}

// attach makes it, once: nobody makes it again.
func (s *stage) attach(i *incarnation) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	i.id, err = s.r.Interfaces.Add(ctx, i.c)
	return err
}

// await returns the ledger of an interface's end.
func (s *stage) await(id ifmgr.ID) (ifmgr.Result, error) {
	s.mu.Lock()
	end := s.endOf(id)
	s.mu.Unlock()
	select {
	case res := <-end:
		return res, nil
	case <-time.After(patience):
		return ifmgr.Result{}, fmt.Errorf("interface %d: its end was not noticed in %v", id, patience)
	}
}

// id is that of the interface which has a name now.
func (s *stage) id(name string) (id ifmgr.ID) {
	s.t.Helper()
	s.must(s.r.Loop.Do(s.t.Context(), func(t *loop.Turn) error {
		var ok bool
		if id, ok = s.r.Interfaces.Lookup(t, name); !ok {
			return ifmgr.ErrNotFound
		}
		return nil
	}))
	return id
}

// delete ends an interface by command.
func (s *stage) delete(i *incarnation) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.r.DeleteInterface(ctx, i.c.Name)
	return err
}

// orphans counts detaches that did not end clean.
func (s *stage) orphans() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.ledgers {
		if !l.Clean {
			n++
		}
	}
	return n
}

// logged reports whether there was an event of that name.
func (s *stage) logged(event string) bool {
	return slices.ContainsFunc(s.ring.Since(0), func(e events.Event) bool { return e.Event == event })
}

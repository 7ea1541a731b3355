package torture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

// short is a detach timeout that the tests here wait for.
const short = 300 * time.Millisecond

// TestLeakedHandle has somebody keep a handle for ever. The detach ends in its
// time and names him; the device is dead; others forward on; and when he lets
// go at last, the orphan ends.
func TestLeakedHandle(t *testing.T) {
	s := newStage(t, short)
	probe := s.startProbe()
	i, err := s.raise("leaky", s.home)
	s.must(err)
	var leak *ifmgr.Handle
	s.must(s.r.Loop.Do(t.Context(), func(t *loop.Turn) (err error) {
		leak, err = s.r.Interfaces.Acquire(t, i.id, ifmgr.Route)
		return err
	}))
	res, err := s.r.DeleteInterface(t.Context(), "leaky")
	s.must(err)
	if res.Clean || res.Holders["route"] != 1 {
		t.Errorf("clean %v, holders %v: want orphaned by one route", res.Clean, res.Holders)
	}
	s.until("the device being dead", func() bool {
		_, err := s.home.Link("leaky")
		return errors.Is(err, netlab.ErrNoLink)
	})
	s.expectLog("interface orphaned")
	s.must(s.again("leaky")) // the name is free
	leak.Release()
	s.until("the end of the orphan", func() bool { return s.logged("orphan ended") })
	s.lostNothing(probe)
}

// TestDescriptorsExhausted has no descriptor left for a new interface: that is
// an error which says so, and changes nothing for those that are there.
func TestDescriptorsExhausted(t *testing.T) {
	s := newStage(t, 20*time.Second)
	probe := s.startProbe()
	limit := limitFiles(t, 1) // below every number that is free
	if _, err := s.raise("one", s.home); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("no descriptor free: %v, want %v", err, syscall.EMFILE)
	}
	limit()
	if _, err := s.home.Link("one"); !errors.Is(err, netlab.ErrNoLink) {
		t.Errorf("a device is left: %v", err)
	}
	s.must(s.again("one"))
	s.lostNothing(probe)
}

// TestMailboxFull keeps the loop's mailbox full while interfaces come and go.
func TestMailboxFull(t *testing.T) {
	s := newStage(t, 20*time.Second)
	probe := s.startProbe()
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var refused int
	flood.Go(func() {
		for ctx.Err() == nil {
			if !s.r.Loop.Post(func(*loop.Turn) { time.Sleep(10 * time.Microsecond) }) { // is slow
				refused++
				time.Sleep(time.Millisecond) // it is full for a while
			}
		}
	})
	for n := range 6 {
		k, err := s.churnAtOnce(n)
		s.must(err)
		s.until("the ledgers", func() bool { return s.count() > n })
		_ = k
	}
	stop()
	flood.Wait()
	if refused == 0 {
		t.Error("the mailbox was never full")
	}
	s.lostNothing(probe)
}

// TestThousandAtOnce detaches a thousand interfaces in one turn: they share
// their grace periods. All are held until those are counted: what follows the end
// of each has grace periods of its own.
func TestThousandAtOnce(t *testing.T) {
	const many, most = 1000, 3
	s := newStage(t, patience)
	probe := s.startProbe()
	var all []*incarnation
	for k := range many {
		i, err := s.raise(fmt.Sprintf("mass%d", k), s.home)
		s.must(err)
		all = append(all, i)
	}
	var before loop.Stats
	var held []*ifmgr.Handle
	s.must(s.r.Loop.Do(t.Context(), func(t *loop.Turn) error {
		before = t.Stats()
		for _, i := range all {
			h, err := s.r.Interfaces.Acquire(t, i.id, ifmgr.Worker)
			if err != nil {
				return err
			}
			held = append(held, h)
			s.r.Interfaces.Detach(t, i.id, ifmgr.ErrRequested, nil)
		}
		return nil
	}))
	var graces uint64
	s.until("all grace periods", func() (over bool) {
		s.must(s.r.Loop.Do(t.Context(), func(t *loop.Turn) error {
			graces, over = t.Stats().Graces-before.Graces, t.Stats().Deferred == 0
			return nil
		}))
		return over
	})
	if graces > most {
		t.Errorf("%d grace periods for %d interfaces, want %d at most", graces, many, most)
	}
	for _, h := range held {
		h.Release()
	}
	for _, i := range all {
		_, err := s.await(i.id)
		s.must(err)
	}
	if n := s.orphans(); n != 0 {
		t.Errorf("%d detaches ended orphaned", n)
	}
	s.lostNothing(probe)
}

// TestShutdownWhileDetaching stops the router in the middle of detaches: each
// interface ends once, clean.
func TestShutdownWhileDetaching(t *testing.T) {
	s := newStage(t, 20*time.Second)
	var all []*incarnation
	for k := range 8 {
		i, err := s.raise(fmt.Sprintf("late%d", k), s.home)
		s.must(err)
		all = append(all, i)
	}
	s.must(s.r.Loop.Do(t.Context(), func(t *loop.Turn) error {
		for _, i := range all[:4] {
			s.r.Interfaces.Detach(t, i.id, ifmgr.ErrRequested, nil)
		}
		return nil
	}))
	s.r.Stop()
	ended := map[ifmgr.ID]int{}
	for _, l := range s.ledgers {
		ended[l.ID]++
		if !l.Clean {
			t.Errorf("%s ended orphaned, held by %v", l.Name, l.Holders)
		}
	}
	for _, i := range all {
		if ended[i.id] != 1 {
			t.Errorf("%s ended %d times", i.c.Name, ended[i.id])
		}
	}
}

// again makes an interface of that name and ends it.
func (s *stage) again(name string) error {
	i, err := s.raise(name, s.home)
	if err != nil {
		return err
	}
	return s.delete(i)
}

// count is the number of ledgers so far.
func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ledgers)
}

func (s *stage) expectLog(event string) {
	s.t.Helper()
	if !s.logged(event) {
		s.t.Errorf("no event %q", event)
	}
}

// startProbe sends UDP from west to east, to which nothing happens.
func (s *stage) startProbe() *netlab.UDPProbe {
	s.t.Helper()
	p, err := netlab.StartUDPProbe(s.t.Context(), netlab.ProbeConfig{
		FromNS: s.west, From: netip.AddrPortFrom(netlab.End(netlab.Wire(1), 2), 0),
		ToNS: s.east, To: netip.AddrPortFrom(netlab.End(netlab.Wire(2), 2), 0), PacketsPerSecond: probeRate,
	})
	s.must(err)
	return p
}

func (s *stage) lostNothing(p *netlab.UDPProbe) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := p.Stop(ctx)
	s.must(err)
	if lost := r.Missing - r.SocketDrops; lost != 0 || r.Received == 0 {
		s.t.Errorf("forwarding between others: %+v; router: %+v", r, s.r.Plane.Stats())
	}
}

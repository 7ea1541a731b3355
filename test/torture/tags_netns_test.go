package torture

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	tagRate  = 4000 // packets a second
	tagPast  = 4    // incarnations that are written to: the newest and those before
	fewFiles = 128  // descriptors: a number that is free is taken at once

	holdEvery = 20                     // batches
	holdMost  = 300 * time.Millisecond // unless the next incarnation is there before
)

// TestTags ends and makes one interface again and again, from ten times a second
// up to what the kernel allows, while packets for it and for those before it
// come in, each with the number of the incarnation that its address belongs to.
// None may arrive on another incarnation's device, and none that was sent after
// the router said that the interface was gone.
//
// The device is made in the router's own namespace, so that it gets the very
// descriptor number that the one before it had. With the tag torture a worker
// is stopped now and then between lookup and send, until the next incarnation is
// there or a grace period would have to end orphaned.
func TestTags(t *testing.T) {
	s := newStage(t, detachTimeout())
	limitFiles(t, fewFiles)
	tags, err := netlab.NewTags(s.west, netlab.End(netlab.Wire(1), 2))
	s.must(err)
	f := &flapper{s: s, tags: tags}
	f.holding.Store(true)
	holdWorkers(t, holdEvery, f.hold)
	sending, stop := context.WithCancel(t.Context())
	var sender sync.WaitGroup
	sender.Go(func() { tags.Pace(sending, tagRate, f.target) })
	for _, life := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond, 0} {
		f.flap(life, 4*time.Second)
	}
	if fault.NoGrace || fault.NoWithdraw {
		f.flap(0, patience) // it is a matter of chance when
	}
	stop()
	sender.Wait()
	f.holding.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.must(tags.Stop(ctx))
	f.judge()
}

// detachTimeout leaves room for a held worker, but under the mutant that never
// detaches.
func detachTimeout() time.Duration {
	if fault.NoWithdraw {
		return 200 * time.Millisecond
	}
	return 10 * time.Second
}

// limitFiles limits the numbers that descriptors may have, until lift is called
// or the test ends.
func limitFiles(t *testing.T, n uint64) (lift func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = n
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	lift = sync.OnceFunc(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(lift)
	return lift
}

// A flapper is one name whose interface never lives long.
type flapper struct {
	holder
	s     *stage
	tags  *netlab.Tags
	flaps int
}

// target is the newest incarnation, or one of those before it.
func (f *flapper) target(n int) (netip.Addr, uint64) {
	number := f.newest.Load() - int64(n%tagPast)
	if number <= 0 {
		return netip.Addr{}, 0
	}
	return netlab.End(netlab.Wire(firstTag+int(number)), 2), uint64(number)
}

// flap has interfaces come and go, each for its life; under a mutant until it is found
// out.
func (f *flapper) flap(life, during time.Duration) {
	f.s.t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end) && !f.proven(); f.flaps++ {
		i, err := f.s.raise("flap", f.s.home)
		f.s.must(err)
		w, err := f.tags.Watch(f.s.home, "flap", uint64(i.number))
		f.s.must(err)
		f.newest.Store(int64(i.number))
		<-time.After(life)
		if f.flaps%2 == 0 {
			f.s.must(f.s.delete(i))
		} else {
			f.s.must(f.s.home.DeleteLink("flap"))
			_, err := f.s.await(i.id)
			f.s.must(err)
		}
		w.Gone()
	}
}

// proven reports whether what the mutant breaks was seen.
func (f *flapper) proven() bool {
	return fault.NoGrace && f.tags.Wrong.Load() != 0 || fault.NoWithdraw && f.s.r.Plane.Stats().DeadLookups != 0
}

// judge says whether what must not happen did not; or under a mutant, whether
// it was seen.
func (f *flapper) judge() {
	t, dead := f.s.t, f.s.r.Plane.Stats().DeadLookups
	t.Logf("%d flaps, %d packets sent, %d right, %d wrong, %d late, %d dead lookups",
		f.flaps, f.tags.Sent.Load(), f.tags.Right.Load(), f.tags.Wrong.Load(), f.tags.Late.Load(), dead)
	switch {
	case fault.NoGrace && !f.proven():
		t.Error("nobody waited for readers, and no packet went to the wrong device: the test is blind")
	case fault.NoWithdraw && !f.proven():
		t.Error("the FIB was not told, and no lookup was found dead: the test is blind")
	case fault.NoGrace, fault.NoWithdraw:
	case f.tags.Wrong.Load()+f.tags.Late.Load()+dead != 0:
		t.Errorf("packets on another incarnation's device %d, sent after the end was acknowledged %d, dead lookups %d",
			f.tags.Wrong.Load(), f.tags.Late.Load(), dead)
	case f.tags.Right.Load() == 0:
		t.Error("no packet arrived at all")
	case f.s.orphans() != 0:
		t.Errorf("%d detaches ended orphaned", f.s.orphans())
	}
}

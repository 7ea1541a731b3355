package ifmgr

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
)

// keep runs a Keeper until the test ends.
func (h *house) keep() *Keeper {
	h.t.Helper()
	k := NewKeeper(h.m)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("keeper = %v, want nil", err)
		}
	})
	return k
}

// turns is how many the loop has taken, with the one that asks.
func (h *house) turns() (n uint64) {
	h.t.Helper()
	h.do(func(x *loop.Turn) { n = x.Stats().Turns })
	return n
}

func TestKeeperRetriesAtIntervalsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		k := h.keep()
		c := nowhere(t, "wan")
		c.Mode, c.Recreate = config.ModeCreate, true
		k.Keep(c)
		before := h.turns()
		const seconds = 10
		for range seconds * 100 { // its own tries cause messages
			time.Sleep(10 * time.Millisecond)
			k.Try("wan")
			k.freed("wan")
		}
		// A try is two turns, and each look at the count is one.
		if got := h.turns() - before; got > 2*(seconds+2)+1 || got < 2*(seconds-2) {
			t.Errorf("turns in %d seconds = %d, want two each", seconds, got)
		}
		if got := h.logged("interface not there yet"); got != 1 {
			t.Errorf("logged %d times, want once", got)
		}
		k.Drop("wan")
		time.Sleep(2 * retryInterval)
		before = h.turns()
		time.Sleep(10 * retryInterval)
		if got := h.turns() - before; got != 1 {
			t.Errorf("turns after it was dropped = %d, want only the look", got)
		}
	})
}

func TestKeeperIsContentWithWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		k := h.keep()
		id := h.attach("wan", new(port))
		k.Keep(nowhere(t, "wan"))
		synctest.Wait()
		before := h.turns()
		time.Sleep(time.Hour)
		if got := h.turns() - before; got != 1 {
			t.Errorf("turns = %d, want only the look", got)
		}
		<-h.detach(id)
		synctest.Wait() // the end is told
		if got := h.logs.FilterMessage("interface not there yet").FilterField(zap.String("iface", "wan")).Len(); got != 1 {
			t.Errorf("tried %d times after the end, want once", got)
		}
	})
}

func TestKeeperTellsOfAnotherFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		k := h.keep()
		k.Keep(nowhere(t, "wan"))
		time.Sleep(5 * retryInterval)
		k.Keep(nowhere(t, "wan")) // the path in it is another
		time.Sleep(5 * retryInterval)
		if got := h.logged("interface not there yet"); got != 2 {
			t.Errorf("logged %d times, want twice", got)
		}
	})
}

func TestKeeperIgnoresWhatNobodyWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		k := h.keep()
		before := h.turns()
		k.Try("eth0")
		k.freed("eth0")
		k.Drop("eth0")
		synctest.Wait()
		if got := h.turns() - before; got != 1 {
			t.Errorf("turns = %d, want only the look", got)
		}
	})
}

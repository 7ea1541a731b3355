//go:build torture

package torture

import (
	"slices"
	"testing"

	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/netlab"
)

// TestWorkerStoppedInMidBatch stops west's worker between lookup and send, for
// longer than a detach may take. The detach of where its packets were to go ends
// in its time, and names west as the reader it waited for; east forwards on; and
// what west sends when it goes on goes nowhere.
func TestWorkerStoppedInMidBatch(t *testing.T) {
	s := newStage(t, short)
	i, err := s.raise("target", s.home)
	s.must(err)
	tags, err := netlab.NewTags(s.west, netlab.End(netlab.Wire(1), 2))
	s.must(err)
	w, err := tags.Watch(s.home, "target", uint64(i.number))
	s.must(err)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	fault.SetHold(func(worker string) {
		if worker != "west" {
			return
		}
		fault.SetHold(nil) // only this one
		close(stopped)
		<-goOn
	})
	t.Cleanup(func() { fault.SetHold(nil) })
	tags.Send(netlab.End(netlab.Wire(firstTag+i.number), 2), uint64(i.number))
	<-stopped
	res, err := s.r.DeleteInterface(t.Context(), "target")
	s.must(err)
	w.Gone()
	if res.Clean || !slices.Contains(res.Slowest, "west") {
		t.Errorf("clean %v, slowest %v: want orphaned because of west", res.Clean, res.Slowest)
	}
	s.must(s.again("target")) // the name is free, and nobody forwards to it yet
	close(goOn)
	s.until("the end of the orphan", func() bool { return s.logged("orphan ended") })
	s.must(tags.Stop(t.Context()))
	if n := tags.Right.Load() + tags.Wrong.Load() + tags.Late.Load(); n != 0 {
		t.Errorf("%d packets left through a dead device", n)
	}
}

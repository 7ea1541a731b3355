package ifmgr

import (
	"testing"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// What happens to a device before it is an interface is told to nobody: here
// there is not even a Watch.
func TestChangeBeforeTheAttachIsNotLost(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns, err := netlab.NewNamespace("r6t-there")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Delete() })
	c := nowhere(t, "wan0")
	if c.Kernel.Netns, err = config.ParseNetns(ns.Name()); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	p, err := h.m.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []error{ns.SetMTU("wan0", 1290), ns.Rename("wan0", "renamed"), ns.SetDown("renamed")} {
		if change != nil {
			t.Fatal(change)
		}
	}
	var id ID
	h.do(func(t *loop.Turn) { id, err = p.Attach(t) })
	if err != nil {
		t.Fatal(err)
	}
	p.Settle(t.Context())
	h.do(func(*loop.Turn) {
		if i := h.m.ifaces[id]; i.MTU() != 1290 || i.device.Name != "renamed" || i.state != Down {
			t.Errorf("interface = %+v, want 1290 wide, renamed and down", i.info())
		}
	})
	<-h.detach(id)
}

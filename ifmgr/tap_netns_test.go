package ifmgr_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

// tap is wan as a TAP.
func tap(t *testing.T, ns *netlab.Namespace) config.Interface {
	t.Helper()
	c := wan(t, ns)
	c.Type = config.TypeTAP
	return c
}

// Both ends of a TAP have addresses of their own, the same each time, unless they
// are given.
func TestTAPHasAddressesThatStay(t *testing.T) {
	r := newRouter(t)
	ns := namespace(t, "r6t-there")
	var router, kernel config.MAC
	for range 2 {
		id := r.add(tap(t, ns))
		in := r.until("wan0", "up", stateIs(ifmgr.Up))
		l, err := ns.Link("wan0")
		check(t, err)
		if (router != config.MAC{}) && (in.MAC != router || config.MAC(l.Address) != kernel) {
			t.Errorf("addresses = %v and %v, want %v and %v again", in.MAC, l.Address, router, kernel)
		}
		router, kernel = in.MAC, config.MAC(l.Address)
		if router == kernel || router[0]&3 != 2 || kernel[0]&3 != 2 {
			t.Errorf("addresses = %v and %v, want two, of one port each and chosen here", router, kernel)
		}
		r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
		r.end(id)
	}
	c := tap(t, ns)
	c.MAC, c.Kernel.MAC = config.MAC{2, 5: 1}, config.MAC{2, 5: 2}
	r.add(c)
	l, err := ns.Link("wan0")
	check(t, err)
	if in := r.info("wan0"); in.MAC != c.MAC || config.MAC(l.Address) != c.Kernel.MAC || in.Type != config.TypeTAP {
		t.Errorf("addresses = %v and %v of a %s, want those given", in.MAC, l.Address, in.Type)
	}
}

func TestTAPIsFollowed(t *testing.T) {
	r := newRouter(t)
	here, there := own(t), namespace(t, "r6t-there")
	id := r.add(tap(t, nil))
	mac := r.info("wan0").MAC
	check(t, here.SetMTU("wan0", 1300))
	r.until("wan0", "1300 wide", mtuIs(1300))
	check(t, here.SetDown("wan0"))
	r.until("wan0", "down", stateIs(ifmgr.Down))
	check(t, here.SetUp("wan0"))
	r.until("wan0", "up", stateIs(ifmgr.Up))
	check(t, here.MoveLink("wan0", there))
	r.until("wan0", "there", deviceIs("wan0", "there"))
	if in := r.info("wan0"); in.ID != id || in.MAC != mac {
		t.Errorf("interface = %+v, want %d with %v still", in, id, mac)
	}
	check(t, there.DeleteLink("wan0"))
	if res := r.end(id); !errors.Is(res.Cause, ifmgr.ErrDeleted) {
		t.Errorf("cause = %v, want %v", res.Cause, ifmgr.ErrDeleted)
	}
}

// One that was deleted is made again, with the same address.
func TestTAPIsMadeAgain(t *testing.T) {
	r := newRouter(t)
	c := tap(t, nil)
	c.Recreate = true
	r.keeper.Keep(c)
	first := r.until("wan0", "there", stateIs(ifmgr.Up))
	check(t, own(t).DeleteLink("wan0"))
	r.end(first.ID)
	again := r.until("wan0", "there again", stateIs(ifmgr.Up))
	if again.ID == first.ID || again.MAC != first.MAC {
		t.Errorf("interface = %+v after %+v, want another with the same address", again, first)
	}
	r.keeper.Drop("wan0")
}

func TestPersistentTAPIsTakenAndLeft(t *testing.T) {
	r := newRouter(t)
	d := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "kept"}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS}
	check(t, netlink.LinkAdd(d))
	t.Cleanup(func() { check(t, own(t).DeleteLink("kept")) })
	was, err := own(t).Link("kept")
	check(t, err)
	c := attachOnly(t, "kept")
	c.Type = config.TypeTAP
	r.add(c)
	now, err := own(t).Link("kept")
	check(t, err)
	if in := r.info("kept"); in.MAC == config.MAC(now.Address) || now.Address.String() != was.Address.String() || !in.Device.Kept {
		t.Errorf("addresses = %v and %v, want the kernel's %v left alone", in.MAC, now.Address, was.Address)
	}
}

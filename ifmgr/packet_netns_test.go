package ifmgr_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

// linkOf is the interface of a link that is there, or will be.
func linkOf(t *testing.T, name string) config.Interface {
	t.Helper()
	c := attachOnly(t, name)
	c.Type, c.MTU = config.TypePacket, 0
	return c
}

// lay connects eth0 in our own namespace with that of a host.
func lay(t *testing.T, host *netlab.Namespace) {
	t.Helper()
	check(t, netlab.Connect(own(t), "eth0", host, "eth0"))
	t.Cleanup(func() { // at once: that of the namespace takes its time
		if err := own(t).DeleteLink("eth0"); err != nil && !errors.Is(err, netlab.ErrNoLink) {
			t.Error(err)
		}
	})
}

func TestLinkIsTakenAndLeft(t *testing.T) {
	r := newRouter(t)
	host := namespace(t, "r6t-host")
	lay(t, host)
	id := r.add(linkOf(t, "eth0"))
	in := r.until("eth0", "up", stateIs(ifmgr.Up))
	l, err := own(t).Link("eth0")
	check(t, err)
	if in.MTU != 1500 || in.MAC != config.MAC(l.Address) || !in.Device.Kept || in.Type != config.TypePacket {
		t.Errorf("interface = %+v, want the link as it is", in)
	}
	check(t, own(t).SetMTU("eth0", 1400))
	r.until("eth0", "1400 wide", mtuIs(1400))
	check(t, host.SetDown("eth0"))
	r.until("eth0", "without carrier", stateIs(ifmgr.Down))
	check(t, host.SetUp("eth0"))
	r.until("eth0", "up", stateIs(ifmgr.Up))
	check(t, own(t).Rename("eth0", "lan"))
	r.until("eth0", "renamed", deviceIs("lan", ""))
	dev, err := netlink.LinkByName("lan")
	check(t, err)
	mac := net.HardwareAddr{2, 0, 0, 0, 9, 9}
	check(t, netlink.LinkSetHardwareAddr(dev, mac))
	r.until("eth0", "with another address", func(in ifmgr.Info) bool { return in.MAC == config.MAC(mac) })
	r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
	r.end(id)
	if _, err := own(t).Link("lan"); err != nil {
		t.Errorf("the link went with the interface: %v", err)
	}
}

// Containers get links after they start, and others later.
func TestKeeperTakesLinksAsTheyCome(t *testing.T) {
	r := newRouter(t)
	r.keeper.Keep(linkOf(t, "eth0"))
	v := linkOf(t, "v1")
	v.Type, v.Lower, v.VLAN = config.TypeVLAN, "eth0", config.VLAN{Protocol: config.Protocol8021AD, ID: 7}
	r.keeper.Keep(v)
	for _, end := range []func(*netlab.Namespace){
		func(*netlab.Namespace) { check(t, own(t).DeleteLink("eth0")) },
		func(host *netlab.Namespace) { check(t, host.DeleteLink("eth0")) },
		func(host *netlab.Namespace) { check(t, host.Delete()) }, // its devices die with it
		func(*netlab.Namespace) { check(t, own(t).MoveLink("eth0", namespace(t, "r6t-else"))) },
	} {
		host := namespace(t, "r6t-host")
		lay(t, host)
		in := r.until("eth0", "up", stateIs(ifmgr.Up))
		up := r.until("v1", "up", stateIs(ifmgr.Up))
		if up.MTU != 1496 || up.MAC != in.MAC {
			t.Errorf("VLAN = %+v, want it as its link", up)
		}
		end(host)
		for range 2 { // the VLAN first
			select {
			case res := <-r.ended:
				if !res.Clean || !errors.Is(res.Cause, ifmgr.ErrDeleted) && !errors.Is(res.Cause, ifmgr.ErrLower) {
					t.Errorf("ledger = %+v, want clean", res)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it does not end")
			}
		}
		check(t, host.Delete())
	}
	r.keeper.Drop("v1")
	r.keeper.Drop("eth0")
	if n := r.logged("interface not there yet"); n != 0 {
		t.Errorf("logged %d failures, want none: it waits", n)
	}
}

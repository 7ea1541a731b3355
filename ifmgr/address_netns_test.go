package ifmgr

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// TestAddressesAreInUseWhenAddReturns: the kernel says that an address is there
// before it takes it into use, and drops the first packets for it.
func TestAddressesAreInUseWhenAddReturns(t *testing.T) {
	nstest.Privileged(t)
	h := newHouse(t)
	for range 50 {
		a := netip.MustParsePrefix("2001:db8:77::2/64")
		c, err := config.NewInterface("used")
		if err != nil {
			t.Fatal(err)
		}
		c.Kernel = &config.Kernel{Addresses: []netip.Prefix{a}, TxQueueLen: config.DefaultTxQueueLen}
		id, err := h.m.Add(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		routes, err := netlink.RouteGet(a.Addr().AsSlice())
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			t.Fatalf("the address is not in use: %v %v", routes, err)
		}
		<-h.detach(id)
	}
}

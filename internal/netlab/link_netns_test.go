package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestConnectLaysACable(t *testing.T) {
	a, b := pair(t)
	left, err := a.WaitLink(deadline(t), "left", func(l Link) bool { return l.Carrier })
	check(t, err)
	if left.Kind != "veth" || left.MTU != 1500 || len(left.Address) != 6 {
		t.Errorf("left = %+v, want a veth of 1500 with an address", left)
	}
	links, err := b.Links()
	check(t, err)
	if len(links) != 2 || links[0].Name != "lo" || links[1].Name != "right" {
		t.Errorf("links of b = %+v, want lo and right", links)
	}
}

func TestLinkChanges(t *testing.T) {
	a, b := pair(t)
	check(t, a.SetMTU("left", 1280))
	check(t, a.Rename("left", "west"))
	check(t, a.SetDown("west"))
	l, err := a.Link("west")
	check(t, err)
	if l.MTU != 1280 || l.Up {
		t.Errorf("west = %+v, want mtu 1280, down", l)
	}
	check(t, a.MoveLink("west", b))
	if _, err := a.Link("west"); !errors.Is(err, ErrNoLink) {
		t.Errorf("after the move: %v, want %v", err, ErrNoLink)
	}
	check(t, b.DeleteLink("west"))
	if _, err := b.Link("right"); !errors.Is(err, ErrNoLink) {
		t.Errorf("the other end: %v, want %v", err, ErrNoLink)
	}
}

func TestRoutesComeAndGo(t *testing.T) {
	a, _ := pair(t)
	to := netip.MustParsePrefix("2001:db8:1::/48")
	check(t, a.AddRoute("left", to, addrB))
	if err := a.AddRoute("left", to, addrB); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second time: %v, want %v", err, os.ErrExist)
	}
	check(t, a.DeleteRoute("left", to, addrB))
	check(t, a.AddRoute("left", to, netip.Addr{}))
	check(t, a.DeleteRoute("left", to, netip.Addr{}))
	check(t, a.DeleteAddress("left", netip.PrefixFrom(addrA, 64)))
}

func TestSysctlIsOfTheNamespace(t *testing.T) {
	nstest.Privileged(t)
	const key = "net/ipv6/conf/all/forwarding"
	read := func() error {
		got, err := os.ReadFile("/proc/sys/" + key)
		if err == nil && strings.TrimSpace(string(got)) != "1" {
			err = errors.New("it is still " + string(got))
		}
		return err
	}
	n := newNamespace(t, "r6t-sysctl")
	check(t, n.SetSysctl(key, "1"))
	check(t, n.Do(read))
	if read() == nil {
		t.Error("it was set outside too")
	}
}

// The kernel says that an address is there before it takes it into use.
func TestAddressesAreInUseWhenAdded(t *testing.T) {
	a, _ := pair(t)
	for range 50 {
		check(t, a.DeleteAddress("left", netip.PrefixFrom(addrA, 64)))
		check(t, a.AddAddress("left", netip.PrefixFrom(addrA, 64)))
		check(t, a.Do(func() error {
			routes, err := netlink.RouteGet(addrA.AsSlice())
			if err != nil {
				return err
			}
			if len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				return fmt.Errorf("not in use: %v", routes)
			}
			return nil
		}))
	}
}

func TestWaitSeesADeviceComeAndGo(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	a, b := newNamespace(t, "r6t-wa"), newNamespace(t, "r6t-wb")
	came := make(chan error)
	go func() {
		_, err := a.WaitLink(deadline(t), "left", nil)
		came <- err
	}()
	check(t, Connect(a, "left", b, "right"))
	check(t, <-came)

	gone := make(chan error)
	go func() { gone <- a.WaitNoLink(deadline(t), "left") }()
	check(t, b.DeleteLink("right"))
	check(t, <-gone)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	n := newNamespace(t, "r6t-ctx")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.WaitLink(ctx, "never", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitLink = %v, want %v", err, context.Canceled)
	}
}

func TestBridgeForwardsAtOnce(t *testing.T) {
	a, middle := pair(t)
	b := newNamespace(t, "r6t-c")
	check(t, Connect(b, "far", middle, "port"))
	check(t, middle.AddBridge(t.Context(), "bridge", "right", "port"))
	c := openCapture(t, b, "far", CaptureConfig{IgnoreOutgoing: true})
	header := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1, 0x86, 0xdd)
	check(t, SendRaw(a, "left", append(header, packet("over")...)))
	for {
		var got [2000]byte
		p, err := c.Read(got[:])
		check(t, err)
		if bytes.Equal(got[:p.Len], packet("over")) {
			return
		}
	}
}

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

// furnish gives a device that was down or moved what the kernel took from it.
func furnish(t *testing.T, n *netlab.Namespace, dev string) {
	t.Helper()
	if err := n.SetUp(dev); err != nil {
		t.Fatal(err)
	}
	address(t, n, dev, blueAddr+"/64")
	route(t, n, dev, "::/0", "")
}

// awaitState waits until an interface is in this state.
func (d *daemon) awaitState(name, state string) {
	d.t.Helper()
	eventually(d.t, "wait for "+name+" to be "+state, func() error {
		in, err := d.find(name)
		if err == nil && in.State != state {
			err = fmt.Errorf("%s is %s", name, in.State)
		}
		return err
	})
}

// checkSame wants the interface to be the one it was, and never detached.
func (d *daemon) checkSame(name string, id uint64) {
	d.t.Helper()
	if got := d.iface(name).ID; got != id {
		d.t.Errorf("id of %s = %d, want still %d", name, got, id)
	}
	for _, l := range d.log() {
		if l.Event == "interface draining" || l.Event == "interface detached" {
			d.t.Errorf("%s: %s (%s)", l.Iface, l.Event, l.Cause)
		}
	}
}

func TestDownAndUp(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	id := d.awaitUp("blue", 0).ID
	reaches(t, red, blueAddr)
	for range 3 {
		ip(t, "-n blue link set blue down")
		d.awaitState("blue", "down")
		ping(t, red, blueAddr).want(t, 1, "From 2001:db8:1::1 icmp_seq=1 Destination unreachable: No route")
		for _, r := range ask[[]control.Route](d, "show routes") {
			if strings.HasSuffix(r.Target, "dev blue") && (r.Active || !strings.Contains(r.Reason, "blue")) {
				t.Errorf("route %+v, want it inactive, because of blue", r)
			}
		}
		furnish(t, blue, "blue")
		d.awaitUp("blue", 0)
		reaches(t, red, blueAddr)
	}
	d.checkSame("blue", id)
	var got []string
	for _, l := range d.log() {
		if l.Iface == "blue" {
			got = append(got, l.Event)
		}
	}
	want := []string{
		"interface attached", "interface up", "interface down", "interface up",
		"interface down", "interface up", "interface down", "interface up",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("log of blue = %v, want %v", got, want)
	}
}

func TestMTUIsFollowed(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	id := d.awaitUp("blue", 0).ID
	reaches(t, red, blueAddr)
	for _, mtu := range []int{1400, 1300, 9000} {
		ip(t, fmt.Sprintf("-n blue link set blue mtu %d", mtu))
		eventually(t, "wait for the MTU", func() error {
			if got := d.iface("blue").MTU; got != mtu {
				return fmt.Errorf("MTU is %d", got)
			}
			return nil
		})
		d.await("interface mtu changed", func(l line) bool { return l.ID == id && l.MTU == mtu })
		if mtu < 1452 {
			ping(t, red, blueAddr, "-M", "do", "-s", "1452").want(t, 1, fmt.Sprintf("Packet too big: mtu=%d", mtu))
		}
		must(t, red, "ip", "-6", "route", "flush", "cache")
	}
	ping(t, red, blueAddr, "-M", "do", "-s", "1452").want(t, 0)
	d.checkSame("blue", id)
}

func TestRenameIsFollowed(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	id := d.awaitUp("blue", 0).ID
	ip(t, "-n blue link set blue name azure")
	l := d.await("device renamed", func(l line) bool { return l.ID == id && l.Device == "azure" })
	if l.Was != "blue" || l.Iface != "blue" {
		t.Errorf("device renamed %+v, want iface blue, which was blue", l)
	}
	if got := d.iface("blue"); got.Device != "azure" {
		t.Errorf("device of blue = %s, want azure", got.Device)
	}
	reaches(t, red, blueAddr)
	d.checkSame("blue", id)
	d.do("interface del blue") // the router's name is its own
	if _, err := blue.Link("azure"); err == nil {
		t.Error("azure is left")
	}
}

func TestMoveIsFollowed(t *testing.T) {
	privileged(t)
	red, other := namespace(t, "red"), namespace(t, "other")
	namespace(t, "blue")
	d := start(t, standard)
	id := d.awaitUp("blue", 0).ID
	ip(t, "-n blue link set blue netns other")
	d.awaitState("blue", "down") // as the kernel leaves it
	furnish(t, other, "blue")
	d.awaitUp("blue", 0)
	reaches(t, red, blueAddr)
	d.awaitOf("device moved", id)
	d.checkSame("blue", id)

	// It is followed from there on, too: home, under another name, down, and gone.
	ip(t, "-n other link set blue netns blue name azure")
	eventually(t, "wait for the name", func() error {
		if got := d.iface("blue").Device; got != "azure" {
			return fmt.Errorf("device is %s", got)
		}
		return nil
	})
	d.checkSame("blue", id)
	ip(t, "netns del blue")
	if l := d.awaitOf("interface detached", id); l.Cause != "device deleted by someone else" {
		t.Errorf("cause = %s", l.Cause)
	}
	ping(t, red, blueAddr).want(t, 1, "Destination unreachable: No route")
}

// TestMoveIntoTheRoutersNamespace is a move to where devices have no number of a
// namespace.
func TestMoveIntoTheRoutersNamespace(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	id := d.awaitUp("blue", 0).ID
	ip(t, fmt.Sprintf("-n blue link set blue netns %d", d.cmd.Process.Pid))
	d.awaitOf("device moved", id)
	d.awaitState("blue", "down")
	ip(t, "link set blue up")
	d.awaitUp("blue", 0)
	d.checkSame("blue", id)
	ip(t, "link del blue")
	d.awaitOf("interface detached", id)
}

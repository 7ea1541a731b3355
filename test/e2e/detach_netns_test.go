package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/netlab"
)

const addMid = "interface add mid --address 2001:db8:3::1/64 --netns mid --kernel-address 2001:db8:3::2/64 --kernel-route ::/0"

// TestInterfaceDeletedUnderIperf ends the interface that carries a TCP
// connection in every way, makes it again at once under the same name, and
// wants the same connection to go on.
func TestInterfaceDeletedUnderIperf(t *testing.T) {
	privileged(t)
	b := newBeyond(t)
	d := start(t, strings.ReplaceAll(beyondConfig, "MTU", "1500"))
	server(t, b.server)
	client := spawn(t, b.red, "iperf3", "-c", serverAddr, "-t", "600", "--forceflush")
	id := d.awaitUp("mid", 0).ID
	flows(t, d, client)
	causes := map[uint64]string{}
	for _, end := range []struct {
		name, cause string
		do          func()
	}{
		{"router6d interface del", "requested", func() {
			out := d.do("interface del mid")
			for _, part := range []string{
				fmt.Sprintf("mid (id %d) detached clean: requested", id),
				"withdraw ", " routes lost it, ", " slots rewritten", "grace ", " readers asked",
				"holders ", " packets purged", "close ", "in the kernel", "total ",
			} {
				if !strings.Contains(out, part) {
					t.Errorf("ledger\n%s\nwant %q", out, part)
				}
			}
		}},
		{"router6d interface del --json", "requested", func() {
			l := ask[control.Ledger](d, "interface del mid")
			// The link, two addresses for delivery, and the route behind it.
			if l.ID != id || l.Name != "mid" || l.Result != "clean" || l.Cause != "requested" || l.Routes != 4 || l.Slots != 3 {
				t.Errorf("ledger = %+v", l)
			}
			if sum := l.WithdrawSeconds + l.GraceSeconds + l.HoldSeconds + l.CloseSeconds; l.CloseSeconds <= 0 || sum > l.TotalSeconds*1.01 {
				t.Errorf("times of the ledger = %+v", l)
			}
		}},
		{"ip link del", "device deleted by someone else", func() { ip(t, "-n mid link del mid") }},
		{"ip netns del", "device deleted by someone else", func() {
			ip(t, "netns del mid")
			b.waitUnplugged(t)
			b.cable(t)
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			end.do()
			causes[id] = end.cause
			d.do(addMid)
			next := d.awaitUp("mid", id).ID
			if next <= id {
				t.Errorf("id = %d, want one that was never used, after %d", next, id)
			}
			id = next
			flows(t, d, client)
		})
	}
	t.Run("the log tells the story", func(t *testing.T) { checkStory(t, d, "mid", causes, id) })
	t.Run("so do the events", func(t *testing.T) { checkEvents(t, d) })
	client.kill()
}

// flows waits until the connection has moved some megabytes through the mid of
// now. iperf3 ends when its connection does, and makes no second one.
func flows(t *testing.T, d *daemon, client *process) {
	t.Helper()
	begin := d.iface("mid").Traffic.TxBytes
	eventually(t, "wait for traffic", func() error {
		if err := client.running(); err != nil {
			t.Fatal(err)
		}
		if now := d.iface("mid").Traffic.TxBytes; now < begin+5e6 {
			return fmt.Errorf("%d bytes since %d", now-begin, begin)
		}
		return nil
	})
}

// waitUnplugged waits until the end of mid has taken the server's end of the
// cable along: the kernel ends namespaces in its own time.
func (b *beyond) waitUnplugged(t *testing.T) {
	t.Helper()
	if err := b.server.WaitNoLink(t.Context(), "s0"); err != nil {
		t.Fatal(err)
	}
}

// checkStory wants attached, up, draining, detached of each incarnation, in this
// order and with the fields that say which, why and how long. The kernel sets a
// device down before it deletes it: who sees that withdraws then.
func checkStory(t *testing.T, d *daemon, iface string, causes map[uint64]string, alive uint64) {
	t.Helper()
	got, routes, slots := map[uint64][]string{}, map[uint64]int{}, map[uint64]int{}
	for _, l := range d.log() {
		what, ok := strings.CutPrefix(l.Event, "interface ")
		if l.Iface != iface || !ok {
			continue
		}
		if what != "down" || causes[l.ID] != "device deleted by someone else" {
			got[l.ID] = append(got[l.ID], what)
		}
		if l.Routes != nil && l.Slots != nil {
			routes[l.ID] += *l.Routes
			slots[l.ID] += *l.Slots
		}
		if slices.Contains([]string{"interface draining", "interface detached"}, l.Event) && l.Cause != causes[l.ID] {
			t.Errorf("%s of id %d with cause %q, want %q", l.Event, l.ID, l.Cause, causes[l.ID])
		}
		if l.Event == "interface detached" && (l.Took == nil || *l.Took <= 0) {
			t.Errorf("detached id %d took %v", l.ID, l.Took)
		}
	}
	want := map[uint64][]string{alive: {"attached", "up"}}
	for id := range causes {
		want[id] = []string{"attached", "up", "draining", "detached"}
		if routes[id] != 4 || slots[id] != 3 {
			t.Errorf("withdrawal of id %d: %d routes, %d slots, want 4 and 3", id, routes[id], slots[id])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("story of %s (-want +got):\n%s", iface, diff)
	}
}

// checkEvents wants show events to tell what the log tells.
func checkEvents(t *testing.T, d *daemon) {
	t.Helper()
	var want, got []string
	for _, l := range d.log() {
		want = append(want, fmt.Sprintf("%s %s %d %s", l.Event, l.Iface, l.ID, l.Cause))
	}
	all := ask[[]events.Event](d, "show events")
	for i, e := range all {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d, want no gap", i, e.Seq)
		}
		got = append(got, fmt.Sprintf("%s %s %d %s", e.Event, text(e.Fields["iface"]), number(e.Fields["id"]), text(e.Fields["cause"])))
		if e.Event == "interface detached" && e.Fields["took"] == nil {
			t.Errorf("event %v without took", e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-log +events):\n%s", diff)
	}
	if rest := ask[[]events.Event](d, fmt.Sprintf("show events --since %d", len(all)-2)); len(rest) != 2 {
		t.Errorf("since the last but two there are %d events, want 2", len(rest))
	}
}

// TestNothingIsToldOfOurOwnDoing makes interfaces that the router moves, renames
// and sets the MTU of. The kernel's messages about that arrive late: they are
// no news, and what they say may be over.
func TestNothingIsToldOfOurOwnDoing(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	d := start(t, "interfaces: {}")
	for i := range 20 {
		d.do("interface add red --mtu 1400 --netns red --kernel-address 2001:db8:1::2/64")
		if got := d.iface("red"); got.MTU != 1400 || got.Device != "red" || got.Netns != "red" {
			t.Errorf("interface %d = %+v, want what was asked for", i, got)
		}
		d.do("interface del red")
	}
	for _, l := range d.log() {
		if l.Event == "device renamed" || l.Event == "device moved" || l.Event == "interface mtu changed" {
			t.Errorf("id %d: %s, was %v, now %q, mtu %d: nobody did that", l.ID, l.Event, l.Was, l.Device, l.MTU)
		}
	}
}

func text(v any) string   { s, _ := v.(string); return s }
func number(v any) uint64 { n, _ := v.(float64); return uint64(n) }

// TestEndpointDeletedUnderIperf ends the very device that a connection's address
// is on.
func TestEndpointDeletedUnderIperf(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	server(t, blue)
	client := spawn(t, red, "iperf3", "-c", blueAddr, "-t", "600", "--forceflush")
	for _, end := range []func(){
		func() { d.do("interface del blue") },
		func() { deleteLink(t, blue, "blue") },
	} {
		id := d.awaitUp("blue", 0).ID
		eventually(t, "wait for traffic", func() error { return moved(d, client, "blue") })
		end()
		d.do("interface add blue --address 2001:db8:2::1/64 --netns blue --kernel-address 2001:db8:2::2/64 --kernel-route ::/0")
		d.awaitUp("blue", id)
	}
	eventually(t, "wait for traffic", func() error { return moved(d, client, "blue") })
	client.kill()
}

// moved reports whether the interface of now has sent some megabytes.
func moved(d *daemon, client *process, iface string) error {
	d.t.Helper()
	if err := client.running(); err != nil {
		d.t.Fatal(err)
	}
	if n := d.iface(iface).Traffic.TxBytes; n < 5e6 {
		return fmt.Errorf("%s has sent %d bytes", iface, n)
	}
	return nil
}

func deleteLink(t *testing.T, n *netlab.Namespace, dev string) {
	t.Helper()
	if err := n.DeleteLink(dev); err != nil {
		t.Fatal(err)
	}
}

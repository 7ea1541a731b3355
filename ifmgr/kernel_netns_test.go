package ifmgr_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A router is a Manager with all that follows the kernel, and workers that read
// and forget. Whatever changes is told through the channel changed.
type router struct {
	t       *testing.T
	dom     *epoch.Domain
	loop    *loop.Loop
	m       *ifmgr.Manager
	keeper  *ifmgr.Keeper
	logs    *observer.ObservedLogs
	changed chan struct{} // capacity 1
	ended   chan ifmgr.Result

	withdraw atomic.Pointer[withdrawal] // what a test has to withdraw
	pausing  atomic.Pointer[pause]      // where the watch is to stop
}

// A withdrawal is done when its interface is withdrawn.
type withdrawal struct {
	id   ifmgr.ID
	what func(*loop.Turn)
}

func newRouter(t *testing.T) *router {
	t.Helper()
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	d := epoch.NewDomain()
	r := &router{t: t, dom: d, loop: loop.New(d), changed: make(chan struct{}, 1), ended: make(chan ifmgr.Result, 100)}
	core, logs := observer.New(zap.InfoLevel)
	r.logs = logs
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error { r.tell(); return nil }))
	r.m = ifmgr.New(r.loop, log, 5*time.Second)
	r.keeper = ifmgr.NewKeeper(r.m)
	var workers sync.WaitGroup
	pool := link.NewPool(4)
	r.m.Hook(ifmgr.Hooks{
		Attached: func(x *loop.Turn, id ifmgr.ID) {
			h, err := r.m.Acquire(x, id, ifmgr.Worker)
			if err != nil {
				return
			}
			workers.Go(func() { r.work(h, pool) })
		},
		Up: func(*loop.Turn, ifmgr.ID) {},
		Withdraw: func(x *loop.Turn, id ifmgr.ID) (int, int) {
			if w := r.withdraw.Load(); w != nil && w.id == id {
				w.what(x)
			}
			return 0, 0
		},
		Ended:      func(_ *loop.Turn, res ifmgr.Result) { r.ended <- res; r.tell() },
		Generation: func(*loop.Turn) uint64 { return 1 },
	})
	watch, err := ifmgr.NewWatch(r.m, r.appeared)
	check(t, err)
	r.run(r.loop.Run)
	t.Cleanup(workers.Wait)
	t.Cleanup(r.detachAll)
	r.run(watch.Run)
	r.run(r.keeper.Run)
	return r
}

// work reads until the device ends.
func (r *router) work(h *ifmgr.Handle, pool *link.Pool) {
	defer h.Release()
	all := h.Receivers()
	if len(all) == 0 {
		return // a VLAN
	}
	rx := all[0]
	b := link.NewBatch(pool)
	for {
		err := rx.Recv(b)
		if err == nil {
			b.End()
			continue
		}
		if errors.Is(err, link.ErrGone) {
			id := h.ID()
			r.loop.Notify(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrDeleted, nil) })
		}
		return
	}
}

// run runs a part until the test ends.
func (r *router) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- part(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *router) tell() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *router) do(fn func(*loop.Turn)) {
	r.t.Helper()
	check(r.t, r.loop.Do(context.Background(), func(x *loop.Turn) error { fn(x); return nil }))
}

// A pause is a device at whose appearance the watch stops.
type pause struct {
	device  string
	in, out chan struct{} // closed: the watch has stopped, and may go on
}

// pause stops the watch until the returned function is called. Meanwhile it hears
// of nothing, and has no question under way.
func (r *router) pause() (resume func()) {
	r.t.Helper()
	p := &pause{device: "pause", in: make(chan struct{}), out: make(chan struct{})}
	resume = sync.OnceFunc(func() { close(p.out) })
	r.t.Cleanup(resume)
	r.pausing.Store(p)
	kept(r.t, p.device, 0)
	<-p.in
	return resume
}

// appeared is what the watch tells.
func (r *router) appeared(name string) {
	if p := r.pausing.Load(); p != nil && p.device == name {
		r.pausing.Store(nil)
		close(p.in)
		<-p.out
	}
	r.keeper.Try(name)
}

func (r *router) detachAll() {
	var done chan ifmgr.Result
	r.do(func(x *loop.Turn) {
		all := r.m.All(x)
		done = make(chan ifmgr.Result, len(all))
		for _, in := range all {
			r.m.Detach(x, in.ID, ifmgr.ErrShutdown, func(res ifmgr.Result) { done <- res })
		}
	})
	for range cap(done) {
		if res := <-done; !res.Clean || res.Err != nil {
			r.t.Errorf("ledger = %+v, want clean", res)
		}
	}
}

func (r *router) add(c config.Interface) ifmgr.ID {
	r.t.Helper()
	id, err := r.m.Add(r.t.Context(), c)
	check(r.t, err)
	return id
}

// info is an interface by name; the zero Info if there is none.
func (r *router) info(name string) (found ifmgr.Info) {
	r.t.Helper()
	r.do(func(x *loop.Turn) {
		for _, in := range r.m.All(x) {
			if in.Name == name && in.State < ifmgr.Draining {
				found = in
			}
		}
	})
	return found
}

// until waits for an interface to be as wanted: it looks at every change.
func (r *router) until(name, what string, fits func(ifmgr.Info) bool) ifmgr.Info {
	r.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		in := r.info(name)
		if fits(in) {
			return in
		}
		select {
		case <-r.changed:
		case <-late.C:
			r.t.Fatalf("%s is never %s: %+v", name, what, in)
		}
	}
}

// deadline is for what should take no time, on a machine that is busy.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually asks until it is so: nobody tells.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for over := deadline(t); !so(); {
		select {
		case <-tick.C:
		case <-over.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// end waits for the end of an interface.
func (r *router) end(id ifmgr.ID) ifmgr.Result {
	r.t.Helper()
	select {
	case res := <-r.ended:
		if res.ID != id || !res.Clean {
			r.t.Errorf("ledger = %+v, want clean of %d", res, id)
		}
		return res
	case <-time.After(20 * time.Second):
		r.t.Fatal("it does not end")
	}
	panic("unreachable")
}

func (r *router) logged(message string) int { return r.logs.FilterMessage(message).Len() }

// namespace makes a namespace for the test.
func namespace(t *testing.T, name string) *netlab.Namespace {
	t.Helper()
	nstest.Privileged(t)
	ns, err := netlab.NewNamespace(name)
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	return ns
}

// own is the test's own namespace, under a name.
func own(t *testing.T) *netlab.Namespace {
	t.Helper()
	const name = "own"
	if ns, err := netlab.OpenNamespace(name); err == nil {
		return ns
	}
	ns, err := netlab.NameOwn(name)
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	return ns
}

// wan is the interface wan0 with its kernel end in ns; nil is our own.
func wan(t *testing.T, ns *netlab.Namespace) config.Interface {
	t.Helper()
	c, err := config.NewInterface("wan0")
	check(t, err)
	c.MTU = 1400
	c.Addresses = []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}
	c.Kernel = &config.Kernel{
		Addresses:  []netip.Prefix{netip.MustParsePrefix("2001:db8::2/64")},
		Routes:     []netip.Prefix{netip.MustParsePrefix("2001:db8:f::/48")},
		TxQueueLen: 123,
	}
	if ns != nil {
		c.Kernel.Netns, err = config.ParseNetns(ns.Name())
		check(t, err)
	}
	return c
}

// kept makes a persistent device in our own namespace.
func kept(t *testing.T, name string, queues int) {
	t.Helper()
	d := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TUN, Queues: queues}
	d.Flags = netlink.TUNTAP_DEFAULTS
	if queues > 0 {
		d.Flags = netlink.TUNTAP_MULTI_QUEUE_DEFAULTS
	}
	check(t, netlink.LinkAdd(d))
	for _, f := range d.Fds {
		check(t, f.Close())
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(name); err == nil {
			check(t, netlink.LinkDel(l))
		}
	})
}

func devices(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	check(t, err)
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func TestAddSetsUpTheKernelsEnd(t *testing.T) {
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			r := newRouter(t)
			ns := own(t)
			c := wan(t, nil)
			if where == "there" {
				ns = namespace(t, "r6t-there")
				c = wan(t, ns)
			}
			id := r.add(c)
			in := r.info("wan0")
			if in.ID != id || in.State != ifmgr.Up || in.MTU != 1400 || in.Device.Index == 0 || in.Device.Kept {
				t.Errorf("interface = %+v, want it up", in)
			}
			l, err := ns.Link("wan0")
			check(t, err)
			if !l.Up || l.MTU != 1400 || l.Kind != "tuntap" {
				t.Errorf("device = %+v, want a TUN that is up", l)
			}
			check(t, ns.Do(func() error {
				l, err := netlink.LinkByName("wan0")
				if err != nil {
					return err
				}
				addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
				if err == nil && !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.String() == "2001:db8::2" }) {
					t.Errorf("addresses = %v", addrs)
				}
				routes, rerr := netlink.RouteList(l, netlink.FAMILY_V6)
				if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst.String() == "2001:db8:f::/48" }) {
					t.Errorf("routes = %v", routes)
				}
				if l.Attrs().TxQLen != 123 {
					t.Errorf("txqueuelen = %d, want 123", l.Attrs().TxQLen)
				}
				return errors.Join(err, rerr)
			}))
			r.detachAll()
			if _, err := ns.Link("wan0"); !errors.Is(err, netlab.ErrNoLink) {
				t.Errorf("after the detach: %v, want %v", err, netlab.ErrNoLink)
			}
		})
	}
}

// mtuIs, upIs … are what a test waits for.
func mtuIs(mtu int) func(ifmgr.Info) bool { return func(in ifmgr.Info) bool { return in.MTU == mtu } }

func stateIs(s ifmgr.State) func(ifmgr.Info) bool {
	return func(in ifmgr.Info) bool { return in.State == s }
}

func deviceIs(name, netns string) func(ifmgr.Info) bool {
	return func(in ifmgr.Info) bool { return in.Device.Name == name && (in.Device.Netns == "") == (netns == "") }
}

func TestDeviceIsFollowed(t *testing.T) {
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			r := newRouter(t)
			ns, there := own(t), ""
			c := wan(t, nil)
			if where == "there" {
				ns, there = namespace(t, "r6t-there"), "there"
				c = wan(t, ns)
			}
			id := r.add(c)
			check(t, ns.SetMTU("wan0", 1300))
			r.until("wan0", "1300 wide", mtuIs(1300))
			check(t, ns.Rename("wan0", "wide"))
			r.until("wan0", "renamed", deviceIs("wide", there))
			for range 3 {
				check(t, ns.SetDown("wide"))
				r.until("wan0", "down", stateIs(ifmgr.Down))
				check(t, ns.SetUp("wide"))
				r.until("wan0", "up", stateIs(ifmgr.Up))
			}
			if in := r.info("wan0"); in.ID != id {
				t.Errorf("id = %d, want %d still", in.ID, id)
			}
			check(t, ns.DeleteLink("wide"))
			if res := r.end(id); !errors.Is(res.Cause, ifmgr.ErrDeleted) {
				t.Errorf("cause = %v, want %v", res.Cause, ifmgr.ErrDeleted)
			}
		})
	}
}

func TestDeviceThatMovesIsFollowed(t *testing.T) {
	r := newRouter(t)
	here, there := own(t), namespace(t, "r6t-there")
	id := r.add(wan(t, nil))
	for range 3 {
		check(t, here.MoveLink("wan0", there))
		in := r.until("wan0", "there", deviceIs("wan0", "there"))
		if in.ID != id {
			t.Errorf("id = %d, want %d still", in.ID, id)
		}
		r.until("wan0", "down: the kernel set it down", stateIs(ifmgr.Down))
		check(t, there.SetUp("wan0"))
		r.until("wan0", "up", stateIs(ifmgr.Up))
		check(t, there.Rename("wan0", "moved"))
		r.until("wan0", "renamed", deviceIs("moved", "there"))
		check(t, there.SetMTU("moved", 1333))
		r.until("wan0", "1333 wide", mtuIs(1333))
		check(t, there.Rename("moved", "wan0"))
		check(t, there.MoveLink("wan0", here))
		r.until("wan0", "here", deviceIs("wan0", ""))
		check(t, here.SetUp("wan0"))
		check(t, here.SetMTU("wan0", 1400))
		r.until("wan0", "as it was", func(in ifmgr.Info) bool { return in.State == ifmgr.Up && in.MTU == 1400 })
	}
	check(t, here.MoveLink("wan0", there))
	r.until("wan0", "there", deviceIs("wan0", "there"))
	check(t, there.DeleteLink("wan0"))
	r.end(id)
}

// A device that moves from a namespace to a second, of which we never heard.
func TestDeviceThatMovesFromAfarIsFollowed(t *testing.T) {
	r := newRouter(t)
	first, second := namespace(t, "r6t-first"), namespace(t, "r6t-second")
	id := r.add(wan(t, first))
	was := r.info("wan0").Device.NSID
	check(t, first.MoveLink("wan0", second))
	r.until("wan0", "there", func(in ifmgr.Info) bool { return in.Device.NSID != was })
	check(t, second.SetUp("wan0"))
	r.until("wan0", "up", stateIs(ifmgr.Up))
	check(t, second.DeleteLink("wan0"))
	r.end(id)
}

func TestNamespaceDiesWithItsDevices(t *testing.T) {
	r := newRouter(t)
	near := namespace(t, "r6t-near")
	far := namespace(t, "r6t-far")
	check(t, netlab.Connect(near, "witness", far, "peer"))
	id := r.add(wan(t, far))
	moved := namespace(t, "r6t-moved")
	second := wan(t, nil)
	second.Name, second.Addresses = "lan0", nil
	lan := r.add(second) // and one that was moved there, and looked for
	check(t, own(t).MoveLink("lan0", moved))
	r.until("lan0", "there", deviceIs("lan0", "there"))

	check(t, far.Delete()) // what is left of it is its last user's
	if res := r.end(id); !errors.Is(res.Cause, ifmgr.ErrDeleted) {
		t.Errorf("cause = %v, want %v", res.Cause, ifmgr.ErrDeleted)
	}
	check(t, near.WaitNoLink(deadline(t), "witness")) // otherwise the namespace lives on
	check(t, moved.Delete())
	r.end(lan)
}

// Nothing of ours keeps a namespace alive: not even the interface in it.
func TestNamespaceIsNotPinned(t *testing.T) {
	r := newRouter(t)
	near, far := namespace(t, "r6t-near"), namespace(t, "r6t-far")
	check(t, netlab.Connect(near, "witness", far, "peer"))
	id := r.add(wan(t, far))
	r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
	r.end(id)
	check(t, far.Delete())
	check(t, near.WaitNoLink(deadline(t), "witness")) // otherwise the namespace lives on
}

func TestAddThatFailsHalfWayLeavesNothing(t *testing.T) {
	tests := []struct {
		name string
		ruin func(*testing.T, *config.Interface, *netlab.Namespace)
		says string
		is   error
	}{
		{"a namespace that is not there", func(t *testing.T, c *config.Interface, _ *netlab.Namespace) {
			ns, err := config.ParseNetns("r6t-nowhere")
			check(t, err)
			c.Kernel.Netns = ns
		}, "r6t-nowhere", os.ErrNotExist},
		{"a namespace that is a file", func(t *testing.T, c *config.Interface, _ *netlab.Namespace) {
			check(t, os.WriteFile("/run/netns/r6t-file", nil, 0))
			t.Cleanup(func() { check(t, netlab.Remove("r6t-file")) })
			ns, err := config.ParseNetns("r6t-file")
			check(t, err)
			c.Kernel.Netns = ns
		}, "r6t-file", nil},
		{"an mtu that the device refuses", func(_ *testing.T, c *config.Interface, _ *netlab.Namespace) { c.MTU = 1 << 20 }, "mtu 1048576", nil},
		{"an address that can't be set", func(_ *testing.T, c *config.Interface, _ *netlab.Namespace) {
			c.Kernel.Addresses = append(c.Kernel.Addresses, netip.MustParsePrefix("ff02::1/64"))
		}, "kernel address ff02::1/64", nil},
		{"an address twice", func(_ *testing.T, c *config.Interface, _ *netlab.Namespace) {
			c.Kernel.Addresses = append(c.Kernel.Addresses, c.Kernel.Addresses[0])
		}, "kernel address 2001:db8::2/64", os.ErrExist},
		{"a route twice", func(_ *testing.T, c *config.Interface, _ *netlab.Namespace) {
			c.Kernel.Routes = append(c.Kernel.Routes, c.Kernel.Routes[0])
		}, "kernel route 2001:db8:f::/48", os.ErrExist},
		{"IPv6 is off", func(t *testing.T, _ *config.Interface, ns *netlab.Namespace) {
			check(t, ns.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1"))
			check(t, ns.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1"))
		}, "net.ipv6.conf.all.disable_ipv6", unix.EACCES},
		{"the name is taken there", func(t *testing.T, _ *config.Interface, ns *netlab.Namespace) {
			check(t, netlab.Connect(ns, "wan0", ns, "other"))
		}, "wan0", link.ErrBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t)
			ns := namespace(t, "r6t-there")
			c := wan(t, ns)
			tt.ruin(t, &c, ns)
			before := devices(t)
			there, err := ns.Links()
			check(t, err)
			_, err = r.m.Add(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("add = %v, want %v and %q", err, tt.is, tt.says)
			}
			if got := devices(t); !slices.Equal(got, before) {
				t.Errorf("devices = %v, want %v", got, before)
			}
			if got, err := ns.Links(); err != nil || len(got) != len(there) {
				t.Errorf("devices there = %v, %v, want %v", got, err, there)
			}
			good := wan(t, nil) // the name is free
			r.add(good)
		})
	}
}

func TestAddOfATakenAddressLeavesNothing(t *testing.T) {
	r := newRouter(t)
	r.add(wan(t, nil))
	second := wan(t, nil)
	second.Name = "lan0"
	second.Kernel = nil
	before := devices(t)
	_, err := r.m.Add(t.Context(), second)
	if !errors.Is(err, ifmgr.ErrAddressTaken) || !strings.Contains(err.Error(), "wan0") {
		t.Errorf("add = %v, want %v, by wan0", err, ifmgr.ErrAddressTaken)
	}
	if got := devices(t); !slices.Equal(got, before) {
		t.Errorf("devices = %v, want %v", got, before)
	}
}

func TestAddWhoseContextEndsLeavesNothing(t *testing.T) {
	r := newRouter(t)
	before := devices(t)
	ctx, cancel := context.WithCancel(t.Context())
	prepared := make(chan struct{})
	out := make(chan struct{})
	go func() { // the loop is busy when it comes to the attach
		<-prepared
		cancel()
		close(out)
	}()
	stop := make(chan struct{})
	heard := make(chan netlink.LinkUpdate, 100)
	check(t, netlink.LinkSubscribe(heard, stop))
	added := make(chan error)
	go func() {
		_, err := r.m.Add(ctx, wan(t, nil))
		added <- err
	}()
	for u := range heard {
		if u.Attrs().Name == "wan0" {
			break
		}
	}
	close(prepared)
	<-out
	err := <-added
	close(stop)
	for range heard { // closed at its end
	}
	if err == nil { // it was quicker
		return
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("add = %v, want %v", err, context.Canceled)
	}
	if got := devices(t); !slices.Equal(got, before) {
		t.Errorf("devices = %v, want %v", got, before)
	}
	r.add(wan(t, nil))
}

// Deleted and added again at once: the message is still on its way.
func TestSameNameRightAfterDeletion(t *testing.T) {
	r := newRouter(t)
	ns := own(t)
	last := r.add(wan(t, nil))
	for range 5 {
		check(t, ns.DeleteLink("wan0"))
		id := r.add(wan(t, nil))
		if id <= last {
			t.Errorf("id = %d after %d", id, last)
		}
		r.end(last)
		last = id
	}
}

func attachOnly(t *testing.T, name string) config.Interface {
	t.Helper()
	c, err := config.NewInterface(name)
	check(t, err)
	c.Mode = config.ModeAttach
	return c
}

func TestPersistentDeviceIsTakenAndLeft(t *testing.T) {
	r := newRouter(t)
	kept(t, "kept", 0)
	kept(t, "queues", 2)
	for _, name := range []string{"kept", "queues"} {
		id := r.add(attachOnly(t, name))
		in := r.info(name)
		if !in.Device.Kept || in.State != ifmgr.Down || in.MTU != 1500 {
			t.Errorf("interface = %+v, want it down", in)
		}
		check(t, own(t).SetUp(name))
		r.until(name, "up", stateIs(ifmgr.Up))
		r.do(func(x *loop.Turn) { r.m.Detach(x, id, ifmgr.ErrRequested, nil) })
		r.end(id)
		if !slices.Contains(devices(t), name) {
			t.Errorf("%s went with the interface", name)
		}
	}
}

func TestKeeperTakesDevicesAsTheyCome(t *testing.T) {
	r := newRouter(t)
	r.keeper.Keep(attachOnly(t, "later"))
	for range 3 {
		kept(t, "later", 0)
		in := r.until("later", "there", stateIs(ifmgr.Down))
		check(t, own(t).DeleteLink("later"))
		r.end(in.ID)
	}
	r.keeper.Drop("later")
	kept(t, "later", 0)
	r.keeper.Try("later")
	r.do(func(*loop.Turn) {})
	if in := r.info("later"); in.ID != 0 {
		t.Errorf("interface = %+v, want none", in)
	}
}

// Asking for a device that is not there must not make the kernel tell of one.
func TestKeeperRestsWhileThereIsNothing(t *testing.T) {
	r := newRouter(t)
	heard := make(chan netlink.LinkUpdate, 1000)
	stop := make(chan struct{})
	check(t, netlink.LinkSubscribe(heard, stop))
	r.keeper.Keep(attachOnly(t, "nobody"))
	r.keeper.Keep(attachOnly(t, "marker"))
	for range 3 {
		kept(t, "marker", 0)
		in := r.until("marker", "there", stateIs(ifmgr.Down))
		check(t, own(t).DeleteLink("marker"))
		r.end(in.ID)
	}
	close(stop)
	for u := range heard {
		if u.Attrs().Name == "nobody" {
			t.Error("it was made by asking")
		}
	}
}

func TestKeeperRetriesABusyDevice(t *testing.T) {
	r := newRouter(t)
	kept(t, "busy", 0)
	other, err := link.AttachTUN("busy", 1)
	check(t, err)
	r.keeper.Keep(attachOnly(t, "busy"))
	for r.logged("interface not there yet") == 0 {
		<-r.changed
	}
	check(t, other.Close())
	r.until("busy", "there", stateIs(ifmgr.Down))
	if got := r.logged("interface not there yet"); got != 1 {
		t.Errorf("logged %d times, want once", got)
	}
}

func TestKeeperMakesAgainWhatWasDeleted(t *testing.T) {
	for _, where := range []string{"here", "there"} {
		t.Run(where, func(t *testing.T) {
			r := newRouter(t)
			ns := own(t)
			c := wan(t, nil)
			if where == "there" {
				ns = namespace(t, "r6t-there")
				c = wan(t, ns)
			}
			c.Recreate = true
			r.keeper.Keep(c)
			last := r.until("wan0", "there", stateIs(ifmgr.Up)).ID
			for range 3 {
				check(t, ns.DeleteLink("wan0"))
				r.end(last)
				in := r.until("wan0", "there again", stateIs(ifmgr.Up))
				if in.ID <= last {
					t.Errorf("id = %d after %d", in.ID, last)
				}
				last = in.ID
			}
			r.keeper.Drop("wan0")
		})
	}
}

// The device of a failed try tells of itself, and must not cause the next one.
func TestKeeperDoesNotChaseItself(t *testing.T) {
	r := newRouter(t)
	c := wan(t, nil)
	c.Recreate = true
	c.Kernel.Addresses = append(c.Kernel.Addresses, c.Kernel.Addresses[0])
	made := make(chan netlink.LinkUpdate, 1000)
	stop := make(chan struct{})
	check(t, netlink.LinkSubscribe(made, stop))
	r.keeper.Keep(c)
	for r.logged("interface not there yet") == 0 {
		<-r.changed
	}
	time.Sleep(500 * time.Millisecond) // the time in which nothing happens
	r.keeper.Drop("wan0")
	close(stop)
	var indexes []int
	for u := range made {
		if i := u.Attrs().Index; u.Attrs().Name == "wan0" && !slices.Contains(indexes, i) {
			indexes = append(indexes, i)
		}
	}
	if len(indexes) != 1 {
		t.Errorf("made %d devices, want 1", len(indexes))
	}
}

func TestOldMessagesAreNotBelieved(t *testing.T) {
	r := newRouter(t)
	ns := own(t)
	r.add(wan(t, nil))
	resume := r.pause()
	for _, mtu := range []int{1300, 1400, 1301, 1350} {
		check(t, ns.SetMTU("wan0", mtu))
	}
	resume()
	r.until("wan0", "1350 wide", mtuIs(1350))
	if got := r.logged("interface mtu changed"); got != 1 {
		t.Errorf("mtu changed %d times, want once", got)
	}
}

func TestOverrunIsMadeGood(t *testing.T) {
	r := newRouter(t)
	ns := own(t)
	id := r.add(wan(t, nil))
	r.keeper.Keep(attachOnly(t, "unheard"))
	for r.logged("waiting for device") == 0 { // from now on it is for the watch to tell
		<-r.changed
	}
	resume := r.pause() // the watch waits, and its buffer runs over
	for range 3_000 {
		check(t, ns.SetMTU("wan0", 1380))
		check(t, ns.SetMTU("wan0", 1381))
	}
	check(t, ns.SetMTU("wan0", 1299))
	kept(t, "unheard", 0)
	resume()
	r.until("wan0", "1299 wide", mtuIs(1299))
	r.until("unheard", "there", stateIs(ifmgr.Down))
	if r.logged("link messages lost") == 0 {
		t.Error("the buffer did not run over: the test is not about what it says")
	}
	if in := r.info("wan0"); in.ID != id {
		t.Errorf("id = %d, want %d still", in.ID, id)
	}
}

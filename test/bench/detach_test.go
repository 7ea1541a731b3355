//go:build bench

package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
	"github.com/router6d/router6d/rib"
)

const (
	rounds       = 200 // detaches of each kind
	kernelRounds = 5   // half a second each, and seconds to load
)

// TestBenchDetach prints how long it takes from the gate to the pointer store,
// and back, for numbers of prefixes and of groups on the interface; and beside
// it how long the kernel takes to delete a link with the same routes.
func TestBenchDetach(t *testing.T) {
	nstest.Privileged(t)
	var at10, at160k float64
	for _, groups := range []int{16, 256} {
		for _, n := range []int{10, 1_000, 160_147, 1_000_000} {
			prefixes := lab.Prefixes(t, n)
			withdraw, restore := churn(t, prefixes, groups)
			name := fmt.Sprintf("%s_%dg", size(n), groups)
			if groups == 16 {
				name = size(n)
			}
			figure("withdraw_p50_us_"+name, withdraw.at(50))
			figure("withdraw_p99_us_"+name, withdraw.at(99))
			figure("restore_p50_us_"+name, restore.at(50))
			figure("restore_p99_us_"+name, restore.at(99))
			switch {
			case groups == 16 && n == 10:
				at10 = withdraw.at(50)
			case groups == 16 && n == 160_147:
				at160k = withdraw.at(50)
			case groups == 256 && n == 10:
				ratio("withdraw_160k_vs_10", at160k/at10)
			}
		}
	}
	kernel := kernelDelete(t, lab.FullTable(t))
	figure("kernel_delete_p50_us_160k", kernel.at(50))
	ratio("kernel_vs_withdraw_160k", kernel.at(50)/at160k)
}

func size(n int) string {
	switch n {
	case 160_147:
		return "160k"
	case 1_000_000:
		return "1m"
	}
	return fmt.Sprint(n)
}

// churn detaches and attaches an interface that all prefixes lead to, through a
// number of gateways.
func churn(t *testing.T, prefixes []netip.Prefix, groups int) (withdraw, restore times) {
	b := newBed(t)
	defer b.end()
	b.route(prefixes, groups)
	runtime.GC()
	for range rounds {
		up, down := b.round()
		restore, withdraw = append(restore, up), append(withdraw, down)
	}
	return withdraw, restore
}

// A bed is a control plane without workers: what is measured is the loop's.
type bed struct {
	t    *testing.T
	loop *loop.Loop
	ifs  *ifmgr.Manager
	rib  *rib.RIB
	stop context.CancelFunc
	done chan struct{}

	withdrawn time.Time
	restored  time.Duration
}

func newBed(t *testing.T) *bed {
	d := epoch.NewDomain()
	l := loop.New(d)
	table := fib.NewTable()
	b := &bed{t: t, loop: l, ifs: ifmgr.New(l, zap.NewNop(), time.Second), done: make(chan struct{})}
	b.rib = rib.New(table, b.ifs)
	b.ifs.Hook(ifmgr.Hooks{
		Attached: func(*loop.Turn, ifmgr.ID) {},
		Up: func(t *loop.Turn, id ifmgr.ID) {
			began := time.Now()
			b.rib.Up(t, id)
			b.restored = time.Since(began)
		},
		Withdraw: func(t *loop.Turn, id ifmgr.ID) (int, int) {
			w := b.rib.Withdraw(t, id)
			b.withdrawn = time.Now()
			return w.Routes, w.Slots
		},
		Ended:      func(t *loop.Turn, res ifmgr.Result) { b.rib.Forget(t, res.ID) },
		Generation: func(t *loop.Turn) uint64 { return table.Snapshot(t).Generation() },
	})
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() {
		defer close(b.done)
		_ = l.Run(ctx) // never fails
	}()
	return b
}

func (b *bed) end() {
	b.stop()
	<-b.done
}

func (b *bed) do(fn func(*loop.Turn) error) {
	b.t.Helper()
	if err := b.loop.Do(b.t.Context(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// route leads the prefixes to wan, through as many gateways as groups.
func (b *bed) route(prefixes []netip.Prefix, groups int) {
	u := rib.Update{Source: rib.Static}
	for i, p := range prefixes {
		gw := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i % groups >> 8), 15: byte(i % groups)})
		u.Set = append(u.Set, rib.Route{
			Prefix: p, Source: rib.Static,
			Target: rib.Paths{{Iface: "wan", Gateway: gw, Weight: 1}},
		})
	}
	b.do(func(t *loop.Turn) error { return b.rib.Apply(t, u) })
	for settled := false; !settled; {
		b.do(func(t *loop.Turn) error { settled = b.rib.Settled(t); return nil })
	}
}

// round attaches wan and detaches it. Up is from the interface being there to
// lookups returning it, down from the gate to the pointer store.
func (b *bed) round() (up, down time.Duration) {
	port, _ := link.NewPipe("wan", "peer")
	var id ifmgr.ID
	b.do(func(t *loop.Turn) (err error) {
		id, err = b.ifs.Attach(t, port, ifmgr.Settings{Name: "wan", MTU: 1500, Up: true})
		return err
	})
	ended := make(chan ifmgr.Result, 1)
	var gate time.Time
	b.do(func(t *loop.Turn) error {
		gate = time.Now()
		b.ifs.Detach(t, id, ifmgr.ErrRequested, func(res ifmgr.Result) { ended <- res })
		return nil
	})
	if res := <-ended; !res.Clean {
		b.t.Fatalf("detach: %+v", res)
	}
	return b.restored, b.withdrawn.Sub(gate)
}

// kernelDelete has the kernel delete a device that all prefixes lead to.
func kernelDelete(t *testing.T, prefixes []netip.Prefix) (took times) {
	ns, err := netlab.NewNamespace("kernel")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Delete() //nolint:errcheck // the namespace of the test goes anyway
	for range kernelRounds {
		var d time.Duration
		if err := ns.Do(func() (err error) { d, err = kernelRound(prefixes); return err }); err != nil {
			t.Fatal(err)
		}
		took = append(took, d)
	}
	return took
}

func kernelRound(prefixes []netip.Prefix) (time.Duration, error) {
	h, err := netlink.NewHandle()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	dev := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wan"}, PeerName: "peer"}
	if err := h.LinkAdd(dev); err != nil {
		return 0, err
	}
	for _, name := range []string{"wan", "peer"} {
		l, err := h.LinkByName(name)
		if err != nil {
			return 0, err
		}
		if err := h.LinkSetUp(l); err != nil {
			return 0, err
		}
	}
	l, err := h.LinkByName("wan")
	if err != nil {
		return 0, err
	}
	for _, p := range prefixes {
		dst := &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst}); err != nil {
			return 0, fmt.Errorf("route %v: %w", p, err)
		}
	}
	began := time.Now()
	err = h.LinkDel(l)
	return time.Since(began), err
}

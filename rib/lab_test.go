package rib

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A tb is a testing.TB or a rapid.T.
type tb interface {
	Helper()
	Cleanup(fn func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A fixture is a RIB that follows real interfaces.
type fixture struct {
	t    tb
	dom  *epoch.Domain
	loop *loop.Loop
	ifs  *ifmgr.Manager
	fib  *fib.Table
	rib  *RIB
	last Withdrawal
}

func newFixture(t tb) *fixture {
	t.Helper()
	d := epoch.NewDomain()
	f := &fixture{t: t, dom: d, loop: loop.New(d), fib: fib.NewTable()}
	f.ifs = ifmgr.New(f.loop, zap.NewNop(), time.Minute)
	f.rib = New(f.fib, f.ifs)
	f.ifs.Hook(ifmgr.Hooks{
		Attached: func(*loop.Turn, ifmgr.ID) {},
		Up:       f.rib.Up,
		Withdraw: func(t *loop.Turn, id ifmgr.ID) (routes, slots int) {
			f.last = f.rib.Withdraw(t, id)
			return f.last.Routes, f.last.Slots
		},
		Ended:      func(t *loop.Turn, r ifmgr.Result) { f.rib.Forget(t, r.ID) },
		Generation: f.fib.Generation,
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("loop: %v", err)
		}
	})
	return f
}

func (f *fixture) turn(fn func(*loop.Turn)) {
	f.t.Helper()
	err := f.loop.Do(context.Background(), func(t *loop.Turn) error { fn(t); return nil })
	if err != nil {
		f.t.Fatalf("turn: %v", err)
	}
}

// attach makes an interface, and up gives it carrier.
func (f *fixture) attach(name string, up bool, addrs ...string) (id ifmgr.ID) {
	f.t.Helper()
	s := ifmgr.Settings{Name: name, MTU: 1500, Up: up}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, netip.MustParsePrefix(a))
	}
	p, _ := link.NewPipe(name, name+"-far")
	var err error
	f.turn(func(t *loop.Turn) { id, err = f.ifs.Attach(t, p, s) })
	if err != nil {
		f.t.Fatalf("attach: %v", err)
	}
	return id
}

func (f *fixture) carrier(id ifmgr.ID, up bool) {
	f.t.Helper()
	f.turn(func(t *loop.Turn) { f.ifs.Carrier(t, id, up) })
}

func (f *fixture) detach(id ifmgr.ID) {
	f.t.Helper()
	done := make(chan ifmgr.Result, 1)
	f.turn(func(t *loop.Turn) {
		f.ifs.Detach(t, id, ifmgr.ErrRequested, func(r ifmgr.Result) { done <- r })
	})
	if r := <-done; !r.Clean {
		f.t.Errorf("detach of %s: held by %v", r.Name, r.Holders)
	}
}

func (f *fixture) apply(u Update) {
	f.t.Helper()
	if err := f.try(u); err != nil {
		f.t.Fatalf("apply: %v", err)
	}
}

func (f *fixture) try(u Update) (err error) {
	f.t.Helper()
	f.turn(func(t *loop.Turn) { err = f.rib.Apply(t, u) })
	return err
}

// static sets routes written as "2001:db8::/32 via fe80::1 dev eth0, dev eth1
// weight 2 hop-limit 9", "… local dev eth0" or "… blackhole".
func (f *fixture) static(routes ...string) {
	f.t.Helper()
	u := Update{Source: Static}
	for _, r := range routes {
		u.Set = append(u.Set, parse(r))
	}
	f.apply(u)
}

func parse(s string) Route {
	p, target, _ := strings.Cut(s, " ")
	return Route{Prefix: netip.MustParsePrefix(p), Target: parseTarget(target)}
}

func parseTarget(s string) Target {
	for v := fib.Unreachable; v < fib.Deliver; v++ {
		if s == v.String() {
			return Refuse{v}
		}
	}
	if iface, ok := strings.CutPrefix(s, "local dev "); ok {
		return Local{iface}
	}
	var paths Paths
	for text := range strings.SplitSeq(s, ", ") {
		var p Path
		w := strings.Fields(text)
		for i := 0; i < len(w); i += 2 {
			switch w[i] {
			case "via":
				p.Gateway = netip.MustParseAddr(w[i+1])
			case "dev":
				p.Iface = w[i+1]
			case "weight":
				_, _ = fmt.Sscan(w[i+1], &p.Weight)
			case "hop-limit":
				_, _ = fmt.Sscan(w[i+1], &p.HopLimit)
			}
		}
		paths = append(paths, p)
	}
	return paths
}

// answer is what the FIB does with a destination, and withdrawn interfaces
// never are in it.
func (f *fixture) answer(dst string) (s string) {
	f.t.Helper()
	f.turn(func(t *loop.Turn) { s = f.answerIn(t, netip.MustParseAddr(dst)) })
	return s
}

func (f *fixture) answerIn(t *loop.Turn, dst netip.Addr) string {
	a := dst.As16()
	g := f.fib.Snapshot(t).Lookup(&a)
	var hops []string
	for _, nh := range g.Nexthops() {
		if nh.Withdrawn() != 0 {
			f.t.Errorf("lookup of %v finds %s, withdrawn in %d", dst, nh.Name(), nh.Withdrawn())
		}
		hops = append(hops, hopText(nh.Name(), nh.Gateway(), nh.Weight(), nh.RouteHopLimit()))
	}
	return answerText(g.Verdict(), hops)
}

func hopText(name string, gw netip.Addr, weight, limit uint8) string {
	s := " " + name
	if gw.IsValid() {
		s += "/" + gw.String()
	}
	if weight > 1 {
		s += fmt.Sprintf("*%d", weight)
	}
	if limit > 0 {
		s += fmt.Sprintf("^%d", limit)
	}
	return s
}

func answerText(v fib.Verdict, hops []string) string {
	slices.Sort(hops)
	return v.String() + strings.Join(hops, "")
}

// books recounts what the RIB counts.
func (f *fixture) books(t *loop.Turn) error {
	r := f.rib
	routes, prefixes := map[*slot]int{}, map[*slot]int{}
	lengths := [129]int{}
	for p, e := range r.entries {
		lengths[p.Bits()]++
		for _, rt := range e.routes {
			routes[rt.slot]++
		}
		for _, s := range e.chain {
			prefixes[s]++
		}
	}
	groups := 0
	for text, s := range r.slots {
		if s.text != text || s.routes != routes[s] || s.prefixes != prefixes[s] || s.routes+s.prefixes == 0 {
			return fmt.Errorf("slot %q: %d routes, %d prefixes; want %d, %d", text, s.routes, s.prefixes, routes[s], prefixes[s])
		}
		if (s.group != 0) != (s.prefixes > 0) {
			return fmt.Errorf("slot %q: group %d with %d prefixes", text, s.group, s.prefixes)
		}
		if s.group != 0 {
			groups++
		}
	}
	for s := range routes {
		if r.slots[s.text] != s {
			return fmt.Errorf("slot %q is not indexed", s.text)
		}
	}
	if got := f.fib.Stats(t).Groups; got != groups || lengths != r.lengths {
		return fmt.Errorf("%d groups in the fib, want %d; lengths %v, want %v", got, groups, r.lengths, lengths)
	}
	return nil
}

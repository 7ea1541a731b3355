package rib

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
)

// want compares answers, written as "destination answer".
func (f *fixture) want(answers ...string) {
	f.t.Helper()
	for _, a := range answers {
		dst, want, _ := strings.Cut(a, " ")
		if got := f.answer(dst); got != want {
			f.t.Errorf("%s: %s, want %s", dst, got, want)
		}
	}
}

// show is what "show routes" says of those that are not connected.
func (f *fixture) show() (lines []string) {
	f.t.Helper()
	f.turn(func(t *loop.Turn) {
		for st := range f.rib.All(t) {
			if st.Source == Connected {
				continue
			}
			mark := "-"
			if st.Active {
				mark = "+"
			}
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %v %v %s", mark, st.Prefix, st.Target, st.Reason)))
		}
	})
	return lines
}

func (f *fixture) wantShown(want ...string) {
	f.t.Helper()
	if got := f.show(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("shown:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAddressesMakeRoutes(t *testing.T) {
	f := newFixture(t)
	id := f.attach("eth0", true, "2001:db8:1::5/64", "2001:db8:2::/127", "2001:db8:3::1/128")
	f.want(
		"2001:db8:1::77 forward eth0", "2001:db8:1::5 deliver eth0",
		"2001:db8:1:: deliver eth0", // RFC 4291 §2.6.1: subnet-router anycast
		"2001:db8:2:: deliver eth0",
		"2001:db8:2::1 forward eth0", // RFC 6164 §5: no anycast on a /127
		"2001:db8:3::1 deliver eth0", "2001:db8:3::2 unreachable",
	)
	f.turn(func(t2 *loop.Turn) {
		if got, want := f.fib.Snapshot(t2).Source(), netip.MustParseAddr("2001:db8:1::5"); got != want {
			t.Errorf("source = %v, want %v", got, want)
		}
	})
	f.carrier(id, false)
	f.want("2001:db8:1::77 unreachable", "2001:db8:1::5 unreachable", "2001:db8:1:: unreachable")
	if f.last.Slots != 2 || f.last.Routes != 6 {
		t.Errorf("withdrawal = %+v, want 2 slots, 6 routes", f.last)
	}
}

func TestRecursion(t *testing.T) {
	const gw = "2001:db8:1::9"
	for _, c := range []struct {
		name   string
		routes []string
		answer string // to 2001:db8:f::1
		shown  string // of 2001:db8:f::/48; empty: active, and nothing wrong
	}{
		{"a gateway on link is the gateway", []string{"2001:db8:f::/48 via " + gw}, "forward eth0/" + gw, ""},
		{
			"a gateway behind a router is reached by the router",
			[]string{"2001:db8:e::/48 via fe80::2 dev eth1", "2001:db8:f::/48 via 2001:db8:e::1"},
			"forward eth1/fe80::2", "",
		},
		{"two levels", []string{"2001:db8:e::/48 via " + gw, "2001:db8:f::/48 via 2001:db8:e::1"}, "forward eth0/" + gw, ""},
		{
			"equal paths to the gateway are shared by weight",
			[]string{"2001:db8:e::/48 via fe80::2 dev eth1 weight 3, via " + gw, "2001:db8:f::/48 via 2001:db8:e::1 weight 2"},
			"forward eth0/" + gw + "*2 eth1/fe80::2*6", "",
		},
		{
			"a hop limit wins over that of the gateway's route",
			[]string{"2001:db8:e::/48 via fe80::2 dev eth1 hop-limit 9", "2001:db8:f::/48 via 2001:db8:e::1 hop-limit 7"},
			"forward eth1/fe80::2^7", "",
		},
		{
			"without one it is that of the gateway's route",
			[]string{"2001:db8:e::/48 via fe80::2 dev eth1 hop-limit 9", "2001:db8:f::/48 via 2001:db8:e::1"},
			"forward eth1/fe80::2^9", "",
		},
		{
			"of two that come to the same way out it is the greater",
			[]string{
				"2001:db8:d::/48 via fe80::2 dev eth1 hop-limit 9", "2001:db8:e::/48 via fe80::2 dev eth1",
				"2001:db8:f::/48 via 2001:db8:d::1, via 2001:db8:e::1",
			},
			"forward eth1/fe80::2*2^9", "",
		},
		{"one of two gateways", []string{"2001:db8:f::/48 via " + gw + ", via 2001:db9::1"}, "forward eth0/" + gw, "gateway 2001:db9::1 unreachable"},
		{"the default route leads to no gateway", []string{"::/0 dev eth1", "2001:db8:f::/48 via 2001:db9::1"}, "forward eth1", "gateway 2001:db9::1 unreachable"},
		{"a refused gateway", []string{"2001:db9::/32 blackhole", "2001:db8:f::/48 via 2001:db9::1"}, "unreachable", "gateway 2001:db9::1 unreachable"},
		{"the router is no gateway of its own", []string{"2001:db8:f::/48 via 2001:db8:1::1"}, "unreachable", "gateway 2001:db8:1::1 unreachable"},
		{"a route through itself", []string{"2001:db8:f::/48 via 2001:db8:f::1"}, "unreachable", "gateway 2001:db8:f::1 resolves in a loop"},
		{
			"two through each other",
			[]string{"2001:db8:e::/48 via 2001:db8:f::1", "2001:db8:f::/48 via 2001:db8:e::1"},
			"unreachable", "gateway 2001:db8:e::1 resolves in a loop",
		},
		{
			"a loop with a way out takes it",
			[]string{"2001:db8:e::/48 via 2001:db8:f::1, dev eth1", "2001:db8:f::/48 via 2001:db8:e::1"},
			"forward eth1/2001:db8:e::1", "",
		},
		{"eight levels", chain(8), "forward eth0/" + gw, ""},
		{"nine levels", chain(9), "unreachable", "gateway 2001:db8:f:1::1 resolves through more than 8 routes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			f.attach("eth0", true, "2001:db8:1::1/64")
			f.attach("eth1", true)
			f.static(c.routes...)
			f.want("2001:db8:f::1 " + c.answer)
			f.turn(func(turn *loop.Turn) {
				for st := range f.rib.All(turn) {
					if st.Prefix.String() == "2001:db8:f::/48" && st.Reason != c.shown {
						t.Errorf("reason = %q, want %q", st.Reason, c.shown)
					}
				}
			})
		})
	}
}

// chain leads from 2001:db8:f::/48 through n routes to the gateway on link; the
// connected route is the last of them.
func chain(n int) []string {
	routes := []string{}
	for i := range n - 1 {
		routes = append(routes, fmt.Sprintf("%v via 2001:db8:f:%x::1", level(i), i+1))
	}
	return append(routes, fmt.Sprintf("%v via 2001:db8:1::9", level(n-1)))
}

func level(i int) netip.Prefix {
	if i == 0 {
		return netip.MustParsePrefix("2001:db8:f::/48")
	}
	return netip.MustParsePrefix(fmt.Sprintf("2001:db8:f:%x::/64", i))
}

func TestWithdrawalFallsThroughAndReturns(t *testing.T) {
	f := newFixture(t)
	f.attach("eth0", true)
	id := f.attach("ppp0", true)
	f.static("::/0 via fe80::1 dev ppp0", "2001:db8::/32 via fe80::1 dev ppp0", "2001:db8:1::/48 dev eth0, via fe80::1 dev ppp0")
	f.apply(Update{Source: Kernel, Set: []Route{parse("2001:db8::/32 via fe80::2 dev eth0")}})
	f.want("9::1 forward ppp0/fe80::1", "2001:db8::1 forward ppp0/fe80::1", "2001:db8:1::1 forward eth0 ppp0/fe80::1")
	f.carrier(id, false)
	f.want("9::1 unreachable", "2001:db8::1 forward eth0/fe80::2", "2001:db8:1::1 forward eth0")
	if f.last.Slots != 2 || f.last.Routes != 3 {
		t.Errorf("withdrawal = %+v, want 2 slots, 3 routes", f.last)
	}
	f.wantShown(
		"- ::/0 via fe80::1 dev ppp0 interface ppp0 is down",
		"- 2001:db8::/32 via fe80::1 dev ppp0 interface ppp0 is down",
		"+ 2001:db8::/32 via fe80::2 dev eth0",
		"+ 2001:db8:1::/48 dev eth0, via fe80::1 dev ppp0 interface ppp0 is down",
	)
	f.detach(id)
	f.wantShown(
		"- ::/0 via fe80::1 dev ppp0 no such interface ppp0",
		"- 2001:db8::/32 via fe80::1 dev ppp0 no such interface ppp0",
		"+ 2001:db8::/32 via fe80::2 dev eth0",
		"+ 2001:db8:1::/48 dev eth0, via fe80::1 dev ppp0 no such interface ppp0",
	)
	again := f.attach("ppp0", true)
	if again == id {
		t.Errorf("id %d came again", id)
	}
	f.want("9::1 forward ppp0/fe80::1", "2001:db8::1 forward ppp0/fe80::1", "2001:db8:1::1 forward eth0 ppp0/fe80::1")
	f.wantShown(
		"+ ::/0 via fe80::1 dev ppp0",
		"+ 2001:db8::/32 via fe80::1 dev ppp0",
		"- 2001:db8::/32 via fe80::2 dev eth0 less preferred than static metric 0",
		"+ 2001:db8:1::/48 dev eth0, via fe80::1 dev ppp0",
	)
}

func TestEqualTargetsShareASlot(t *testing.T) {
	f := newFixture(t)
	f.attach("eth0", true)
	f.static("2001:db8:1::/48 via fe80::1 dev eth0, via fe80::2 dev eth0", "2001:db8:2::/48 via fe80::2 dev eth0, via fe80::1 dev eth0 weight 1")
	f.turn(func(turn *loop.Turn) {
		groups := f.rib.Nexthops(turn)
		if len(groups) != 1 || groups[0].Routes != 2 || len(groups[0].Nexthops) != 2 || groups[0].Slot == 0 {
			t.Errorf("groups = %+v, want one with 2 routes and 2 nexthops", groups)
		}
	})
}

// Routes that differ in the hop limit alone have a slot each, and deal flows alike.
func TestHopLimitMovesNoFlow(t *testing.T) {
	f := newFixture(t)
	id := f.attach("eth0", true)
	f.attach("eth1", true)
	flows := func(p string) (names [256]string, limits map[string]uint8) {
		limits = map[string]uint8{}
		f.turn(func(turn *loop.Turn) {
			a := netip.MustParseAddr(p).As16()
			g := f.fib.Snapshot(turn).Lookup(&a)
			for i := range names {
				nh := g.Nexthop(uint32(i) << 24)
				names[i], limits[nh.Name()] = nh.Name(), nh.HopLimit()
			}
		})
		return names, limits
	}
	f.static("2001:db8:1::/48 dev eth0, dev eth1 weight 2", "2001:db8:2::/48 dev eth0, dev eth1 weight 2 hop-limit 9")
	f.turn(func(turn *loop.Turn) { f.ifs.SetHopLimit(turn, id, 33) })
	one, limits := flows("2001:db8:1::1")
	if want := map[string]uint8{"eth0": 33, "eth1": 64}; !maps.Equal(limits, want) {
		t.Errorf("hop limits = %v, want %v: the interfaces'", limits, want)
	}
	two, limits := flows("2001:db8:2::1")
	if want := map[string]uint8{"eth0": 33, "eth1": 9}; !maps.Equal(limits, want) {
		t.Errorf("hop limits = %v, want %v: the route's, where it has one", limits, want)
	}
	if one != two {
		t.Error("a flow moves with the hop limit")
	}
}

// A route follows that of its gateway when the hop limit is all that changes there.
func TestHopLimitOfTheGatewaysRouteChanges(t *testing.T) {
	f := newFixture(t)
	f.attach("eth0", true)
	for _, limit := range []string{" hop-limit 9", " hop-limit 7", ""} {
		f.static("2001:db8:e::/48 via fe80::2 dev eth0"+limit, "2001:db8:f::/48 via 2001:db8:e::1")
		f.want("2001:db8:f::1 forward eth0/fe80::2" + strings.Replace(limit, " hop-limit ", "^", 1))
	}
}

func TestBadUpdatesChangeNothing(t *testing.T) {
	key := Key{netip.MustParsePrefix("2001:db8::/32"), Static, 0}
	set := func(routes ...Route) Update { return Update{Source: Static, Set: routes} }
	for _, c := range []struct {
		name string
		u    Update
		want string
	}{
		{"no prefix", set(Route{Target: Refuse{}}), "route invalid Prefix: not a prefix"},
		{"an IPv4 prefix", set(parse("192.0.2.0/24 dev eth0")), "route 192.0.2.0/24: not an IPv6 prefix"},
		{"bits behind the length", set(parse("2001:db8::1/32 dev eth0")), "route 2001:db8::1/32: bits set after the prefix length, want 2001:db8::/32"},
		{"multicast", set(parse("ff05::/16 dev eth0")), "route ff05::/16: multicast is not routed"},
		{"link-local", set(parse("fe80::/64 dev eth0")), "route fe80::/64: link-local addresses are not routed"},
		{"no target", set(Route{Prefix: key.Prefix}), "route 2001:db8::/32: no target"},
		{"no paths", set(Route{Prefix: key.Prefix, Target: Paths{}}), "route 2001:db8::/32: no paths"},
		{"too many paths", set(Route{Prefix: key.Prefix, Target: make(Paths, 257)}), "route 2001:db8::/32: 257 paths, want at most 256"},
		{"an empty path", set(Route{Prefix: key.Prefix, Target: Paths{{}}}), "route 2001:db8::/32: a path needs an interface or a gateway"},
		{"a link-local gateway alone", set(parse("2001:db8::/32 via fe80::1")), "route 2001:db8::/32: gateway fe80::1 is link-local and needs an interface"},
		{"an IPv4 gateway", set(parse("2001:db8::/32 via 192.0.2.1 dev eth0")), "route 2001:db8::/32: gateway 192.0.2.1 is not an IPv6 address"},
		{"a gateway with a zone", set(parse("2001:db8::/32 via fe80::1%eth0 dev eth0")), "route 2001:db8::/32: gateway fe80::1%eth0 has a zone; name the interface instead"},
		{"a multicast gateway", set(parse("2001:db8::/32 via ff02::2 dev eth0")), "route 2001:db8::/32: gateway ff02::2 is not the address of a router"},
		{"an unspecified gateway", set(parse("2001:db8::/32 via ::")), "route 2001:db8::/32: gateway :: is not the address of a router"},
		{"a loopback gateway", set(parse("2001:db8::/32 via ::1")), "route 2001:db8::/32: gateway ::1 is not the address of a router"},
		{"a path twice", set(parse("2001:db8::/32 dev eth0, dev eth0 weight 2")), "route 2001:db8::/32: path dev eth0 weight 2 is there twice"},
		{"an address without an interface", set(Route{Prefix: key.Prefix, Target: Local{}}), "route 2001:db8::/32: no interface"},
		{"a name of two words", set(Route{Prefix: key.Prefix, Target: Local{"a b"}}), `route 2001:db8::/32: interface name "a b" has a separator in it`},
		{"a path's name of two words", set(Route{Prefix: key.Prefix, Target: Paths{{Iface: "a,b"}}}), `route 2001:db8::/32: interface name "a,b" has a separator in it`},
		{"a refusal that forwards", set(Route{Prefix: key.Prefix, Target: Refuse{fib.Forward}}), "route 2001:db8::/32: forward is not a refusal"},
		{"another source", set(Route{Prefix: key.Prefix, Source: Kernel, Target: Refuse{}}), "route 2001:db8::/32: offered by kernel in an update of static"},
		{"a route twice", set(parse("2001:db8::/32 dev eth0"), parse("2001:db8::/32 dev eth1")), "route 2001:db8::/32: is there twice with metric 0"},
		{"connected", Update{Source: Connected}, "update of source 1: connected routes come with their interface"},
		{"no source", Update{}, "update of source 0: connected routes come with their interface"},
		{"a source of another world", Update{Source: 77}, "update of source 77: connected routes come with their interface"},
		{"nothing to withdraw", Update{Source: Static, Withdraw: []Key{key}}, "withdraw 2001:db8::/32 static metric 0: no such route"},
		{"withdrawn from another source", Update{Source: Kernel, Withdraw: []Key{key}}, "withdraw 2001:db8::/32 static metric 0: no such route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			// What is right comes first, and must not stay.
			c.u.Set = append([]Route{parse("2001:db8:1::/48 blackhole")}, c.u.Set...)
			if err := f.try(c.u); err == nil || err.Error() != c.want {
				t.Errorf("error = %v, want %s", err, c.want)
			}
			if got := f.show(); len(got) > 0 {
				t.Errorf("changed: %v", got)
			}
		})
	}
}

func TestWithdrawIsFindable(t *testing.T) {
	f := newFixture(t)
	f.static("2001:db8::/32 blackhole")
	k := Key{netip.MustParsePrefix("2001:db8::/32"), Static, 0}
	err := f.try(Update{Source: Static, Withdraw: []Key{k, k}})
	if !errors.Is(err, ErrNoRoute) {
		t.Errorf("withdrawn twice: %v, want %v", err, ErrNoRoute)
	}
	f.apply(Update{Source: Static, Withdraw: []Key{k}})
	f.want("2001:db8::1 unreachable")
}

func TestReplaceMovesOnlyTheDifference(t *testing.T) {
	f := newFixture(t)
	f.apply(Update{Source: Kernel, Set: []Route{parse("2001:db8:9::/48 prohibit")}})
	f.static("2001:db8:1::/48 blackhole", "2001:db8:2::/48 blackhole")
	var before uint64
	f.turn(func(t *loop.Turn) { before = f.fib.Generation(t) })
	same := parse("2001:db8:1::/48 blackhole")
	same.Origin = Runtime
	f.apply(Update{Source: Static, Replace: true, Set: []Route{same, parse("2001:db8:2::/48 blackhole")}})
	f.turn(func(turn *loop.Turn) {
		if got := f.fib.Generation(turn); got != before {
			t.Errorf("generation = %d after nothing changed, want %d", got, before)
		}
		if got := f.rib.lookup(Key{same.Prefix, Static, 0}); got.Origin != Runtime {
			t.Errorf("origin = %v, want %v", got.Origin, Runtime)
		}
	})
	f.apply(Update{Source: Static, Replace: true, Set: []Route{parse("2001:db8:2::/48 prohibit")}})
	f.want("2001:db8:1::1 unreachable", "2001:db8:2::1 prohibit", "2001:db8:9::1 prohibit")
}

// big is n static routes by ppp0.
func big(n int) Update {
	u := Update{Source: Static, Set: make([]Route, n)}
	for i := range u.Set {
		p := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56)
		u.Set[i] = Route{Prefix: p, Target: Paths{{Iface: "ppp0"}}}
	}
	return u
}

func TestWithdrawalDoesNotWaitForALargeUpdate(t *testing.T) {
	f := newFixture(t)
	f.static("::/0 blackhole")
	id := f.attach("ppp0", true)
	u := big(5 * sliceSize)
	first, last := u.Set[0].Prefix.Addr().Next(), u.Set[len(u.Set)-1].Prefix.Addr().Next()
	f.turn(func(turn *loop.Turn) {
		if err := f.rib.Apply(turn, u); err != nil {
			t.Fatal(err)
		}
		if got := f.answerIn(turn, first); got != "forward ppp0" {
			t.Errorf("the first of a large update: %s, want forward ppp0", got)
		}
		if got := f.answerIn(turn, last); got != "blackhole" || f.rib.Settled(turn) {
			t.Errorf("the last of a large update is there in the first turn: %s", got)
		}
		// A small one does not wait behind it.
		if err := f.rib.Apply(turn, Update{Source: Kernel, Set: []Route{parse("9::/16 prohibit")}}); err != nil {
			t.Fatal(err)
		}
		if got := f.answerIn(turn, netip.MustParseAddr("9::1")); got != "prohibit" {
			t.Errorf("a small update behind a large one: %s, want prohibit", got)
		}
		f.ifs.Carrier(turn, id, false)
		if got := f.answerIn(turn, first); got != "blackhole" {
			t.Errorf("after the withdrawal: %s, want blackhole", got)
		}
	})
	f.settle()
	f.want(first.String()+" blackhole", last.String()+" blackhole")
	f.carrier(id, true)
	f.want(first.String()+" forward ppp0", last.String()+" forward ppp0")
	f.apply(Update{Source: Static, Replace: true})
	f.settle()
	f.turn(func(turn *loop.Turn) {
		if got := f.fib.Stats(turn).Prefixes; got != 1 {
			t.Errorf("prefixes = %d, want 1", got)
		}
		if err := f.books(turn); err != nil {
			t.Error(err)
		}
	})
	f.detach(id)
}

// settle waits for the queue.
func (f *fixture) settle() {
	for settled := false; !settled; {
		f.turn(func(t *loop.Turn) { settled = f.rib.Settled(t) })
	}
}

// The slot of what was replaced lives on until the FIB has heard of it.
func TestRoutesChangeWhileTheyWait(t *testing.T) {
	f := newFixture(t)
	f.attach("ppp0", true)
	u := big(3 * sliceSize)
	f.turn(func(turn *loop.Turn) {
		for _, target := range []Target{Paths{{Iface: "ppp0"}}, Refuse{fib.Prohibit}, Refuse{fib.Blackhole}} {
			for i := range u.Set {
				u.Set[i].Target = target
			}
			if err := f.rib.Apply(turn, u); err != nil {
				t.Fatal(err)
			}
			if err := f.books(turn); err != nil {
				t.Error(err)
			}
		}
		if err := f.rib.Apply(turn, Update{Source: Static, Replace: true, Set: u.Set[:1]}); err != nil {
			t.Fatal(err)
		}
	})
	f.settle()
	f.turn(func(turn *loop.Turn) {
		if got := f.fib.Stats(turn); got.Prefixes != 1 || got.Groups != 1 {
			t.Errorf("stats = %+v, want 1 prefix, 1 group", got)
		}
		if err := f.books(turn); err != nil {
			t.Error(err)
		}
	})
	f.want(u.Set[0].Prefix.Addr().Next().String() + " blackhole")
}

func TestExplainNamesTheRoutes(t *testing.T) {
	f := newFixture(t)
	f.attach("ppp0", false)
	f.static("2001:db8::/32 via fe80::1 dev ppp0", "::/0 dev eth9")
	f.apply(Update{Source: Kernel, Set: []Route{parse("2001:db8::/32 via 2001:db9::1")}})
	want := []string{
		"2001:db8::/32 static via fe80::1 dev ppp0: interface ppp0 is down",
		"2001:db8::/32 kernel via 2001:db9::1: gateway 2001:db9::1 unreachable",
		"::/0 static dev eth9: no such interface eth9",
		"invalid Prefix none <nil>: no route",
	}
	var got []string
	f.turn(func(t *loop.Turn) {
		for _, st := range f.rib.Explain(t, netip.MustParseAddr("2001:db8::1")) {
			got = append(got, fmt.Sprintf("%v %v %v: %s", st.Route.Prefix, st.Route.Source, st.Route.Target, st.Reason))
		}
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("explained:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestForgetOfWhatIsStillUp(t *testing.T) {
	f := newFixture(t)
	id := f.attach("eth0", true, "2001:db8:1::1/64")
	f.turn(func(t *loop.Turn) {
		f.rib.Forget(t, id)
		f.rib.Forget(t, id)
		f.rib.Withdraw(t, ifmgr.ID(99))
	})
	f.want("2001:db8:1::1 unreachable")
	f.detach(id)
}

// BenchmarkApplyFullSize is the turn that takes the loop longest.
func BenchmarkApplyFullSize(b *testing.B) {
	u := big(160_000)
	var first time.Duration
	for b.Loop() {
		f := newFixture(b)
		f.attach("ppp0", true)
		f.turn(func(turn *loop.Turn) {
			if err := f.rib.Apply(turn, u); err != nil {
				b.Fatal(err)
			}
			first += time.Since(turn.Now())
		})
		f.settle()
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "ms/first-turn")
}

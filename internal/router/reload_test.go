package router

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/rib"
)

// A desk is a router in memory, as a file made it. Its keeper does not run: what
// it would wait for stays waited for.
type desk struct {
	*Router
	t   testing.TB
	lab *lab.Router
}

// newDesk has the interfaces of mode create and the routes of a file.
func newDesk(t testing.TB, file string) *desk {
	t.Helper()
	l := lab.New(t)
	d := &desk{t: t, lab: l, Router: &Router{
		Domain: l.Domain, Loop: l.Loop, Interfaces: l.Interfaces, FIB: l.FIB, RIB: l.RIB, Plane: l.Plane,
		cfg: parse(t, file), log: zap.NewNop(), keeper: ifmgr.NewKeeper(l.Interfaces),
	}}
	t.Cleanup(d.end)
	var routes []rib.Route
	for _, c := range d.cfg.Routes {
		routes = append(routes, staticRoute(c, rib.FromFile))
	}
	for _, c := range d.cfg.Interfaces {
		if c.Mode == config.ModeCreate {
			d.attach(c)
		}
		d.care(c)
	}
	d.turn(func(t *loop.Turn) error {
		return d.RIB.Apply(t, rib.Update{Source: rib.Static, Set: routes})
	})
	return d
}

func parse(t testing.TB, file string) *config.Config {
	t.Helper()
	c, err := config.Parse("router6d.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *desk) turn(fn func(*loop.Turn) error) {
	d.t.Helper()
	if err := d.Loop.Do(context.Background(), fn); err != nil {
		d.t.Fatal(err)
	}
}

// attach puts an interface on a wire that leads nowhere.
func (d *desk) attach(c config.Interface) {
	d.t.Helper()
	near, _ := link.NewPipe(c.Name, "far")
	d.turn(func(t *loop.Turn) error {
		_, err := d.Interfaces.Attach(t, near, ifmgr.Settings{
			Name: c.Name, MTU: c.MTU, HopLimit: c.HopLimit, Addresses: c.Addresses, FromFile: c.Line != 0, Up: true,
		})
		return err
	})
}

// run adds an interface of run time.
func (d *desk) run(text string) {
	d.t.Helper()
	c, err := config.ParseInterface([]byte(text))
	if err != nil {
		d.t.Fatal(err)
	}
	if c.Mode == config.ModeAttach {
		d.keeper.Keep(c)
	} else {
		d.attach(c)
	}
}

func (d *desk) route(text string) {
	d.t.Helper()
	c, err := config.ParseRoute([]byte(text))
	if err == nil {
		_, err = d.AddRoute(d.t.Context(), c)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// state is all that a reload may change, in words.
func (d *desk) state() (all []string) {
	d.t.Helper()
	d.turn(func(t *loop.Turn) error {
		for _, in := range d.Interfaces.All(t) {
			global := slices.DeleteFunc(slices.Clone(in.Addresses), func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
			all = append(all, fmt.Sprintf("%s %v hop limit %d file %v", in.Name, global, in.HopLimit, in.FromFile))
		}
		for s := range d.RIB.All(t) {
			if s.Source == rib.Static {
				all = append(all, fmt.Sprintf("%v metric %d %v %v", s.Prefix, s.Metric, s.Target, s.Origin))
			}
		}
		return nil
	})
	for name := range d.keeper.Wanted() {
		all = append(all, "waits for "+name)
	}
	slices.Sort(all)
	return all
}

func (d *desk) end() {
	var ids []ifmgr.ID
	d.turn(func(t *loop.Turn) error {
		for _, in := range d.Interfaces.All(t) {
			ids = append(ids, in.ID)
		}
		return nil
	})
	d.lab.DetachID(ids...)
}

func told(changes []Change) (all []string) {
	for _, c := range changes {
		all = append(all, strings.TrimSuffix(c.Action+" "+c.What+": "+c.Detail, ": "))
	}
	return all
}

const two = `
interfaces:
  red: {addresses: [2001:db8:1::1/64]}
  blue: {addresses: [2001:db8:2::1/64]}
`

const waiting = two + `  lab0: {mode: attach, addresses: [2001:db8:3::1/64]}
`

func TestReloadAppliesTheDifference(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before string
		run    func(*desk)
		after  string
		plan   []string
		check  func(*testing.T, *desk)
	}{
		{name: "nothing", before: two, after: two},
		{
			name:   "services come, change and go",
			before: two + "services: {http: {interfaces: [red]}, echo: {interfaces: [red]}, discard: {interfaces: [red]}}",
			after:  two + "services: {http: {interfaces: [red, blue], port: 8080}, echo: {interfaces: [red], protocols: [tcp, udp]}, chargen: {addresses: [2001:db8:1::1]}}",
			plan: []string{
				"add service chargen: port 19", "delete service discard", "change service echo: protocols",
				"change service http: port, interfaces",
			},
		},
		{
			name:   "paths in another order are the same route",
			before: two + "routes: [{prefix: '::/0', paths: [{dev: blue}, {dev: red, weight: 2}]}]",
			after:  two + "routes: [{prefix: '::/0', paths: [{dev: red, weight: 2}, {dev: blue}]}]",
		},
		{
			name:   "routes come, change and go",
			before: two + "routes: [{prefix: '2001:db8:a::/48', dev: red}, {prefix: '2001:db8:b::/48', dev: red}]",
			after:  two + "routes: [{prefix: '2001:db8:c::/48', refuse: prohibit}, {prefix: '2001:db8:b::/48', dev: blue}]",
			plan: []string{
				"add route 2001:db8:c::/48 metric 0: prohibit",
				"change route 2001:db8:b::/48 metric 0: dev red to dev blue",
				"delete route 2001:db8:a::/48 metric 0",
			},
		},
		{
			name:   "a route of the file that was deleted returns",
			before: two + "routes: [{prefix: '2001:db8:a::/48', dev: red}]",
			run: func(d *desk) {
				if err := d.DeleteRoute(d.t.Context(), netip.MustParsePrefix("2001:db8:a::/48"), 0); err != nil {
					d.t.Fatal(err)
				}
			},
			after: two + "routes: [{prefix: '2001:db8:a::/48', dev: red}]",
			plan:  []string{"add route 2001:db8:a::/48 metric 0: dev red"},
		},
		{
			name: "what was added at run time stays", before: two,
			run: func(d *desk) {
				d.run("{green: {addresses: [2001:db8:9::1/64]}}")
				d.run("{lab0: {mode: attach}}")
				d.route("{prefix: '2001:db8:a::/48', dev: green}")
			},
			after: "interfaces: {red: {addresses: [2001:db8:1::1/64]}}",
			plan:  []string{"delete interface blue"},
			check: func(t *testing.T, d *desk) {
				want := []string{
					"2001:db8:a::/48 metric 0 dev green runtime",
					"green [2001:db8:9::1/64] hop limit 64 file false",
					"red [2001:db8:1::1/64] hop limit 64 file true",
					"waits for lab0",
				}
				if diff := cmp.Diff(d.state(), want); diff != "" {
					t.Errorf("state (-got +want):\n%s", diff)
				}
			},
		},
		{
			name:   "two interfaces swap addresses",
			before: two,
			after:  strings.NewReplacer(":1::1/64", ":2::1/64", ":2::1/64", ":1::1/64").Replace(two),
			plan:   []string{"change interface red: addresses", "change interface blue: addresses"},
		},
		{
			name:   "an address moves from one that goes",
			before: two,
			after:  "interfaces: {red: {addresses: [2001:db8:1::1/64, 2001:db8:2::1/64], hop-limit: 9}}",
			plan:   []string{"change interface red: addresses, hop-limit", "delete interface blue"},
		},
		{
			name: "recreate comes", before: two,
			after: strings.Replace(two, "{addresses: [2001:db8:1", "{recreate: true, addresses: [2001:db8:1", 1),
			plan:  []string{"change interface red: recreate"},
			check: wants("red", true),
		},
		{
			name:   "recreate goes",
			before: strings.Replace(two, "{addresses: [2001:db8:1", "{recreate: true, addresses: [2001:db8:1", 1),
			after:  two,
			plan:   []string{"change interface red: recreate"},
			check:  wants("red", false),
		},
		{name: "a device that is waited for", before: two, after: waiting, plan: []string{"add interface lab0: when its device is there"}, check: wants("lab0", true)},
		{name: "a device that is waited for still", before: waiting, after: waiting, check: wants("lab0", true)},
		{name: "a device that is waited for no more", before: waiting, after: two, plan: []string{"delete interface lab0"}, check: wants("lab0", false)},
		{
			name: "a device that is waited for again", before: waiting,
			run:   func(d *desk) { d.keeper.Drop("lab0") }, // as interface del does
			after: waiting, plan: []string{"add interface lab0: when its device is there"}, check: wants("lab0", true),
		},
		{
			name: "other addresses for a device that is waited for", before: waiting,
			after: strings.Replace(waiting, ":3::1", ":4::1", 1), plan: []string{"add interface lab0: when its device is there"},
			check: func(t *testing.T, d *desk) {
				if got := d.keeper.Wanted()["lab0"].Addresses; got[0] != netip.MustParsePrefix("2001:db8:4::1/64") {
					t.Errorf("addresses = %v", got)
				}
			},
		},
		{
			name: "one that can't be made now is left to the keeper", before: two,
			run: func(d *desk) {
				c := parse(d.t, strings.Replace(two, "{addresses: [2001:db8:2", "{recreate: true, addresses: [2001:db8:2", 1))
				d.cfg = c
				d.care(c.Interfaces[1])
				if _, err := d.DeleteInterface(d.t.Context(), "blue"); err != nil {
					d.t.Fatal(err)
				}
				d.care(c.Interfaces[1])
			},
			after: strings.Replace(two, "{addresses: [2001:db8:2", "{recreate: true, addresses: [2001:db8:2", 1),
			check: wants("blue", true),
		},
		{
			name: "who is told", before: two, after: strings.Replace(two, "{addresses: [2001:db8:2", "{unreachables: false, addresses: [2001:db8:2", 1),
			plan: []string{"change interface blue: unreachables"},
			check: func(t *testing.T, d *desk) {
				d.turn(func(x *loop.Turn) error {
					id, _ := d.Interfaces.Lookup(x, "blue")
					if d.Interfaces.Find(x, id).Unreachables() {
						t.Error("they are told still")
					}
					return nil
				})
			},
		},
		{
			name: "times and levels", before: two, after: "detach-timeout: 3s\nlog: {level: debug}\n" + two,
			plan: []string{"change detach-timeout: 1s to 3s", "change log.level: info to debug"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, tt.before)
			if tt.run != nil {
				tt.run(d)
			}
			before := d.state()
			next := parse(t, tt.after)
			dry, err := d.Reload(t.Context(), next, true)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(told(dry), tt.plan); diff != "" {
				t.Errorf("plan (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(d.state(), before); diff != "" {
				t.Errorf("a dry run has changed (-now +before):\n%s", diff)
			}
			done, err := d.Reload(t.Context(), next, false)
			if err != nil || !slices.Equal(done, dry) {
				t.Errorf("done %v, %v, want what was told", done, err)
			}
			checkFollows(t, d, next)
			if tt.check != nil {
				tt.check(t, d)
			}
			if again, err := d.Reload(t.Context(), next, false); err != nil || len(again) != 0 {
				t.Errorf("once more = %v, %v, want nothing to change", again, err)
			}
		})
	}
}

func wants(name string, want bool) func(*testing.T, *desk) {
	return func(t *testing.T, d *desk) {
		t.Helper()
		if _, got := d.keeper.Wanted()[name]; got != want {
			t.Errorf("%s is waited for: %v, want %v", name, got, want)
		}
	}
}

// checkFollows compares what came from the file with the file.
func checkFollows(t *testing.T, d *desk, c *config.Config) {
	t.Helper()
	fresh := newDesk(t, string(c.YAML()))
	ofFile := func(s string) bool { return strings.HasSuffix(s, "file true") || strings.HasSuffix(s, " file") }
	keep := func(all []string) []string { return slices.DeleteFunc(all, func(s string) bool { return !ofFile(s) }) }
	got, want := keep(d.state()), keep(fresh.state())
	for name := range d.keeper.Wanted() { // it is not there, as it would be at a start
		want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, name+" ") && !slices.Contains(got, s) })
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("what is of the file (-got +at a start):\n%s", diff)
	}
}

func TestReloadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		run   func(*desk)
		after string
		says  []string
	}{
		{
			"a name of run time", func(d *desk) { d.run("{green: {}}") },
			two + "  green: {}\n",
			[]string{"interface green: there is one of that name that was added at run time: delete it first"},
		},
		{
			"a name of run time that is waited for", func(d *desk) { d.run("{lab0: {mode: attach}}") },
			waiting,
			[]string{"interface lab0: there is one of that name that was added at run time"},
		},
		{
			"an address of run time", func(d *desk) { d.run("{green: {addresses: [2001:db8:9::1/64]}}") },
			strings.Replace(two, ":1::1/64", ":9::1/48", 1),
			[]string{"interface red: 2001:db8:9::1: address is taken: it is green's"},
		},
		{
			"a route of run time", func(d *desk) { d.route("{prefix: '2001:db8:a::/48', dev: red, metric: 7}") },
			two + "routes: [{prefix: '2001:db8:a::/48', dev: blue, metric: 7}]",
			[]string{"route 2001:db8:a::/48 metric 7", "dev blue", "dev red", "added at run time"},
		},
		{
			"TLS where there is none", func(d *desk) { d.cfg = parse(d.t, two+"services: {http: {interfaces: [red]}}") },
			two + "services: {http: {interfaces: [red], port: 80, certificate: /a, key: /b}}",
			[]string{"service http: certificate, key can't be changed in place: give it another port too"},
		},
		{
			"what can't change in place, all of it at once", nil,
			"control: /run/other.sock\nicmp-errors: 7\nlog: {format: console}\nmetrics: {listen: '[::1]:9406'}\n" +
				"interfaces: {red: {mode: attach, mtu: 1400}, blue: {kernel: {txqueuelen: 5}, mtu: 1280}}",
			[]string{
				"control can't be changed", "icmp-errors can't be changed", "log.format can't be changed", "metrics.listen can't be changed",
				"interface red: mode, mtu can't be changed in place: delete it first (router6d interface del red), then reload",
				"interface blue: mtu, kernel can't",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, two)
			if tt.run != nil {
				tt.run(d)
			}
			before := d.state()
			for _, dry := range []bool{true, false} {
				changes, err := d.Reload(t.Context(), parse(t, tt.after), dry)
				if err == nil || len(changes) > 0 {
					t.Fatalf("changes = %v, %v, want an error and none", changes, err)
				}
				for _, text := range tt.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("error = %v\nwant %q in it", err, text)
					}
				}
			}
			if diff := cmp.Diff(d.state(), before); diff != "" {
				t.Errorf("changed nevertheless (-now +before):\n%s", diff)
			}
		})
	}
}

// TestReloadLeavesWhatComesMeanwhile adds a route while devices are prepared,
// outside the loop.
func TestReloadLeavesWhatComesMeanwhile(t *testing.T) {
	d := newDesk(t, two)
	next := parse(t, two+"routes: [{prefix: '2001:db8:a::/48', dev: red}]")
	var plan *reload
	d.turn(func(t *loop.Turn) (err error) { plan, err = d.difference(t, next); return err })
	d.route("{prefix: '2001:db8:b::/48', dev: blue}")
	if _, _, err := d.apply(t.Context(), plan, nil, next); err != nil {
		t.Fatal(err)
	}
	if got := d.state(); !slices.Contains(got, "2001:db8:b::/48 metric 0 dev blue runtime") {
		t.Errorf("state = %q, want the route of run time in it", got)
	}
}

// TestReloadIsOfWhatItTold refuses when what it would do is not what it found.
func TestReloadIsOfWhatItTold(t *testing.T) {
	d := newDesk(t, two)
	next := parse(t, strings.Replace(two, ":1::1", ":7::1", 1))
	var plan *reload
	d.turn(func(t *loop.Turn) (err error) { plan, err = d.difference(t, next); return err })
	if _, err := d.DeleteInterface(t.Context(), "red"); err != nil {
		t.Fatal(err)
	}
	before := d.state()
	if _, _, err := d.apply(t.Context(), plan, nil, next); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("error = %v, want that the router changed", err)
	}
	if diff := cmp.Diff(d.state(), before); diff != "" {
		t.Errorf("changed nevertheless (-now +before):\n%s", diff)
	}
}

// TestAddressThatStaysIsNeverGone looks at the FIB whenever it changes.
func TestAddressThatStaysIsNeverGone(t *testing.T) {
	d := newDesk(t, two)
	onLink, own := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:1::1")
	updates := 0
	hooks := d.lab.Hooks()
	up := hooks.Up
	hooks.Up = func(x *loop.Turn, id ifmgr.ID) {
		up(x, id)
		updates++
		for _, a := range []netip.Addr{onLink, own} {
			steps := d.RIB.Explain(x, a)
			if v := steps[len(steps)-1].Group.Verdict(); v != fib.Forward && v != fib.Deliver {
				t.Errorf("update %d: %v is %v", updates, a, v)
			}
		}
	}
	d.turn(func(*loop.Turn) error { d.Interfaces.Hook(hooks); return nil })
	for _, addresses := range []string{
		"2001:db8:1::1/64, 2001:db8:5::1/64", "2001:db8:5::1/64, 2001:db8:1::1/64",
		"2001:db8:1::1/48, 2001:db8:6::1/64", "2001:db8:1::1/64",
	} {
		if _, err := d.Reload(t.Context(), parse(t, strings.Replace(two, "2001:db8:1::1/64", addresses, 1)), false); err != nil {
			t.Fatal(err)
		}
	}
	if updates == 0 {
		t.Error("nothing was updated: this test is blind")
	}
}

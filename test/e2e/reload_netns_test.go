package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
)

// green and grey are interfaces beside those that carry traffic.
const (
	green = `  green:
    addresses: [2001:db8:3::1/64]
    kernel: {netns: green, addresses: [2001:db8:3::2/64, 2001:db8:4::2/64], routes: ["::/0"]}
`
	grey = `  grey:
    addresses: [2001:db8:4::1/64]
    kernel: {netns: grey, addresses: [2001:db8:3::2/64, 2001:db8:4::2/64], routes: ["::/0"]}
`
)

// edit replaces the router's file, as a careful editor does: nobody reads half of
// it.
func (d *daemon) edit(config string) {
	d.t.Helper()
	err := os.WriteFile(d.file+".new", []byte(whole(d.socket, config)), 0o644)
	if err == nil {
		err = os.Rename(d.file+".new", d.file)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// reload edits the file and has it applied. It returns what changed.
func (d *daemon) reload(config string) string {
	d.t.Helper()
	d.edit(config)
	return d.do("reload")
}

// origins is every interface and static route with where it is from.
func (d *daemon) origins() (all []string) {
	d.t.Helper()
	ifs, err := d.Interfaces(d.t.Context())
	routes, err2 := d.Routes(d.t.Context())
	if err := errors.Join(err, err2); err != nil {
		d.t.Fatal(err)
	}
	for _, i := range ifs {
		if i.State == "up" {
			all = append(all, i.Name+" "+i.Origin)
		}
	}
	for _, r := range routes {
		if r.Source == "static" {
			all = append(all, r.Prefix.String()+" "+r.Origin)
		}
	}
	slices.Sort(all)
	return all
}

func (d *daemon) wantOrigins(want ...string) {
	d.t.Helper()
	if got := d.origins(); !slices.Equal(got, want) {
		d.t.Errorf("interfaces and routes = %q, want %q", got, want)
	}
}

// many is routes that other traffic takes.
func many(n int, dev string) string {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {prefix: '2001:db8:8000:%x::/64', dev: %s}\n", i, dev)
	}
	return b.String()
}

// TestReloadLosesNothing reloads under numbered UDP and verified TCP that have
// nothing to do with what changes.
func TestReloadLosesNothing(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	namespace(t, "green")
	namespace(t, "grey")
	d := start(t, standard)
	d.awaitUp("red", 0)
	d.awaitUp("blue", 0)
	reaches(t, red, blueAddr)
	flow := startFlow(t, red, redAddr, blue, blueAddr)

	swapped := strings.NewReplacer("addresses: [2001:db8:3::1/64]", "addresses: [2001:db8:4::1/64]",
		"addresses: [2001:db8:4::1/64]", "addresses: [2001:db8:3::1/64]")
	for _, step := range []struct{ name, config, says string }{
		{"nothing", standard, "nothing to change"},
		{"two interfaces come", standard + green + grey, "add     interface green\nadd     interface grey\n"},
		{"5000 routes come", standard + green + grey + many(5000, "green"), "add     route 2001:db8:8000:1387::/64 metric 0: dev green"},
		{"they change", standard + green + grey + many(5000, "grey"), "change  route 2001:db8:8000:1387::/64 metric 0: dev green to dev grey"},
		{"two interfaces swap addresses", standard + swapped.Replace(green+grey) + many(5000, "grey"), "change  interface green: addresses\nchange  interface grey: addresses\n"},
		{"5000 routes go", standard + swapped.Replace(green+grey), "delete  route 2001:db8:8000:1387::/64 metric 0"},
		{"those of the traffic get addresses", strings.NewReplacer("[2001:db8:1::1/64]", "[2001:db8:1::1/64, 2001:db8:5::1/64]",
			"[2001:db8:2::1/64]", "[2001:db8:6::1/64, 2001:db8:2::1/64]").Replace(standard), "delete  interface grey"},
		{"and lose them", standard, "change  interface red: addresses"},
	} {
		t.Run(step.name, func(t *testing.T) {
			d.edit(step.config)
			before := d.origins()
			told := d.do("reload --dry-run")
			if got := d.origins(); !slices.Equal(got, before) {
				t.Errorf("a dry run has changed: %d to %d", len(before), len(got))
			}
			if done := d.do("reload"); done != told || !strings.Contains(done, step.says) {
				t.Errorf("done:\n%.500s\nwant what was told, with %q in it", done, step.says)
			}
			flow.moves()
		})
	}
	d.wantOrigins("blue file", "red file")
	flow.stop()
}

// A flow is traffic that may lose nothing.
type flow struct {
	t     *testing.T
	probe *netlab.UDPProbe
	sink  *netlab.TCPSink
	tcp   *netlab.TCPFlow
}

// startFlow sends UDP at 1000 packets a second, and TCP.
func startFlow(t *testing.T, from *netlab.Namespace, src string, to *netlab.Namespace, dst string) *flow {
	t.Helper()
	a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	f := &flow{t: t}
	var err error
	if f.sink, err = netlab.StartTCPSink(to, netip.AddrPortFrom(b, 0)); err != nil {
		t.Fatal(err)
	}
	if f.tcp, err = netlab.StartTCPFlow(t.Context(), from, a, f.sink.Addr(), 50e6); err != nil {
		t.Fatal(errors.Join(err, f.sink.Stop()))
	}
	f.probe, err = netlab.StartUDPProbe(t.Context(), netlab.ProbeConfig{
		FromNS: from, From: netip.AddrPortFrom(a, 0), ToNS: to, To: netip.AddrPortFrom(b, 0), PacketsPerSecond: 1000,
	})
	if err != nil {
		_, errFlow := f.tcp.Stop(context.Background())
		t.Fatal(errors.Join(err, errFlow, f.sink.Stop()))
	}
	t.Cleanup(f.stop)
	return f
}

// moves waits until both have got on by a good deal.
func (f *flow) moves() {
	f.t.Helper()
	udp, tcp := f.probe.Report().Received, f.sink.Bytes()
	eventually(f.t, "wait for traffic", func() error {
		if f.probe.Report().Received < udp+100 || f.sink.Bytes() < tcp+1e5 {
			return fmt.Errorf("%d packets after %d, %d bytes after %d", f.probe.Report().Received, udp, f.sink.Bytes(), tcp)
		}
		return nil
	})
}

// stop ends it, once, and finds nothing missing.
func (f *flow) stop() {
	if f.probe == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	udp, err := f.probe.Stop(ctx)
	tcp, err2 := f.tcp.Stop(ctx)
	if err := errors.Join(err, err2, f.sink.Stop()); err != nil {
		f.t.Error(err)
	}
	f.probe = nil
	if lost := udp.Missing - udp.SocketDrops; lost != 0 || udp.Corrupt != 0 || len(udp.ICMPErrors) != 0 || udp.Sent == 0 {
		f.t.Errorf("udp = %+v, want none missing", udp)
	}
	if tcp.Verified != tcp.Sent || tcp.Sent == 0 {
		f.t.Errorf("tcp: %d of %d bytes verified", tcp.Verified, tcp.Sent)
	}
}

// TestReloadOfABadFile changes nothing and says where.
func TestReloadOfABadFile(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	for _, c := range []struct {
		name, config string
		says         []string
	}{
		{"a mistake", standard + "routes:\n- {prefix: '2001:db8:a::/48', dev: rde}\n", []string{d.file + ":12:", "rde", "did you mean red"}},
		{"no YAML", standard + "  [", []string{d.file + ":"}},
		{"what can't change", strings.ReplaceAll(standard, "red:\n", "red:\n    mtu: 1400\n"), []string{"interface red: mtu can't be changed in place", "interface del red"}},
		{"no such namespace", standard + strings.ReplaceAll(green, "netns: green", "netns: azure"), []string{"green", "azure"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.edit(c.config)
			d.cli("reload").want(t, 1, c.says...)
			d.wantOrigins("blue file", "red file")
		})
	}
	if err := os.Remove(d.file); err != nil {
		t.Fatal(err)
	}
	d.cli("reload").want(t, 1, d.file, "no such file")
	d.wantOrigins("blue file", "red file")
}

// TestReloadIsAllOrNothing prepares three devices, the last of which is busy.
func TestReloadIsAllOrNothing(t *testing.T) {
	privileged(t)
	red, blue, other := namespace(t, "red"), namespace(t, "blue"), namespace(t, "green")
	d := start(t, standard)
	reaches(t, red, blueAddr)
	flow := startFlow(t, red, redAddr, blue, blueAddr)
	holder := hold(t, "busy", 0)
	next := standard + green + "  busy: {}\nroutes: [{prefix: '2001:db8:a::/48', dev: green}]\n"
	d.edit(next)
	d.cli("reload").want(t, 1, "busy")
	d.wantOrigins("blue file", "red file")
	if _, err := other.Link("green"); !errors.Is(err, netlab.ErrNoLink) {
		t.Errorf("green is left: %v", err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	// All names are free again.
	d.do("reload")
	d.wantOrigins("2001:db8:a::/48 file", "blue file", "busy file", "green file", "red file")
	flow.moves()
	flow.stop()
}

func TestReloadKeepsRunTime(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	namespace(t, "blue")
	namespace(t, "green")
	d := start(t, standard)
	d.do("interface add green --address 2001:db8:3::1/64 --netns green --kernel-address 2001:db8:3::2/64 --kernel-route ::/0")
	d.do("route add 2001:db8:a::/48 --dev green")
	d.do("log-level debug")
	id := d.awaitUp("green", 0).ID
	d.reload(standard + "routes: [{prefix: '2001:db8:b::/48', dev: blue}]\n")
	d.cli("log-level").want(t, 0, "debug")
	d.wantOrigins("2001:db8:a::/48 runtime", "2001:db8:b::/48 file", "blue file", "green runtime", "red file")
	d.checkSame("green", id)

	t.Run("clashes are refused", func(t *testing.T) {
		d.edit(standard + green + "routes: [{prefix: '2001:db8:a::/48', dev: red}]\n")
		d.cli("reload").want(t, 1, "interface green", "added at run time", "route 2001:db8:a::/48 metric 0 to dev red", "dev green")
		d.wantOrigins("2001:db8:a::/48 runtime", "2001:db8:b::/48 file", "blue file", "green runtime", "red file")
	})
	t.Run("a configured interface that was deleted returns", func(t *testing.T) {
		d.do("interface del blue")
		d.reload(standard)
		d.wantOrigins("2001:db8:a::/48 runtime", "blue file", "green runtime", "red file")
		reaches(t, red, blueAddr)
	})
	t.Run("while it drains", func(t *testing.T) {
		for range 10 {
			del := spawn(t, nil, binary(t), "interface", "del", "blue", "--socket", d.socket)
			reload := d.cli("reload") // before, meanwhile or after
			if reload.code != 0 && !strings.Contains(reload.errout, "changed meanwhile") {
				t.Errorf("reload: %s", reload.errout)
			}
			del.wait().want(t, 0, "clean")
			d.do("reload")
			d.awaitUp("blue", 0)
		}
	})
	t.Run("what the file no longer has goes", func(t *testing.T) {
		id := d.iface("blue").ID
		d.reload(strings.Split(standard, "  blue:")[0])
		if l := d.awaitOf("interface detached", id); l.Cause != "requested: no longer in the configuration" {
			t.Errorf("cause = %q", l.Cause)
		}
		d.wantOrigins("2001:db8:a::/48 runtime", "green runtime", "red file")
	})
}

func TestReloadBySignal(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	namespace(t, "green")
	d := start(t, standard)
	d.edit(standard + green)
	d.signal(unix.SIGHUP)
	d.awaitUp("green", 0)
	d.errors = []string{"configuration not reloaded"}
	d.edit("interfaces: {red: {mtu: none}}")
	d.signal(unix.SIGHUP)
	if l := d.await("configuration not reloaded", func(line) bool { return true }); !strings.Contains(l.Err, d.file+":3:") {
		t.Errorf("error = %q, want file and line in it", l.Err)
	}
	d.wantOrigins("blue file", "green file", "red file")
}

// TestSignalWhileItStarts is for the file that is being read: there is nothing to
// reload, and no reason to end.
func TestSignalWhileItStarts(t *testing.T) {
	privileged(t)
	d := launch(t, "interfaces:\n"+lots(40, 1))
	eventually(t, "wait for the first interface", func() error {
		if len(d.log()) == 0 {
			return errors.New("nothing is logged yet")
		}
		return d.running()
	})
	for range 20 {
		d.signal(unix.SIGHUP)
	}
	d.ready()
}

// lots is interfaces in our own namespace. Those of another turn have other
// addresses.
func lots(n, turn int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  many%d: {addresses: ['2001:db8:%x:%x::1/64']}\n", i, 0x100+turn, i)
	}
	return b.String()
}

// TestReloadsAtOnce has many reload while the file changes. In the end it is the
// last file that holds.
func TestReloadsAtOnce(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	for turn := range 5 {
		d.edit(standard + lots(3+turn%2, turn))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := d.Reload(t.Context(), false); err != nil {
					t.Error(err)
				}
			})
		}
		d.edit(standard + lots(4-turn%2, turn+1))
		all.Go(func() {
			if _, err := d.Reload(t.Context(), false); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if changes, err := d.Reload(t.Context(), true); err != nil || len(changes) > 0 {
			t.Fatalf("after all reloads there is still %v, %v", changes, err)
		}
		if got := d.iface("many0").Addresses[0].String(); got != fmt.Sprintf("2001:db8:%x::1/64", 0x100+turn+1) {
			t.Errorf("turn %d: address of many0 = %s", turn, got)
		}
	}
}

// TestReloadOfWhatIsWaitedFor toggles what the keeper does.
func TestReloadOfWhatIsWaitedFor(t *testing.T) {
	privileged(t)
	removeTuntap(t)
	blue := namespace(t, "blue")
	namespace(t, "red")
	d := start(t, standard)
	d.reload(standard + "  lab0: {mode: attach, addresses: [2001:db8:9::1/64]}\n")
	d.await("waiting for device", func(l line) bool { return l.Iface == "lab0" && l.Level == "info" })
	tuntap(t, "")
	d.awaitUp("lab0", 0)
	d.reload(standard)
	ip(t, "link set lab0 down")
	ip(t, "link set lab0 up")
	d.wantOrigins("blue file", "red file")

	recreate := strings.ReplaceAll(standard, "  blue:\n", "  blue:\n    recreate: true\n")
	d.reload(recreate)
	id := d.awaitUp("blue", 0).ID
	deleteLink(t, blue, "blue")
	id = d.awaitUp("blue", id).ID
	d.reload(standard)
	if got := d.iface("blue").ID; got != id {
		t.Errorf("id of blue = %d, want still %d", got, id)
	}
	deleteLink(t, blue, "blue")
	d.awaitOf("interface detached", id)
	d.wantOrigins("red file")
}

// TestReloadWhileOneCanNotBeMade reloads what has nothing to do with an interface
// whose namespace is gone, and what has.
func TestReloadWhileOneCanNotBeMade(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	namespace(t, "blue")
	config := strings.ReplaceAll(standard, "  blue:\n", "  blue:\n    recreate: true\n")
	d := start(t, config)
	id := d.awaitUp("blue", 0).ID
	ip(t, "netns del blue")
	d.awaitOf("interface detached", id)
	d.await("interface not there yet", func(l line) bool { return l.Iface == "blue" })
	if got, want := d.reload(config+"routes: [{prefix: '2001:db8:a::/48', dev: blue}]\n"), "add     route 2001:db8:a::/48 metric 0: dev blue\n"; got != want {
		t.Errorf("reload = %q, want %q", got, want)
	}
	d.edit(strings.ReplaceAll(config, "recreate: true", "recreate: true\n    hop-limit: 9"))
	d.cli("reload").want(t, 1, "blue", "no such file")
	d.wantOrigins("2001:db8:a::/48 file", "red file")
	ip(t, "netns add blue")
	d.awaitUp("blue", id)
	reaches(t, red, blueAddr)
}

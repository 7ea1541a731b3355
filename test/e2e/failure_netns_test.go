package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

// TestStartFails has the router fail at its start in every way, with an error
// that says what to do, and nothing left.
func TestStartFails(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	if err := os.MkdirAll("/run/open", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("/run/open", 0o777); err != nil { // past the umask
		t.Fatal(err)
	}
	const here = "interfaces: {red: {addresses: [2001:db8:1::1/64]}}\n"
	for _, c := range []struct {
		name, config string
		before       func(t *testing.T)
		as           []string // what runs the router
		says         []string
	}{
		{
			name:   "without root",
			config: here, as: []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"},
			says: []string{"CAP_NET_ADMIN", "root"},
		},
		{
			name:   "root without capabilities",
			config: here, as: []string{"setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"},
			says: []string{"CAP_NET_ADMIN"},
		},
		{
			name:   "without /dev/net/tun",
			config: standard, as: []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev/net; exec "$@"`, "sh"},
			says: []string{"/dev/net/tun is not there", "--device /dev/net/tun"},
		},
		{
			name:   "a device of that name here",
			config: here,
			before: func(t *testing.T) {
				ip(t, "link add red type veth peer name peer")
				t.Cleanup(func() { ip(t, "link del red") })
			},
			says: []string{"red", "busy"},
		},
		{
			name:   "a TUN of that name here",
			config: here,
			before: func(t *testing.T) { hold(t, "red", 0) },
			says:   []string{"red", "busy"},
		},
		{
			name:   "a device of that name in the namespace",
			config: standard,
			before: func(t *testing.T) {
				connect(t, red, "red", red, "peer")
				t.Cleanup(func() { deleteLink(t, red, "red") })
			},
			says: []string{"red", "busy"},
		},
		{
			name:   "no such namespace",
			config: strings.ReplaceAll(standard, "netns: blue", "netns: azure"),
			says:   []string{"blue", "azure", "no such file"},
		},
		{
			name:   "no such process",
			config: strings.ReplaceAll(standard, "netns: blue", "netns: 'pid:4194305'"),
			says:   []string{"4194305"},
		},
		{
			name:   "a socket in a directory that can not be made",
			config: "control: /proc/nowhere/sock\n" + standard,
			says:   []string{"control socket", "/proc/nowhere"},
		},
		{
			name:   "IPv6 off in the namespace",
			config: standard,
			before: func(t *testing.T) {
				n := namespace(t, "off")
				sysctl(t, n, "net/ipv6/conf/default/disable_ipv6=1")
			},
			says: []string{"IPv6 is off"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "IPv6 off in the namespace" {
				c.config = strings.ReplaceAll(standard, "netns: blue", "netns: off")
			}
			if c.before != nil {
				c.before(t)
			}
			devices := allDevices(t)
			if !strings.Contains(c.config, "control:") {
				c.config = "control: /run/open/sock\n" + c.config
			}
			path := "/run/open/router6d.yaml"
			if err := os.WriteFile(path, []byte(c.config), 0o644); err != nil {
				t.Fatal(err)
			}
			r := run(t, nil, append(append([]string{}, c.as...), binary(t), "run", "--config", path)...)
			r.want(t, 1, c.says...)
			if mistake := strings.Contains(r.errout, path+":"); !mistake { // else there is no log yet
				r.want(t, 1, `"event":"router not started"`)
			}
			for _, l := range lines(r.errout) {
				if !strings.HasPrefix(l, "{") && !strings.HasPrefix(l, "router6d: ") && !strings.HasPrefix(l, "  ") {
					t.Errorf("the error goes on with %q:\n%s", l, r.errout)
				}
			}
			if got := allDevices(t); got != devices {
				t.Errorf("devices after it = %s\nbefore it %s", got, devices)
			}
			if _, err := os.Lstat("/run/open/sock"); err == nil {
				t.Error("the control socket is left")
			}
		})
	}
}

// allDevices lists the devices here and in all namespaces.
func allDevices(t *testing.T) string {
	t.Helper()
	here, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, i := range here {
		all = append(all, i.Name)
	}
	for _, name := range netlab.Names("") {
		n, err := netlab.OpenNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		links, err := n.Links()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			all = append(all, l.Name+"@"+name)
		}
	}
	return strings.Join(all, " ")
}

// TestWithoutNetBroadcast is root in a container: it lacks what following devices
// into other namespaces takes, is told so, and routes.
func TestWithoutNetBroadcast(t *testing.T) {
	privileged(t)
	path := filepath.Join(short(t), "sock")
	p := spawn(t, nil, "setpriv", "--bounding-set", "-net_broadcast", "--inh-caps", "-net_broadcast", binary(t),
		"run", "--config", file(t, "control: "+path+`
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {addresses: [2001:db8:1::2/64]}
`))
	d := &daemon{Client: control.NewClient(path), process: p, socket: path}
	t.Cleanup(d.stop)
	d.ready()
	if l := d.await("devices are followed in this network namespace only", func(line) bool { return true }); l.Level != "warn" {
		t.Errorf("level = %s, want warn", l.Level)
	}
	reaches(t, nil, "2001:db8:1::1")
	id := d.iface("red").ID
	ip(t, "link set red down")
	d.awaitState("red", "down")
	ip(t, "link del red")
	d.awaitOf("interface detached", id)
}

// TestInterfaceAddFails leaves the running router as it was.
func TestInterfaceAddFails(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	devices := allDevices(t)
	for _, c := range []struct{ words, says string }{
		{"interface add red", "red: interface exists"},
		{"interface add red --netns red", "red: interface exists"},
		{"interface add green --netns azure", "azure"},
		{"interface add green --netns red --kernel-address 2001:db8:1::2/64 --kernel-route ::/0", "::/0"}, // there is one already
		{"interface add lo", "lo"},
		{"interface add green --mtu 100", "mtu"},
		{"interface add green --address 192.0.2.1/24", "192.0.2.1/24"},
		{"interface add green --address 2001:db8:1::1/64", "2001:db8:1::1"}, // is red's
		{"interface add a-name-that-is-too-long", "a-name-that-is-too-long"},
		{"interface del green", "green: no such interface"},
	} {
		t.Run(c.words, func(t *testing.T) {
			d.t = t
			d.cli(c.words).want(t, 1, c.says)
			if got := allDevices(t); got != devices {
				t.Errorf("devices after it = %s\nbefore it %s", got, devices)
			}
		})
	}
	d.t = t
	if all, err := d.Interfaces(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("interfaces = %v, %v, want red and blue", all, err)
	}
}

func TestCheckShowsTheMistake(t *testing.T) {
	privileged(t)
	for _, c := range []struct {
		name, config string
		says         []string
	}{
		{"unknown key", "interfaces:\n  red:\n    adresses: [2001:db8:1::1/64]\n", []string{":3:5: ", "    3 |     adresses: ", "^", "addresses"}},
		{"wrong type", "interfaces:\n  red:\n    mtu: large\n", []string{":3:10: ", "mtu: large", "^"}},
		{"not IPv6", "interfaces:\n  red:\n    addresses: [192.0.2.1/24]\n", []string{":3:17: ", "^", "IPv6"}},
		{"one address on both sides", "interfaces:\n  red:\n    addresses: [2001:db8:1::1/64]\n    kernel: {addresses: [2001:db8:1::1/64]}\n", []string{":4:", "^", "2001:db8:1::1"}},
		{"duplicate", "interfaces:\n  red:\n  red:\n", []string{":3:", "^", "red"}},
		{"no YAML", "interfaces: [\n", []string{"^"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := file(t, c.config)
			for _, command := range [][]string{{"check", path}, {"run", "--config", path}} {
				r := run(t, nil, append([]string{binary(t)}, command...)...)
				r.want(t, 1, append(c.says, path)...)
				if r.out != "" {
					t.Errorf("standard output = %q, want nothing", r.out)
				}
			}
		})
	}
}

func TestUsageErrorsExitWith2(t *testing.T) {
	privileged(t)
	for _, words := range []string{
		"frobnicate", "--frobnicate", "show nothing", "show routes extra", "show routes --frobnicate", "run", "run extra",
		"check", "check a b", "interface frobnicate", "interface add", "interface del", "interface del a b",
		"interface add red --mtu large", "route frobnicate", "route add", "route del", "route add ::/0 --path nonsense",
		"lookup", "demo extra", "demo --duration soon",
	} {
		t.Run(words, func(t *testing.T) {
			r := run(t, nil, append([]string{binary(t)}, strings.Fields(words)...)...)
			r.want(t, 2, "router6d: ")
			if r.out != "" {
				t.Errorf("standard output = %q, want nothing", r.out)
			}
		})
	}
}

// TestArgumentIsMissing is told by its name.
func TestArgumentIsMissing(t *testing.T) {
	privileged(t)
	run(t, nil, binary(t), "lookup").want(t, 2, "missing: router6d lookup ADDRESS")
	run(t, nil, binary(t), "lookup", "::1", "::2").want(t, 2, `"::2" is one argument too many: router6d lookup ADDRESS`)
}

// TestHelpIsNoError is what people try first.
func TestHelpIsNoError(t *testing.T) {
	privileged(t)
	for _, words := range []string{"", "--help", "help", "help show", "show", "show --help", "interface", "route", "run --help"} {
		run(t, nil, append([]string{binary(t)}, strings.Fields(words)...)...).want(t, 0, "Usage:", "router6d")
	}
}

func TestNoRouterAnswers(t *testing.T) {
	privileged(t)
	for _, words := range []string{"show routes", "lookup ::1", "interface del red", "route add ::/0 --dev red"} {
		args := append([]string{binary(t)}, strings.Fields(words)...)
		run(t, nil, append(args, "--socket", "/run/nobody")...).want(t, 1, "/run/nobody", "is router6d running?")
	}
}

func TestOnlyTheOwnerMayUseTheSocket(t *testing.T) {
	privileged(t)
	const socket = "/run/private"
	d := launchFile(t, file(t, "control: "+socket+"\ninterfaces: {}"), socket)
	t.Cleanup(d.stop)
	d.ready()
	st, err := os.Stat(socket)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket = %v, %v, want 0600", st.Mode(), err)
	}
	run(t, nil, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
		binary(t), "show", "routes", "--socket", socket).want(t, 1, "permission denied", "owner")
}

func TestSecondRouterOnTheSameSocket(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	second := launchFile(t, file(t, "control: "+d.socket+"\ninterfaces: {}\n"), d.socket)
	second.wait().want(t, 1, d.socket, fmt.Sprintf("pid %d", d.cmd.Process.Pid))
	if got := d.iface("red").State; got != "up" {
		t.Errorf("red of the first router is %s", got)
	}
}

// TestSocketOfSomethingElse does not take away what is not ours.
func TestSocketOfSomethingElse(t *testing.T) {
	privileged(t)
	path := filepath.Join(short(t), "sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	launchFile(t, file(t, "control: "+path+"\ninterfaces: {}\n"), path).wait().want(t, 1, path, "something else")
	if b, err := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file there is %q, %v", b, err)
	}
}

// TestKilledRouter is kill -9, which leaves a socket and, for a moment, devices
// in the kernel's hands.
func TestKilledRouter(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	path := filepath.Join(short(t), "sock")
	config := file(t, "control: "+path+"\ndetach-timeout: 30s\n"+standard)
	for range 5 {
		d := launchFile(t, config, path)
		d.ready()
		reaches(t, red, blueAddr)
		d.signal(unix.SIGKILL)
		<-d.done
		checkNoDevices(t)
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the killed router leaves no socket, so this shows nothing: %v", err)
		}
	}
	d := launchFile(t, config, path)
	t.Cleanup(d.stop)
	d.ready()
	reaches(t, red, blueAddr)
}

// TestFirstAnswerIsComplete asks as early as it can: what a script waits for is
// the whole router.
func TestFirstAnswerIsComplete(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	for range 5 {
		d := launch(t, standard)
		var all []control.Interface
		eventually(t, "ask for interfaces", func() (err error) {
			all, err = d.Interfaces(t.Context())
			return err
		})
		if len(all) != 2 || all[0].State != "up" || all[1].State != "up" {
			t.Errorf("the first answer is %+v, want red and blue up", all)
		}
		reaches(t, red, blueAddr)
		d.stop()
	}
}

// TestStopEarly interrupts the start at any time.
func TestStopEarly(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	path := filepath.Join(short(t), "sock")
	config := file(t, "control: "+path+"\ndetach-timeout: 30s\n"+standard)
	for i, event := range []string{"interface attached", "interface up", "router started"} {
		d := launchFile(t, config, path)
		d.await(event, func(line) bool { return true })
		d.signal([]unix.Signal{unix.SIGTERM, unix.SIGINT}[i%2])
		if r := d.wait(); r.code != 0 {
			t.Errorf("stopped after %s: exit code %d: %s", event, r.code, r.errout)
		}
		checkNoDevices(t)
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("stopped after %s: socket is left", event)
		}
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
)

// TestFollowEvents reads them as they come, until the router ends.
func TestFollowEvents(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	d := start(t, "interfaces: {}")
	follow := spawn(t, nil, binary(t), "show", "events", "--follow", "--json", "--socket", d.socket)
	people := spawn(t, nil, binary(t), "show", "events", "-f", "--since", "0", "--socket", d.socket)
	for range 3 {
		d.do("interface add red --netns red --kernel-address 2001:db8:1::2/64")
		d.do("interface del red")
	}
	eventually(t, "see the last detach", func() error {
		if n := strings.Count(follow.out.String(), "interface detached"); n < 3 {
			return fmt.Errorf("%d of 3 in\n%s", n, follow.out.String())
		}
		return nil
	})
	stopped := spawn(t, nil, binary(t), "show", "events", "--follow", "--socket", d.socket)
	eventually(t, "see an event", func() error {
		if stopped.out.String() == "" {
			return fmt.Errorf("nothing: %s", stopped.errout.String())
		}
		return nil
	})
	stopped.signal(unix.SIGINT)
	if r := stopped.wait(); r.code != 0 || r.errout != "" {
		t.Errorf("interrupted: exit code %d, %s, want 0 and nothing", r.code, r.errout)
	}

	d.stop()
	r := follow.wait()
	r.want(t, 0, `"event":"router stopping"`)
	for i, l := range lines(r.out) {
		var e events.Event
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.Seq != uint64(i+1) {
			t.Errorf("line %d = %s, %v, want event %d", i, l, err, i+1)
		}
	}
	r = people.wait()
	r.want(t, 0, "router started", "interface detached\n    iface=red id=1 cause=requested")
}

func TestFollowNothing(t *testing.T) {
	privileged(t)
	d := start(t, "interfaces: {}")
	d.cli("show events --follow --since 4711").want(t, 1, "4711 is yet to come")
	d.cli("show events --follow --since yesterday").want(t, 2, "yesterday")
	run(t, nil, binary(t), "show", "events", "--follow", "--socket", "/run/none").want(t, 1, "no router answers")
}

// TestFollowOfARouterThatIsKilled is no clean end.
func TestFollowOfARouterThatIsKilled(t *testing.T) {
	privileged(t)
	d := start(t, "interfaces: {}")
	follow := spawn(t, nil, binary(t), "show", "events", "--follow", "--socket", d.socket)
	eventually(t, "see an event", func() error {
		if follow.out.String() == "" {
			return fmt.Errorf("nothing: %s", follow.errout.String())
		}
		return nil
	})
	d.over = true
	d.kill()
	follow.wait().want(t, 1, "follow events:")
}

func TestWatch(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	d := start(t, "interfaces: {}")
	watch := spawn(t, nil, binary(t), "show", "interfaces", "--watch=20ms", "--socket", d.socket)
	asJSON := spawn(t, nil, binary(t), "show", "counters", "--watch=20ms", "--json", "--socket", d.socket)
	d.do("interface add red --netns red --address 2001:db8:1::1/64")
	eventually(t, "see it come", func() error {
		if out := watch.out.String(); !strings.Contains(out, "red@red") || strings.Count(asJSON.out.String(), "\n") < 2 {
			return fmt.Errorf("%s%s", out, asJSON.out.String())
		}
		return nil
	})
	if out := watch.out.String(); strings.Contains(out, "\x1b") {
		t.Errorf("the screen of a pipe is cleared: %q", out)
	}
	watch.signal(unix.SIGINT)
	watch.wait().want(t, 0, "ID  NAME")
	for _, l := range lines(asJSON.out.String()) {
		var c control.Counters
		if err := json.Unmarshal([]byte(l), &c); err != nil {
			t.Errorf("line %q: %v", l, err)
		}
	}
	// On a terminal it stands in one place.
	d.stop()
	asJSON.wait().want(t, 1, "router")
	d.cli("show interfaces --watch=0s").want(t, 2, "--watch")
}

func TestWatchClearsATerminal(t *testing.T) {
	privileged(t)
	d := start(t, "interfaces: {}")
	p := spawn(t, nil, "script", "-qec", binary(t)+" show epoch --watch=20ms --socket "+d.socket, "/dev/null")
	eventually(t, "see it twice", func() error {
		if out := p.out.String(); strings.Count(out, "\x1b[H\x1b[2J") < 2 {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
}

// TestRoutesWithHints adds routes that lead nowhere now, which is no error.
func TestRoutesWithHints(t *testing.T) {
	privileged(t)
	red := namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard)
	if err := red.SetDown("red"); err != nil {
		t.Fatal(err)
	}
	d.awaitState("red", "down")
	for words, hint := range map[string]string{
		"2001:db8:a::/48 --dev nix":                      "offered, but leads nowhere now: no such interface nix",
		"2001:db8:b::/48 --dev red":                      "offered, but leads nowhere now: interface red is down",
		"2001:db8:c::/48 --via 2001:db8:77::1":           "offered, but leads nowhere now: gateway 2001:db8:77::1 unreachable",
		"2001:db8:d::/48 --path dev=blue --path dev=nix": "offered, but not by all its paths now: no such interface nix",
		"2001:db8:e::/48 --dev blue":                     "",
		"2001:db8:f::/48 --refuse prohibit":              "",
	} {
		r := d.cli("route add " + words)
		r.want(t, 0)
		prefix, _, _ := strings.Cut(words, " ")
		if want := "router6d: " + prefix + ": " + hint + "\n"; r.out != "" || r.errout != want && hint+r.errout != "" {
			t.Errorf("route add %s says %q on stdout, %q on stderr, want the hint %q", words, r.out, r.errout, hint)
		}
	}
	d.do("route add 2001:db8:b::/48 --dev blue --metric 3")
	r := d.cli("route del 2001:db8:b::/48 --metric 7")
	r.want(t, 1, "no static route to 2001:db8:b::/48 with metric 7, only with 0 and 3\n")
	if r.out != "" {
		t.Errorf("on stdout: %q", r.out)
	}
	d.cli("route del 2001:db8:2::/64").want(t, 1, "no static route to 2001:db8:2::/64 with metric 0\n") // a connected one
}

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	privileged(t)
	namespace(t, "red")
	namespace(t, "blue")
	d := start(t, standard+"routes: [{prefix: '2001:db8:a::/48', dev: red}]\n")
	for _, c := range []struct {
		words string
		want  []string
		not   string
	}{
		{"interface del", []string{"red\tup 2001:db8:1::1/64", "blue\tup", ":4\n"}, "2001:db8:a::"},
		{"interface del red", []string{":4\n"}, "blue"},
		{"route add ::/0 --dev", []string{"red\t", "blue\t", ":4\n"}, "2001:db8:a::"},
		{"route add ::/0 --path", []string{"dev=red\t", "via=", ":6\n"}, ""},
		{"route add ::/0 --refuse", []string{"prohibit\n"}, "red"},
		{"route del", []string{"2001:db8:a::/48\tdev red", ":4\n"}, "2001:db8:1::/64"},
		{"interface add x --mode", []string{"attach\n"}, "red"},
		{"log-level", []string{"debug\n", ":4\n"}, "red"},
		{"show", []string{"interfaces\t", "events\t"}, "red"},
		{"show interfaces", []string{":4\n"}, "red"},
		{"check", []string{":0\n"}, "red"},
		{"run --config", []string{":0\n"}, "red"},
	} {
		args := []string{binary(t), "__complete"}
		args = append(args, strings.Fields(c.words)...)
		if !strings.HasPrefix(c.words, "check") && !strings.HasPrefix(c.words, "run") {
			args = slices.Insert(args, 3, "--socket", d.socket)
		}
		r := run(t, nil, append(args, "")...)
		r.want(t, 0, c.want...)
		if c.not != "" && strings.Contains(r.out, c.not) {
			t.Errorf("%s: %q among\n%s", c.words, c.not, r.out)
		}
	}
}

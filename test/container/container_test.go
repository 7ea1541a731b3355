package container

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/control"
)

// confined is what issue 4 promises to be enough.
var confined = []string{"--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun", "--read-only"}

// sysctl switches IPv6 on, which a container without a network has off.
const sysctl = "--sysctl=net.ipv6.conf.all.disable_ipv6=0"

// A container runs until the end of the test.
type container struct {
	t    *testing.T
	name string
	gone bool // it was removed, or is not to be judged
}

// launch starts a container of no network.
func launch(t *testing.T, name string, flags []string, image string, command ...string) *container {
	t.Helper()
	engine.start(t)
	c := &container{t: t, name: name}
	args := slices.Concat([]string{"run", "--detach", "--name", name, "--network=none"}, flags, []string{image}, command)
	t.Cleanup(func() { _, _ = docker("rm", "--force", "--volumes", name) }) // it may have gone
	must(t, args...)
	return c
}

// peer starts a container with iperf3's server in it.
func peer(t *testing.T, name string) *container {
	t.Helper()
	return launch(t, name, nil, netshot, "iperf3", "--server")
}

// router starts the image under test, confined, with further flags.
func router(t *testing.T, flags ...string) *container {
	t.Helper()
	c := launch(t, "router", slices.Concat(confined, flags), r6Image)
	c.await("router started", func(line) bool { return true })
	t.Cleanup(c.end)
	return c
}

// exec runs a command in the container.
func (c *container) exec(words string) (string, error) {
	return docker(append([]string{"exec", c.name}, strings.Fields(words)...)...)
}

// do is exec of what must succeed.
func (c *container) do(words string) string {
	c.t.Helper()
	out, err := c.exec(words)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// inspect asks the engine about the container.
func (c *container) inspect(format string) string {
	c.t.Helper()
	return must(c.t, "inspect", "--format", format, c.name)
}

// pid is a process in the container, as the test counts them.
func (c *container) pid() string {
	c.t.Helper()
	return c.inspect("{{.State.Pid}}")
}

// move gives the kernel's end of an interface to a peer.
func (c *container) move(device string, to *container, address string) {
	c.t.Helper()
	if _, err := run(exec.Command(root+"/deploy/move-end", c.pid(), device, to.pid(), address, "::/0")); err != nil {
		c.t.Fatal(err)
	}
}

// connect makes an interface with its end in a peer: net::1 is the router.
func (c *container) connect(to *container, net string) {
	c.t.Helper()
	c.do("router6d interface add " + to.name + " --address " + net + "::1/64")
	c.move(to.name, to, net+"::2/64")
	c.awaitUp(to.name)
}

// ask reads what a command prints as JSON.
func ask[T any](c *container, words string) (v T) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.do("router6d "+words+" --json")), &v); err != nil {
		c.t.Fatalf("%s: %v", words, err)
	}
	return v
}

// awaitUp waits until an interface is up.
func (c *container) awaitUp(name string) {
	c.t.Helper()
	eventually(c.t, "wait for "+name, func() error {
		all := ask[[]control.Interface](c, "show interfaces")
		if slices.ContainsFunc(all, func(i control.Interface) bool { return i.Name == name && i.State == "up" }) {
			return nil
		}
		return fmt.Errorf("%+v\n%s", all, c.log())
	})
}

// A line is an entry of the log.
type line struct {
	Level string    `json:"level"`
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Iface string    `json:"iface"`
	ID    uint64    `json:"id"`
	Cause string    `json:"cause"`
	Err   string    `json:"error"`
}

// log is what the container wrote: docker logs keeps the two outputs apart.
func (c *container) log() string {
	c.t.Helper()
	logs := exec.Command("docker", "logs", c.name)
	var all strings.Builder
	logs.Env, logs.Stdout, logs.Stderr = environment(), &all, &all
	if err := logs.Run(); err != nil {
		c.t.Fatalf("docker logs %s: %v", c.name, err)
	}
	return all.String()
}

// lines is the log, in which every line must be JSON.
func (c *container) lines() (all []line) {
	c.t.Helper()
	for text := range strings.Lines(c.log()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			c.t.Fatalf("log line %q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

// await waits for a line of the log.
func (c *container) await(event string, fits func(line) bool) {
	c.t.Helper()
	eventually(c.t, "wait for "+event, func() error {
		if slices.ContainsFunc(c.lines(), func(l line) bool { return l.Event == event && fits(l) }) {
			return nil
		}
		return fmt.Errorf("not in the log:\n%s", c.log())
	})
}

// stopTimeout is what docker stop gives a container before it kills it.
const stopTimeout = 10 * time.Second

// end is the end of every router: its account balances, it stops when told to,
// and its log is what it should be.
func (c *container) end() {
	t := c.t
	t.Helper()
	if c.gone {
		return
	}
	c.gone = true
	if n := ask[control.Counters](c, "show counters"); !n.Balanced {
		t.Errorf("account does not balance: %+v", n)
	}
	if e := ask[control.Epoch](c, "show epoch"); e.LookupDeadTotal != 0 || e.DetachOrphaned != 0 {
		t.Errorf("lookup_dead_total = %d, detach_orphaned_total = %d, want 0", e.LookupDeadTotal, e.DetachOrphaned)
	}
	c.stop()
	c.checkLog()
	if t.Failed() {
		t.Logf("log of the router:\n%s", c.log())
	}
}

// stop stops the container, and returns how long that took.
func (c *container) stop() time.Duration {
	c.t.Helper()
	c.gone = true
	began := time.Now()
	must(c.t, "stop", c.name)
	took := time.Since(began)
	if got := c.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}"); got != "0 false" {
		c.t.Errorf("exit code and out of memory after docker stop = %s, want 0 false", got)
	}
	if took >= stopTimeout {
		c.t.Errorf("docker stop took %v, want less than %v", took, stopTimeout)
	}
	return took
}

// checkLog wants every interface that was attached detached, no errors, and a
// proper last word.
func (c *container) checkLog() {
	c.t.Helper()
	all := c.lines()
	if last := all[len(all)-1]; last.Event != "router stopped" {
		c.t.Errorf("last line of the log = %q, want router stopped", last.Event)
	}
	open := map[uint64]bool{}
	for _, l := range all {
		switch {
		case l.Event == "interface attached":
			open[l.ID] = true
		case l.Event == "interface detached":
			delete(open, l.ID)
		case l.Event == "devices are followed in this network namespace only": // and so it is
		case l.Level == "error", l.Level == "warn":
			c.t.Errorf("%s in the log: %s %s %s", l.Level, l.Event, l.Iface, l.Err)
		}
	}
	if len(open) > 0 {
		c.t.Errorf("attached and never detached: %v", open)
	}
}

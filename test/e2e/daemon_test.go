package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
)

// A daemon is a router6d that runs.
type daemon struct {
	*control.Client
	*process
	file   string // of its configuration
	socket string
	errors []string // events at level error that the test provokes
	kept   []string // devices that are the test's
	over   bool     // stopped, and found well
}

// A line is an entry of its log.
type line struct {
	Level  string    `json:"level"`
	Time   time.Time `json:"time"`
	Logger string    `json:"logger"`
	Event  string    `json:"event"`
	Iface  string    `json:"iface"`
	ID     uint64    `json:"id"`
	Cause  string    `json:"cause"`
	Took   *float64  `json:"took"` // seconds
	Err    string    `json:"error"`
	Device string    `json:"device"`
	Netns  string    `json:"netns"`
	Was    any       `json:"was"`
	MTU    int       `json:"mtu"`
	Peer   string    `json:"peer"`
	Routes *int      `json:"routes"`
	Slots  *int      `json:"slots"`
}

// start runs a router with this configuration until the end of the test, when it
// must stop as it should and leave nothing.
func start(t *testing.T, config string) *daemon {
	t.Helper()
	d := launch(t, config)
	d.ready()
	return d
}

// launch starts a router and does not wait for anything.
func launch(t *testing.T, config string) *daemon {
	t.Helper()
	socket := filepath.Join(short(t), "sock")
	d := launchFile(t, file(t, whole(socket, config)), socket)
	t.Cleanup(d.stop)
	return d
}

// whole is a configuration with what all tests have in common.
func whole(socket, config string) string {
	return "control: " + socket + "\ndetach-timeout: 30s\n" + config
}

func launchFile(t *testing.T, config, socket string) *daemon {
	t.Helper()
	p := spawn(t, nil, binary(t), "run", "--config", config)
	return &daemon{Client: control.NewClient(socket), process: p, file: config, socket: socket}
}

// short is a temporary directory with a name that fits a socket's address.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "r6e-") //nolint:usetesting // TempDir has the name of the test in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "router6d.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// ready waits until the router has started and answers.
func (d *daemon) ready() {
	d.t.Helper()
	d.await("router started", func(line) bool { return true })
	eventually(d.t, "ask for the epoch", func() error { _, err := d.Epoch(d.t.Context()); return err })
}

// log is what the router logged so far.
func (d *daemon) log() (all []line) {
	d.t.Helper()
	text := d.errout.String()
	for text := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			d.t.Fatalf("log line %q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

// await waits for a line of the log.
func (d *daemon) await(event string, fits func(line) bool) (found line) {
	d.t.Helper()
	eventually(d.t, "wait for "+event, func() error {
		ended := d.running()
		all := d.log()
		i := slices.IndexFunc(all, func(l line) bool { return l.Event == event && fits(l) })
		if i >= 0 {
			found = all[i]
			return nil
		}
		if ended != nil {
			d.t.Fatalf("wait for %s: %v", event, ended)
		}
		return fmt.Errorf("not in the log:\n%s", d.errout.String())
	})
	return found
}

// awaitOf waits for an event of one interface.
func (d *daemon) awaitOf(event string, id uint64) line {
	d.t.Helper()
	return d.await(event, func(l line) bool { return l.ID == id })
}

// cli runs the command line against this router; the words are separated by
// spaces.
func (d *daemon) cli(words string) result {
	d.t.Helper()
	args := slices.Concat([]string{binary(d.t)}, strings.Fields(words), []string{"--socket", d.socket})
	return run(d.t, nil, args...)
}

// do is cli of what must succeed.
func (d *daemon) do(words string) string {
	d.t.Helper()
	r := d.cli(words)
	if r.code != 0 {
		d.t.Fatalf("%s: exit code %d: %s", r.command, r.code, r.errout)
	}
	return r.out
}

// ask is do of what prints JSON, and reads it.
func ask[T any](d *daemon, words string) (v T) {
	d.t.Helper()
	out := json.NewDecoder(bytes.NewReader([]byte(d.do(words + " --json"))))
	out.DisallowUnknownFields()
	if err := out.Decode(&v); err != nil {
		d.t.Fatalf("%s: %v", words, err)
	}
	return v
}

// iface returns an interface by name.
func (d *daemon) iface(name string) control.Interface {
	d.t.Helper()
	in, err := d.find(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return in
}

var errNoInterface = errors.New("no such interface")

func (d *daemon) find(name string) (control.Interface, error) {
	all, err := d.Interfaces(d.t.Context())
	if err != nil {
		return control.Interface{}, err
	}
	for _, in := range all {
		if in.Name == name && in.State != "orphaned" {
			return in, nil
		}
	}
	return control.Interface{}, fmt.Errorf("%s: %w", name, errNoInterface)
}

// awaitUp waits until the interface is up, and returns it. An id other than zero
// is of one that it must not be.
func (d *daemon) awaitUp(name string, not uint64) (in control.Interface) {
	d.t.Helper()
	eventually(d.t, "wait for "+name, func() (err error) {
		if in, err = d.find(name); err == nil && (in.State != "up" || in.ID == not) {
			err = fmt.Errorf("%s is %s, id %d", name, in.State, in.ID)
		}
		return err
	})
	return in
}

// drops is how many packets were dropped, by reason.
func (d *daemon) drops() map[string]uint64 {
	d.t.Helper()
	all, err := d.Drops(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	n := map[string]uint64{}
	for _, drop := range all {
		n[drop.Reason] = drop.Packets
	}
	return n
}

// memory is what the router has, in KiB.
func (d *daemon) memory() (n int) {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}

// stop is the end of every router in every test.
func (d *daemon) stop() {
	t := d.t
	t.Helper()
	if d.over {
		return
	}
	d.over = true
	if d.running() != nil {
		if !t.Failed() {
			t.Errorf("the router has ended by itself: %v", d.running())
		}
		return
	}
	failed := t.Failed()
	if failed {
		t.Logf("%s\n%s\n%s", d.cli("show counters").out, d.cli("show drops").out, d.cli("show interfaces").out)
	}
	d.checkAccount()
	d.signal(unix.SIGTERM)
	if r := d.wait(); r.code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0", r.code)
	}
	d.checkLog()
	if _, err := os.Lstat(d.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket %s is left: %v", d.socket, err)
	}
	checkNoDevices(t, d.kept...)
	if t.Failed() {
		t.Logf("log of the router:\n%s", d.errout.String())
	}
}

// checkAccount asks for the proof counters.
func (d *daemon) checkAccount() {
	d.t.Helper()
	var c control.Counters
	var e control.Epoch
	for what, v := range map[string]any{"counters": &c, "epoch": &e} {
		r := spawn(d.t, nil, binary(d.t), "show", what, "--json", "--socket", d.socket).wait()
		if err := json.Unmarshal([]byte(r.out), v); err != nil || r.code != 0 {
			d.t.Errorf("%s: exit code %d, %v: %s", r.command, r.code, err, r.errout)
			return
		}
	}
	if !c.Balanced || c.Received+c.Originated != c.Sent+c.Consumed+c.Dropped {
		d.t.Errorf("account does not balance: %+v", c)
	}
	if e.LookupDeadTotal != 0 {
		d.t.Errorf("lookup_dead_total = %d, want 0", e.LookupDeadTotal)
	}
	if e.DetachOrphaned != 0 {
		d.t.Errorf("detach_orphaned_total = %d, want 0", e.DetachOrphaned)
	}
}

// checkLog reads the whole log: it ends as it should, every interface that was
// attached was detached, and nobody has to look at anything.
func (d *daemon) checkLog() {
	t := d.t
	t.Helper()
	all := d.log()
	if last := all[len(all)-1]; last.Event != "router stopped" {
		t.Errorf("last line of the log = %q, want router stopped", last.Event)
	}
	open := map[uint64]bool{}
	for _, l := range all {
		switch {
		case l.Event == "interface attached":
			open[l.ID] = true
		case l.Event == "interface detached":
			if !open[l.ID] {
				t.Errorf("%s (id %d) detached and not attached", l.Iface, l.ID)
			}
			if l.Took == nil || l.Cause == "" {
				t.Errorf("%s (id %d) detached without took or cause", l.Iface, l.ID)
			}
			delete(open, l.ID)
		case l.Level == "error" && !slices.Contains(d.errors, l.Event):
			t.Errorf("error in the log: %s %s %s", l.Event, l.Iface, l.Err)
		}
	}
	if len(open) > 0 {
		t.Errorf("attached and never detached: %v", open)
	}
}

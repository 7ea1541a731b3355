//go:build bench

package tcp

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

const patience = 30 * time.Second

var (
	rounds  = flag.Int("rounds", 25, "how often each figure is taken")
	seconds = flag.Float64("seconds", 0.5, "how long, each time")

	server  = netip.MustParseAddr("2001:db8:1::1")
	discard = netip.AddrPortFrom(server, 9)
	client  = netip.MustParsePrefix("2001:db8:1::2/64")
)

func TestMain(m *testing.M) {
	if name := os.Getenv(envAlone); name != "" {
		if err := alone(name); err != nil {
			fmt.Fprintln(os.Stderr, "gvisor:", err)
			os.Exit(1)
		}
		return
	}
	nstest.Main(m)
}

// TestBenchTCP prints what one connection carries, to the router and from it, and what
// it carries to and from gVisor alone; and the router's beside transit.
func TestBenchTCP(t *testing.T) {
	nstest.Privileged(t)
	inband, alone := newInband(t), newAlone(t)
	for _, way := range []struct {
		name string
		port int
		move func(net.Conn) (int64, error)
	}{{"to", 9, push}, {"from", 19, pull}} {
		compare(t, "inband_vs_gvisor_"+way.name,
			contender{"inband_" + way.name, inband.pid, func() float64 { return rate(t, inband.ns, way.port, way.move) }},
			contender{"gvisor_" + way.name, alone.pid, func() float64 { return rate(t, alone.ns, way.port, way.move) }})
	}
	through := transit(t, inband.ns)
	fmt.Printf("figure inband_to_beside_transit_gbit %.3g\n", rate(t, inband.ns, 9, push))
	fmt.Printf("figure transit_beside_inband_gbit %.3g\n", through())
}

// A contender is what is measured beside another one, in Gbit/s, and its process.
type contender struct {
	name string
	pid  int
	rate func() float64
}

// A sample is one measurement: Gbit/s, and seconds of CPU for a gigabyte.
type sample struct{ rate, cpu float64 }

func (c *contender) sample(t *testing.T) sample {
	before := cpu(t, c.pid)
	r := c.rate()
	return sample{r, (cpu(t, c.pid) - before) / (r / 8 * *seconds)}
}

// compare prints the medians of two that are measured in turn, and that of the ratios
// of one turn: what else the machine does is the same in it, more or less.
func compare(t *testing.T, name string, a, b contender) {
	t.Helper()
	var rates, cpus [3][]float64
	for i := range *rounds {
		var x, y sample
		if i%2 == 0 {
			x, y = a.sample(t), b.sample(t)
		} else { // neither always follows the other
			y, x = b.sample(t), a.sample(t)
		}
		for i, z := range []sample{x, y, {x.rate / y.rate, x.cpu / y.cpu}} {
			rates[i], cpus[i] = append(rates[i], z.rate), append(cpus[i], z.cpu)
		}
	}
	for i, c := range []contender{a, b} {
		fmt.Printf("figure %s_gbit %.3g %.3g\n", c.name, median(rates[i]), rates[i])
		fmt.Printf("figure %s_cpu_s_per_gb %.3g %.2g\n", c.name, median(cpus[i]), cpus[i])
	}
	fmt.Printf("ratio %s %.3g %.3g\n", name, median(rates[2]), rates[2])
	fmt.Printf("ratio %s_cpu_per_gb %.3g %.3g\n", name, median(cpus[2]), cpus[2])
}

// cpu is the seconds that a process has run, proc_pid_stat(5).
func cpu(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(t, err)
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest) // from the third on
	user, err := strconv.Atoi(f[14-3])
	check(t, err)
	system, err := strconv.Atoi(f[15-3])
	check(t, err)
	const ticks = 100 // a second
	return float64(user+system) / ticks
}

func median(all []float64) float64 { slices.Sort(all); return all[len(all)/2] }

func measured() time.Duration { return time.Duration(*seconds * float64(time.Second)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func namespace(t *testing.T, name string) *netlab.Namespace {
	t.Helper()
	ns, err := netlab.NewNamespace(name)
	check(t, err)
	t.Cleanup(func() { check(t, netlab.Remove(name)) })
	return ns
}

// A farEnd is a namespace from which a process can be reached, and that.
type farEnd struct {
	ns  *netlab.Namespace
	pid int
}

func begin(t *testing.T, cmd *exec.Cmd) (pid int) {
	t.Helper()
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// newInband is a router with a host on a TUN, another one behind it, and a crowd.
func newInband(t *testing.T) farEnd {
	t.Helper()
	ns, far, crowd := namespace(t, "r6t-inband"), namespace(t, "r6t-far"), namespace(t, "r6t-crowd")
	dir := t.TempDir()
	file := filepath.Join(dir, "r.yaml")
	text := fmt.Sprintf(`control: %s/sock
log: {level: error}
services:
  discard: {interfaces: [in, crowd]}
  chargen: {interfaces: [in]}
interfaces:
  in: {addresses: ["%v/64"], kernel: {netns: %s, addresses: ["%v"], routes: ["::/0"]}}
  far: {addresses: ["2001:db8:2::1/64"], kernel: {netns: %s, addresses: ["2001:db8:2::2/64"], routes: ["::/0"]}}
  crowd: {addresses: ["2001:db8:3::1/64"], kernel: {netns: %s, addresses: ["2001:db8:3::2/64"], routes: ["::/0"]}}
routes:
  - {prefix: "2001:db9::/32", dev: crowd}
  - {prefix: "2001:db8:f::/48", refuse: blackhole}
`, dir, server, ns.Path(), client, far.Path(), crowd.Path())
	check(t, os.WriteFile(file, []byte(text), 0o600))
	return farEnd{ns, begin(t, exec.Command(os.Getenv("ROUTER6D_BIN"), "run", "--config", file))}
}

// newAlone is gVisor in a process of its own, on a TUN that leads to a host.
func newAlone(t *testing.T) farEnd {
	t.Helper()
	const device = "r6talone"
	ns := namespace(t, "r6t-alone")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envAlone+"="+device)
	ready, err := cmd.StdoutPipe()
	check(t, err)
	pid := begin(t, cmd)
	_, err = ready.Read(make([]byte, 1))
	check(t, err)
	out, err := exec.Command("ip", "link", "set", device, "netns", ns.Name()).CombinedOutput()
	if err != nil {
		t.Fatalf("move %s: %v: %s", device, err, out)
	}
	for _, words := range [][]string{
		{"link", "set", device, "mtu", "1500", "up", "txqueuelen", "10000"},
		{"addr", "add", client.String(), "dev", device, "nodad"},
	} {
		if out, err := exec.Command("ip", append([]string{"-n", ns.Name()}, words...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", words, err, out)
		}
	}
	return farEnd{ns, pid}
}

// rate is what one connection moves, in Gbit/s.
func rate(t *testing.T, ns *netlab.Namespace, port int, move func(net.Conn) (int64, error)) float64 {
	t.Helper()
	c := connect(t, ns, netip.AddrPortFrom(server, uint16(port)))
	defer c.Close()
	began := time.Now()
	check(t, c.SetDeadline(began.Add(measured())))
	n, _ := move(c) // until the deadline
	return float64(n) * 8 / time.Since(began).Seconds() / 1e9
}

func connect(t *testing.T, ns *netlab.Namespace, to netip.AddrPort) (c net.Conn) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ns.Do(func() (err error) { c, err = net.DialTimeout("tcp6", to.String(), time.Second); return err })
		if err == nil {
			return c
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

const piece = 256 << 10

func push(c net.Conn) (n int64, err error) {
	for b := make([]byte, piece); err == nil; {
		var k int
		k, err = c.Write(b)
		n += int64(k)
	}
	return n, err
}

func pull(c net.Conn) (n int64, err error) {
	return io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, piece))
}

// transit has a connection go through the router; the result ends it, and says what it
// moved, in Gbit/s.
func transit(t *testing.T, ns *netlab.Namespace) func() float64 {
	t.Helper()
	far, err := netlab.OpenNamespace("r6t-far")
	check(t, err)
	var l net.Listener
	check(t, far.Do(func() (err error) { l, err = net.Listen("tcp6", "[2001:db8:2::2]:0"); return err }))
	c := connect(t, ns, l.Addr().(*net.TCPAddr).AddrPort())
	peer, err := l.Accept()
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var n int64
	began := time.Now()
	all.Go(func() { n, _ = pull(peer) })
	all.Go(func() { _, _ = push(c) })
	context.AfterFunc(ctx, func() { _, _, _ = c.Close(), peer.Close(), l.Close() })
	return func() float64 {
		took := time.Since(began)
		stop()
		all.Wait()
		return float64(n) * 8 / took.Seconds() / 1e9
	}
}

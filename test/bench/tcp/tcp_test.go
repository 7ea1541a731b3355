//go:build bench

package tcp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

const (
	rounds   = 5
	measured = 3 * time.Second
	patience = 30 * time.Second
)

var (
	server = netip.MustParseAddr("2001:db8:1::1")
	client = netip.MustParsePrefix("2001:db8:1::2/64")
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
		var ours, theirs []float64
		for range rounds { // in turn, for what else the machine does
			ours = append(ours, rate(t, inband, way.port, way.move))
			theirs = append(theirs, rate(t, alone, way.port, way.move))
		}
		a, b := median(ours), median(theirs)
		fmt.Printf("figure inband_%s_gbit %.3g %.3g\n", way.name, a, ours)
		fmt.Printf("figure gvisor_%s_gbit %.3g %.3g\n", way.name, b, theirs)
		fmt.Printf("ratio inband_vs_gvisor_%s %.3g\n", way.name, a/b)
	}
	through := transit(t, inband)
	fmt.Printf("figure inband_to_beside_transit_gbit %.3g\n", rate(t, inband, 9, push))
	fmt.Printf("figure transit_beside_inband_gbit %.3g\n", through())
}

func median(all []float64) float64 { slices.Sort(all); return all[len(all)/2] }

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

func begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		_ = cmd.Wait()
	})
}

// newInband is a router with a host on a TUN, and another one behind it.
func newInband(t *testing.T) *netlab.Namespace {
	t.Helper()
	ns, far := namespace(t, "r6t-inband"), namespace(t, "r6t-far")
	dir := t.TempDir()
	file := filepath.Join(dir, "r.yaml")
	text := fmt.Sprintf(`control: %s/sock
log: {level: error}
services:
  discard: {interfaces: [in]}
  chargen: {interfaces: [in]}
interfaces:
  in: {addresses: ["%v/64"], kernel: {netns: %s, addresses: ["%v"], routes: ["::/0"]}}
  far: {addresses: ["2001:db8:2::1/64"], kernel: {netns: %s, addresses: ["2001:db8:2::2/64"], routes: ["::/0"]}}
`, dir, server, ns.Path(), client, far.Path())
	check(t, os.WriteFile(file, []byte(text), 0o600))
	begin(t, exec.Command(os.Getenv("ROUTER6D_BIN"), "run", "--config", file))
	return ns
}

// newAlone is gVisor in a process of its own, on a TUN that leads to a host.
func newAlone(t *testing.T) *netlab.Namespace {
	t.Helper()
	const device = "r6talone"
	ns := namespace(t, "r6t-alone")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envAlone+"="+device)
	ready, err := cmd.StdoutPipe()
	check(t, err)
	begin(t, cmd)
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
	return ns
}

// rate is what one connection moves, in Gbit/s.
func rate(t *testing.T, ns *netlab.Namespace, port int, move func(net.Conn) (int64, error)) float64 {
	t.Helper()
	c := connect(t, ns, netip.AddrPortFrom(server, uint16(port)))
	defer c.Close()
	began := time.Now()
	check(t, c.SetDeadline(began.Add(measured)))
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

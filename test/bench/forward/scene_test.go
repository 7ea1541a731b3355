//go:build bench

package forward

import (
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/netlab"
)

var (
	hostSrc, routerSrc = netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:1::1")
	hostDst, routerDst = wayAddr(0, 2), wayAddr(0, 1)
	everything         = netip.MustParsePrefix("::/0")
)

// wayAddr is an address on the i-th link to dst.
func wayAddr(i int, host byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, byte(i), 15: host})
}

// A scene is two hosts and a contestant between them.
type scene struct {
	*contestant
	src, dst   *netlab.Namespace
	in         string   // the device of src
	out        []string // the devices of dst
	linkHeader []byte   // what the generator puts in front
	pid        int      // of the contestant; zero for the kernel
	client     *control.Client
}

func newScene(t testing.TB, c *contestant) *scene {
	t.Helper()
	s := &scene{contestant: c, src: namespace(t, c.name+"-src"), dst: namespace(t, c.name+"-dst")}
	c.open(t, s, c)
	start(t, s.dst, command("iperf3", "--server"))
	s.until(t, "an answer through "+c.name, func() bool {
		p, err := newPinger(s)
		if err != nil {
			return false
		}
		defer p.close()
		_, err = p.ping()
		return err == nil
	})
	return s
}

// furnish sets up the hosts' ends: what is sent leaves by them, and what arrives
// for others ends there without an answer.
func (s *scene) furnish(t testing.TB, via netip.Addr) {
	t.Helper()
	check(t, s.src.SetUp(s.in))
	check(t, s.dst.SetUp(s.out[0]))
	check(t, s.src.AddAddress(s.in, netip.PrefixFrom(hostSrc, 64)))
	check(t, s.dst.AddAddress(s.out[0], netip.PrefixFrom(hostDst, 64)))
	check(t, s.src.AddRoute(s.in, everything, via))
	back := netip.Addr{}
	if via.IsValid() {
		back = routerDst
	}
	check(t, s.dst.AddRoute(s.out[0], everything, back))
	check(t, setQueue(s.src, s.in))
	check(t, setQueue(s.dst, s.out[0]))
}

// setQueue has the kernel hold as many packets for a contestant as it does for
// router6d.
func setQueue(ns *netlab.Namespace, dev string) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		return netlink.LinkSetTxQLen(l, config.DefaultTxQueueLen)
	})
}

func namespace(t testing.TB, name string) *netlab.Namespace {
	t.Helper()
	n, err := netlab.NewNamespace(name)
	check(t, err)
	t.Cleanup(func() { check(t, n.Delete()) })
	return n
}

// own is the namespace of this process, under a name.
func own(t testing.TB) *netlab.Namespace {
	t.Helper()
	const name = "own"
	if ns, err := netlab.OpenNamespace(name); err == nil {
		return ns
	}
	ns, err := netlab.NameOwn(name)
	check(t, err)
	t.Cleanup(func() { check(t, ns.Delete()) })
	return ns
}

// command dies with this process, however that dies.
func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return c
}

func start(t testing.TB, in *netlab.Namespace, c *exec.Cmd) {
	t.Helper()
	check(t, in.Do(c.Start))
	reap(t, c)
}

// reap ends a process with the test.
func reap(t testing.TB, c *exec.Cmd) {
	t.Cleanup(func() {
		_ = c.Process.Signal(unix.SIGTERM) // may have ended
		late := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		defer late.Stop()
		_ = c.Wait() // by a signal
	})
}

func (s *scene) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

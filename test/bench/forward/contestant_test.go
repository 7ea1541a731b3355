//go:build bench

package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab"
)

// A contestant is one who can carry packets from src to dst.
type contestant struct {
	name  string
	open  func(t testing.TB, s *scene, c *contestant)
	ways  int  // interfaces that lead to dst
	table int  // routes
	extra bool // runs only what it is compared in
}

var contestants = []*contestant{
	{name: "kernel", open: openKernel, ways: 1},
	{name: "plain", open: openRelay, ways: 1},
	{name: "engine", open: openRelay, ways: 1},
	{name: "wireguard", open: openRelay, ways: 1},
	{name: "gvisor", open: openRelay, ways: 1},
	{name: "router6d", open: openDaemon, ways: 1, table: 10},
	{name: "router6d_full", open: openDaemon, ways: 1, table: fullTable, extra: true},
	{name: "router6d_64if", open: openDaemon, ways: 63, table: 10, extra: true},
}

const fullTable = 160_147

// openKernel forwards between two veth pairs, in a namespace of its own.
func openKernel(t testing.TB, s *scene, c *contestant) {
	router := namespace(t, c.name)
	s.in, s.out = "veth0", []string{"veth1"}
	check(t, netlab.Connect(s.src, s.in, router, "in"))
	check(t, netlab.Connect(router, "out", s.dst, s.out[0]))
	check(t, router.SetSysctl("net/ipv6/conf/all/forwarding", "1"))
	check(t, router.AddAddress("in", netip.PrefixFrom(routerSrc, 64)))
	check(t, router.AddAddress("out", netip.PrefixFrom(routerDst, 64)))
	check(t, router.AddRoute("out", everything, hostDst))
	s.furnish(t, routerSrc)
	in, err := router.Link("in")
	check(t, err)
	own, err := s.src.Link(s.in)
	check(t, err)
	s.linkHeader = append(append(append(s.linkHeader, in.Address...), own.Address...), 0x86, 0xdd)
}

// openRelay starts this binary again as the relay of that name.
func openRelay(t testing.TB, s *scene, c *contestant) {
	cmd := command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRelay+"="+c.name)
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe() // a relay lives as long as this is open
	check(t, err)
	ready, err := cmd.StdoutPipe()
	check(t, err)
	start(t, cmd)
	t.Cleanup(func() { _ = hold.Close() })
	s.pid = cmd.Process.Pid
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%s did not start: %v", c.name, err)
	}
	self := own(t)
	s.in, s.out = relayDevice(c.name, 0), []string{relayDevice(c.name, 1)}
	check(t, self.MoveLink(s.in, s.src))
	check(t, self.MoveLink(s.out[0], s.dst))
	s.furnish(t, netip.Addr{})
}

// openDaemon runs router6d as its users do.
func openDaemon(t testing.TB, s *scene, c *contestant) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "sock"), filepath.Join(dir, "r.yaml")
	s.in = "in"
	text := fmt.Sprintf("control: %s\nlog: {level: error}\ninterfaces:\n", socket)
	text += fmt.Sprintf("  in: {addresses: [\"%v/64\"], kernel: {netns: %s, addresses: [\"%v/64\"], routes: [\"::/0\"]}}\n", routerSrc, s.src.Path(), hostSrc)
	for i := range c.ways {
		name := fmt.Sprintf("out%d", i)
		s.out = append(s.out, name)
		text += fmt.Sprintf("  %s: {addresses: [\"%v/64\"], kernel: {netns: %s, addresses: [\"%v/64\"]%s}}\n",
			name, wayAddr(i, 1), s.dst.Path(), wayAddr(i, 2), map[bool]string{true: ", routes: [\"::/0\"]"}[i == 0])
	}
	text += "routes:\n- {prefix: \"::/0\", dev: out0}\n"
	for i := range 9 {
		text += fmt.Sprintf("- {prefix: \"2001:db8:f%d::/48\", dev: out0}\n", i)
	}
	check(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := command(os.Getenv("ROUTER6D_BIN"), "run", "--config", file)
	cmd.Stderr = os.Stderr
	start(t, cmd)
	s.pid = cmd.Process.Pid
	s.client = control.NewClient(socket)
	s.until(t, "the router's interfaces", func() bool {
		all, err := s.client.Interfaces(t.Context())
		return err == nil && len(all) == 1+c.ways
	})
	if c.table > 10 {
		offer(t, socket, lab.FullTable(t)[:c.table-10])
	}
}

// offer adds routes to a router that has more than a file may, over one
// connection for each of a few who ask.
func offer(t testing.TB, socket string, all []netip.Prefix) {
	t.Helper()
	const askers = 4
	client := http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: askers,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	failed := make(chan error, askers)
	for range askers {
		go func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				if err := offerOne(&client, all[i], i); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range askers {
		check(t, <-failed)
	}
}

// offerOne leads a prefix through one of 16 gateways.
func offerOne(client *http.Client, p netip.Prefix, i int64) error {
	body := fmt.Sprintf(`{"prefix": "%v", "dev": "out0", "via": "fe80::%x"}`, p, i%16+1)
	res, err := client.Post("http://router6d/v1/routes", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var text strings.Builder
	if _, err := io.Copy(&text, res.Body); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("route %v: %s: %s", p, res.Status, text.String())
	}
	return nil
}

// cpu is the CPU time that a process has used, of threads that have ended too.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	const sched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var ts unix.Timespec
	check(t, unix.ClockGettime(int32(^pid<<3|sched), &ts))
	return time.Duration(ts.Nano())
}

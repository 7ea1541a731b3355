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

	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/netlab"
)

// openDaemon connects the hosts by TUN devices.
func openDaemon(t testing.TB, s *scene, c *contestant) {
	s.in = "in"
	text := fmt.Sprintf("interfaces:\n  in: {addresses: [\"%v/64\"], kernel: {netns: %s, addresses: [\"%v/64\"], routes: [\"::/0\"]}}\n", routerSrc, s.src.Path(), hostSrc)
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
	socket := s.run(t, own(t), 1+c.ways, text)
	if c.table > 10 {
		offer(t, socket, lab.FullTable(t)[:c.table-10])
	}
}

// openTAP connects them by TAP devices.
func openTAP(t testing.TB, s *scene, _ *contestant) {
	s.in, s.out = "in", []string{"out0"}
	text := "interfaces:\n"
	for _, i := range []struct {
		name         string
		router, host netip.Addr
		ns           *netlab.Namespace
	}{{s.in, routerSrc, hostSrc, s.src}, {s.out[0], routerDst, hostDst, s.dst}} {
		text += fmt.Sprintf("  %s: {type: tap, addresses: [\"%v/64\"], kernel: {netns: %s, addresses: [\"%v/64\"]}}\n", i.name, i.router, i.ns.Path(), i.host)
	}
	s.run(t, own(t), 2, text+throughDst)
	check(t, s.src.AddRoute(s.in, everything, routerSrc))
	check(t, s.dst.AddRoute(s.out[0], everything, routerDst))
	all, err := s.client.Interfaces(t.Context())
	check(t, err)
	mac, err := net.ParseMAC(all[0].MAC) // they are in the order in which they came
	check(t, err)
	s.address(t, mac)
}

// throughDst leads what goes to nobody on a link to dst.
var throughDst = fmt.Sprintf("routes:\n- {prefix: \"::/0\", dev: out0, via: \"%v\"}\n", hostDst)

// openPacket has the router on the veth pairs that the kernel is on.
func openPacket(t testing.TB, s *scene, c *contestant) {
	router := s.connect(t, c.name)
	s.furnish(t, routerSrc)
	s.run(t, router, 2, fmt.Sprintf("interfaces:\n  in: {type: packet, addresses: [\"%v/64\"]}\n  out0: {type: packet, addresses: [\"%v/64\"]}\n",
		routerSrc, routerDst)+throughDst)
	s.address(t, macOf(t, router, "in"))
}

// openPPPoE has an access concentrator at dst's end of the same pairs.
func openPPPoE(t testing.TB, s *scene, c *contestant) {
	router := s.connect(t, c.name)
	startRelay(t, s.dst, "concentrator")
	s.out = []string{dialIn}
	s.furnish(t, routerSrc)
	s.run(t, router, 3, fmt.Sprintf("interfaces:\n  in: {type: packet, addresses: [\"%v/64\"]}\n  out0: {type: packet}\n  wan: {type: pppoe, lower: out0}\n",
		routerSrc)+"routes:\n- {prefix: \"::/0\", dev: wan}\n")
	s.address(t, macOf(t, router, "in"))
}

// run starts router6d as its users do, and returns its socket when it has so many
// interfaces.
func (s *scene) run(t testing.TB, in *netlab.Namespace, interfaces int, text string) (socket string) {
	t.Helper()
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "sock"), filepath.Join(dir, "r.yaml")
	check(t, os.WriteFile(file, fmt.Appendf(nil, "control: %s\nlog: {level: error}\n%s", socket, text), 0o600))
	cmd := command(os.Getenv("ROUTER6D_BIN"), "run", "--config", file)
	cmd.Stderr = os.Stderr
	start(t, in, cmd)
	s.pid = cmd.Process.Pid
	s.client = control.NewClient(socket)
	s.until(t, "the router's interfaces", func() bool {
		all, err := s.client.Interfaces(t.Context())
		return err == nil && len(all) == interfaces
	})
	return socket
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

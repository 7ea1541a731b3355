package bras

import (
	"fmt"
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/nstest"
)

// A real client, pppd, gets through: whatever it has to prove itself by, over
// IPv6 and IPv4, as far as the uplink.
func TestRealClient(t *testing.T) {
	nstest.Privileged(t)
	nstest.NoLeaks(t)
	ns := namespace(t, "r6t-line")
	s := Start(t, Options{Namespace: ns, IPv4: true, Uplink: namespace(t, "r6t-internet")})
	client := realClient(t, ns)
	for _, auth := range []Auth{NoAuth, PAP, CHAP, MSCHAPv2} {
		t.Run(string(auth), func(t *testing.T) {
			s.SetAuth(auth)
			_, err := client.run("pppd plugin pppoe.so nic-vec0 user router6d password secret noauth +ipv6 noccp lcp-restart 1 " +
				"updetach logfile " + pppdLog + " debug >/dev/null")
			check(t, err)
			// The server learns of the way back when it has run ipv6-up.
			_, err = client.run(fmt.Sprintf("ip -6 address add %s dev lo; ip -6 route replace default dev ppp0 src %[1]s && "+
				"for i in 1 2 3 4 5 6 7 8 9 10; do ping -c 1 -W 1 %s >/dev/null && break; done && ping -c 1 -W 2 %s && ping -c 1 -W 2 %s",
				Customer.Addr().Next(), Host, Internet, Host4))
			check(t, err)
			_, err = client.run("pkill -x pppd; while [ -e /sys/class/net/ppp0 ]; do sleep 0.1; done")
			check(t, err)
		})
	}
	if t.Failed() {
		t.Log(client.logs())
	}
}

// realClient boots a guest on the same Ethernet as the server.
func realClient(t *testing.T, ns *netlab.Namespace) *guest {
	t.Helper()
	check(t, addTAP(ns, "client", 1500))
	check(t, ns.SetSysctl("net/ipv6/conf/client/disable_ipv6", "1"))
	check(t, ns.SetUp("client"))
	g, err := boot(ns, []string{"vec0:transport=tap,ifname=client,mac=02:00:00:00:00:02,depth=64,gro=0,mtu=1500"})
	check(t, err)
	t.Cleanup(func() { check(t, g.kill()) })
	_, err = g.run(strings.Join([]string{
		"sysctl -qw net.ipv6.conf.vec0.disable_ipv6=1", "ip link set vec0 up", ": >/etc/ppp/options",
	}, " && "))
	check(t, err)
	check(t, ns.AddBridge(t.Context(), "ether", "line", "client"))
	return g
}

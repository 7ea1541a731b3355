package container

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// nsenter runs a command in the network of the container.
func (c *container) nsenter(words string) {
	c.t.Helper()
	args := append([]string{"--net=/proc/" + c.pid() + "/ns/net"}, strings.Fields(words)...)
	if _, err := run(exec.Command("nsenter", args...)); err != nil {
		c.t.Fatal(err)
	}
}

// plug lays a cable between two containers, eth0 at both ends, as a network plugin does.
func plug(t *testing.T, a, b *container) {
	t.Helper()
	for _, words := range []string{
		"ip link add r6c-a type veth peer name r6c-b",
		"ip link set r6c-a netns " + a.pid() + " name eth0",
		"ip link set r6c-b netns " + b.pid() + " name eth0",
	} {
		if _, err := run(exec.Command("sh", "-c", words)); err != nil {
			t.Fatal(err)
		}
	}
	a.nsenter("ip link set eth0 up")
	b.nsenter("sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=0")
	b.nsenter("ip link set eth0 up")
	b.nsenter("ip addr add 2001:db8:1::2/64 dev eth0 nodad")
}

// TestLinkOfAContainer has the router on the link that its container gets after it has
// started, and gets anew: with one capability where the kernel has no IPv6, or with
// what silences the kernel.
func TestLinkOfAContainer(t *testing.T) {
	config := file(t, "interfaces:\n  eth0: {type: packet, queues: 2, addresses: [2001:db8:1::1/64]}\n")
	for name, flags := range map[string][]string{
		"one capability":  {"--cap-add=NET_RAW", "--sysctl=net.ipv6.conf.all.disable_ipv6=1"},
		"kernel silenced": {"--cap-add=NET_RAW", "--cap-add=NET_ADMIN", sysctl},
	} {
		t.Run(name, func(t *testing.T) {
			r := launch(t, "router", slices.Concat(flags, []string{"--cap-drop=ALL", "--read-only", "--volume=" + config + ":/etc/router6d/router6d.yaml:ro"}), r6Image)
			r.await("router started", func(line) bool { return true })
			t.Cleanup(r.end)
			red := peer(t, "red")
			for range 2 {
				plug(t, r, red)
				r.awaitUp("eth0")
				red.do("ping -c 3 -W 5 2001:db8:1::1")
				red.nsenter("ip link del eth0")
				r.await("interface detached", func(l line) bool { return l.Cause == "device deleted by someone else" })
			}
			r.await("kernel silenced", func(l line) bool { return l.Iface == "eth0" })
		})
	}
}

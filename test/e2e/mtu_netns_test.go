package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// beyond is a lab with a hop more: behind the interface mid is a kernel that
// forwards to the namespace server, 2001:db8:5::2.
type beyond struct {
	red, mid, server *netlab.Namespace
}

const serverAddr = "2001:db8:5::2"

const beyondConfig = `
interfaces:
  red:
    addresses: [2001:db8:1::1/64]
    kernel: {netns: red, addresses: [2001:db8:1::2/64], routes: ["::/0"]}
  mid:
    mtu: MTU
    addresses: [2001:db8:3::1/64]
    kernel: {netns: mid, addresses: [2001:db8:3::2/64], routes: ["::/0"]}
routes:
  - {prefix: 2001:db8:5::/64, via: 2001:db8:3::2}
`

func newBeyond(t *testing.T) *beyond {
	t.Helper()
	b := &beyond{red: namespace(t, "red"), server: namespace(t, "server")}
	sysctl(t, b.server, "net/ipv6/conf/all/accept_dad=0", "net/ipv6/conf/default/accept_dad=0")
	b.cable(t)
	return b
}

// cable makes mid and lays the cable to the server.
func (b *beyond) cable(t *testing.T) {
	t.Helper()
	b.mid = namespace(t, "mid")
	sysctl(t, b.mid, "net/ipv6/conf/all/accept_dad=0", "net/ipv6/conf/default/accept_dad=0", "net/ipv6/conf/all/forwarding=1")
	connect(t, b.mid, "m0", b.server, "s0")
	address(t, b.mid, "m0", "2001:db8:5::1/64")
	address(t, b.server, "s0", serverAddr+"/64")
	route(t, b.server, "s0", "::/0", "2001:db8:5::1")
}

func TestPathMTU(t *testing.T) {
	privileged(t)
	b := newBeyond(t)
	d := start(t, strings.ReplaceAll(beyondConfig, "MTU", "1280"))
	reaches(t, b.red, serverAddr)
	t.Run("ping is told the MTU", func(t *testing.T) {
		r := ping(t, b.red, serverAddr, "-M", "do", "-s", "1400")
		r.want(t, 1, "From 2001:db8:1::1 icmp_seq=1 Packet too big: mtu=1280")
		if got := d.drops()["too_big"]; got != 1 {
			t.Errorf("too_big = %d, want 1", got)
		}
	})
	t.Run("what just fits goes through", func(t *testing.T) {
		ping(t, b.red, serverAddr, "-M", "do", "-s", "1232").want(t, 0, "1 received")
	})
	t.Run("TCP towards the small link adapts", func(t *testing.T) {
		// The peer offers segments for 1500, so that only the router's error helps.
		must(t, b.red, "ip", "-6", "route", "flush", "cache")
		before := d.drops()["too_big"]
		iperf(t, b.red, b.server, serverAddr)
		if d.drops()["too_big"] == before {
			t.Error("too_big does not count: nothing had to adapt")
		}
		if out := must(t, b.red, "ip", "-6", "route", "get", serverAddr); !strings.Contains(out, "mtu 1280") {
			t.Errorf("the kernel's route is %q, want mtu 1280", out)
		}
	})
	t.Run("TCP from the small link", func(t *testing.T) {
		iperf(t, b.red, b.server, serverAddr, "-R")
	})
}

// iperf moves 100 MB in one TCP connection, and returns how long it took.
func iperf(t *testing.T, from, at *netlab.Namespace, to string, options ...string) time.Duration {
	t.Helper()
	s := server(t, at)
	defer s.kill()
	out := must(t, from, append([]string{"iperf3", "-c", to, "-n", "100M", "-J"}, options...)...)
	var r struct {
		Error string
		End   struct {
			Received struct{ Bytes, Seconds float64 } `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Error != "" {
		t.Fatalf("iperf3: %v %s", err, r.Error)
	}
	if r.End.Received.Bytes < 90e6 {
		t.Errorf("iperf3 received %.0f bytes, want 100 MB", r.End.Received.Bytes)
	}
	return time.Duration(r.End.Received.Seconds * float64(time.Second))
}

// TestSuperframes compares what the kernel hands to the device with what the
// router says it was: the kernel counts frames, the router segments.
func TestSuperframes(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	d := start(t, standard)
	iperf(t, red, blue, blueAddr)
	frames := link(t, red, "red").Stats.TxPackets
	got := d.iface("red").Traffic
	if got.RxPackets < 100_000_000/1500 {
		t.Errorf("the router counts %d packets, want the segments of 100 MB", got.RxPackets)
	}
	if got.RxPackets < 3*frames {
		t.Errorf("the router counts %d packets in %d frames, want superframes", got.RxPackets, frames)
	}
	if in := link(t, blue, "blue").Stats.RxPackets; got.RxPackets < 3*in {
		t.Errorf("the far kernel received %d frames of %d segments, want superframes passed whole", in, got.RxPackets)
	}
}

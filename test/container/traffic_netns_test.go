package container

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"github.com/router6d/router6d/internal/control"
)

// TestTrafficBetweenContainers sends iperf3 from one container to another through
// the router's, while interfaces come and go.
func TestTrafficBetweenContainers(t *testing.T) {
	r := router(t, sysctl, "--memory=256m")
	red, blue, green := peer(t, "red"), peer(t, "blue"), peer(t, "green")
	r.connect(red, "2001:db8:1")
	r.connect(blue, "2001:db8:2")
	red.do("ping -c 3 -W 5 2001:db8:2::2")

	const seconds = 6
	flow := make(chan error, 1)
	var text string
	go func() {
		var err error
		text, err = red.exec(fmt.Sprintf("iperf3 --client 2001:db8:2::2 --time %d --json", seconds))
		flow <- err
	}()
	cycles := churn(r, green, flow)
	if err := <-flow; err != nil {
		t.Fatalf("iperf3: %v\n%s", err, text)
	}
	bits := received(t, text)
	t.Logf("%.2f Gbit/s, %d interfaces made, moved and destroyed meanwhile, memory %s",
		bits/1e9, cycles, must(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", r.name))
	if bits == 0 {
		t.Error("iperf3 got nothing through")
	}
	if e := ask[control.Epoch](r, "show epoch"); e.DetachClean < uint64(cycles) {
		t.Errorf("detached clean = %d, want %d at least", e.DetachClean, cycles)
	}
}

// churn makes and destroys interfaces, every other one by command and by someone
// else, some of them at least, and on until there is something in done.
func churn(r, peer *container, done <-chan error) (cycles int) {
	r.t.Helper()
	const some = 5
	for cycles < some || len(done) == 0 {
		r.connect(peer, "2001:db8:3")
		if cycles%2 == 0 {
			r.do("router6d interface del " + peer.name)
		} else {
			r.unplug(peer)
		}
		cycles++
	}
	return cycles
}

// unplug deletes the device in the peer.
func (c *container) unplug(at *container) {
	c.t.Helper()
	before := ask[control.Epoch](c, "show epoch").DetachClean
	_, err := run(exec.Command("nsenter", "--net=/proc/"+at.pid()+"/ns/net", "ip", "link", "del", at.name))
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "wait for the end of "+at.name, func() error {
		if n := ask[control.Epoch](c, "show epoch").DetachClean; n == before {
			return fmt.Errorf("detached clean = %d", n)
		}
		return nil
	})
}

// received is the rate that iperf3 saw arrive.
func received(t *testing.T, text string) float64 {
	t.Helper()
	var report struct {
		End struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("iperf3: %v\n%s", err, text)
	}
	return report.End.Received.BitsPerSecond
}

// TestContainerOfAPeerDies ends a peer with its end of the interface in it.
func TestContainerOfAPeerDies(t *testing.T) {
	r := router(t, sysctl)
	red := peer(t, "red")
	r.connect(red, "2001:db8:1")
	must(t, "kill", red.name)
	r.await("interface detached", func(l line) bool { return l.Iface == "red" && l.Cause != "shutdown" })
	// The name is free, and the same address leads to the next one.
	must(t, "start", red.name)
	r.connect(red, "2001:db8:1")
	red.do("ping -c 1 -W 5 2001:db8:1::1")
}

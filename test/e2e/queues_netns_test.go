package e2e

import (
	"strings"
	"testing"

	"github.com/router6d/router6d/internal/control"
)

// TestQueues has interfaces with several workers: TCP passes, one more dies with
// its interface, and the account is one.
func TestQueues(t *testing.T) {
	privileged(t)
	red, blue := namespace(t, "red"), namespace(t, "blue")
	config := strings.ReplaceAll(standard, "    addresses:", "    queues: 3\n    addresses:")
	d := start(t, config)
	d.awaitUp("red", 0)
	id := d.awaitUp("blue", 0).ID
	reaches(t, red, blueAddr)
	for _, options := range []string{"-P 8", "-P 8 --bidir", "-u -b 200M -P 4"} {
		s := server(t, blue)
		if r := run(t, red, append([]string{"iperf3", "-c", blueAddr, "-t", "1"}, strings.Fields(options)...)...); r.code != 0 {
			t.Errorf("iperf3 %s: %s%s", options, r.out, r.errout)
		}
		s.kill()
	}
	server(t, blue)
	client := spawn(t, red, "iperf3", "-c", blueAddr, "-t", "600", "-P", "8")
	l := ask[control.Ledger](d, "interface del blue --json")
	const readers = 2*3 + 1 // the workers, and TCP of the router's own
	if l.ID != id || l.Result != "clean" || l.Readers != readers {
		t.Errorf("ledger = %+v, want clean, %d readers", l, readers)
	}
	if c := ask[control.Counters](d, "show counters --json"); !c.Balanced || c.Received == 0 {
		t.Errorf("counters = %+v", c)
	}
	client.kill()
}

//go:build bench

package forward

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

var (
	rounds   = flag.Int("rounds", 5, "how often each load is run through each contestant")
	seconds  = flag.Float64("seconds", 1, "how long, each time; iperf3 takes whole ones")
	only     = flag.String("only", "", "loads to run, with commas between; a * at the end stands for more")
	between  = flag.String("contestants", "", "contestants to run, likewise")
	jsonFile = flag.String("json", "", "where to write all figures")
)

func TestMain(m *testing.M) {
	if name := os.Getenv(envRelay); name != "" {
		relayMain(name)
		return
	}
	nstest.Main(m)
}

// TestBenchForward prints a table, the ratios, and what they are made of.
func TestBenchForward(t *testing.T) {
	nstest.Privileged(t)
	var scenes []*scene
	for _, c := range contestants {
		if chosen(*between, c.name) {
			scenes = append(scenes, newScene(t, c))
		}
	}
	time.Sleep(time.Second) // duplicate addresses, garbage, late messages
	r := newResults(scenes)
	for round := range *rounds {
		for _, l := range loads {
			if chosen(*only, l.name) {
				t.Logf("round %d of %d: %s", round+1, *rounds, l.name)
				r.round(t, l, round)
			}
		}
	}
	if chosen(*only, "idle") {
		r.idle(t)
	}
	r.print()
	if *jsonFile != "" {
		if err := r.write(*jsonFile); err != nil {
			t.Error(err)
		}
	}
}

// chosen reports whether a list names name. An empty one names all.
func chosen(list, name string) bool {
	for _, want := range strings.Split(list, ",") {
		if start, more := strings.CutSuffix(want, "*"); want == name || more && strings.HasPrefix(name, start) {
			return true
		}
	}
	return list == ""
}

// Package bench measures, with a peer beside each figure. It does nothing unless
// ROUTER6D_BENCH is set: make bench-detach.
package bench

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// asked skips what nobody asked for.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("ROUTER6D_BENCH") != "1" {
		t.Skip("not asked for: make bench-detach")
	}
	nstest.Privileged(t)
}

// times is a sample of durations.
type times []time.Duration

// at is the p-th percentile, in microseconds.
func (s times) at(p int) float64 {
	sorted := slices.Sorted(slices.Values(s))
	return float64(sorted[min(len(sorted)-1, len(sorted)*p/100)].Nanoseconds()) / 1e3
}

func figure(name string, v float64) { fmt.Printf("figure %s %.4g\n", name, v) }

func ratio(name string, v float64) { fmt.Printf("ratio %s %.4g\n", name, v) }

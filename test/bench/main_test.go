//go:build bench

package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/netlab/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// times is a sample of durations.
type times []time.Duration

// at is the p-th percentile, in microseconds.
func (s times) at(p int) float64 {
	sorted := slices.Sorted(slices.Values(s))
	return float64(sorted[min(len(sorted)-1, len(sorted)*p/100)].Nanoseconds()) / 1e3
}

// results is all figures and ratios so far, by name.
var results = map[string]float64{}

func figure(name string, v float64) { report("figure", name, v) }

func ratio(name string, v float64) { report("ratio", name, v) }

func report(kind, name string, v float64) {
	results[name] = v
	fmt.Printf("%s %s %.4g\n", kind, name, v)
}

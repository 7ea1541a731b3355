//go:build bench

package forward

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// times is a sample of durations.
type times []time.Duration

func (s times) at(p int) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

// A sample is one run of one load through one contestant.
type sample struct {
	Value       float64 `json:"value"` // in the load's unit
	P99         float64 `json:"p99_us,omitempty"`
	Lost        float64 `json:"lost,omitempty"`
	Weaker      float64 `json:"weaker_share,omitempty"`
	CPUPacket   float64 `json:"cpu_ns_per_packet,omitempty"` // of the contestant's process
	CPUGigabyte float64 `json:"cpu_s_per_gb,omitempty"`
}

type results struct {
	scenes  []*scene
	samples map[string]map[string][]sample // by load, then contestant
	idleCPU map[string]float64             // percent of a core
}

func newResults(scenes []*scene) *results {
	return &results{scenes: scenes, samples: map[string]map[string][]sample{}, idleCPU: map[string]float64{}}
}

// round runs a load once through everybody whom it concerns, in every round from
// another one on: none always comes after the same.
func (r *results) round(t *testing.T, l *load, n int) {
	t.Helper()
	for i := range r.scenes {
		s := r.scenes[(i+n)%len(r.scenes)]
		if l.concerns(s) {
			r.run(t, l, s)
			s.settle(t)
		}
	}
}

// settle returns when a contestant has worked off what it still had.
func (s *scene) settle(t *testing.T) {
	t.Helper()
	const window, idle, most = 20 * time.Millisecond, time.Millisecond, 100
	for range most {
		if s.pid == 0 {
			time.Sleep(window)
			return
		}
		before := cpu(t, s.pid)
		time.Sleep(window)
		if cpu(t, s.pid)-before < idle {
			return
		}
	}
}

// run adds one sample.
func (r *results) run(t *testing.T, l *load, s *scene) {
	t.Helper()
	var before time.Duration
	if s.pid != 0 {
		before = cpu(t, s.pid)
	}
	d := time.Duration(*seconds * float64(time.Second))
	a, err := l.run(t, s, d)
	if err != nil {
		t.Errorf("%s through %s: %v", l.name, s.name, err)
		return
	}
	x := sample{Lost: a.lost, Weaker: a.weaker}
	switch l.unit {
	case gigabits:
		x.Value = a.bytes * 8 / 1e9 / a.took.Seconds()
	case kilo:
		x.Value = a.packets / 1e3 / a.took.Seconds()
	case micro:
		x.Value, x.P99 = float64(a.p50.Nanoseconds())/1e3, float64(a.p99.Nanoseconds())/1e3
	}
	if s.pid != 0 {
		used := cpu(t, s.pid) - before
		if a.packets > 0 {
			x.CPUPacket = float64(used.Nanoseconds()) / a.packets
		}
		if a.bytes > 0 {
			x.CPUGigabyte = used.Seconds() / (a.bytes / 1e9)
		}
	}
	if r.samples[l.name] == nil {
		r.samples[l.name] = map[string][]sample{}
	}
	r.samples[l.name][s.name] = append(r.samples[l.name][s.name], x)
}

// idle measures all processes while nothing is sent.
func (r *results) idle(t *testing.T) {
	t.Helper()
	const window = 4 * time.Second
	before := map[string]time.Duration{}
	for _, s := range r.scenes {
		if s.pid != 0 {
			before[s.name] = cpu(t, s.pid)
		}
	}
	time.Sleep(window)
	for _, s := range r.scenes {
		if s.pid != 0 {
			r.idleCPU[s.name] = 100 * (cpu(t, s.pid) - before[s.name]).Seconds() / window.Seconds()
		}
	}
}

func (r *results) median(load, who string, of func(sample) float64) (float64, bool) {
	var all []float64
	for _, x := range r.samples[load][who] {
		all = append(all, of(x))
	}
	return middle(all)
}

func middle(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}

func value(x sample) float64 { return x.Value }

// ratio is the median of the rounds' ratios of two contestants, or loads.
func (r *results) ratio(load, who, load2, who2 string) (float64, bool) {
	a, b := r.samples[load][who], r.samples[load2][who2]
	var all []float64
	for i := range min(len(a), len(b)) {
		if b[i].Value > 0 {
			all = append(all, a[i].Value/b[i].Value)
		}
	}
	return middle(all)
}

func (r *results) print() {
	fmt.Printf("\n%s, Linux %s, %d CPUs, %s\n\n", processor(), kernelRelease(), runtime.NumCPU(), runtime.Version())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.row(w, "", func(s *scene) (string, bool) { return s.name, true })
	for _, l := range loads {
		if r.samples[l.name] == nil {
			continue
		}
		of := func(what string, value func(sample) float64) {
			r.row(w, l.name+what, func(s *scene) (string, bool) {
				v, ok := r.median(l.name, s.name, value)
				return fmt.Sprintf("%.4g", v), ok && v != 0
			})
		}
		of(" "+string(l.unit), value)
		switch l.unit {
		case micro:
			of(" p99 µs", func(x sample) float64 { return x.P99 })
		case kilo:
			of(" CPU ns/packet", func(x sample) float64 { return x.CPUPacket })
		case gigabits:
			of(" CPU s/GB", func(x sample) float64 { return x.CPUGigabyte })
		}
	}
	r.row(w, "idle CPU %", func(s *scene) (string, bool) {
		v, ok := r.idleCPU[s.name]
		return fmt.Sprintf("%.2g", v), ok
	})
	_ = w.Flush() // to standard output
	fmt.Println()
	for _, f := range r.ratios() {
		fmt.Printf("ratio %s %.4g\n", f.Name, f.Value)
	}
	for _, f := range r.figures() {
		fmt.Printf("figure %s %.4g\n", f.Name, f.Value)
	}
}

// row prints what there is of each contestant.
func (r *results) row(w io.Writer, label string, of func(*scene) (string, bool)) {
	fmt.Fprintf(w, "%s\t", label)
	for _, s := range r.scenes {
		if text, ok := of(s); ok {
			fmt.Fprint(w, text)
		}
		fmt.Fprint(w, "\t")
	}
	fmt.Fprintln(w)
}

// A named is one line of the report.
type named struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

const ours = "router6d"

func (r *results) ratios() (all []named) {
	add := func(name, load, who, load2, who2 string) {
		if v, ok := r.ratio(load, who, load2, who2); ok {
			all = append(all, named{name, v})
		}
	}
	for _, l := range loads {
		if l.unit == micro {
			continue
		}
		for _, s := range r.scenes {
			if s.name != ours && !s.extra() {
				add(l.name+"_vs_"+s.name, l.name, ours, l.name, s.name)
			}
		}
		for _, s := range r.scenes {
			if s.pid != 0 && s.name != ours && !s.extra() {
				r.addCPU(&all, l, "vs_"+s.name, ours, s.name)
			}
		}
		for _, s := range r.scenes {
			if s.extra() {
				add(l.name+"_"+s.called, l.name, s.name, l.name, s.versus)
				r.addCPU(&all, l, s.called, s.name, s.versus)
			}
		}
	}
	for _, who := range []string{ours, "plain", "kernel"} {
		add("tcp1_churn_vs_calm_"+who, "churn_tcp1", who, "calm_tcp1", who)
	}
	return all
}

// addCPU adds how many times the CPU of another contestant's process one needs for
// the same work: what the machine does beside does not count.
func (r *results) addCPU(all *[]named, l *load, called, who, versus string) {
	of := func(x sample) float64 { return x.CPUGigabyte }
	a, okA := r.median(l.name, who, of)
	b, okB := r.median(l.name, versus, of)
	if okA && okB && b > 0 {
		*all = append(*all, named{l.name + "_cpu_" + called, a / b})
	}
}

func (r *results) figures() (all []named) {
	for _, l := range loads {
		for _, s := range r.scenes {
			add := func(what string, of func(sample) float64) {
				if v, ok := r.median(l.name, s.name, of); ok && v != 0 {
					all = append(all, named{l.name + "_" + s.name + what, v})
				}
			}
			switch l.unit {
			case micro:
				add("_p50_us", value)
				add("_p99_us", func(x sample) float64 { return x.P99 })
			case kilo:
				add("_cpu_ns_per_packet", func(x sample) float64 { return x.CPUPacket })
			case gigabits:
				add("_weaker_share", func(x sample) float64 { return x.Weaker })
				add("_cpu_s_per_gb", func(x sample) float64 { return x.CPUGigabyte })
			}
		}
	}
	a, okA := r.median("latency", ours, value)
	b, okB := r.median("latency", "kernel", value)
	if okA && okB {
		all = append(all, named{"latency_added_to_kernel_p50_us", a - b})
	}
	for _, s := range r.scenes {
		if v, ok := r.median("churn_udp", s.name, func(x sample) float64 { return x.Lost }); ok {
			all = append(all, named{"churn_udp_lost_packets_" + s.name, v})
		}
	}
	for _, s := range r.scenes {
		if v, ok := r.idleCPU[s.name]; ok {
			all = append(all, named{"idle_cpu_percent_" + s.name, v})
		}
	}
	return all
}

// write leaves everything in a file, every sample too.
func (r *results) write(file string) error {
	b, err := json.MarshalIndent(map[string]any{
		"processor": processor(), "kernel": kernelRelease(), "cpus": runtime.NumCPU(), "go": runtime.Version(),
		"samples": r.samples, "ratios": r.ratios(), "figures": r.figures(),
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // only a label
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return "unknown processor"
}

func kernelRelease() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // only a label
	return unix.ByteSliceToString(u.Release[:])
}

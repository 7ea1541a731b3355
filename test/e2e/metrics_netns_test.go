package e2e

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// measured is the standard lab, and where its metrics are.
const (
	measured    = "metrics: {listen: \"[::1]:9406\"}" + standard
	measuredURL = "http://[::1]:9406/metrics"
)

// scrape is the value of each series without labels, and the sum of those with.
func scrape(t *testing.T) map[string]float64 {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, measuredURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			all[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// Prometheus is told what the command line is told, after traffic and a detach.
func TestMetrics(t *testing.T) {
	privileged(t)
	red, _ := namespace(t, "red"), namespace(t, "blue")
	d := start(t, measured)
	reaches(t, red, blueAddr)
	if _, err := d.DeleteInterface(t.Context(), "red"); err != nil {
		t.Fatal(err)
	}
	got := scrape(t)
	c, err := d.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := got["router6d_received_packets_total"]; n == 0 || n > float64(c.Received) {
		t.Errorf("received = %v, want up to %d", n, c.Received)
	}
	for name, want := range map[string]float64{
		"router6d_detach_total":      1,
		"router6d_detach_seconds":    1,
		"router6d_attach_total":      2,
		"router6d_lookup_dead_total": float64(e.LookupDeadTotal),
		"router6d_snapshot_gen":      float64(e.Generation),
		"router6d_interface_info":    1, // blue
		"router6d_loop_answers":      1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if n := got["router6d_grace_seconds"]; n == 0 {
		t.Error("no grace period is told")
	}
	http.DefaultClient.CloseIdleConnections()
}

// A router whose metrics have no port does not start.
func TestMetricsPortIsTaken(t *testing.T) {
	privileged(t)
	l, err := net.Listen("tcp", "[::1]:9406")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, nil, binary(t), "run", "--config", file(t, "control: "+filepath.Join(short(t), "sock")+"\nmetrics: {listen: \"[::1]:9406\"}\ninterfaces: {}\n"))
	if r.code != 1 || !strings.Contains(r.errout, "metrics: listen tcp [::1]:9406") {
		t.Errorf("code = %d, said %q", r.code, r.errout)
	}
}

// A router that is stopped as a whole is not healthy, nor is one that is not there.
func TestHealth(t *testing.T) {
	privileged(t)
	d := start(t, "interfaces: {}\n")
	if r := d.cli("show health"); r.code != 0 || r.out != "healthy\n" {
		t.Errorf("health: code = %d, said %q %q", r.code, r.out, r.errout)
	}
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if r := d.cli("show health"); r.code != 1 {
		t.Errorf("health of a stopped router: code = %d, want 1", r.code)
	}
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.stop()
	if r := d.cli("show health"); r.code != 1 {
		t.Errorf("health of no router: code = %d, want 1", r.code)
	}
}

// systemd is told that the router is ready, that it moves, and that it stops.
func TestSystemdIsTold(t *testing.T) {
	privileged(t)
	path := filepath.Join(short(t), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	d := launch(t, "interfaces: {}\n")
	hear := func(want string) {
		t.Helper()
		if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 100); ; {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("wait for %s: %v", want, err)
			}
			if string(buf[:n]) == want {
				return
			}
		}
	}
	hear("READY=1")
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	d.stop()
	hear("STOPPING=1")
}

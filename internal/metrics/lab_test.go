package metrics

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/tcpstack"
)

// A scene is a router and its metrics.
type scene struct {
	*lab.Router
	*Metrics
}

func newScene(t *testing.T) *scene {
	t.Helper()
	r := lab.New(t)
	tcp, err := tcpstack.New(r.Plane, tcpstack.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tcp.Close)
	s := &scene{r, New(Source{Loop: r.Loop, Interfaces: r.Interfaces, FIB: r.FIB, Plane: r.Plane, Transport: tcp})}
	s.Turn(func(*loop.Turn) { r.Loop.OnGrace = s.Grace }) // it runs already
	h := r.Hooks()
	forget := h.Ended
	h.Ended = func(t *loop.Turn, res ifmgr.Result) { forget(t, res); s.Detached(res) }
	s.Turn(func(*loop.Turn) { s.Interfaces.Hook(h) })
	return s
}

// A scrape is what Prometheus has understood: families by name.
type scrape map[string]*dto.MetricFamily

// ask is one scrape by HTTP, read with Prometheus' own parser.
func ask(t *testing.T, m *Metrics) scrape {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status = %d: %s", w.Code, w.Body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	all, err := p.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// series is every value by what Prometheus would call it, those of histograms
// by their parts.
func (s scrape) series() map[string]float64 {
	all := map[string]float64{}
	for name, f := range s {
		for _, m := range f.Metric {
			add := func(suffix string, v float64, more ...string) {
				all[name+suffix+"{"+strings.Join(append(labels(m), more...), ",")+"}"] = v
			}
			switch f.GetType() {
			case dto.MetricType_HISTOGRAM:
				add("_sum", m.Histogram.GetSampleSum())
				add("_count", float64(m.Histogram.GetSampleCount()))
				for _, b := range m.Histogram.Bucket {
					add("_bucket", float64(b.GetCumulativeCount()), fmt.Sprintf("le=%v", b.GetUpperBound()))
				}
			case dto.MetricType_COUNTER:
				add("", m.Counter.GetValue())
			default:
				add("", m.Gauge.GetValue())
			}
		}
	}
	return all
}

func labels(m *dto.Metric) (all []string) {
	for _, l := range m.Label {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	slices.Sort(all)
	return all
}

// monotonic is the series that may only grow.
func (s scrape) monotonic() map[string]float64 {
	only := scrape{}
	for name, f := range s {
		if f.GetType() != dto.MetricType_GAUGE && f.GetType() != dto.MetricType_SUMMARY {
			only[name] = f
		}
	}
	return only.series()
}

// ours is the families of the router's own, in the order of names.
func (s scrape) ours() (all []*dto.MetricFamily) {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(name, namespace+"_") {
			all = append(all, s[name])
		}
	}
	return all
}

// want checks one series, without the prefix of its name.
func (s scrape) want(t *testing.T, series string, want float64) {
	t.Helper()
	if !strings.Contains(series, "{") {
		series += "{}"
	}
	got, ok := s.series()[namespace+"_"+series]
	if !ok {
		t.Errorf("there is no %s", series)
	} else if got != want {
		t.Errorf("%s = %v, want %v", series, got, want)
	}
}

package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/tcpstack"
)

const (
	// maxScrapes is how many are answered at once: each takes a turn of the loop.
	maxScrapes = 4
	// maxWait is for those who come meanwhile, as long as Prometheus is patient.
	maxWait = 10 * time.Second
)

// A Source is the parts of a router that are measured.
type Source struct {
	Loop       *loop.Loop
	Interfaces *ifmgr.Manager
	FIB        *fib.Table
	Plane      *dataplane.Plane
	Transport  *tcpstack.Stack // nil: there is none
}

// Metrics is everything there is to tell about one router.
type Metrics struct {
	of       Source
	registry *prometheus.Registry
	ledger   ledger
	past     past // owned by the loop
}

// New returns the metrics of a router. Its owner has Detached called with every
// ledger, and Grace with every grace period, both on the loop.
func New(of Source) *Metrics {
	m := &Metrics{of: of, registry: prometheus.NewRegistry(), ledger: newLedger(), past: newPast()}
	m.registry.MustRegister(m, buildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.ledger.all()...)
	return m
}

// Gatherer is what there is, for those who do not ask by HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler answers with all metrics, in the format that is asked for.
func (m *Metrics) Handler() http.Handler {
	return orderly(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:          m.registry, // of errors of its own, which do not hide the rest
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
	}))
}

// orderly has those wait who come while maxScrapes are answered.
func orderly(h http.Handler) http.Handler {
	answered := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		patience, cancel := context.WithTimeout(q.Context(), maxWait)
		defer cancel()
		select {
		case answered <- struct{}{}:
			defer func() { <-answered }()
			h.ServeHTTP(w, q)
		case <-patience.Done():
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
		}
	})
}

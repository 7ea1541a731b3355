package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/tcpstack"
)

// maxScrapes is how many may ask at once: each takes a turn.
const maxScrapes = 4

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
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry, // of errors of its own, which do not hide the rest
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
	})
}

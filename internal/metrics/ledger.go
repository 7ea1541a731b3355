package metrics

import (
	"errors"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/router6d/router6d/ifmgr"
)

// spans are the bounds of all histograms: from a withdrawal on an idle machine
// to a detach that waits for the longest timeout there is.
var spans = []float64{
	1e-6, 5e-6, 10e-6, 50e-6, 100e-6, 500e-6, 1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 5, 60,
}

// A ledger is what is noted as it happens, because nobody has it afterwards.
type ledger struct {
	detaches *prometheus.CounterVec
	took     prometheus.Histogram
	phases   *prometheus.HistogramVec
	graces   prometheus.Histogram
}

func newLedger() ledger {
	l := ledger{
		detaches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "detach_total", Help: "Detaches that came to their end, by result and cause.",
		}, []string{"result", "cause"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "detach_seconds", Help: "How long detaches took.", Buckets: spans,
		}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "detach_phase_seconds", Help: "How long the phases of detaches took.", Buckets: spans,
		}, []string{"phase"}),
		graces: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "grace_seconds", Help: "How long grace periods took.", Buckets: spans,
		}),
	}
	// All of them from the start: an increase from nothing is not seen.
	for _, result := range []string{clean, orphaned} {
		l.detaches.WithLabelValues(result, otherCause)
		for _, c := range causes {
			l.detaches.WithLabelValues(result, c.label)
		}
	}
	for _, phase := range []string{"withdraw", "grace", "hold", "close"} {
		l.phases.WithLabelValues(phase)
	}
	return l
}

func (l *ledger) all() []prometheus.Collector {
	return []prometheus.Collector{l.detaches, l.took, l.phases, l.graces}
}

// Results of a detach.
const (
	clean    = "clean"
	orphaned = "orphaned"
)

// causes are what a cause is called. There are few, or series would be many:
// otherCause is an error of a device.
var causes = []struct {
	err   error
	label string
}{
	{ifmgr.ErrRequested, "requested"},
	{ifmgr.ErrDeleted, "deleted"},
	{ifmgr.ErrShutdown, "shutdown"},
	{ifmgr.ErrLower, "lower"},
}

const otherCause = "failed"

func causeLabel(err error) string {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.label
		}
	}
	return otherCause
}

// Detached notes the ledger of a detach. It is called on the loop.
func (m *Metrics) Detached(res ifmgr.Result) {
	result := clean
	if !res.Clean {
		result = orphaned
	}
	m.ledger.detaches.WithLabelValues(result, causeLabel(res.Cause)).Inc()
	m.ledger.took.Observe(res.Total.Seconds())
	for phase, took := range map[string]time.Duration{
		"withdraw": res.Withdraw, "grace": res.Grace, "hold": res.Hold, "close": res.Close,
	} {
		if res.Clean || took > 0 { // an orphan has phases that did not end
			m.ledger.phases.WithLabelValues(phase).Observe(took.Seconds())
		}
	}
	m.past.add(res.Name, res.Passed)
}

// Grace notes how long a grace period took. It is called on the loop.
func (m *Metrics) Grace(took time.Duration) { m.ledger.graces.Observe(took.Seconds()) }

// maxPast bounds the names that are remembered of interfaces that have ended.
const maxPast = 4096

// past is what ended incarnations have counted, by name.
type past struct {
	counted map[string]ifmgr.Counts
	shown   map[string]bool // the names in the last scrape
}

func newPast() past { return past{counted: map[string]ifmgr.Counts{}} }

func (p *past) add(name string, c ifmgr.Counts) {
	if len(p.counted) >= maxPast {
		// One that is not shown may start at zero again.
		maps.DeleteFunc(p.counted, func(name string, _ ifmgr.Counts) bool { return !p.shown[name] })
	}
	p.counted[name] = sum(p.counted[name], c)
}

func sum(a, b ifmgr.Counts) ifmgr.Counts {
	return ifmgr.Counts{
		RxPackets: a.RxPackets + b.RxPackets, RxBytes: a.RxBytes + b.RxBytes,
		TxPackets: a.TxPackets + b.TxPackets, TxBytes: a.TxBytes + b.TxBytes,
		TxErrors: a.TxErrors + b.TxErrors, RxMissed: a.RxMissed + b.RxMissed,
	}
}

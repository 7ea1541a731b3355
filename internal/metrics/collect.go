package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/reassembly"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/tcpstack"
)

// patience is how long a scrape waits for its turn. Prometheus waits for 10 s.
const patience = time.Second

// Describe implements prometheus.Collector. It says nothing, which means that
// what there is comes with each scrape.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	s := sink(ch)
	s.account(m.of.Plane.Stats())
	s.reassembly(m.of.Plane.Reassembly())
	if m.of.Transport != nil {
		s.transport(m.of.Transport.Stats())
	}
	workers := m.of.Plane.Workers()
	for _, w := range workers {
		s.counter(workerPackets, w.Received+w.Originated, w.Name)
		s.counter(workerBatches, w.Batches, w.Name)
	}
	s.gauge(beat, float64(m.of.Loop.Beat().UnixNano())/float64(time.Second))

	v, err := m.look()
	if err != nil { // stuck, or stopped
		s.gauge(answers, 0)
		return
	}
	s.gauge(answers, 1)
	s.loop(v.loop)
	s.ages(workers, v.loop)
	s.table(v.fib)
	s.counter(attached, v.totals.Attached)
	s.counter(refused, v.totals.Refused)
	s.states(v.all)
	s.discovery(v.discovered)
	s.lines(v.lines)
	for _, i := range v.shown {
		s.iface(i)
	}
}

// A view is what only the loop may read, at one moment.
type view struct {
	loop       loop.Stats
	fib        fib.Stats
	totals     ifmgr.Totals
	discovered *ifmgr.Discovery
	lines      []ifmgr.Line
	all        []ifmgr.Info
	shown      []shown
}

// A shown interface is one whose name nobody else has.
type shown struct {
	ifmgr.Info
	ifmgr.Counts // with those before it of its name
}

// look takes a turn to read what belongs to the loop.
func (m *Metrics) look() (v view, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = m.of.Loop.Do(ctx, func(t *loop.Turn) error {
		v = view{
			loop: t.Stats(), fib: m.of.FIB.Stats(t),
			totals: m.of.Interfaces.Totals(t), all: m.of.Interfaces.All(t),
			discovered: m.of.Interfaces.Discovered(t), lines: m.of.Interfaces.Lines(t),
		}
		m.past.shown = map[string]bool{}
		for _, in := range v.all {
			if in.State == ifmgr.Orphaned { // its name is free, and what it counted is noted
				continue
			}
			v.shown = append(v.shown, shown{in, sum(in.Traffic.Read(), m.past.counted[in.Name])})
			m.past.shown[in.Name] = true
		}
		if v.loop.Deferred == 0 { // a worker that stays is seen even if nothing waits for it
			t.AfterGrace(func(*loop.Turn) {})
		}
		return nil
	})
	return v, err
}

// A sink is where metrics go.
type sink chan<- prometheus.Metric

func (s sink) counter(d *prometheus.Desc, n uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) account(st dataplane.Stats) {
	s.counter(received, st.Received)
	s.counter(originated, st.Originated)
	s.counter(sent, st.Sent)
	s.counter(consumed, st.Consumed)
	for _, d := range dataplane.Drops() {
		s.counter(dropped, st.Dropped[d], d.String())
	}
	s.counter(heldPackets, st.Held)
	s.counter(released, st.Released)
	s.counter(batches, st.Batches)
	s.counter(errsSent, st.ErrorsSent)
	s.counter(errsLimited, st.ErrorsLimited)
	s.counter(lookupDead, st.DeadLookups)
	s.counter(drainingTx, st.DrainingSent)
}

func (s sink) reassembly(st reassembly.Stats) {
	s.counter(reassembled, st.Reassembled)
	s.counter(reassemblyFailed, st.TimedOut, "timeout")
	s.counter(reassemblyFailed, st.Refused, "refused")
	s.counter(reassemblyFailed, st.Evicted, "evicted")
	s.gauge(reassemblyHeld, float64(st.Held))
	s.gauge(reassemblyBytes, float64(st.Bytes))
}

func (s sink) transport(st tcpstack.Stats) {
	s.gauge(tcpConnections, float64(st.Waiting), "waiting")
	s.gauge(tcpConnections, float64(st.Connections-st.Waiting), "moving")
	s.counter(tcpOpened, st.Accepted, "peer")
	s.counter(tcpOpened, st.Dialed, "router")
	s.counter(tcpFailed, st.Failed)
	s.counter(tcpSegments, st.SegmentsIn, "in")
	s.counter(tcpSegments, st.SegmentsOut, "out")
	s.counter(tcpAgain, st.Retransmitted)
	s.counter(tcpResumed, st.Resumed)
	s.counter(tcpResets, st.Resets)
	s.counter(tcpCookies, st.SYNCookies)
	s.counter(tcpErrors, st.ErrorsRefused)
	s.counter(udpDatagrams, st.DatagramsIn, "in")
	s.counter(udpDatagrams, st.DatagramsOut, "out")
	s.counter(udpErrors, st.DatagramErrorsRefused)
}

func (s sink) loop(st loop.Stats) {
	s.counter(turns, st.Turns)
	s.gauge(epochNow, float64(st.Epoch))
	s.gauge(readers, float64(st.Readers))
	s.gauge(deferred, float64(st.Deferred))
	s.gauge(oldest, st.Oldest.Seconds())
}

// ages tells who delays the oldest grace period, and for how long.
func (s sink) ages(workers []dataplane.WorkerStats, st loop.Stats) {
	age := map[string]float64{}
	for _, w := range workers {
		age[w.Name] = 0
	}
	for _, name := range st.Slowest {
		age[name] = st.Oldest.Seconds()
	}
	for name, a := range age {
		s.gauge(qsAge, a, name)
	}
}

func (s sink) table(st fib.Stats) {
	s.gauge(generation, float64(st.Generation))
	s.gauge(fibPrefixes, float64(st.Prefixes))
	s.gauge(fibPairs, float64(st.Pairs))
	m := st.Memory
	s.gauge(fibTrie, float64(m.Trie-m.Waiting-m.Idle), "live")
	s.gauge(fibTrie, float64(m.Waiting), "waiting")
	s.gauge(fibTrie, float64(m.Idle), "idle")
	s.gauge(fibPairMem, float64(m.Pairs))
	s.gauge(fibSlots, float64(st.Groups))
	s.gauge(fibNexthops, float64(st.Nexthops))
}

// states are those of an interface that is still there.
var states = []ifmgr.State{ifmgr.Down, ifmgr.Up, ifmgr.Draining, ifmgr.Orphaned}

// states tells how many interfaces there are, and who holds them.
func (s sink) states(all []ifmgr.Info) {
	for _, state := range states {
		n := 0
		held := map[string]int64{}
		for _, kind := range []ifmgr.Holder{ifmgr.Route, ifmgr.Worker, ifmgr.Stacked} {
			held[kind.String()] = 0
		}
		for _, in := range all {
			if in.State != state {
				continue
			}
			n++
			for kind, k := range in.Held {
				held[kind] += k
			}
		}
		s.gauge(ifaces, float64(n), state.String())
		for kind, k := range held {
			s.gauge(holders, float64(k), kind, state.String())
		}
		if state == ifmgr.Orphaned {
			s.gauge(orphans, float64(n))
		}
	}
}

func (s sink) iface(i shown) {
	s.gauge(ifaceInfo, 1, i.Name, strconv.FormatUint(uint64(i.ID), 10), i.Device.Name, i.Device.Netns, i.Lower)
	for _, state := range states {
		s.gauge(ifaceState, bit(i.State == state), i.Name, state.String())
	}
	s.gauge(ifaceDisabled, bit(i.Disabled), i.Name)
	s.gauge(ifaceMTU, float64(i.MTU), i.Name)
	s.counter(rxPackets, i.RxPackets, i.Name)
	s.counter(rxBytes, i.RxBytes, i.Name)
	s.counter(txPackets, i.TxPackets, i.Name)
	s.counter(txBytes, i.TxBytes, i.Name)
	s.counter(txErrors, i.TxErrors, i.Name)
	s.counter(rxMissed, i.RxMissed, i.Name)
	if d := i.Discovery; d != nil {
		for _, state := range nd.States() {
			s.gauge(neighbors, float64(d.Neighbors[state]), i.Name, state.String())
		}
		s.gauge(overloaded, bit(d.Overloaded), i.Name)
	}
}

// bit is 1 for what is so.
func bit(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

func (s sink) lines(all []ifmgr.Line) {
	for _, l := range all {
		for _, p := range pppoe.Phases() {
			s.gauge(pppoePhase, bit(l.Phase == p), l.Name, p.String())
		}
		s.counter(pppoeOpened, l.Stats.Opened, l.Name)
		for _, c := range pppoe.Causes() {
			s.counter(pppoeEnded, l.Stats.Ended[c], l.Name, c.String())
		}
	}
}

func (s sink) discovery(d *ifmgr.Discovery) {
	s.counter(solicited, d.Solicited, "group")
	s.counter(solicited, d.Probed, "neighbor")
	s.counter(suppressed, d.Suppressed)
	s.counter(evicted, d.Evicted)
	s.counter(unanswered, d.Unanswered)
	s.counter(discoverLost, d.Lost)
	for why, n := range d.Invalid {
		s.counter(invalid, n, why)
	}
}

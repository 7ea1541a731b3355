package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	routerA, routerB = "2001:db8:a::1", "2001:db8:b::1"
	hostA, hostB     = "2001:db8:a::2", "2001:db8:b::2"
	blackhole        = "2001:db8:f::1"
	elsewhere        = "2001:db8:e::1"
)

// traffic sends a packet of each kind through the router: 5 in by a, one out by
// b, two back out by a.
func traffic(s *scene, a, b *lab.Port) {
	a.Send(
		lab.UDP(hostA, hostB, 1, 2, make([]byte, 100)),
		lab.Echo(hostA, routerA, 1, 1, nil),
		lab.UDP(hostA, elsewhere, 1, 2, nil), // answered
		lab.UDP(hostA, blackhole, 1, 2, nil),
		[]byte{0x45, 0},
	)
	s.Settle()
	for range 2 {
		a.Expect()
	}
	b.Expect()
}

// The scrape says what the account says, after traffic and detaches.
func TestScrapeEqualsTheAccount(t *testing.T) {
	s := newScene(t)
	a, b := s.Attach("a", routerA+"/64"), s.Attach("b", routerB+"/64")
	s.Route("2001:db8:f::/48", lab.Refuse(fib.Blackhole))
	traffic(s, a, b)
	b.Detach()
	b = s.Attach("b", routerB+"/64")
	traffic(s, a, b)
	b.Carrier(false)
	var graces uint64
	s.Until("grace periods to end", func() (over bool) {
		s.Turn(func(turn *loop.Turn) { graces, over = turn.Stats().Graces, turn.Stats().Deferred == 0 })
		return over
	})

	st := s.Stats()
	got := ask(t, s.Metrics)
	for series, want := range map[string]uint64{
		"received_packets_total": st.Received, "originated_packets_total": st.Originated,
		"sent_packets_total": st.Sent, "consumed_packets_total": st.Consumed, "batches_total": st.Batches,
		"icmp_errors_sent_total": st.ErrorsSent, "icmp_errors_limited_total": st.ErrorsLimited,
		"lookup_dead_total": st.DeadLookups, "draining_tx_total": st.DrainingSent,
	} {
		got.want(t, series, float64(want))
	}
	for _, d := range dataplane.Drops() {
		got.want(t, "dropped_packets_total{reason="+d.String()+"}", float64(st.Dropped[d]))
	}
	s.Turn(func(turn *loop.Turn) {
		f, e, totals := s.FIB.Stats(turn), turn.Stats(), s.Interfaces.Totals(turn)
		for series, want := range map[string]uint64{
			"fib_prefixes": uint64(f.Prefixes), "fib_pairs": uint64(f.Pairs), "fib_slots": uint64(f.Groups),
			"fib_nexthops": uint64(f.Nexthops), "snapshot_gen": f.Generation,
			"readers": uint64(e.Readers), "attach_total": totals.Attached, "admission_refused_total": totals.Refused,
		} {
			got.want(t, series, float64(want))
		}
		if turns := got.series()["router6d_loop_turns_total{}"]; turns < 1 || turns > float64(e.Turns) {
			t.Errorf("turns = %v, want up to %d", turns, e.Turns)
		}
	})

	// By hand, so that not all can be wrong together.
	for series, want := range map[string]float64{
		"received_packets_total":                             10,
		"originated_packets_total":                           4,
		"dropped_packets_total{reason=no_route}":             2,
		"dropped_packets_total{reason=blackhole}":            2,
		"dropped_packets_total{reason=not_ipv6}":             2,
		"icmp_errors_sent_total":                             2,
		"interface_receive_packets_total{iface=a}":           10,
		"interface_transmit_packets_total{iface=a}":          4,
		"interface_receive_bytes_total{iface=b}":             0,
		"interface_transmit_packets_total{iface=b}":          2,
		"interface_transmit_bytes_total{iface=b}":            2 * 148,
		"interface_mtu_bytes{iface=a}":                       1500,
		"interface_state{iface=a,state=up}":                  1,
		"interface_disabled{iface=a}":                        0,
		"interface_state{iface=a,state=down}":                0,
		"interface_state{iface=b,state=down}":                1,
		"interface_info{device=,id=1,iface=a,lower=,netns=}": 1,
		"interface_info{device=,id=3,iface=b,lower=,netns=}": 1,
		"worker_packets_total{worker=a}":                     14,
		"worker_packets_total{worker=b}":                     0,
		"qs_age_seconds{worker=a}":                           0,
		"ifaces{state=up}":                                   1,
		"ifaces{state=down}":                                 1,
		"ifaces{state=draining}":                             0,
		"ifaces{state=orphaned}":                             0,
		"orphans":                                            0,
		"holders{kind=worker,state=up}":                      1,
		"holders{kind=worker,state=down}":                    1,
		"holders{kind=route,state=down}":                     0,
		"attach_total":                                       3,
		"detach_total{cause=requested,result=clean}":         1,
		"detach_total{cause=deleted,result=clean}":           0,
		"detach_seconds_count":                               1,
		"detach_phase_seconds_count{phase=withdraw}":         1,
		"detach_phase_seconds_count{phase=grace}":            1,
		"detach_phase_seconds_count{phase=hold}":             1,
		"detach_phase_seconds_count{phase=close}":            1,
		"detach_phase_seconds_bucket{phase=close,le=60}":     1,
		"lookup_dead_total":                                  0,
		"loop_answers":                                       1,
		"consumed_packets_total":                             2,
		"sent_packets_total":                                 6,
	} {
		got.want(t, series, want)
	}
	// The scrape begins one of its own.
	if n := got.series()["router6d_grace_seconds_count{}"] - float64(graces); n != 0 && n != 1 {
		t.Errorf("grace periods: %v more than there were", n)
	}
	if got.series()["router6d_loop_beat_timestamp_seconds{}"] < 1e9 {
		t.Error("the loop has no beat")
	}
}

// The names are as Prometheus wants them.
func TestPromlint(t *testing.T) {
	s := newScene(t)
	s.Attach("a")
	problems, err := promlint.NewWithMetricFamilies(ask(t, s.Metrics).ours()).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A series that is there in two scrapes has not gone back, whatever has ended
// and come back between them.
func TestCountersDoNotGoBack(t *testing.T) {
	s := newScene(t)
	a := s.Attach("a", routerA+"/64")
	s.Route("2001:db8:f::/48", lab.Refuse(fib.Blackhole))
	before := map[string]float64{}
	for i := range 20 {
		b := s.Attach("b", routerB+"/64")
		for range 1 + i%3 {
			traffic(s, a, b)
		}
		now := ask(t, s.Metrics)
		for series, v := range now.monotonic() {
			if v < before[series] {
				t.Errorf("%s went from %v back to %v", series, before[series], v)
			}
		}
		before = now.monotonic()
		b.Detach()
		if i%2 == 0 {
			for series := range ask(t, s.Metrics).series() {
				if strings.Contains(series, "iface=b") || strings.Contains(series, "worker=b") {
					t.Errorf("%s is told, and b has ended", series)
				}
			}
		}
	}
}

// Two scrapes at once take a turn each.
func TestScrapesAtOnce(t *testing.T) {
	s := newScene(t)
	s.Attach("a", routerA+"/64")
	done := make(chan error, maxScrapes)
	for range maxScrapes {
		go func() { _, err := s.Gatherer().Gather(); done <- err }()
	}
	for range maxScrapes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What holds an interface back has its name in the scrape.
func TestScrapeShowsWhoIsLate(t *testing.T) {
	s := newScene(t)
	a := s.Attach("a", routerA+"/64")
	late := s.Domain.Register("late")
	g := late.Enter()
	ended := make(chan ifmgr.Result)
	go func() { ended <- a.Detach() }()
	s.Until("the detach to begin", func() bool {
		return ask(t, s.Metrics).series()["router6d_ifaces{state=draining}"] == 1
	})
	then := ask(t, s.Metrics)
	then.want(t, "interface_state{iface=a,state=draining}", 1)
	if age := then.series()["router6d_qs_age_seconds{worker=late}"]; age <= 0 {
		t.Errorf("age of the late reader = %v, want more than 0", age)
	}
	if then.series()["router6d_grace_oldest_seconds{}"] <= 0 || then.series()["router6d_deferred_objects{}"] < 1 {
		t.Error("nothing waits")
	}
	g.Leave()
	late.Close()
	<-ended
	now := ask(t, s.Metrics).series()
	if _, ok := now["router6d_qs_age_seconds{worker=late}"]; ok {
		t.Error("the late reader is still told of")
	}
}

// A reader that stays is seen by the second scrape, even if nothing was detached.
func TestScrapeLooksForReadersThatStay(t *testing.T) {
	s := newScene(t)
	r := s.Domain.Register("stays")
	g := r.Enter()
	ask(t, s.Metrics)
	if age := ask(t, s.Metrics).series()["router6d_qs_age_seconds{worker=stays}"]; age <= 0 {
		t.Errorf("age = %v, want more than 0", age)
	}
	ask(t, s.Metrics).want(t, "deferred_objects", 1) // one look is enough
	g.Leave()
	r.Close()
}

func TestEveryFamilyIsOfTheRightType(t *testing.T) {
	s := newScene(t)
	for _, f := range ask(t, s.Metrics).ours() {
		name := f.GetName()
		counts := strings.HasSuffix(name, "_total")
		if counts != (f.GetType().String() == "COUNTER") {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: help %q is no sentence", name, f.GetHelp())
		}
	}
}

// Fragments to the router are in the scrape: those that wait, and what became of
// others.
func TestReassemblyIsScraped(t *testing.T) {
	s := newScene(t)
	a := s.Attach("a", routerA+"/64")
	ping := lab.Echo(hostA, routerA, 1, 1, make([]byte, 100))
	a.Send(lab.Fragments(ping, 64, 1)...)
	a.Expect()
	a.Send(lab.Piece(ping, 0, 64, true, 2))
	a.Send(lab.Piece(ping, 0, 64, true, 3), lab.Piece(ping, 56, 72, true, 3)) // overlap
	s.Settle()
	got := ask(t, s.Metrics)
	for series, want := range map[string]int{
		"reassembled_packets_total": 1, "reassembly_held_packets": 2, "reassembly_held_bytes": s.Plane.Reassembly().Bytes,
		"reassembly_failed_total{cause=refused}": 1, "reassembly_failed_total{cause=timeout}": 0, "reassembly_failed_total{cause=evicted}": 0,
	} {
		got.want(t, series, float64(want))
	}
}

package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/netlab/fds"
)

// What a demo of the default duration must at least have done to count.
const (
	wantCycles = 100
	wantTCP    = 1_000_000_000 // bytes
	wantUDP    = 10_000        // packets
)

// A Result is what the demo saw.
type Result struct {
	OK        bool     `json:"ok"`
	Failures  []string `json:"failures"` // why not
	Seconds   float64  `json:"seconds"`
	Created   int      `json:"created"`  // interfaces of the churn
	Detaches  int      `json:"detaches"` // of them
	Orphaned  int      `json:"orphaned"`
	Routes    int      `json:"routes_on_wan"`
	DeadTotal uint64   `json:"dead_lookups"`

	Wrong       uint64 `json:"wrong_interface"` // packets on an interface they were not for
	Tagged      uint64 `json:"tagged_delivered"`
	Lost        uint64 `json:"unaffected_lost"` // UDP packets between west and east
	SocketDrops uint64 `json:"kernel_socket_drops"`
	QueueDrops  uint64 `json:"kernel_tx_dropped"`
	Balanced    bool   `json:"accounting_balanced"`
	Leaks       int    `json:"leaks"`

	TCPBytes   uint64  `json:"tcp_bytes"`
	TCPGbps    float64 `json:"tcp_gbps"`
	UDPPackets uint64  `json:"udp_packets"`

	WithdrawP50 float64 `json:"withdraw_p50_us"`
	WithdrawP99 float64 `json:"withdraw_p99_us"`
	DetachP50   float64 `json:"detach_p50_ms"`
	DetachP99   float64 `json:"detach_p99_ms"`

	Drops map[string]uint64 `json:"drops"` // by reason
}

// watch prints a line a second until the show is over.
func (s *stage) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.forwarded()
		fmt.Fprintln(s.o.Live, s.line(float64(now-last)*8/1e9))
		last = now
	}
}

// forwarded is the bytes that west and east have brought so far.
func (s *stage) forwarded() (n uint64) {
	s.fault(s.router.Loop.Do(context.Background(), func(t *loop.Turn) error {
		for _, in := range s.router.Interfaces.All(t) {
			if in.Name == "west" || in.Name == "east" {
				n += in.Traffic.RxBytes.Load()
			}
		}
		return nil
	}))
	return n
}

func (s *stage) line(gbps float64) string {
	stats := s.router.Plane.Stats()
	withdraw, detach := s.times()
	received, missing := s.traffic.udpSoFar()
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%5.1f Gbit/s  udp %d lost %d  made %d ended %d  withdraw p99 %.0f µs  detach p99 %.0f ms  dead lookups %d  wrong interface %d  drops %s",
		gbps, received, missing, s.made, len(s.ledgers), percentile(withdraw, 99), percentile(detach, 99)/1000,
		stats.DeadLookups, s.tags.Wrong.Load()+s.tags.Late.Load(), drops(&stats))
}

// drops is a few words about what was dropped.
func drops(stats *dataplane.Stats) string {
	var all []string
	for _, d := range dataplane.Drops() {
		if n := stats.Dropped[d]; n > 0 {
			all = append(all, fmt.Sprintf("%s=%d", d, n))
		}
	}
	if all == nil {
		return "none"
	}
	return strings.Join(all, ",")
}

// times are those of withdrawing and of whole detaches, in microseconds.
func (s *stage) times() (withdraw, detach []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.ledgers {
		withdraw = append(withdraw, float64(l.Withdraw.Nanoseconds())/1e3)
		detach = append(detach, float64(l.Total.Nanoseconds())/1e3)
	}
	return withdraw, detach
}

func percentile(v []float64, p int) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, len(v)*p/100)]
}

// judge stops the traffic and sees what became of it.
func (s *stage) judge(ctx context.Context, took time.Duration) (Result, error) {
	queueDrops, err := s.queueDrops()
	if err := errors.Join(err, s.stopTraffic()); err != nil {
		s.fault(err)
	}
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("interrupted: %w", ctx.Err())
	}
	r := Result{Seconds: took.Seconds(), Routes: wanRoutes, TCPBytes: s.traffic.tcp, QueueDrops: queueDrops}
	r.TCPGbps = float64(r.TCPBytes) * 8 / 1e9 / r.Seconds
	for _, u := range s.traffic.udp {
		r.UDPPackets += u.Received
		r.Lost += u.Missing - u.SocketDrops + u.Corrupt + u.Duplicated
		r.SocketDrops += u.SocketDrops
		r.Wrong += u.Misdelivered
	}
	return r, nil
}

// queueDrops is what the kernel dropped before the router could read it.
func (s *stage) queueDrops() (n uint64, err error) {
	for _, name := range []string{"west", "east"} {
		l, err := s.ns[name].Link(name)
		if err != nil {
			return n, err
		}
		n += l.Stats.TxDropped
	}
	return n, nil
}

// end completes the result when the lab is down.
func (r *Result) end(s *stage, before things) {
	stats := s.router.Plane.Stats()
	r.DeadTotal, r.Balanced = stats.DeadLookups, stats.Balanced()
	r.Drops = map[string]uint64{}
	for _, d := range dataplane.Drops() {
		if n := stats.Dropped[d]; n > 0 {
			r.Drops[d.String()] = n
		}
	}
	r.Created, r.Wrong, r.Tagged = s.made, r.Wrong+s.tags.Wrong.Load()+s.tags.Late.Load(), s.tags.Right.Load()
	for _, l := range s.ledgers {
		if !l.Clean {
			r.Orphaned++
		}
		if l.Name != "west" && l.Name != "east" {
			r.Detaches++
		}
	}
	withdraw, detach := s.times()
	r.WithdrawP50, r.WithdrawP99 = percentile(withdraw, 50), percentile(withdraw, 99)
	r.DetachP50, r.DetachP99 = percentile(detach, 50)/1e3, percentile(detach, 99)/1e3
	left := before.leaked()
	r.Leaks = len(left)
	r.Failures = r.failures(s, left)
	r.OK = len(r.Failures) == 0
}

// failures is all that must not have been.
func (r *Result) failures(s *stage, leaks []string) []string {
	bad := []string{}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	share := s.o.Duration.Seconds() / DefaultDuration.Seconds()
	check(r.Orphaned == 0, "%d detaches ended orphaned", r.Orphaned)
	check(r.Detaches == r.Created, "%d interfaces made, %d detached", r.Created, r.Detaches)
	check(r.DeadTotal == 0, "%d lookups returned a withdrawn interface", r.DeadTotal)
	check(r.Wrong == 0, "%d packets on the wrong interface", r.Wrong)
	check(r.Lost == 0, "%d UDP packets lost between west and east", r.Lost)
	check(r.Balanced, "the account of packets does not balance")
	check(r.Tagged > 0, "no tagged packet arrived")
	check(float64(r.Detaches) >= wantCycles*share, "%d interfaces made and destroyed, want %.0f", r.Detaches, wantCycles*share)
	check(float64(r.TCPBytes) >= wantTCP*share, "%d bytes of TCP, want %.0f", r.TCPBytes, wantTCP*share)
	check(float64(r.UDPPackets) >= wantUDP*share, "%d UDP packets, want %.0f", r.UDPPackets, wantUDP*share)
	for _, l := range leaks {
		check(false, "left behind: %s", l)
	}
	for _, err := range s.faults {
		check(false, "%v", err)
	}
	return bad
}

// String is the summary.
func (r Result) String() string {
	var b strings.Builder
	word := "all well"
	if !r.OK {
		word = "NOT WELL"
	}
	fmt.Fprintf(&b, "%s: %.0f s, %d interfaces made and destroyed under traffic, %d orphaned\n", word, r.Seconds, r.Detaches, r.Orphaned)
	fmt.Fprintf(&b, "  tcp              %.1f GB, %.1f Gbit/s, every byte right\n", float64(r.TCPBytes)/1e9, r.TCPGbps)
	fmt.Fprintf(&b, "  udp              %d packets, %d lost (in the kernel: %d at sockets, %d in queues)\n",
		r.UDPPackets, r.Lost, r.SocketDrops, r.QueueDrops)
	fmt.Fprintf(&b, "  dead lookups     %d\n", r.DeadTotal)
	fmt.Fprintf(&b, "  wrong interface  %d of %d tagged packets\n", r.Wrong, r.Wrong+r.Tagged)
	fmt.Fprintf(&b, "  withdraw         p50 %.1f µs, p99 %.1f µs, wan with %d routes among them\n", r.WithdrawP50, r.WithdrawP99, r.Routes)
	fmt.Fprintf(&b, "  detach           p50 %.1f ms, p99 %.1f ms\n", r.DetachP50, r.DetachP99)
	fmt.Fprintf(&b, "  account          balanced: %v\n", r.Balanced)
	fmt.Fprintf(&b, "  left behind      %d\n", r.Leaks)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "  FAILED: %s\n", f)
	}
	return b.String()
}

// things are what a demo may leave behind.
type things struct {
	files      fds.Set
	goroutines int
}

func inventory() (things, error) {
	open, err := fds.Open()
	return things{open, runtime.NumGoroutine()}, err
}

// leaked names what is there now and was not before.
func (t things) leaked() (left []string) {
	for deadline := time.Now().Add(cleanupTimeout); runtime.NumGoroutine() > t.goroutines && time.Now().Before(deadline); {
		runtime.Gosched() // the last ones are on their way out
	}
	if n := runtime.NumGoroutine() - t.goroutines; n > 0 {
		left = append(left, fmt.Sprintf("%d goroutines", n))
	}
	open, err := fds.Open()
	if err != nil {
		return append(left, err.Error())
	}
	for n, what := range open.Since(t.files) {
		left = append(left, fmt.Sprintf("descriptor %d of %s", n, what))
	}
	for _, ns := range netlab.Names(fmt.Sprintf("%s%d-", namePrefix, os.Getpid())) {
		left = append(left, "namespace "+ns)
	}
	return append(left, leftDevices()...)
}

// leftDevices are devices that were made and not moved or closed.
func leftDevices() (left []string) {
	all, err := net.Interfaces()
	if err != nil {
		return []string{err.Error()}
	}
	for _, i := range all {
		if strings.HasPrefix(i.Name, "r6-") {
			left = append(left, "device "+i.Name)
		}
	}
	return left
}

//go:build bench

package forward

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/internal/lab"
)

// A load is something to carry. run returns what arrived.
type load struct {
	name string
	unit unit
	run  func(t testing.TB, s *scene, d time.Duration) (arrived, error)
	only []string // contestants that run it, nil: all; besides those that say so
}

type unit string

const (
	gigabits unit = "Gbit/s"
	kilo     unit = "kpps"
	micro    unit = "µs" // the median; less is better
)

// arrived is what came through: for latencies, how long it took.
type arrived struct {
	packets, bytes float64
	took           time.Duration
	lost           float64
	weaker         float64 // of two directions, the share of the one that got less
	p50, p99       time.Duration
}

var loads = []*load{
	{name: "tcp1", unit: gigabits, run: iperf("-P", "1")},
	{name: "tcp4", unit: gigabits, run: iperf("-P", "4")},
	{name: "tcp16", unit: gigabits, run: iperf("-P", "16")},
	{name: "tcpbidir", unit: gigabits, run: iperf("-P", "1", "--bidir")},
	{name: "udp64", unit: gigabits, run: iperf("-u", "-b", "0", "-l", "64")},
	{name: "udp512", unit: gigabits, run: iperf("-u", "-b", "0", "-l", "512")},
	{name: "udp1200", unit: gigabits, run: iperf("-u", "-b", "0", "-l", "1200")},
	{name: "pps64", unit: kilo, run: generate(constant(64))},
	{name: "imix", unit: gigabits, run: generate(imix)},
	{name: "pps64table", unit: kilo, run: generate(acrossTable), only: []string{ours}},
	{name: "pps64ways", unit: kilo, run: generate(acrossWays), only: []string{ours}},
	{name: "latency", unit: micro, run: latency},
	{name: "latency_tcp1", unit: micro, run: loadedLatency},
	{name: "calm_tcp1", unit: gigabits, run: iperf("-P", "1"), only: []string{ours, "plain", "kernel"}},
	{name: "churn_tcp1", unit: gigabits, run: churned(iperf("-P", "1")), only: []string{ours, "plain", "kernel"}},
	{name: "churn_udp", unit: gigabits, run: churned(iperf("-u", "-b", "100M", "-l", "1200")), only: []string{ours, "plain", "kernel"}},
}

// concerns reports whether the contestant runs this load.
func (l *load) concerns(s *scene) bool {
	switch {
	case s.extra():
		return slices.Contains(s.loads, l.name)
	case l.only != nil:
		return slices.Contains(l.only, s.name)
	}
	return true
}

// iperf runs iperf3 from src to dst: cubic for all, a whole number of seconds.
func iperf(args ...string) func(testing.TB, *scene, time.Duration) (arrived, error) {
	return func(t testing.TB, s *scene, d time.Duration) (a arrived, err error) {
		all := append([]string{"--client", hostDst.String(), "--json", "--time", strconv.Itoa(max(1, int(d.Round(time.Second).Seconds())))}, args...)
		if args[0] != "-u" {
			all = append(all, "--congestion", "cubic")
		}
		cmd := command("iperf3", all...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		before, errBefore := s.datagrams()
		if err := errors.Join(errBefore, s.src.Do(cmd.Start)); err != nil {
			return a, err
		}
		late := time.AfterFunc(d+20*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			return a, fmt.Errorf("iperf3 %v: %w: %s%s", args, err, out.String(), errs.String())
		}
		after, err := s.datagrams()
		if err != nil {
			return a, err
		}
		return readIperf([]byte(out.String()), after-before)
	}
}

// datagrams is how many UDP has handed to programs in dst. iperf3 does not tell: it
// takes for received what is missing after the last that came.
func (s *scene) datagrams() (n float64, err error) {
	const key = "Udp6InDatagrams"
	err = s.dst.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp6")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(line, key); ok {
				n, err = strconv.ParseFloat(strings.TrimSpace(text), 64)
				return err
			}
		}
		return fmt.Errorf("the kernel does not tell %s", key)
	})
	return n, err
}

type iperfSum struct {
	Seconds float64 `json:"seconds"`
	Bytes   float64 `json:"bytes"`
	Packets float64 `json:"packets"`
}

func readIperf(b []byte, datagrams float64) (a arrived, err error) {
	var r struct {
		End struct {
			Sum      *iperfSum `json:"sum"` // of UDP: what was sent, and what of it was lost
			Received iperfSum  `json:"sum_received"`
			Reverse  iperfSum  `json:"sum_received_bidir_reverse"`
		} `json:"end"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return a, err
	}
	e := &r.End
	if e.Sum != nil && e.Sum.Packets > 0 {
		a.packets = datagrams - 1 // the client's greeting is one, too
		a.lost = e.Sum.Packets - a.packets
		a.bytes = e.Sum.Bytes * a.packets / e.Sum.Packets
		a.took = time.Duration(e.Sum.Seconds * 1e9)
		return a, nil
	}
	a.bytes = e.Received.Bytes + e.Reverse.Bytes
	if a.bytes > 0 {
		a.weaker = min(e.Received.Bytes, e.Reverse.Bytes) / a.bytes
	}
	a.took = time.Duration(e.Received.Seconds * 1e9)
	return a, nil
}

// A packetList is what the generator sends again and again.
type packetList func(t testing.TB, s *scene) [][]byte

// stranger is in no host: what goes there is counted where it arrives.
var stranger = netip.MustParseAddr("2001:db8:2:ffff::99")

func udpPacket(size int, to netip.Addr, flow int) []byte {
	const headers = 48
	return lab.UDP(hostSrc.String(), to.String(), uint16(1024+flow), 9, make([]byte, size-headers))
}

func constant(size int) packetList {
	return func(testing.TB, *scene) (all [][]byte) {
		for i := range generatorBatch {
			all = append(all, udpPacket(size, stranger, i))
		}
		return all
	}
}

// imix is seven small packets, four of middle size and one large one.
func imix(testing.TB, *scene) (all [][]byte) {
	for i := range 12 * 16 {
		size := [12]int{64, 576, 64, 64, 576, 64, 1500, 64, 576, 64, 576, 64}[i%12]
		all = append(all, udpPacket(size, stranger, i))
	}
	return all
}

// acrossTable goes to addresses out of the full table, whatever routes there are.
func acrossTable(t testing.TB, _ *scene) (all [][]byte) {
	rng := rand.New(rand.NewPCG(6, 6))
	table := lab.FullTable(t)
	for i := range 1 << 14 {
		all = append(all, udpPacket(64, table[rng.IntN(len(table))].Addr(), i))
	}
	return all
}

// acrossWays goes to a host on each link in turn that the contestant has.
func acrossWays(_ testing.TB, s *scene) (all [][]byte) {
	for i := range 63 * generatorBatch {
		all = append(all, udpPacket(64, wayAddr(i%s.ways, 99), i))
	}
	return all
}

const generatorBatch = 64 // packets a system call

// generate has a thread put packets on src's device as fast as it can, and counts
// what dst's devices are given.
func generate(list packetList) func(testing.TB, *scene, time.Duration) (arrived, error) {
	return func(t testing.TB, s *scene, d time.Duration) (a arrived, err error) {
		pkts := list(t, s)
		for i, p := range pkts {
			pkts[i] = append(append([]byte(nil), s.linkHeader...), p...)
		}
		index, err := s.src.Link(s.in)
		if err != nil {
			return a, err
		}
		var stop atomic.Bool
		done := make(chan error, 1)
		go func() {
			done <- s.src.Do(func() error { return flood(index.Index, pkts, &stop) })
		}()
		time.Sleep(d / 8) // until it flows
		before, began := s.counted(t), time.Now()
		time.Sleep(d)
		after := s.counted(t)
		a.took = time.Since(began)
		a.packets, a.bytes = after.packets-before.packets, after.bytes-before.bytes
		stop.Store(true)
		return a, <-done
	}
}

// counted is what dst's devices have been given.
func (s *scene) counted(t testing.TB) (a arrived) {
	t.Helper()
	links, err := s.dst.Links()
	check(t, err)
	for _, l := range links {
		if slices.Contains(s.out, l.Name) {
			a.packets += float64(l.Stats.RxPackets)
			a.bytes += float64(l.Stats.RxBytes)
		}
	}
	return a
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// flood sends the packets on a device until it is stopped, past its queueing.
func flood(dev int, pkts [][]byte, stop *atomic.Bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IPV6), Ifindex: dev}))
	if err != nil {
		return err
	}
	msgs := make([]mmsghdr, len(pkts))
	iovs := make([]unix.Iovec, len(pkts))
	for i, p := range pkts {
		iovs[i].Base = &p[0]
		iovs[i].SetLen(len(p))
		msgs[i].hdr.Iov = &iovs[i]
		msgs[i].hdr.SetIovlen(1)
	}
	for i := 0; !stop.Load(); {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[i])), uintptr(min(generatorBatch, len(msgs)-i)), 0, 0, 0)
		switch {
		case errno == unix.ENOBUFS: // the device is full: this one is lost
			n = 1
		case errno != 0:
			return fmt.Errorf("sendmmsg: %w", errno)
		}
		i = (i + int(n)) % len(msgs)
	}
	return nil
}

func networkOrder(x uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], x)
	return binary.BigEndian.Uint16(b[:])
}

// latency is of pings, one at a time, far enough apart for everybody to sleep.
func latency(t testing.TB, s *scene, d time.Duration) (a arrived, err error) {
	p, err := newPinger(s)
	if err != nil {
		return a, err
	}
	defer p.close()
	var rtt times
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Millisecond) {
		took, err := p.ping()
		if errors.Is(err, unix.EAGAIN) {
			a.lost++
			continue
		}
		if err != nil {
			return a, err
		}
		rtt = append(rtt, took)
	}
	if len(rtt) == 0 {
		return a, errors.New("no ping was answered")
	}
	a.p50, a.p99 = rtt.at(50), rtt.at(99)
	return a, nil
}

// loadedLatency is the same while a TCP stream takes all that it gets.
func loadedLatency(t testing.TB, s *scene, d time.Duration) (arrived, error) {
	done := make(chan error, 1)
	go func() {
		_, err := iperf("-P", "1")(t, s, d+time.Second)
		done <- err
	}()
	time.Sleep(d / 4) // until it flows
	a, err := latency(t, s, d)
	return a, errors.Join(err, <-done)
}

// A pinger sends echo requests, which dst's kernel answers.
type pinger struct {
	fd  int
	seq uint16
}

func newPinger(s *scene) (*pinger, error) {
	p := &pinger{fd: -1}
	err := s.src.Do(func() (err error) {
		p.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 500_000}),
			unix.Connect(p.fd, &unix.SockaddrInet6{Addr: hostDst.As16()}))
	})
	return p, err
}

// RFC 4443 §4.
const echoRequest, echoReply = 128, 129

func (p *pinger) close() { _ = unix.Close(p.fd) }

func (p *pinger) ping() (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.seq++
	b := make([]byte, 64)
	b[0] = echoRequest // the kernel completes it
	binary.BigEndian.PutUint16(b[6:], p.seq)
	began := time.Now()
	if _, err := unix.Write(p.fd, b); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Read(p.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n >= 8 && b[0] == echoReply && binary.BigEndian.Uint16(b[6:]) == p.seq:
			return time.Since(began), nil
		}
	}
}

const detachInterval = 100 * time.Millisecond // ten a second

// churned has interfaces made and ended beside the load: router6d's own, or a device
// of nobody's, to see what the kernel takes for it.
func churned(run func(testing.TB, *scene, time.Duration) (arrived, error)) func(testing.TB, *scene, time.Duration) (arrived, error) {
	return func(t testing.TB, s *scene, d time.Duration) (arrived, error) {
		once := comeAndGo
		if s.client != nil {
			once = func() error { return s.attachAndDetach(t) }
		}
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- churn(once, stop) }()
		a, err := run(t, s, d)
		close(stop)
		return a, errors.Join(err, <-done)
	}
}

func churn(once func() error, stop <-chan struct{}) error {
	tick := time.NewTicker(detachInterval)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		if err := once(); err != nil {
			return err
		}
	}
}

const guest = "guest"

func (s *scene) attachAndDetach(t testing.TB) error {
	if err := s.client.AddInterface(t.Context(), guest, struct{}{}); err != nil {
		return err
	}
	if l, err := s.client.DeleteInterface(t.Context(), guest); err != nil || l.Result != "clean" {
		return fmt.Errorf("detach: %+v: %w", l, err)
	}
	return nil
}

func comeAndGo() error {
	fd, err := openTUN(guest, 0)
	if err != nil {
		return err
	}
	dev, err := netlink.LinkByName(guest)
	if err == nil {
		err = netlink.LinkSetUp(dev)
	}
	return errors.Join(err, unix.Close(fd))
}

package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	cycles    = 500 // interfaces made and destroyed, at least
	probeRate = 1000
	flowRate  = 200_000_000 // bits a second, of the verified TCP flows
	iperfTime = 15          // seconds
)

// errBroken stands for what a descriptor can say that nobody expects.
var errBroken = errors.New("read: input/output error")

// TestChurn makes and destroys interfaces in every way there is, under real
// iperf3, verified TCP and paced UDP in both directions between west and east,
// to which nothing happens: they may lose nothing.
func TestChurn(t *testing.T) {
	s := newStage(t, 20*time.Second)
	flows := s.startFlows()
	iperf := s.startIperf3()
	var made atomic.Int64
	var acts sync.WaitGroup
	for _, act := range []func(n int) (int, error){s.churnAtOnce, s.churnSpaces, s.churnMany, s.churnKept} {
		acts.Go(func() {
			for n := 0; made.Load() < cycles || !iperf.done.Load(); n++ {
				k, err := act(n)
				if err != nil {
					t.Error(err)
					return
				}
				made.Add(int64(k))
			}
		})
	}
	acts.Wait()
	iperf.judge(t)
	s.judgeFlows(flows)
	t.Logf("%d interfaces made and destroyed, %d orphaned", made.Load(), s.orphans())
	if n := s.orphans(); n != 0 {
		t.Errorf("%d detaches ended orphaned", n)
	}
}

// churnAtOnce ends an interface by command, by deletion or by a broken
// descriptor, and makes one of the same name at once.
func (s *stage) churnAtOnce(n int) (int, error) {
	i, err := s.raise("again", s.home)
	if err != nil {
		return 0, err
	}
	switch n % 3 {
	case 0:
		err = s.delete(i)
	case 1:
		err = s.home.DeleteLink("again")
	default:
		err = s.breakDown(i.id)
	}
	return 1, err
}

// breakDown is what a worker does whose descriptor fails.
func (s *stage) breakDown(id ifmgr.ID) error {
	return s.r.Loop.Do(context.Background(), func(t *loop.Turn) error {
		s.r.Interfaces.Detach(t, id, errBroken, nil)
		return nil
	})
}

// churnSpaces makes an interface in a namespace of its own, which dies.
func (s *stage) churnSpaces(int) (int, error) {
	ns, err := netlab.NewNamespace("mortal")
	if err != nil {
		return 0, err
	}
	i, err := s.raise("mortal", ns)
	if err = errors.Join(err, ns.Delete()); err != nil {
		return 0, err
	}
	res, err := s.await(i.id)
	if err == nil && !errors.Is(res.Cause, ifmgr.ErrDeleted) {
		err = fmt.Errorf("namespace died, and the cause is %w", res.Cause)
	}
	return 1, err
}

// churnMany ends several interfaces in one turn: they share a grace period.
func (s *stage) churnMany(int) (int, error) {
	var all []*incarnation
	for k := range 4 {
		i, err := s.raise(fmt.Sprintf("many%d", k), s.home)
		if err != nil {
			return 0, err
		}
		all = append(all, i)
	}
	err := s.r.Loop.Do(context.Background(), func(t *loop.Turn) error {
		for _, i := range all {
			s.r.Interfaces.Detach(t, i.id, ifmgr.ErrRequested, nil)
		}
		return nil
	})
	for _, i := range all {
		_, e := s.await(i.id)
		err = errors.Join(err, e)
	}
	return len(all), err
}

// churnKept attaches to a persistent device and lets go of it again; every
// other time the device goes first.
func (s *stage) churnKept(n int) (int, error) {
	dev := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "kept"}, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI}
	if n%2 == 0 {
		if err := netlink.LinkAdd(dev); err != nil {
			return 0, fmt.Errorf("persistent device: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := s.r.Interfaces.Add(ctx, config.Interface{Name: "kept", Mode: config.ModeAttach, HopLimit: 64})
	if err != nil {
		return 0, err
	}
	if n%2 == 0 {
		_, err = s.r.DeleteInterface(ctx, "kept") // the device stays
		return 1, err
	}
	if err := s.home.DeleteLink("kept"); err != nil {
		return 0, err
	}
	_, err = s.await(id)
	return 1, err
}

// flows are what nothing may happen to.
type flows struct {
	sinks  []*netlab.TCPSink
	tcp    []*netlab.TCPFlow
	probes []*netlab.UDPProbe
}

func (s *stage) startFlows() (f flows) {
	s.t.Helper()
	w, e := netlab.End(netlab.Wire(1), 2), netlab.End(netlab.Wire(2), 2)
	for _, way := range []struct {
		from, to *netlab.Namespace
		src, dst netip.Addr
	}{{s.west, s.east, w, e}, {s.east, s.west, e, w}} {
		sink, err := netlab.StartTCPSink(way.to, netip.AddrPortFrom(way.dst, 0))
		s.must(err)
		flow, err := netlab.StartTCPFlow(s.t.Context(), way.from, way.src, sink.Addr(), flowRate)
		s.must(err)
		probe, err := netlab.StartUDPProbe(s.t.Context(), netlab.ProbeConfig{
			FromNS: way.from, From: netip.AddrPortFrom(way.src, 0),
			ToNS: way.to, To: netip.AddrPortFrom(way.dst, 0), PacketsPerSecond: probeRate, PacketBytes: 256,
		})
		s.must(err)
		f.sinks, f.tcp, f.probes = append(f.sinks, sink), append(f.tcp, flow), append(f.probes, probe)
	}
	return f
}

func (s *stage) judgeFlows(f flows) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range f.probes {
		r, err := p.Stop(ctx)
		s.must(err)
		s.t.Logf("udp: %d sent, %d received, %d missing, of them %d at the socket; longest silence %v",
			r.Sent, r.Received, r.Missing, r.SocketDrops, r.Silence)
		if lost := r.Missing - r.SocketDrops; lost+r.Corrupt+r.Duplicated+r.Misdelivered != 0 {
			s.t.Errorf("udp: lost %d, corrupt %d, duplicated %d, misdelivered %d", lost, r.Corrupt, r.Duplicated, r.Misdelivered)
		}
	}
	for _, flow := range f.tcp {
		r, err := flow.Stop(ctx)
		if err != nil {
			s.t.Error(err)
		}
		s.t.Logf("tcp: %d bytes verified, %d segments sent again", r.Verified, r.Retransmits)
	}
	for _, sink := range f.sinks {
		s.must(sink.Stop())
	}
	for _, ns := range []*netlab.Namespace{s.west, s.east} {
		l, err := ns.Link(ns.Name())
		s.must(err)
		s.t.Logf("%s: kernel tx_dropped %d", ns.Name(), l.Stats.TxDropped)
	}
}

// iperf3 is one client from west to east that sends as fast as it can.
type iperf3 struct {
	server, client *exec.Cmd
	out            bytes.Buffer
	done           atomic.Bool
	err            chan error
}

func (s *stage) startIperf3() *iperf3 {
	s.t.Helper()
	e := netlab.End(netlab.Wire(2), 2).String()
	i := &iperf3{
		server: exec.Command("iperf3", "--server", "--one-off", "--forceflush", "--bind", e),
		client: exec.Command("iperf3", "--client", e, "--time", fmt.Sprint(iperfTime), "--bidir", "--interval", "0"),
		err:    make(chan error, 1),
	}
	ready, err := i.server.StdoutPipe()
	s.must(err)
	i.client.Stdout, i.client.Stderr = &i.out, &i.out
	// A child lives in the namespace of the thread that starts it.
	s.must(s.east.Do(i.server.Start))
	_, err = ready.Read(make([]byte, 1)) // it says that it listens
	s.must(err)
	s.must(s.west.Do(i.client.Start))
	go func() {
		err := i.client.Wait()
		i.done.Store(true)
		i.err <- errors.Join(err, i.server.Wait())
	}()
	return i
}

func (i *iperf3) judge(t *testing.T) {
	t.Helper()
	if err := <-i.err; err != nil {
		t.Errorf("iperf3: %v\n%s", err, i.out.String())
	}
	t.Logf("iperf3:\n%s", i.out.String())
}

package torture

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	deaths    = 12          // of the interface under one connection
	slowRate  = 100_000_000 // bits a second, so that losses are seen soon
	wireOfOne = 3           // the wire of the interface that dies and returns
)

// TestFlowOverDyingInterface ends the interface under a TCP connection and a
// UDP probe, in every way, and makes it again with the same name and addresses:
// ICMPv6 errors come at once, and the same connection goes on.
func TestFlowOverDyingInterface(t *testing.T) {
	s := newStage(t, 20*time.Second)
	far := s.namespace("far")
	c, err := netlab.Leg("one", far, netlab.Wire(wireOfOne))
	s.must(err)
	s.must(s.add(c))
	w, o := netlab.End(netlab.Wire(1), 2), netlab.End(netlab.Wire(wireOfOne), 2)
	sink, err := netlab.StartTCPSink(far, netip.AddrPortFrom(o, 0))
	s.must(err)
	flow, err := netlab.StartTCPFlow(t.Context(), s.west, w, sink.Addr(), slowRate)
	s.must(err)
	probe, err := netlab.StartUDPProbe(t.Context(), netlab.ProbeConfig{
		FromNS: s.west, From: netip.AddrPortFrom(w, 0), ToNS: far, To: netip.AddrPortFrom(o, 0), PacketsPerSecond: probeRate,
	})
	s.must(err)
	var longest time.Duration
	for n := range deaths {
		s.progress(sink, "before the end")
		errorsBefore := unreachables(probe)
		s.kill(n, c, far)
		s.until("an ICMPv6 error", func() bool { return unreachables(probe) > errorsBefore })
		s.must(s.add(c))
		began := time.Now()
		s.progress(sink, "after the return")
		longest = max(longest, time.Since(began))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	report, err := flow.Stop(ctx)
	if err != nil {
		t.Error(err)
	}
	s.must(sink.Stop())
	r, err := probe.Stop(ctx)
	s.must(err)
	t.Logf("%d deaths, %d bytes verified, progress at most %v after the return; udp: %d of %d arrived",
		deaths, report.Verified, longest, r.Received, r.Sent)
}

func (s *stage) add(c config.Interface) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.r.AddInterface(ctx, c)
	return err
}

// kill ends the interface by command, by deletion or by a broken descriptor.
func (s *stage) kill(n int, c config.Interface, ns *netlab.Namespace) {
	s.t.Helper()
	id := s.id(c.Name)
	switch n % 3 {
	case 0:
		s.must(s.delete(&incarnation{c: c}))
		return
	case 1:
		s.must(ns.DeleteLink(c.Name))
	default:
		s.must(s.breakDown(id))
	}
	_, err := s.await(id)
	s.must(err)
}

// unreachables is how often the probe was told that there is no route.
func unreachables(p *netlab.UDPProbe) uint64 {
	return p.Report().ICMPErrors[netlab.ICMPError{Type: 1, Code: 0}]
}

// progress waits for new bytes to arrive.
func (s *stage) progress(sink *netlab.TCPSink, when string) {
	s.t.Helper()
	before := sink.Bytes()
	s.until("TCP "+when, func() bool { return sink.Bytes() > before })
}

// until waits for what the kernel tells nobody of.
func (s *stage) until(what string, so func() bool) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// TestFlowFallsToItsCover ends the interface of a prefix for which there are
// other ways: a less preferred route of the same prefix, and a shorter prefix.
// Packets take the best that is left from the next one on.
func TestFlowFallsToItsCover(t *testing.T) {
	s := newStage(t, 20*time.Second)
	names := []string{"best", "second", "cover"}
	var tags [3]*netlab.TagWatch
	sender, err := netlab.NewTags(s.west, netlab.End(netlab.Wire(1), 2))
	s.must(err)
	for k, name := range names {
		c, err := netlab.Leg(name, nil, netlab.Wire(10+k))
		s.must(err)
		s.must(s.add(c))
		tags[k], err = sender.Watch(s.home, name, uint64(k))
		s.must(err)
	}
	dst := netip.MustParseAddr("2001:db8:aaaa::1")
	s.route("2001:db8:aaaa::/48", "best", 0)
	s.route("2001:db8:aaaa::/48", "second", 1)
	s.route("2001:db8:aa00::/40", "cover", 0)
	for k, name := range names {
		before := sender.Right.Load()
		sender.Send(dst, uint64(k))
		s.until("a packet through "+name, func() bool { return sender.Right.Load() > before })
		s.must(s.delete(&incarnation{c: config.Interface{Name: name}}))
		tags[k].Gone()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.must(sender.Stop(ctx))
	if n := sender.Wrong.Load() + sender.Late.Load(); n != 0 {
		t.Errorf("%d packets went another way", n)
	}
}

func (s *stage) route(prefix, dev string, metric uint32) {
	s.t.Helper()
	_, err := s.r.AddRoute(s.t.Context(), config.Route{
		Prefix: netip.MustParsePrefix(prefix), Metric: metric, Paths: []config.Path{{Dev: dev, Weight: 1}},
	})
	s.must(err)
}

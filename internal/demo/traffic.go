package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"syscall"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

const (
	tcpPort = 5201
	udpPort = 5202
	// probeRate is that of each of the two probes between west and east, in
	// packets a second.
	probeRate  = 1000
	probeBytes = 256
)

// traffic is what passes between west and east and may lose nothing.
type traffic struct {
	sinks  []*netlab.TCPSink
	flows  []*netlab.TCPFlow
	probes []*netlab.UDPProbe
	iperf3 []*iperf3

	stopped bool
	tcp     uint64 // bytes verified
	udp     []netlab.UDPReport
	errs    []error
}

// startTraffic starts TCP and a UDP probe in both directions.
func (s *stage) startTraffic(ctx context.Context) error {
	west, east := s.ns["west"], s.ns["east"]
	w, e := netlab.End(netlab.Wire(1), 2), netlab.End(netlab.Wire(2), 2)
	if err := s.startTCP(ctx, west, w, east, e); err != nil {
		return err
	}
	if err := s.startTCP(ctx, east, e, west, w); err != nil {
		return err
	}
	for _, c := range []netlab.ProbeConfig{
		{FromNS: west, From: netip.AddrPortFrom(w, 0), ToNS: east, To: netip.AddrPortFrom(e, udpPort)},
		{FromNS: east, From: netip.AddrPortFrom(e, 0), ToNS: west, To: netip.AddrPortFrom(w, udpPort)},
	} {
		c.PacketsPerSecond, c.PacketBytes = probeRate, probeBytes
		p, err := netlab.StartUDPProbe(ctx, c)
		if err != nil {
			return err
		}
		s.traffic.probes = append(s.traffic.probes, p)
	}
	var err error
	s.tags, err = netlab.NewTags(west, w)
	return err
}

func (s *stage) startTCP(ctx context.Context, from *netlab.Namespace, src netip.Addr, to *netlab.Namespace, dst netip.Addr) error {
	if s.o.Iperf3 {
		i, err := startIperf3(from, to, dst, s.o.Duration)
		s.traffic.iperf3 = append(s.traffic.iperf3, i)
		return err
	}
	sink, err := netlab.StartTCPSink(to, netip.AddrPortFrom(dst, tcpPort))
	if err != nil {
		return err
	}
	s.traffic.sinks = append(s.traffic.sinks, sink)
	f, err := netlab.StartTCPFlow(ctx, from, src, sink.Addr(), 0)
	if err != nil {
		return err
	}
	s.traffic.flows = append(s.traffic.flows, f)
	return nil
}

// stopTraffic ends all traffic, once, and takes the reports.
func (s *stage) stopTraffic() error {
	t := &s.traffic
	if t.stopped {
		return nil
	}
	t.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	for _, p := range t.probes {
		r, err := p.Stop(ctx)
		t.udp = append(t.udp, r)
		t.errs = append(t.errs, err)
	}
	for _, f := range t.flows {
		r, err := f.Stop(ctx)
		t.tcp += r.Verified
		t.errs = append(t.errs, err)
	}
	for _, k := range t.sinks {
		t.errs = append(t.errs, k.Stop())
	}
	for _, i := range t.iperf3 {
		n, err := i.stop()
		t.tcp += n
		t.errs = append(t.errs, err)
	}
	return errors.Join(t.errs...)
}

// udpSoFar adds up the probes as they are now.
func (t *traffic) udpSoFar() (received, missing uint64) {
	for _, p := range t.probes {
		r := p.Report()
		received, missing = received+r.Received, missing+r.Missing
	}
	return received, missing
}

// iperf3 is a server and a client, each in its namespace.
type iperf3 struct {
	server, client *exec.Cmd
	out            bytes.Buffer
}

func startIperf3(from, to *netlab.Namespace, dst netip.Addr, d time.Duration) (*iperf3, error) {
	i := &iperf3{
		server: exec.Command("iperf3", "--server", "--one-off", "--bind", dst.String(), "--interval", "0"),
		client: exec.Command("iperf3", "--client", dst.String(), "--time", fmt.Sprint(int(d.Seconds())),
			"--congestion", "cubic", "--json", "--interval", "0", "--connect-timeout", "2000"),
	}
	i.client.Stdout = &i.out
	// A child lives in the namespace of the thread that starts it.
	if err := to.Do(i.server.Start); err != nil {
		return nil, fmt.Errorf("iperf3: %w", err)
	}
	if err := waitListening(to, dst); err != nil {
		return i, err
	}
	if err := from.Do(i.client.Start); err != nil {
		return i, fmt.Errorf("iperf3: %w", err)
	}
	return i, nil
}

// waitListening returns when the server has its port, which is when nobody else
// can have it.
func waitListening(ns *netlab.Namespace, a netip.Addr) error {
	for deadline := time.Now().Add(cleanupTimeout); time.Now().Before(deadline); {
		sink, err := netlab.StartTCPSink(ns, netip.AddrPortFrom(a, tcpPort))
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := sink.Stop(); err != nil {
			return err
		}
	}
	return errors.New("iperf3: the server does not listen")
}

// stop returns the bytes that arrived, waiting for the client to be done.
func (i *iperf3) stop() (bytes uint64, err error) {
	if i == nil {
		return 0, nil
	}
	if i.client.Process != nil {
		err = i.client.Wait()
	}
	_ = i.server.Process.Kill() // it may have ended
	_ = i.server.Wait()
	var report struct {
		End struct {
			Received struct {
				Bytes uint64 `json:"bytes"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err == nil {
		err = json.Unmarshal(i.out.Bytes(), &report)
	}
	if err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	return report.End.Received.Bytes, nil
}

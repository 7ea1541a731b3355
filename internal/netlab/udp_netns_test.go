package netlab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func startProbe(t testing.TB, a, b *Namespace, rate, size int) *UDPProbe {
	t.Helper()
	p, err := StartUDPProbe(t.Context(), ProbeConfig{
		FromNS: a, From: netip.AddrPortFrom(addrA, 0),
		ToNS: b, To: netip.AddrPortFrom(addrB, 0),
		PacketsPerSecond: rate, PacketBytes: size,
	})
	check(t, err)
	t.Cleanup(func() { _, _ = p.Stop(deadline(t)) })
	return p
}

func stopProbe(t testing.TB, p *UDPProbe) UDPReport {
	t.Helper()
	r, err := p.Stop(deadline(t))
	check(t, err)
	return r
}

func TestUDPProbeCountsEveryPacket(t *testing.T) {
	for _, c := range []struct {
		name       string
		rate, size int
	}{
		{"64 bytes", 20000, 0},
		{"1500 bytes", 5000, 1500},
		{"9000 bytes, in fragments", 500, 9000},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			p := startProbe(t, a, b, c.rate, c.size)
			eventually(t, "1000 have come", func() bool { return p.Report().Received >= 1000 })
			r := stopProbe(t, p)
			if r.Sent != r.Received || r.Missing+r.Duplicated+r.Reordered+r.Misdelivered+r.Corrupt != 0 {
				t.Errorf("report = %+v, want all received, nothing else", r)
			}
			if r.Max < r.P99 || r.P99 < r.Median || r.Median <= 0 || r.Silence <= 0 {
				t.Errorf("report = %+v, want delays", r)
			}
		})
	}
}

func TestUDPProbeKeepsItsRate(t *testing.T) {
	a, b := pair(t)
	p := startProbe(t, a, b, 10000, 0)
	eventually(t, "a second's packets have come", func() bool { return p.Report().Received >= 10000 })
	took := clock() - p.sender.began
	stopProbe(t, p)
	if took < 990*time.Millisecond {
		t.Errorf("10000 packets took %v, want at least a second", took)
	}
	t.Logf("10000 packets in %v", took)
}

func TestUDPProbeMissesWhatIsLost(t *testing.T) {
	a, b := pair(t)
	p := startProbe(t, a, b, 2000, 0)
	eventually(t, "some have come", func() bool { return p.Report().Received > 10 })
	check(t, b.DeleteAddress("right", netip.PrefixFrom(addrB, 64)))
	from := p.Report().Sent
	eventually(t, "some are lost", func() bool { return p.Report().Sent > from+200 })
	check(t, b.AddAddress("right", netip.PrefixFrom(addrB, 64)))
	had := p.Report().Received
	eventually(t, "more have come", func() bool { return p.Report().Received > had+10 })
	if r := p.Report(); r.Missing == 0 {
		t.Errorf("report = %+v, want some missing while it runs", r)
	}
	r := stopProbe(t, p)
	if r.Missing == 0 || r.Sent != r.Received+r.Missing {
		t.Errorf("report = %+v, want sent = received + missing", r)
	}
	if r.Silence < 90*time.Millisecond {
		t.Errorf("silence = %v, want at least a tenth of a second", r.Silence)
	}
}

func TestUDPProbeSurvivesItsDevice(t *testing.T) {
	a, b := pair(t)
	check(t, a.SetSysctl("net/ipv6/conf/left/keep_addr_on_down", "1"))
	p := startProbe(t, a, b, 2000, 0)
	eventually(t, "some have come", func() bool { return p.Report().Received > 10 })
	check(t, a.SetDown("left"))
	eventually(t, "sends fail", func() bool { return len(p.Report().SendErrors) > 0 })
	check(t, a.SetUp("left"))
	had := p.Report().Received
	eventually(t, "more have come", func() bool { return p.Report().Received > had+10 })
	r := stopProbe(t, p)
	if r.SendErrors[syscall.ENETUNREACH] == 0 {
		t.Errorf("send errors = %v, want %v", r.SendErrors, syscall.ENETUNREACH)
	}
	if r.Missing > r.Sent/2 {
		t.Errorf("report = %+v: failed sends count as missing", r)
	}
}

func TestUDPProbeCountsICMPErrors(t *testing.T) {
	a, b := pair(t)
	check(t, b.SetSysctl("net/ipv6/conf/all/forwarding", "1"))
	check(t, b.AddAddress("right", netip.MustParsePrefix("2001:db8:1::1/64"))) // to complain from
	check(t, b.AddRoute("right", netip.PrefixFrom(addrA, 128), netip.Addr{}))
	p := startProbe(t, a, b, 1000, 0)
	eventually(t, "some have come", func() bool { return p.Report().Received > 10 })
	// Once the neighbor is known, b gets the packets, and has no route.
	check(t, b.DeleteAddress("right", netip.PrefixFrom(addrB, 64)))
	noRoute := ICMPError{Type: 1, Code: 0}
	eventually(t, "errors come back", func() bool { return p.Report().ICMPErrors[noRoute] > 0 })
	r := stopProbe(t, p)
	if got, want := r.PathErrors[syscall.ENETUNREACH], r.ICMPErrors[noRoute]; got != want {
		t.Errorf("path errors = %v, want as many as %v", r.PathErrors, r.ICMPErrors)
	}
	if len(r.SendErrors) != 0 {
		t.Errorf("send errors = %v, want none: every packet was sent", r.SendErrors)
	}
}

// datagram is one of a probe's, but for the time.
func datagram(p *UDPProbe, seq uint64) []byte {
	b := make([]byte, stampSize, stampSize+len(p.receiver.noise)+1)
	binary.BigEndian.PutUint64(b, p.receiver.id<<seqBits|seq)
	return append(b, p.receiver.noise...)
}

// writeTo sends a datagram to a probe's receiver.
func writeTo(t testing.TB, p *UDPProbe, payload []byte) {
	t.Helper()
	check(t, onFD(p.sender.file, func(fd int) error {
		_, err := unix.Write(fd, payload)
		return err
	}))
}

func TestUDPProbeTellsStrayPackets(t *testing.T) {
	a, b := pair(t)
	p := startProbe(t, a, b, 1000, 100)
	eventually(t, "number 0 has come", func() bool { return p.Report().Received > 0 })
	first := datagram(p, 0)
	writeTo(t, p, first)

	corrupt := slices.Clone(first)
	corrupt[stampSize]++
	writeTo(t, p, corrupt)
	writeTo(t, p, first[:stampSize]) // short
	writeTo(t, p, append(first, 0))  // long

	stranger := slices.Clone(first)
	binary.BigEndian.PutUint64(stranger, (p.sender.id+1)<<seqBits)
	writeTo(t, p, stranger)
	writeTo(t, p, nil)

	eventually(t, "all six are counted", func() bool {
		r := p.Report()
		return r.Duplicated == 1 && r.Corrupt == 3 && r.Misdelivered == 2
	})
	if r := stopProbe(t, p); r.Missing != 0 {
		t.Errorf("report = %+v, want none missing", r)
	}
}

func TestUDPProbeTellsReorderedPackets(t *testing.T) {
	a, b := pair(t)
	p := startProbe(t, a, b, 100, 100)
	writeTo(t, p, datagram(p, 1000))
	eventually(t, "others come after it", func() bool { return p.Report().Reordered > 10 })
}

func TestUDPProbeShowsDropsAtTheSocket(t *testing.T) {
	a, b := pair(t)
	p := startProbe(t, a, b, 5000, 0)
	check(t, onFD(p.receiver.file, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	}))
	p.receiver.mu.Lock() // the receiver is busy
	sent := p.sender.sent.Load()
	eventually(t, "the buffer is full", func() bool { return p.sender.sent.Load() > sent+1000 })
	p.receiver.mu.Unlock()
	r := stopProbe(t, p)
	if r.SocketDrops == 0 || r.SocketDrops != r.Missing {
		t.Errorf("report = %+v, want all that is missing to have been dropped at the socket", r)
	}
}

func TestUDPProbeRefusesWhatItCannotDo(t *testing.T) {
	a, b := pair(t)
	good := ProbeConfig{
		FromNS: a, From: netip.AddrPortFrom(addrA, 0),
		ToNS: b, To: netip.AddrPortFrom(addrB, 0), PacketsPerSecond: 1,
	}
	for _, c := range []struct {
		name   string
		change func(*ProbeConfig)
	}{
		{"no rate", func(c *ProbeConfig) { c.PacketsPerSecond = 0 }},
		{"no room for the stamps", func(c *ProbeConfig) { c.PacketBytes = 63 }},
		{"an IPv4 address", func(c *ProbeConfig) { c.From = netip.MustParseAddrPort("192.0.2.1:0") }},
		{"an address that is not there", func(c *ProbeConfig) { c.From = netip.AddrPortFrom(addrB, 0) }},
		{"no route", func(c *ProbeConfig) { c.ToNS, c.To = a, netip.MustParseAddrPort("[2001:db8:9::]:0") }},
		{"a zone that is not there", func(c *ProbeConfig) { c.To = netip.MustParseAddrPort("[fe80::1%none]:0") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			c.change(&config)
			if _, err := StartUDPProbe(t.Context(), config); err == nil {
				t.Error("it started")
			} else if errors.Unwrap(err) == nil {
				t.Errorf("%v does not wrap its cause", err)
			}
		})
	}
}

func BenchmarkUDPProbe(b *testing.B) {
	left, right := pair(b)
	p := startProbe(b, left, right, 1e6, 0) // more than it can
	var want uint64
	for b.Loop() {
		want += 1000
		eventually(b, "1000 more have come", func() bool { return p.Report().Received >= want })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/pkt")
}

package netlab

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func startSink(t testing.TB, ns *Namespace) *TCPSink {
	t.Helper()
	s, err := StartTCPSink(ns, netip.AddrPortFrom(addrB, 0))
	check(t, err)
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func startFlow(t testing.TB, ns *Namespace, to netip.AddrPort, rate uint64) *TCPFlow {
	t.Helper()
	f, err := StartTCPFlow(t.Context(), ns, addrA, to, rate)
	check(t, err)
	t.Cleanup(func() { _, _ = f.Stop(deadline(t)) })
	return f
}

func TestTCPFlowIsWhole(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	f := startFlow(t, a, s.Addr(), 0)
	eventually(t, "64 MB have come", func() bool { return s.Bytes() > 64<<20 })
	state, err := f.State()
	check(t, err)
	if state.Acked == 0 || state.SegmentSize == 0 {
		t.Errorf("state = %+v, want bytes acked", state)
	}
	r, err := f.Stop(deadline(t))
	check(t, err)
	if r.Verified != r.Sent || r.Sent != f.Bytes() || r.Verified != s.Bytes() {
		t.Errorf("report = %+v, flow %d, sink %d: want all the same", r, f.Bytes(), s.Bytes())
	}
	check(t, s.Stop())
}

func TestTCPFlowsShareASink(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	one, two := startFlow(t, a, s.Addr(), 0), startFlow(t, a, s.Addr(), 0)
	eventually(t, "both send", func() bool { return one.Bytes() > 1<<20 && two.Bytes() > 1<<20 })
	r1, err := one.Stop(deadline(t))
	check(t, err)
	r2, err := two.Stop(deadline(t))
	check(t, err)
	if got, want := s.Bytes(), r1.Sent+r2.Sent; got != want {
		t.Errorf("the sink has had %d bytes, want %d", got, want)
	}
	check(t, s.Stop())
}

func TestTCPFlowKeepsItsRate(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	f := startFlow(t, a, s.Addr(), 400e6)
	eventually(t, "20 MB have come", func() bool { return s.Bytes() > 20e6 })
	r, err := f.Stop(deadline(t))
	check(t, err)
	// A busy machine may be slower; it must not be faster.
	if got := r.BitsPerSecond(); got > 420e6 {
		t.Errorf("%.0f bit/s, want at most 400e6", got)
	}
	t.Logf("%.0f Mbit/s", r.BitsPerSecond()/1e6)
}

func TestTCPFlowSurvivesADeadPath(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	// Limited, so that it is never the sink's window that it waits for.
	f := startFlow(t, a, s.Addr(), 100e6)
	eventually(t, "it flows", func() bool { return s.Bytes() > 1<<20 })
	check(t, b.DeleteAddress("right", netip.PrefixFrom(addrB, 64)))
	lost := retransmits(t, f)
	eventually(t, "it retransmits", func() bool { return retransmits(t, f) > lost+1 })
	check(t, b.AddAddress("right", netip.PrefixFrom(addrB, 64)))
	before := s.Bytes()
	eventually(t, "it flows again", func() bool { return s.Bytes() > before+1<<20 })
	r, err := f.Stop(deadline(t))
	check(t, err)
	if r.Retransmits == 0 {
		t.Error("the report has no retransmits")
	}
	check(t, s.Stop())
}

func retransmits(t testing.TB, f *TCPFlow) uint64 {
	t.Helper()
	s, err := f.State()
	check(t, err)
	return s.Retransmits
}

func TestTCPStopIsBoundedOnADeadPath(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	f := startFlow(t, a, s.Addr(), 0)
	eventually(t, "it flows", func() bool { return s.Bytes() > 1<<20 })
	check(t, b.SetDown("right"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Stop(ctx); err == nil {
		t.Error("Stop over a dead path succeeded")
	}
	check(t, s.Stop()) // it was cut by us
}

func TestTCPFlowEndsWithItsContext(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	f, err := StartTCPFlow(ctx, a, addrA, s.Addr(), 0)
	check(t, err)
	eventually(t, "it flows", func() bool { return s.Bytes() > 1<<20 })
	cancel()
	<-f.Ended()
	_, err = f.Stop(deadline(t))
	check(t, err)
}

// dial connects to a sink as a flow does, to misbehave.
func dial(t testing.TB, ns *Namespace, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	conn, err := dialTCP(t.Context(), ns, addrA, to)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestTCPSinkFindsTheWrongByte(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	conn := dial(t, a, s.Addr())
	const wrong = 2*lap + 1234
	data := stream(5, 3*lap)
	data[wrong]++
	var hello [helloSize]byte
	binary.BigEndian.PutUint64(hello[:], helloMagic)
	binary.BigEndian.PutUint64(hello[8:], 5)
	_, err := conn.Write(append(hello[:], data...))
	check(t, err)
	check(t, conn.CloseWrite())
	var got [answerSize]byte
	_, err = io.ReadFull(conn, got[:])
	check(t, err)
	if status := binary.BigEndian.Uint64(got[:]); status != answerWrong {
		t.Errorf("status = %d, want %d", status, answerWrong)
	}
	if at := binary.BigEndian.Uint64(got[8:]); at != wrong {
		t.Errorf("wrong byte at %d, want %d", at, wrong)
	}
	_, _ = io.Copy(io.Discard, conn) // the sink has closed
	if err := s.Stop(); err == nil || !strings.Contains(err.Error(), "wrong byte at offset") {
		t.Errorf("Stop = %v, want the wrong byte", err)
	}
}

func TestTCPSinkRefusesStrangers(t *testing.T) {
	a, b := pair(t)
	s := startSink(t, b)
	conn := dial(t, a, s.Addr())
	_, err := conn.Write(make([]byte, helloSize))
	check(t, err)
	_, _ = io.Copy(io.Discard, conn)
	if err := s.Stop(); err == nil {
		t.Error("Stop of a sink that met a stranger succeeded")
	}
}

// serveOnce takes one connection in a sink's place.
func serveOnce(t testing.TB, ns *Namespace, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	var l net.Listener
	check(t, ns.Do(func() (err error) {
		l, err = net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addrB, 0)))
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		serve(conn.(*net.TCPConn))
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestTCPFlowReportsWhatTheSinkAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		early bool // it ends by itself
		serve func(*net.TCPConn)
		want  string
	}{
		{
			"a byte is missing at the end", false,
			func(c *net.TCPConn) {
				n, _ := io.Copy(io.Discard, c)
				_ = answer(c, answerWhole, uint64(n)-helloSize-1)
			},
			"arrived",
		},
		{
			"a byte is wrong before the end", true,
			func(c *net.TCPConn) {
				_, _ = io.CopyN(io.Discard, c, lap)
				_ = answer(c, answerWrong, 77)
				_, _ = io.Copy(io.Discard, c)
			},
			"wrong byte at offset 77",
		},
		{
			"the connection is reset", true,
			func(c *net.TCPConn) {
				_, _ = io.CopyN(io.Discard, c, lap)
				_ = c.SetLinger(0)
			},
			"reset",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			f := startFlow(t, a, serveOnce(t, b, c.serve), 0)
			if c.early {
				<-f.Ended()
			}
			_, err := f.Stop(deadline(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Stop = %v, want %q", err, c.want)
			}
		})
	}
}

func TestTCPFlowToNowhere(t *testing.T) {
	a, _ := pair(t)
	if _, err := StartTCPFlow(t.Context(), a, addrA, netip.AddrPortFrom(addrB, 9), 0); err == nil {
		t.Error("a flow to a closed port started")
	}
}

func BenchmarkTCPFlow(b *testing.B) {
	left, right := pair(b)
	s := startSink(b, right)
	f := startFlow(b, left, s.Addr(), 0)
	b.SetBytes(1 << 20)
	var want uint64
	for b.Loop() {
		want += 1 << 20
		eventually(b, "a MiB more has come", func() bool { return s.Bytes() >= want })
	}
	_, err := f.Stop(deadline(b))
	check(b, err)
}

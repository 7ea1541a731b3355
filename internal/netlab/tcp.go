package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The first bytes of a flow are helloMagic and the key of the pattern; then
// comes the pattern. The sink answers once: a status, and how many bytes of
// the pattern it has had and found right.
const (
	helloMagic = 0x7236642d666c6f77 // "r6d-flow"
	helloSize  = 16
	answerSize = 16

	answerWhole = 1 // right to the end
	answerWrong = 2 // right up to a byte that was not
)

// tick is how often a limited flow writes.
const tick = 10 * time.Millisecond

// A TCPFlow is the sending end of a TCP connection whose every byte is
// checked at the other end, a TCPSink.
type TCPFlow struct {
	conn    *net.TCPConn
	pattern *pattern
	rate    uint64
	began   time.Duration

	sent    atomic.Uint64
	ending  chan struct{} // closed: write no more
	end     func()        // closes it, once
	unwatch func() bool   // ctx no longer ends the flow
	join    sync.WaitGroup
	ended   chan struct{} // closed: nothing more will come from the sink

	writeErr error // the writer's, until it is joined
	verified uint64
	readErr  error // with verified, the reader's until ended is closed

	stop   sync.Once
	report TCPReport
	err    error
}

// A TCPReport is what became of a flow.
type TCPReport struct {
	Sent        uint64 // bytes
	Verified    uint64 // bytes, says the sink
	Took        time.Duration
	Retransmits uint64 // segments
}

// BitsPerSecond is the flow's goodput.
func (r TCPReport) BitsPerSecond() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Verified) * 8 / r.Took.Seconds()
}

// TCPState is what the kernel says of a living connection.
type TCPState struct {
	Acked       uint64 // bytes that have certainly arrived
	Retransmits uint64 // segments
	RTT         time.Duration
	SegmentSize int
}

// StartTCPFlow connects from an address in the namespace to a sink, and
// streams to it: as fast as it goes, or at bitsPerSecond if that is not zero.
// The end of ctx ends the writing as Stop does, and Stop must still be called.
// A path that dies costs nothing but time: there is no deadline in the flow.
func StartTCPFlow(
	ctx context.Context, ns *Namespace, from netip.Addr, to netip.AddrPort, bitsPerSecond uint64,
) (*TCPFlow, error) {
	conn, err := dialTCP(ctx, ns, from, to)
	if err != nil {
		return nil, fmt.Errorf("start tcp flow from %v to %v: %w", from, to, err)
	}
	f := newTCPFlow(conn, bitsPerSecond)
	if err := f.hello(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start tcp flow from %v to %v: %w", from, to, err)
	}
	f.unwatch = context.AfterFunc(ctx, f.end)
	f.join.Go(f.write)
	f.join.Go(f.await)
	return f, nil
}

// Bytes counts what the kernel has taken from the flow so far.
func (f *TCPFlow) Bytes() uint64 { return f.sent.Load() }

// Ended is closed when the connection is over: after Stop, or before it if it
// was reset or the sink found a wrong byte.
func (f *TCPFlow) Ended() <-chan struct{} { return f.ended }

// State asks the kernel about the connection. After Stop it is an error.
func (f *TCPFlow) State() (TCPState, error) {
	var s TCPState
	err := onFD(f.conn, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return err
		}
		s = TCPState{
			Acked:       info.Bytes_acked,
			Retransmits: uint64(info.Total_retrans),
			RTT:         time.Duration(info.Rtt) * time.Microsecond,
			SegmentSize: int(info.Snd_mss),
		}
		return nil
	})
	return s, err
}

// Stop ends the writing, waits until the sink has answered for every byte or
// ctx is over, and returns what became of the flow. A reset, a wrong byte and
// a missing one are errors. Calling it again returns the same.
func (f *TCPFlow) Stop(ctx context.Context) (TCPReport, error) {
	f.stop.Do(func() {
		f.unwatch()
		f.end()
		unwatch := context.AfterFunc(ctx, func() { _ = f.conn.SetReadDeadline(past) })
		f.join.Wait()
		unwatch()
		f.close()
	})
	return f.report, f.err
}

// close is the end of Stop, after the goroutines.
func (f *TCPFlow) close() {
	f.report = TCPReport{Sent: f.sent.Load(), Verified: f.verified, Took: clock() - f.began}
	if s, err := f.State(); err == nil {
		f.report.Retransmits = s.Retransmits
	}
	if err := f.judge(); err != nil {
		f.err = fmt.Errorf("tcp flow from %v to %v: %w", f.conn.LocalAddr(), f.conn.RemoteAddr(), err)
		_ = f.conn.SetLinger(0) // leave nothing that keeps the namespace
	}
	_ = f.conn.Close()
}

func (f *TCPFlow) judge() error {
	switch {
	case f.readErr != nil:
		return errors.Join(f.readErr, f.writeErr)
	case f.writeErr != nil:
		return f.writeErr
	case f.verified != f.report.Sent:
		return fmt.Errorf("%d bytes sent, %d arrived", f.report.Sent, f.verified)
	}
	return nil
}

func newTCPFlow(conn *net.TCPConn, rate uint64) *TCPFlow {
	f := &TCPFlow{
		conn: conn, rate: rate, began: clock(),
		ending: make(chan struct{}), ended: make(chan struct{}),
	}
	f.end = sync.OnceFunc(func() {
		close(f.ending)
		_ = conn.SetWriteDeadline(past)
	})
	return f
}

func dialTCP(ctx context.Context, ns *Namespace, from netip.Addr, to netip.AddrPort) (*net.TCPConn, error) {
	from, errFrom := ns.scoped(from)
	to, errTo := ns.scopedPort(to)
	if err := errors.Join(errFrom, errTo); err != nil {
		return nil, err
	}
	d := net.Dialer{Control: pinCubic, KeepAlive: -1} // a dead path is not an error
	var conn *net.TCPConn
	err := ns.Do(func() (err error) {
		conn, err = d.DialTCP(ctx, "tcp6", netip.AddrPortFrom(from, 0), to)
		return err
	})
	return conn, err
}

func (f *TCPFlow) hello() error {
	key := rand.Uint64()
	f.pattern = newPattern(key)
	var b [helloSize]byte
	binary.BigEndian.PutUint64(b[:], helloMagic)
	binary.BigEndian.PutUint64(b[8:], key)
	_, err := f.conn.Write(b[:])
	return err
}

// write streams until the flow ends, and then half-closes it.
func (f *TCPFlow) write() {
	size, pace := f.schedule()
	if pace != nil {
		defer pace.Stop()
	}
	for f.turn(pace) {
		err := f.push(size)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			f.writeErr = err
			return
		}
	}
	f.writeErr = f.conn.CloseWrite()
}

// push writes the next size bytes of the stream.
func (f *TCPFlow) push(size int) error {
	for size > 0 {
		n, err := f.conn.Write(f.pattern.next(size))
		f.pattern.advance(n)
		f.sent.Add(uint64(n))
		size -= n
		if err != nil {
			return err
		}
	}
	return nil
}

// schedule is how much to write at a time and when. A late ticker forgets the
// ticks it missed, so that a limited flow never catches up.
func (f *TCPFlow) schedule() (int, *time.Ticker) {
	if f.rate == 0 {
		return lap, nil
	}
	return int(max(1, f.rate/8/uint64(time.Second/tick))), time.NewTicker(tick)
}

// turn waits until it is time to write, and reports whether to.
func (f *TCPFlow) turn(pace *time.Ticker) bool {
	if pace == nil {
		select {
		case <-f.ending:
			return false
		default:
			return true
		}
	}
	select {
	case <-f.ending:
		return false
	case <-pace.C:
		return true
	}
}

// await reads the sink's answer. If it comes early, it is bad news, and there
// is nothing more to write for.
func (f *TCPFlow) await() {
	defer close(f.ended)
	defer f.end()
	var b [answerSize]byte
	if _, err := io.ReadFull(f.conn, b[:]); err != nil {
		f.readErr = fmt.Errorf("wait for the sink's answer: %w", err)
		return
	}
	f.verified = binary.BigEndian.Uint64(b[8:])
	if status := binary.BigEndian.Uint64(b[:]); status != answerWhole {
		f.readErr = fmt.Errorf("wrong byte at offset %d", f.verified)
	}
}

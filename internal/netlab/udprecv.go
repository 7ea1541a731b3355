package netlab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	receiveBatch  = 64
	receiveBuffer = 32 << 20               // a tenth of a second of 100,000 packets
	quiet         = 500 * time.Millisecond // then no more are on their way
)

// A udpReceiver counts what arrives at its port.
type udpReceiver struct {
	file  *os.File
	raw   syscall.RawConn
	addr  netip.AddrPort
	batch *batch
	id    uint64
	noise []byte // what follows the stamps
	err   error  // of the probe; to be read when run has returned

	mu      sync.Mutex // over what follows: see doc.go
	seen    seqWindow
	delays  histogram
	counts  UDPReport
	last    time.Duration // the last arrival; 0 before the first
	expects uint64        // all that was sent, once the sending is over
}

func openUDPReceiver(c ProbeConfig, id uint64, payload []byte) (*udpReceiver, error) {
	r := &udpReceiver{
		id: id, noise: payload[stampSize:], expects: math.MaxUint64,
		batch: newBatch(receiveBatch, len(payload)+1), // room to see one too long
	}
	on, err := c.ToNS.sockaddr(c.To)
	if err != nil {
		return nil, err
	}
	r.file, err = c.ToNS.socket("udp", func() (int, error) { return bindUDP(on) })
	if err != nil {
		return nil, err
	}
	if err := r.look(c.To.Addr()); err != nil {
		_ = r.file.Close()
		return nil, err
	}
	return r, nil
}

func bindUDP(on unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|sockFlags, 0)
	if err != nil {
		return fd, err
	}
	growBuffer(fd, receiveBuffer)
	return fd, unix.Bind(fd, on)
}

// look finds out which port it is. The zone stays a name: the sender's
// namespace has other indexes.
func (r *udpReceiver) look(on netip.Addr) (err error) {
	if r.raw, err = r.file.SyscallConn(); err != nil {
		return err
	}
	return onFD(r.file, func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err == nil {
			r.addr = netip.AddrPortFrom(on, uint16(sa.(*unix.SockaddrInet6).Port))
		}
		return err
	})
}

// run receives until everything expected is there, or the deadline.
func (r *udpReceiver) run() {
	for {
		n, err := r.batch.receive(r.raw)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			r.err = fmt.Errorf("receive: %w", err)
			return
		}
		if r.count(n) {
			return
		}
	}
}

// expect tells how many there were: from now on the receiver waits no longer
// than it must.
func (r *udpReceiver) expect(sent uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expects = sent
	deadline := in(quiet)
	if r.counts.Received >= sent {
		deadline = past
	}
	_ = r.file.SetReadDeadline(deadline)
}

// giveUp ends the receiving with what there is.
func (r *udpReceiver) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expects = 0
	_ = r.file.SetReadDeadline(past)
}

func (r *udpReceiver) report(to *UDPReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = onFD(r.file, func(fd int) error { // after Stop it stays as it was
		m, err := socketMeminfo(fd)
		if err == nil {
			r.counts.SocketDrops = m.drops()
		}
		return err
	})
	*to = r.counts
	to.Missing = r.seen.next - min(r.counts.Received, r.seen.next)
	to.Median, to.P99, to.Max = r.delays.quantile(0.5), r.delays.quantile(0.99), r.delays.max
}

// count takes in a batch, and reports whether it was the last.
func (r *udpReceiver) count(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, now := r.counts.Received, clock()
	for i := range n {
		r.take(r.batch.datagram(i), now)
	}
	if r.counts.Received > before {
		r.arrived(now)
	}
	return r.counts.Received >= r.expects
}

// arrived notes when the probe's own packets came: others prolong nothing.
func (r *udpReceiver) arrived(now time.Duration) {
	if r.last != 0 {
		r.counts.Silence = max(r.counts.Silence, now-r.last)
	}
	r.last = now
	if r.counts.Received < r.expects && r.expects != math.MaxUint64 {
		_ = r.file.SetReadDeadline(in(quiet))
	}
}

func (r *udpReceiver) take(b []byte, now time.Duration) {
	if len(b) < stampSize || binary.BigEndian.Uint64(b)>>seqBits != r.id {
		r.counts.Misdelivered++
		return
	}
	if !bytes.Equal(b[stampSize:], r.noise) {
		r.counts.Corrupt++
		return
	}
	seq := binary.BigEndian.Uint64(b) & (1<<seqBits - 1)
	switch r.seen.mark(seq) {
	case duplicate:
		r.counts.Duplicated++
		return
	case stale:
		r.counts.Stale++
		return
	case reordered:
		r.counts.Reordered++
	case inOrder:
	}
	r.counts.Received++
	r.delays.add(now - time.Duration(binary.BigEndian.Uint64(b[8:])))
}

package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	minTick  = time.Millisecond // the runtime's timers are not finer
	minBurst = 16               // packets, at most, when a slow probe is late
)

// A udpSender sends at its rate, come what may.
type udpSender struct {
	file   *os.File
	raw    syscall.RawConn
	id     uint64
	packet []byte
	rate   uint64 // packets a second
	tick   time.Duration
	burst  uint64 // the most in a tick: twice the rate, so that it catches up
	err    error  // of the probe; to be read when run has returned

	began    time.Duration
	attempts uint64 // what is paced: errors too
	sent     atomic.Uint64

	mu         sync.Mutex // over the maps: see doc.go
	sendErrors map[syscall.Errno]uint64
	icmpErrors map[ICMPError]uint64
	pathErrors map[syscall.Errno]uint64
}

func openUDPSender(c ProbeConfig, to netip.AddrPort, id uint64, payload []byte) (*udpSender, error) {
	rate := uint64(c.PacketsPerSecond)
	s := &udpSender{
		id: id, packet: slices.Clone(payload), rate: rate, tick: max(minTick, time.Second/time.Duration(rate)),
		sendErrors: make(map[syscall.Errno]uint64),
		icmpErrors: make(map[ICMPError]uint64),
		pathErrors: make(map[syscall.Errno]uint64),
	}
	s.burst = max(minBurst, 2*rate*uint64(s.tick)/uint64(time.Second))
	from, errFrom := c.FromNS.sockaddr(c.From)
	dest, errTo := c.FromNS.sockaddr(to)
	if err := errors.Join(errFrom, errTo); err != nil {
		return nil, err
	}
	var err error
	s.file, err = c.FromNS.socket("udp", func() (int, error) { return connectUDP(from, dest) })
	if err != nil {
		return nil, err
	}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, err
	}
	return s, nil
}

// connectUDP opens a socket that is told of every ICMPv6 error about it.
func connectUDP(from, to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|sockFlags, 0)
	if err != nil {
		return fd, err
	}
	growBuffer(fd, 1<<20) // the error queue is charged to it
	return fd, errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1),
		unix.Bind(fd, from),
		unix.Connect(fd, to))
}

func (s *udpSender) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetWriteDeadline(past) })
	defer stop()
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	for s.began = clock(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.collect()
			err := s.sendDue()
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				s.err = fmt.Errorf("send: %w", err)
				return
			}
		}
	}
}

func (s *udpSender) report(r *UDPReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Sent = s.sent.Load()
	r.SendErrors = maps.Clone(s.sendErrors)
	r.ICMPErrors = maps.Clone(s.icmpErrors)
	r.PathErrors = maps.Clone(s.pathErrors)
}

// sendDue sends what the clock says should have been sent by now.
func (s *udpSender) sendDue() error {
	hi, lo := bits.Mul64(uint64(clock()-s.began), s.rate)
	due, _ := bits.Div64(hi, lo, uint64(time.Second))
	left := min(due-min(due, s.attempts), s.burst)
	return s.raw.Write(func(fd uintptr) bool {
		for ; left > 0; left-- {
			if !s.send(int(fd)) {
				return false // wait for room
			}
		}
		return true
	})
}

// send sends the next packet, and reports false if there was no room for it.
func (s *udpSender) send(fd int) bool {
	binary.BigEndian.PutUint64(s.packet, s.id<<seqBits|s.sent.Load())
	binary.BigEndian.PutUint64(s.packet[8:], uint64(clock()))
	_, err := unix.Write(fd, s.packet)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		// An ICMPv6 error that came back is reported once, in place of the
		// next packet. collect counts it: here, try again.
		_, err = unix.Write(fd, s.packet)
	}
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	s.attempts++
	if err == nil {
		s.sent.Add(1)
	} else {
		s.countSendError(err)
	}
	return true
}

func (s *udpSender) countSendError(err error) {
	var errno syscall.Errno
	errors.As(err, &errno)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendErrors[errno]++
}

// collect counts the errors that have come back.
func (s *udpSender) collect() {
	_ = s.raw.Control(func(fd uintptr) {
		for s.collectOne(int(fd)) {
		}
	})
}

func (s *udpSender) collectOne(fd int) bool {
	var b [1]byte // the packet the error is about: not of interest
	var oob [128]byte
	_, n, _, _, err := unix.Recvmsg(fd, b[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return false
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return true
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVERR {
			s.countPathError(m.Data)
		}
	}
	return true
}

// countPathError takes a struct sock_extended_err.
func (s *udpSender) countPathError(b []byte) {
	if len(b) < int(unsafe.Sizeof(unix.SockExtendedErr{})) || b[4] != unix.SO_EE_ORIGIN_ICMP6 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pathErrors[syscall.Errno(binary.NativeEndian.Uint32(b))]++
	s.icmpErrors[ICMPError{Type: b[5], Code: b[6]}]++
}

package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const captureBuffer = 8 << 20 // a few thousand packets, while the reader is busy

// CaptureConfig says what a capture shows. The zero value shows every IPv6
// packet in both directions, from its IPv6 header on.
type CaptureConfig struct {
	IgnoreOutgoing bool // only what the device receives
	AnyProtocol    bool // not only IPv6
	Frames         bool // with the Ethernet header, where the device has one
}

// A Capture reads what passes a device. Packets are as the kernel handles
// them: they may be longer than the MTU, and have a checksum yet to be made.
type Capture struct {
	file   *os.File
	raw    syscall.RawConn
	config CaptureConfig
	closed atomic.Bool
	drops  uint64
}

// Captured is what is known of a packet besides its bytes.
type Captured struct {
	Len       int
	Time      time.Time // when it was sent or came in, says the kernel
	EtherType uint16
	VLAN      uint16 // of a tag that the kernel has taken out of the bytes; 0 without
	Outgoing  bool   // from the kernel to the device: on a TUN, to its owner
}

// OpenCapture begins to capture: packets are kept for Read from now on. It
// does not keep the device; when that goes, Read returns an error.
func OpenCapture(ns *Namespace, link string, config CaptureConfig) (*Capture, error) {
	l, err := ns.Link(link)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	file, err := ns.socket("packet", func() (int, error) { return bindCapture(l.Index, config) })
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", link, err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("capture on %s: %w", link, err)
	}
	return &Capture{file: file, raw: raw, config: config}, nil
}

// Read waits for the next packet and copies it to b. If it does not fit, the
// error is io.ErrShortBuffer and Len is what it would have taken.
func (c *Capture) Read(b []byte) (Captured, error) {
	for {
		p, err := c.next(b)
		if err != nil {
			return p, fmt.Errorf("read capture: %w", err)
		}
		if p.EtherType != unix.ETH_P_IPV6 && !c.config.AnyProtocol {
			continue
		}
		if p.Len > len(b) {
			return p, fmt.Errorf("read capture: packet of %d bytes: %w", p.Len, io.ErrShortBuffer)
		}
		return p, nil
	}
}

// SetReadDeadline ends a Read with os.ErrDeadlineExceeded, also one that
// waits.
func (c *Capture) SetReadDeadline(t time.Time) error { return c.file.SetReadDeadline(t) }

// Drops counts the packets that Read was too slow for. It is not to be called
// by two goroutines at once.
func (c *Capture) Drops() (uint64, error) {
	err := onFD(c.file, func(fd int) error {
		s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			c.drops += uint64(s.Drops) // the kernel begins anew at each call
		}
		return err
	})
	if err != nil {
		return c.drops, fmt.Errorf("read capture statistics: %w", err)
	}
	return c.drops, nil
}

// Close ends a Read that waits, with os.ErrClosed.
func (c *Capture) Close() error {
	c.closed.Store(true)
	return c.file.Close()
}

// bindCapture makes a socket that is deaf until it is bound, so that it hears
// of no other device.
func bindCapture(index int, config CaptureConfig) (int, error) {
	kind := unix.SOCK_DGRAM
	if config.Frames {
		kind = unix.SOCK_RAW
	}
	fd, err := unix.Socket(unix.AF_PACKET, kind|sockFlags, 0)
	if err != nil {
		return fd, err
	}
	growBuffer(fd, captureBuffer)
	if config.IgnoreOutgoing {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return fd, err
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fd, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fd, err
	}
	// Only those who want every protocol are shown outgoing packets.
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index})
}

func (c *Capture) next(b []byte) (Captured, error) {
	var p Captured
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		var beside [128]byte
		n, m, _, from, err := unix.Recvmsg(int(fd), b, beside[:], unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		failed = err
		if sa, ok := from.(*unix.SockaddrLinklayer); ok {
			p = Captured{Len: n, EtherType: networkOrder(sa.Protocol), Outgoing: sa.Pkttype == unix.PACKET_OUTGOING}
			p.read(beside[:m])
		}
		return true
	})
	if err != nil && c.closed.Load() {
		err = os.ErrClosed // a RawConn has an error of its own, that nobody can test for
	}
	return p, errors.Join(err, failed)
}

// read reads what the kernel says beside a packet.
func (p *Captured) read(beside []byte) {
	messages, err := unix.ParseSocketControlMessage(beside)
	if err != nil {
		return
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA:
			p.VLAN = vlanOf(m.Data)
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16: // struct timespec
			p.Time = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
}

// vlanOf reads a tag from a struct tpacket_auxdata.
func vlanOf(b []byte) uint16 {
	const status, tci, size = 0, 16, 20
	if len(b) < size || binary.NativeEndian.Uint32(b[status:])&unix.TP_STATUS_VLAN_VALID == 0 {
		return 0
	}
	return binary.NativeEndian.Uint16(b[tci:]) & 0xfff
}

// networkOrder turns a number around, unless it lies right in memory already.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
)

const (
	tagPort = 5203
	tagSize = 16 // incarnation, and when it was sent
)

// Tags sends packets that say for which incarnation of an interface they are,
// and looks at what arrives on each: a packet on another incarnation's device,
// or one sent after its device was said to be gone, went where it must not.
type Tags struct {
	conn *net.UDPConn

	Sent  atomic.Uint64 // taken by the kernel
	Right atomic.Uint64 // arrived where they were meant to
	Wrong atomic.Uint64 // arrived elsewhere
	Late  atomic.Uint64 // arrived although sent after the end was acknowledged

	readers sync.WaitGroup
}

// NewTags sends from an address in the namespace.
func NewTags(ns *Namespace, from netip.Addr) (*Tags, error) {
	t := &Tags{}
	err := ns.Do(func() (err error) {
		t.conn, err = net.ListenUDP("udp6", &net.UDPAddr{IP: from.AsSlice()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tags from %v: %w", from, err)
	}
	return t, nil
}

// Send sends one packet to an address, for an incarnation. That nobody is there
// is no error.
func (t *Tags) Send(to netip.Addr, incarnation uint64) {
	var tag [tagSize]byte
	binary.BigEndian.PutUint64(tag[:], incarnation)
	binary.BigEndian.PutUint64(tag[8:], uint64(clock()))
	// Errors are ICMPv6 answers to earlier packets.
	if _, err := t.conn.WriteToUDPAddrPort(tag[:], netip.AddrPortFrom(to, tagPort)); err == nil {
		t.Sent.Add(1)
	}
}

// A TagWatch looks at what arrives on one incarnation's device.
type TagWatch struct {
	tags        *Tags
	incarnation uint64
	capture     *Capture
	gone        atomic.Int64 // when the end was acknowledged; zero: not yet
}

// Watch looks at what arrives on a device, which is an incarnation's kernel end,
// until the device goes or Close is called.
func (t *Tags) Watch(ns *Namespace, device string, incarnation uint64) (*TagWatch, error) {
	c, err := OpenCapture(ns, device, CaptureConfig{IgnoreOutgoing: true})
	if err != nil {
		return nil, err
	}
	w := &TagWatch{tags: t, incarnation: incarnation, capture: c}
	t.readers.Go(w.read)
	return w, nil
}

// Gone says that the router has acknowledged the end: what is sent from now on
// may not arrive.
func (w *TagWatch) Gone() { w.gone.Store(int64(clock())) }

// Close stops looking. It is needed only where the namespace is to end before
// the device: a socket keeps a namespace.
func (w *TagWatch) Close() error {
	if err := w.capture.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // the device may have gone first
		return err
	}
	return nil
}

func (w *TagWatch) read() {
	defer w.capture.Close() // nothing was written
	buf := make([]byte, link.MaxPacket)
	for {
		p, err := w.capture.Read(buf)
		if err != nil {
			return
		}
		w.check(buf[:min(p.Len, len(buf))])
	}
}

func (w *TagWatch) check(b []byte) {
	incarnation, sent, ok := parseTag(b)
	switch gone := w.gone.Load(); {
	case !ok:
	case incarnation != w.incarnation:
		w.tags.Wrong.Add(1)
	case gone != 0 && sent > gone:
		w.tags.Late.Add(1)
	default:
		w.tags.Right.Add(1)
	}
}

// parseTag reports false for a packet that Send did not make.
func parseTag(b []byte) (incarnation uint64, sent int64, ok bool) {
	pkt, ok := header.ParseIPv6(b)
	if !ok {
		return 0, 0, false
	}
	u, ok := header.UpperLayer(pkt)
	if !ok || u.Protocol != header.ProtoUDP || len(pkt) < u.Offset+header.UDPSize+tagSize ||
		header.UDP(pkt[u.Offset:]).DestinationPort() != tagPort {
		return 0, 0, false
	}
	tag := pkt[u.Offset+header.UDPSize:]
	return binary.BigEndian.Uint64(tag), int64(binary.BigEndian.Uint64(tag[8:])), true
}

// Stop ends the sending and waits for the watches, whose devices have gone.
func (t *Tags) Stop(ctx context.Context) error {
	err := t.conn.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.readers.Wait()
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("tags: a watched device is still there: %w", ctx.Err()))
	}
}

// Pace sends rate packets a second until ctx ends; to says where the n-th goes
// and for which incarnation it is. An invalid address is left out.
func (t *Tags) Pace(ctx context.Context, rate int, to func(n int) (netip.Addr, uint64)) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if a, incarnation := to(n); a.IsValid() {
			t.Send(a, incarnation)
		}
	}
}

package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/tcpstack"
)

const (
	tcpPiece = 3000
	tcpRest  = 2 * time.Minute // after the last flap, for all that is under way
	accepted = '!'             // the first thing that a server says

	noProbes = -1 // a kernel that probes gives up a peer that is away for 150 seconds
)

// A conn is one end of a connection: the router's own, or a kernel's.
type conn interface {
	net.Conn
	CloseWrite() error
}

// transfers are connections that send until they are told to stop, and then want to
// hear what has arrived.
type transfers struct {
	t          *testing.T
	pause      time.Duration // of each, on average, between two pieces
	n          int
	all, begun sync.WaitGroup
	done       atomic.Int64
	stop       chan struct{}
	stopped    time.Time
	last       atomic.Int64 // nanoseconds after stopped, in which they came to their end
}

func newTransfers(t *testing.T, pause time.Duration) *transfers {
	return &transfers{t: t, pause: pause, stop: make(chan struct{})}
}

// start begins one on a goroutine of its own. answer reads a peer's digest of what it
// got, or makes that of what it sends back.
func (x *transfers) start(from netip.Addr, begin func(context.Context, netip.Addr) (conn, error), answer func(io.Reader) ([]byte, error)) {
	n := x.n
	x.n++
	x.begun.Add(1)
	x.all.Go(func() {
		c, err := begin(x.t.Context(), from)
		x.begun.Done()
		if err == nil {
			err = x.move(c, uint64(n), answer)
		}
		switch {
		case err == nil:
			x.done.Add(1)
			x.last.Store(int64(time.Since(x.stopped)))
		case !fault.NoGuard:
			x.t.Errorf("connection %d of %v: %v", n, from, err)
		}
	})
}

// end has all of them come to their end, and waits for that.
func end(all ...*transfers) {
	for _, x := range all {
		x.stopped = time.Now()
		close(x.stop)
	}
	for _, x := range all {
		x.all.Wait()
	}
}

// move sends pieces until it is told to stop, and wants their digest.
func (x *transfers) move(c conn, n uint64, answer func(io.Reader) ([]byte, error)) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	defer c.Close()
	var got []byte
	var failed error
	reader.Go(func() { got, failed = answer(c) })
	sum, err := x.send(c, n)
	if err != nil || fault.NoGuard { // seen by now, and much is lost
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(tcpRest))
	reader.Wait()
	if failed != nil {
		return fmt.Errorf("read: %w", failed)
	}
	if !bytes.Equal(got, sum) {
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// send sends pieces, and returns their digest.
func (x *transfers) send(c conn, n uint64) ([]byte, error) {
	random, sum := rand.New(rand.NewPCG(1, n)), sha256.New()
	piece := make([]byte, tcpPiece)
	for {
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		sum.Write(piece)
		if _, err := c.Write(piece); err != nil {
			return nil, fmt.Errorf("write: %w", err)
		}
		select {
		case <-time.After(time.Duration(random.Int64N(int64(2 * x.pause)))):
		case <-x.stop:
			return sum.Sum(nil), c.CloseWrite()
		}
	}
}

// digest is that of all that comes.
func digest(r io.Reader) ([]byte, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return h.Sum(nil), err
}

// digests starts a server at an address of the namespace that answers each connection
// with the digest of what it got.
func (s *stage) digests(ns *netlab.Namespace, at netip.Addr) netip.AddrPort {
	s.t.Helper()
	var l net.Listener
	s.must(ns.Do(func() (err error) {
		lc := net.ListenConfig{KeepAlive: noProbes}
		l, err = lc.Listen(s.t.Context(), "tcp6", netip.AddrPortFrom(at, 0).String())
		return err
	}))
	s.serve(l, func(c net.Conn) error {
		_, _ = c.Write([]byte{accepted}) // who asked knows, or is not there
		sum, err := digest(c)
		if err == nil {
			_, err = c.Write(sum)
		}
		return err
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serve serves connections until the end of the test, whatever time they take. An error
// of one is that of who asked, who knows, or is not there. It takes l.
func (s *stage) serve(l net.Listener, fn func(net.Conn) error) {
	serving, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				// There is one that its peer has given up, and no way to say so.
				defer context.AfterFunc(serving, func() { _ = c.SetDeadline(time.Now()) })()
				_ = fn(c)
			})
		}
	})
	s.t.Cleanup(func() {
		stop()
		_ = l.Close()
		all.Wait()
	})
}

// dial begins a connection of the router's own, and waits until it was accepted: a
// kernel forgets one that is half open when it has no route.
func (s *stage) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (conn, error) {
	d := tcpstack.Dialer{Stack: s.r.Transport, From: from}
	c, err := d.DialContext(ctx, to)
	if err != nil {
		return nil, err
	}
	return c, greeted(c)
}

// greeted waits for the first thing that a server says.
func greeted(c conn) error {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadFull(c, make([]byte, 1))
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		err = errors.Join(fmt.Errorf("not greeted: %w", err), c.Close())
	}
	return err
}

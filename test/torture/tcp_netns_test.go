package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/tcpstack"
)

const (
	tcpConnections = 300
	tcpLife        = 50 * time.Millisecond // of an incarnation: with what it takes to end one and make another, ten a second
	tcpPause       = 20 * time.Millisecond // of a connection, on average, between two pieces
	tcpPiece       = 3000
	tcpRest        = 2 * time.Minute // after the last flap, for all that is under way
	tcpHoldEvery   = 400             // segments
	firstLimit     = 2               // hop limit of the first incarnation
	limits         = 250             // different ones
)

// tcpFar is behind the interface that flaps, and tcpOwn is the router's on it.
var (
	tcpFar = netip.MustParseAddr("2001:db8:fa::1")
	tcpOwn = netip.MustParsePrefix("2001:db8:f1::1/64")
)

// flapping is for how long the interface flaps.
var flapping = flag.Duration("flapping", 8*time.Second, "how long an interface flaps under the router's own TCP")

// TestTimersOverFlappingInterface is the seed of this project at its sharpest.
// Hundreds of connections of the router's own TCP, half of them from an address of
// the interface itself, send to what is behind an interface that ends and returns ten
// times a second, in every way, so that all of them retransmit all the time. Each
// incarnation has a hop limit of its own, and each segment that leaves by one has to
// have it; and when it is over, every connection comes to its end with what was sent, byte by byte.
//
// With the mutant that sends outside of its epoch, segments have to be seen on the
// wrong device: with the tag torture one is stopped now and then between lookup and
// send.
func TestTimersOverFlappingInterface(t *testing.T) {
	s := newStageWith(t, detachTimeout(), func(c *config.Config) {
		c.Services.Discard = &config.Service{Protocols: []config.Transport{config.TCP}, Port: config.DefaultDiscard, Interfaces: []string{"west"}}
	})
	s.must(s.home.AddAddress("lo", netip.PrefixFrom(tcpFar, 128)))
	s.route("2001:db8:fa::/64", "flap", 0)
	f := &tcpFlapper{s: s}
	f.digests = s.digests(t)
	holdWorkers(t, tcpHoldEvery, f.hold)
	f.flap(0) // the first, for connections to begin

	var all, begun sync.WaitGroup
	var done atomic.Int64
	stop := make(chan struct{})
	for n := range tcpConnections {
		from := netlab.End(netlab.Wire(1), 1)
		if n%2 == 1 {
			from = tcpOwn.Addr()
		}
		begun.Add(1)
		all.Go(func() {
			c, err := f.dial(t.Context(), from)
			begun.Done()
			if err == nil {
				err = transfer(c, uint64(n), stop)
			}
			switch {
			case err == nil:
				done.Add(1)
			case !fault.NoGuard:
				t.Errorf("connection %d from %v: %v", n, from, err)
			}
		})
	}
	begun.Wait()
	for end := time.Now().Add(*flapping); time.Now().Before(end); {
		f.flap(tcpLife)
	}
	if fault.NoGuard { // it is a matter of chance when
		for end := time.Now().Add(patience); f.wrong.Load() == 0 && time.Now().Before(end); {
			f.flap(tcpLife)
		}
	}
	f.freed.Store(true)
	f.keep() // the last one stays
	close(stop)
	all.Wait()
	f.end()
	f.judge(done.Load())
}

// A tcpFlapper is one name whose interface never lives long, with the same address
// each time.
type tcpFlapper struct {
	s       *stage
	digests netip.AddrPort // who answers with the digest of what it gets
	now     *incarnation
	flaps   int
	newest  atomic.Int64
	freed   atomic.Bool

	right, wrong atomic.Uint64 // segments
	readers      sync.WaitGroup
}

// flap ends the incarnation that there is, after its life, and makes another.
func (f *tcpFlapper) flap(life time.Duration) {
	f.s.t.Helper()
	<-time.After(life)
	f.end()
	f.keep()
}

// keep makes an incarnation, unless there is one.
func (f *tcpFlapper) keep() {
	f.s.t.Helper()
	if f.now != nil {
		return
	}
	i, err := f.s.design("flap", f.s.home)
	f.s.must(err)
	i.c.HopLimit = uint8(firstLimit + i.number%limits)
	i.c.Addresses = []netip.Prefix{tcpOwn}
	i.c.Kernel.Routes = []netip.Prefix{netlab.Wire(1), tcpOwn.Masked()}
	f.s.must(f.s.attach(i))
	f.now = i
	f.s.must(f.look(i))
	f.newest.Store(int64(i.number))
}

// end ends the incarnation that there is, by command or by deletion of its device.
func (f *tcpFlapper) end() {
	f.s.t.Helper()
	if f.now == nil {
		return
	}
	if f.flaps++; f.flaps%2 == 0 {
		f.s.must(f.s.delete(f.now))
	} else {
		f.s.must(f.s.home.DeleteLink("flap"))
		_, err := f.s.await(f.now.id)
		f.s.must(err)
	}
	f.now = nil
}

// hold lasts until the incarnation that was looked up has been replaced.
func (f *tcpFlapper) hold() {
	found := f.newest.Load()
	for began := time.Now(); time.Since(began) < holdMost && !f.freed.Load() && f.newest.Load() == found; {
		time.Sleep(time.Millisecond)
	}
}

// A limitWatch looks at the segments of the router's own that leave by one
// incarnation.
type limitWatch struct {
	f       *tcpFlapper
	limit   uint8
	capture *netlab.Capture
}

func (f *tcpFlapper) look(i *incarnation) error {
	c, err := netlab.OpenCapture(f.s.home, "flap", netlab.CaptureConfig{IgnoreOutgoing: true})
	if err == nil {
		w := &limitWatch{f, i.c.HopLimit, c}
		f.readers.Go(w.read)
	}
	return err
}

func (w *limitWatch) read() {
	defer w.capture.Close()
	buf := make([]byte, link.MaxPacket)
	for {
		p, err := w.capture.Read(buf)
		if err != nil {
			return // the device has gone
		}
		pkt, ok := header.ParseIPv6(buf[:p.Len])
		if !ok || pkt.NextHeader() != header.ProtoTCP || pkt.Destination() != tcpFar {
			continue
		}
		own := pkt.Source() == tcpOwn.Addr() || pkt.Source() == netlab.End(netlab.Wire(1), 1)
		switch {
		case pkt.HopLimit() != w.limit, !own:
			w.f.wrong.Add(1)
		default:
			w.f.right.Add(1)
		}
	}
}

// digests starts a server in the namespace of the process that answers each
// connection with the digest of what it got.
func (s *stage) digests(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(netip.AddrPortFrom(tcpFar, 0)))
	s.must(err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				h := sha256.New()
				_, _ = c.Write([]byte{accepted}) // who asked knows, or is not there
				if _, err := io.Copy(h, c); err == nil {
					_, _ = c.Write(h.Sum(nil)) // likewise
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// transfer sends pieces until it is told to stop, and wants their digest.
func transfer(c net.Conn, n uint64, stop <-chan struct{}) error {
	defer c.Close()
	random, sum := rand.New(rand.NewPCG(1, n)), sha256.New()
	piece := make([]byte, tcpPiece)
	for sending := true; sending; {
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		sum.Write(piece)
		if _, err := c.Write(piece); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		select {
		case <-time.After(time.Duration(random.Int64N(int64(2 * tcpPause)))):
		case <-stop:
			sending = false
		}
	}
	if fault.NoGuard {
		return nil // seen by now, and much is lost
	}
	if err := c.(*tcpstack.Conn).CloseWrite(); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(tcpRest))
	got, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("read the digest: %w", err)
	}
	if !bytes.Equal(got, sum.Sum(nil)) {
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// dial begins a connection, and waits until it was accepted: a kernel forgets one
// that is half open when it has no route.
func (f *tcpFlapper) dial(ctx context.Context, from netip.Addr) (net.Conn, error) {
	d := tcpstack.Dialer{Stack: f.s.r.Transport, From: from}
	c, err := d.DialContext(ctx, f.digests)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = io.ReadFull(c, make([]byte, 1))
	return c, err
}

// accepted is the first thing that a server says.
const accepted = '!'

func (f *tcpFlapper) judge(done int64) {
	t, st := f.s.t, f.s.r.Transport.Stats()
	dead := f.s.r.Plane.Stats().DeadLookups
	f.readers.Wait()
	t.Logf("%d flaps, %d of %d transfers complete, %d segments right, %d wrong, %d sent again, %d that had waited, %d dead lookups",
		f.flaps, done, tcpConnections, f.right.Load(), f.wrong.Load(), st.Retransmitted, st.Resumed, dead)
	switch {
	case fault.NoGuard && f.wrong.Load() == 0:
		t.Error("segments are sent outside of the epoch, and none went to the wrong device: the test is blind")
	case fault.NoGuard:
	case f.wrong.Load() != 0, dead != 0:
		t.Errorf("%d segments with what is another incarnation's, %d dead lookups", f.wrong.Load(), dead)
	case done != tcpConnections:
		t.Errorf("%d of %d transfers are complete", done, tcpConnections)
	case st.Resumed == 0 || st.Retransmitted == 0:
		t.Error("nothing was sent again: the test is blind")
	case f.s.orphans() != 0:
		t.Errorf("%d detaches ended orphaned", f.s.orphans())
	}
}

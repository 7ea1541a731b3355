package torture

import (
	"context"
	"flag"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	tcpConnections = 300
	tcpLife        = 50 * time.Millisecond // of an incarnation: with what it takes to end one and make another, ten a second
	// Of a connection, on average, between two pieces. With less they send more than
	// gets through while segments are held: round trips take seconds then, and there
	// is nothing sent again within the time of an incarnation, but long after the last.
	tcpPause     = 200 * time.Millisecond
	tcpHoldEvery = 400 // segments
	firstLimit   = 2   // hop limit of the first incarnation
	limits       = 250 // different ones
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
	f := &tcpFlapper{hunt: hunt{s: s}}
	far := s.digests(s.home, tcpFar)
	holdWorkers(t, tcpHoldEvery, f.hold)
	f.flap(0) // the first, for connections to begin

	x := newTransfers(t, tcpPause)
	begin := func(ctx context.Context, from netip.Addr) (conn, error) { return s.dial(ctx, from, far) }
	for range tcpConnections / 2 {
		x.start(netlab.End(netlab.Wire(1), 1), begin, io.ReadAll)
		x.start(tcpOwn.Addr(), begin, io.ReadAll)
	}
	x.begun.Wait()
	f.during(*flapping, func() { f.flap(tcpLife) })
	f.keep() // the last one stays
	end(x)
	f.end()
	f.judge(x)
}

// A tcpFlapper is one name whose interface never lives long, with the same address
// each time.
type tcpFlapper struct {
	hunt
	now *incarnation
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

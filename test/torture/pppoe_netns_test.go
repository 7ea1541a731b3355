package torture

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/control"
	"github.com/router6d/router6d/internal/events"
	"github.com/router6d/router6d/internal/fault"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/internal/service"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ppp"
	"github.com/router6d/router6d/tcpstack"
	"github.com/router6d/router6d/test/lab/bras"
)

const (
	sessionPause     = time.Second // of a connection, on average, between two pieces: a guest carries them
	sessionEach      = 50          // connections from an address, either way
	sessionHoldEvery = 4000        // segments
	sessionLife      = 3000        // segments, of one session of three: for more than what TCP waits at first
	toldMost         = 10          // wrong ones
	longRun          = time.Minute // has time for a peer that goes silent, which shows after 25 seconds
)

// The router's addresses, all of what the provider routes into the session: one on
// another interface, and two of which an incarnation of the session's has one.
var (
	sessionLAN = netlab.Wire(0x01000001)
	sessionOwn = [...]netip.Prefix{
		netip.PrefixFrom(netlab.End(sessionLAN, 1), 64),
		netip.MustParsePrefix("2001:db8:100:a0::1/64"),
		netip.MustParsePrefix("2001:db8:100:a1::1/64"),
	}
	// sessionPeers dial the router: one /64 is not to have all of them.
	sessionPeers = [...]netip.Addr{
		netip.MustParseAddr("2001:db8:fa:0::1"), netip.MustParseAddr("2001:db8:fa:1::1"), netip.MustParseAddr("2001:db8:fa:2::1"),
	}
)

// redialing is for how long sessions die.
var redialing = flag.Duration("redialing", 20*time.Second, "how long sessions die under the router's own TCP")

// TestRedialsUnderOwnTCP is the same scene as TestTimersOverFlappingInterface over
// PPPoE, with a real server: what flaps is the session, by the hand of the server, by
// the line and by command, with an interface that is kept and with one that is
// renewed. Half of the connections are the router's, half are those of peers.
//
// The line is captured where frames leave, in the order of the system calls that sent
// them. Each segment has to have a session that was confirmed and is not over, the hop
// limit of the interface's incarnation and a source that this one has. A session is over
// when the router has said that it is closed, and a grace period has passed: who had
// found it before has sent by then. The test says so in the capture itself, with a frame
// of its own, the mark.
func TestRedialsUnderOwnTCP(t *testing.T) {
	s := newStageWith(t, detachTimeout(), func(c *config.Config) {
		c.Services.Echo = &config.Service{Protocols: []config.Transport{config.TCP}, Port: config.DefaultEcho, Interfaces: []string{"wan"}}
		lan, err := netlab.Leg("lan", nil, sessionLAN)
		if err != nil {
			t.Fatal(err)
		}
		c.Interfaces = append(c.Interfaces, lan)
	})
	d := newDialup(s)
	own, peers := newTransfers(t, sessionPause), newTransfers(t, sessionPause)
	holdWorkers(t, sessionHoldEvery, d.hold)
	d.raise(1, 2) // with both addresses, for connections to begin
	s.echo()
	far := s.digests(d.net, bras.Internet)
	s.until("the server to know of the way back", func() bool {
		c, err := s.dial(t.Context(), sessionOwn[0].Addr(), far)
		return err == nil && c.Close() == nil
	})
	outbound := func(ctx context.Context, from netip.Addr) (conn, error) { return s.dial(ctx, from, far) }
	for k, at := range sessionOwn {
		inbound := func(ctx context.Context, to netip.Addr) (conn, error) { return d.echo(ctx, sessionPeers[k], to) }
		for range sessionEach {
			own.start(at.Addr(), outbound, io.ReadAll)
			peers.start(at.Addr(), inbound, digest)
		}
	}
	own.begun.Wait()
	peers.begun.Wait()
	d.during(*redialing, d.flap)
	d.drop()
	d.raise(1, 2)
	end(own, peers)
	d.end()
	d.judge(own, peers)
}

// A dialup is a session with a real server that never lasts.
type dialup struct {
	hunt
	server *bras.Server
	net    *netlab.Namespace // behind the server
	marks  *netlab.Injector
	lens   *netlab.Capture
	seen   uint64 // event
	asked  bool   // what connections wait for

	number  int
	limit   uint8  // of the incarnation
	has     []int  // of sessionOwn, the incarnation
	session uint16 // that was opened last

	// The reader's, until it is joined.
	late  int // segments of a session with a PADT or a successor, before the mark
	after []time.Duration
}

func newDialup(s *stage) *dialup {
	s.t.Helper()
	d := &dialup{hunt: hunt{s: s}, net: s.namespace("net")}
	d.server = bras.Start(s.t, bras.Options{Namespace: s.home, Auth: bras.CHAP, Uplink: d.net})
	// As with any provider, what is for a customer that is not there goes nowhere.
	d.server.Run(fmt.Sprintf("ip -6 route add unreachable %v metric 4096", bras.Customer))
	for _, peer := range sessionPeers {
		s.must(d.net.AddAddress("lo", netip.PrefixFrom(peer, 128)))
	}
	// A peer is to try again soon, and for long, as far as its kernel lets us have it so.
	// BBR, the default of some, takes one segment a timeout for what the line can do.
	for key, value := range map[string]string{"tcp_rto_max_ms": "1000", "tcp_retries2": "200", "tcp_congestion_control": "reno"} {
		if err := d.net.SetSysctl("net/ipv4/"+key, value); !errors.Is(err, fs.ErrNotExist) {
			s.must(err)
		}
	}
	line, err := config.NewInterface("line")
	s.must(err)
	line.Type, line.Mode = config.TypePacket, config.ModeAttach
	s.must(s.add(line))
	s.route("::/0", "wan", 0)
	_, err = s.r.AddRoute(s.t.Context(), config.Route{Prefix: bras.Customer, Refuse: config.RefuseUnreachable}) // RFC 7084 L-14
	s.must(err)
	d.lens, err = netlab.OpenCapture(s.home, "line", netlab.CaptureConfig{Frames: true, AnyProtocol: true})
	s.must(err)
	d.marks, err = netlab.OpenInjector(s.home, "line")
	s.must(err)
	s.t.Cleanup(func() { _, _ = d.marks.Close(), d.lens.Close() })
	d.readers.Go((&sessionWatch{d: d, is: map[uint16]endOf{}}).read)
	return d
}

// raise makes an interface with these of sessionOwn beside the first, and waits for its
// session.
func (d *dialup) raise(has ...int) {
	d.s.t.Helper()
	d.number++
	d.limit, d.has = uint8(firstLimit+d.number%limits), has
	d.mark()
	c, err := config.NewInterface("wan")
	d.s.must(err)
	c.Type, c.Mode, c.MTU, c.Lower, c.HopLimit = config.TypePPPoE, config.ModeAttach, 0, "line", d.limit
	c.PPPoE = &config.PPPoE{User: "router6d", Password: "secret", Identity: config.IdentityKeep}
	if d.renews() {
		c.PPPoE.Identity = config.IdentityRenew
	}
	for _, k := range has {
		c.Addresses = append(c.Addresses, sessionOwn[k])
	}
	d.s.must(d.s.add(c))
	d.opened(1)
}

func (d *dialup) renews() bool { return d.number/2%2 == 1 }

// flap is three sessions of an incarnation: a command ends the one that there is, and
// that of the next incarnation is ended by the line and then by the server, as soon as
// there is a segment in it. Only the last is for longer: TCP has no patience without end.
func (d *dialup) flap() {
	d.s.t.Helper()
	d.drop()
	d.raise(1 + d.number%2)
	d.server.LinkDown()
	d.closed()
	d.waits()
	d.server.LinkUp()
	d.mark()
	d.opened(1)
	// The first failure of a machine that is new: it tries again within half a second.
	silent := *redialing >= longRun && d.number%5 == 0
	switch {
	case silent && d.number%2 == 0:
		d.server.Forget()
	case silent:
		d.server.Silence(true)
	case d.number%2 == 0:
		d.server.PADT()
	default:
		d.server.Terminate()
	}
	d.closed()
	if silent {
		d.server.Silence(false)
	}
	d.mark()
	d.opened(sessionLife)
}

// drop ends the interface by command.
func (d *dialup) drop() {
	d.s.t.Helper()
	ctx, cancel := context.WithTimeout(d.s.t.Context(), patience)
	defer cancel()
	_, err := d.s.r.DeleteInterface(ctx, "wan")
	d.s.must(err)
	d.closed()
}

// opened waits for the next session, and for so many segments in it.
func (d *dialup) opened(segments uint64) {
	d.s.t.Helper()
	before := d.right.Load()
	d.session = d.await("session opened").Fields["session"].(uint16)
	d.newest.Add(1)
	if d.flaps > 0 { // else there are no connections
		d.s.until("segments in the session", func() bool { return d.right.Load() >= before+segments })
	}
}

// closed waits for the end of the session, and until all who may have found it have
// left.
func (d *dialup) closed() {
	d.s.t.Helper()
	d.await("session closed")
	d.flaps++
	ctx, cancel := context.WithTimeout(d.s.t.Context(), patience)
	defer cancel()
	passed := make(chan struct{})
	d.s.must(d.s.r.Loop.Do(ctx, func(t *loop.Turn) error {
		t.AfterGrace(func(*loop.Turn) { close(passed) })
		return nil
	}))
	<-passed
}

// await waits for the next event of that name.
func (d *dialup) await(name string) events.Event {
	d.s.t.Helper()
	ctx, cancel := context.WithTimeout(d.s.t.Context(), patience)
	defer cancel()
	for {
		all, err := d.s.ring.Next(ctx, d.seen)
		if err != nil {
			d.s.t.Fatalf("wait for %s: %v", name, err)
		}
		for _, e := range all {
			if d.seen = e.Seq; e.Event == name {
				return e
			}
		}
	}
}

// waits asks, once, what connections wait for while there is no session, as
// `router6d show connections` does.
func (d *dialup) waits() {
	t := d.s.t
	t.Helper()
	if d.asked || fault.NoGuard {
		return
	}
	d.asked = true
	d.s.until("all who send to wait", func() bool { return d.s.r.Transport.Stats().Waiting >= len(sessionOwn)*sessionEach })
	path := filepath.Join(t.TempDir(), "sock")
	server, err := control.Listen(path, d.s.r, d.s.ring, zap.NewAtomicLevel())
	d.s.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	var answering sync.WaitGroup
	answering.Go(func() { _ = server.Run(ctx) })
	defer answering.Wait()
	defer cancel()
	all, err := control.NewClient(path).Connections(ctx)
	d.s.must(err)
	n := map[string]int{}
	for _, c := range all {
		if c.Interface != "" {
			t.Errorf("%v to %v leaves through %s, of which the session is not there", c.Local, c.Remote, c.Interface)
		}
		n[c.WaitsFor]++
	}
	t.Logf("what %d connections wait for without a session: %v", len(all), n)
	for why := range n {
		if !slices.Contains([]string{"", dataplane.NoRoute.String(), dataplane.InterfaceDown.String(), dataplane.NoSession.String(), dataplane.SourceLeft.String()}, why) {
			t.Errorf("connections wait for %q", why)
		}
	}
}

// echo begins a connection of a peer's, and has one byte come back.
func (d *dialup) echo(ctx context.Context, from, to netip.Addr) (c conn, err error) {
	err = d.net.Do(func() error {
		dialer := net.Dialer{KeepAlive: noProbes}
		c, err = dialer.DialTCP(ctx, "tcp6", netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, config.DefaultEcho))
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{accepted}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, greeted(c)
}

// echo runs the router's service, which has patience here: a peer may find no session for
// longer than the two minutes in which others have to say something.
func (s *stage) echo() {
	s.t.Helper()
	l, err := s.r.Transport.Listen(config.DefaultEcho, tcpstack.Where{Interfaces: []string{"wan"}})
	s.must(err)
	s.serve(l, service.Echo)
}

// end ends the interfaces, and the capture.
func (d *dialup) end() {
	d.s.t.Helper()
	d.drop()
	_, err := d.s.r.DeleteInterface(d.s.t.Context(), "line")
	d.s.must(err)
	lost, err := d.lens.Drops()
	d.s.must(err)
	d.s.must(d.lens.Close())
	d.readers.Wait()
	if lost != 0 {
		d.s.t.Errorf("the capture lost %d frames: the test is blind", lost)
	}
	slices.Sort(d.after)
	if n := len(d.after); n > 0 {
		d.s.t.Logf("%d sessions had segments, the first %v after IPV6CP, at most %v; %d segments were under way when one ended",
			n, d.after[n/2], d.after[n-1], d.late)
	}
}

// markType is for what is local and experimental, IEEE 802.
const markType = 0x88b5

// mark says in the capture that the last session is over, and what is so of the
// interface from now on.
func (d *dialup) mark() {
	d.s.t.Helper()
	b := make([]byte, 12, 60)
	b = binary.BigEndian.AppendUint16(b, markType)
	b = binary.BigEndian.AppendUint16(b, d.session)
	b = append(b, d.limit, 1)
	for _, k := range d.has {
		b[17] |= 1 << k
	}
	d.s.must(d.marks.Send(markType, b[:cap(b)]))
}

// A sessionWatch reads the line: what was sent in the order of the system calls that
// sent it.
type sessionWatch struct {
	d       *dialup
	live    uint16           // session that was confirmed last
	is      map[uint16]endOf // of each that was confirmed
	agreed  time.Time        // the last packet of IPV6CP in it; zero: it had a segment
	limit   uint8
	sources byte // bits of sessionOwn
}

// endOf is how near its end a session is.
type endOf int

const (
	unknown endOf = iota // was never confirmed
	alive
	ending // a PADT was seen, of either side
	over   // all who may have found it have left: the mark was seen
)

func (w *sessionWatch) read() {
	var b [2048]byte
	for {
		p, err := w.d.lens.Read(b[:])
		switch {
		case errors.Is(err, unix.ENETDOWN): // once, when the line goes down
		case err != nil:
			return
		case p.EtherType == markType && p.Outgoing:
			w.limit, w.sources = b[16], b[17]
			w.is[binary.BigEndian.Uint16(b[14:])] = over
		default:
			if f, ok := pppoe.ParseFrame(b[:p.Len]); ok {
				w.frame(f, p)
			}
		}
	}
}

func (w *sessionWatch) frame(f pppoe.Frame, p netlab.Captured) {
	switch {
	case f.Code == pppoe.PADS && !p.Outgoing && f.Session != 0:
		w.live, w.is[f.Session], w.agreed = f.Session, alive, time.Time{}
	case f.Code == pppoe.PADT && w.is[f.Session] == alive:
		w.is[f.Session] = ending
	case f.Code == pppoe.SessionData && len(f.Payload) > ppp.ProtocolSize:
		switch ppp.Protocol(binary.BigEndian.Uint16(f.Payload)) {
		case ppp.ProtoIPV6CP:
			w.agreed = p.Time
		case ppp.ProtoIPv6:
			if pkt, ok := header.ParseIPv6(f.Payload[ppp.ProtocolSize:]); ok && p.Outgoing && pkt.NextHeader() == header.ProtoTCP {
				w.segment(f.Session, pkt, p.Time)
			}
		}
	}
}

// segment judges one of the router's own.
func (w *sessionWatch) segment(session uint16, pkt header.IPv6, at time.Time) {
	if !w.agreed.IsZero() {
		w.d.after = append(w.d.after, at.Sub(w.agreed))
		w.agreed = time.Time{}
	}
	k := slices.IndexFunc(sessionOwn[:], func(p netip.Prefix) bool { return p.Addr() == pkt.Source() })
	is := w.is[session]
	switch {
	case is == unknown, is == over, pkt.HopLimit() != w.limit, k < 0, w.sources&(1<<k) == 0:
		if w.d.wrong.Add(1) <= toldMost {
			w.d.s.t.Logf("from %v to %v, hop limit %d, in session %d, which is %d; want hop limit %d, sources %03b, session %d",
				pkt.Source(), pkt.Destination(), pkt.HopLimit(), session, is, w.limit, w.sources, w.live)
		}
	case is == ending, session != w.live:
		w.d.late++
		fallthrough
	default:
		w.d.right.Add(1)
	}
}

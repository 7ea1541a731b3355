package torture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/internal/netlab"
)

const (
	etherTime = 10 * time.Second // of ends, at least
	etherEnds = 24               // of links, at least, each with a VLAN on it
	absent    = 20               // addresses of a link that nobody has, and packets go to

	burst, burstEvery = 10, 5 * time.Millisecond   // packets to each link
	stopEvery, stop   = 200, 10 * time.Millisecond // a worker, of so many batches
)

// TestDetachDuringResolution makes and destroys TAPs, links of the kernel's under a
// packet socket, each with one worker or several, and VLANs on both, in every way
// there is. All that time packets come in for a neighbor that is there and for many
// that are not: some are held, and timers run, whenever an interface ends. What passes
// between others loses nothing; no packet arrives on another link, or after the end;
// and in the account nothing is held any more.
func TestDetachDuringResolution(t *testing.T) {
	s := newStage(t, 20*time.Second)
	tags, err := netlab.NewTags(s.west, netlab.End(netlab.Wire(1), 2))
	s.must(err)
	flows := s.startFlows()
	lines := []*line{
		{s: s, name: "tap", tags: tags, plug: s.plugTAP, causes: map[string]int{}},
		{s: s, name: "link", tags: tags, plug: s.plugLink, causes: map[string]int{}},
	}
	// Some batches see the end of what they have found.
	holdWorkers(t, stopEvery, func() { time.Sleep(stop) }) // for nothing: it is slow
	sending, cease := context.WithCancel(t.Context())
	var senders, acts sync.WaitGroup
	for _, l := range lines {
		senders.Go(func() { l.send(sending) })
		acts.Go(func() {
			for end := time.Now().Add(etherTime); l.ends < etherEnds/len(lines) || time.Now().Before(end); l.ends++ {
				if err := l.live(); err != nil {
					t.Errorf("%s %d: %v", l.name, l.ends, err)
					return
				}
			}
		})
	}
	acts.Wait()
	cease()
	senders.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.must(tags.Stop(ctx))
	s.judgeFlows(flows)
	for _, l := range lines {
		t.Logf("%s: %d ends, with %d packets held; ended by causes %v", l.name, l.ends, l.purged, l.causes)
	}
	t.Logf("%d packets sent, %d right, %d wrong, %d late", tags.Sent.Load(), tags.Right.Load(), tags.Wrong.Load(), tags.Late.Load())
	if tags.Right.Load() == 0 || tags.Wrong.Load()+tags.Late.Load() != 0 {
		t.Errorf("packets that arrived %d, on another link %d, after the end %d", tags.Right.Load(), tags.Wrong.Load(), tags.Late.Load())
	}
	if n := s.orphans(); n != 0 {
		t.Errorf("%d detaches ended orphaned", n)
	}
}

// A line is one name whose interfaces have frames and never live long.
type line struct {
	s    *stage
	name string
	tags *netlab.Tags
	// plug makes the port of an incarnation, whose other end is a host in ns.
	plug func(i *incarnation) error

	ends   int
	purged int            // packets that were held at an end
	causes map[string]int // of ends

	port, vlan atomic.Int64 // number of the newest incarnation; zero: none yet
}

// send sends packets for the line, in bursts: on a busy machine too there are many.
func (l *line) send(ctx context.Context) {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range burst {
			if a, incarnation := l.target(n); a.IsValid() {
				l.tags.Send(a, incarnation)
			}
			n++
		}
	}
}

// target is an address on the newest link, or on the VLAN on it: of the host that is
// there, or of somebody who is not.
func (l *line) target(n int) (netip.Addr, uint64) {
	number := l.port.Load()
	if n%2 != 0 {
		number = l.vlan.Load()
	}
	if number == 0 {
		return netip.Addr{}, 0
	}
	host := byte(2)
	if n/2%4 != 0 {
		host = byte(0x10 + n/8%absent)
	}
	return netlab.End(netlab.Wire(firstTag+int(number)), host), uint64(number)
}

// live is one life of a link and of the VLAN on it: until packets are held on both,
// or in the middle of duplicate address detection.
func (l *line) live() error {
	ns, err := netlab.NewNamespace(l.name)
	if err != nil {
		return err
	}
	lives := &life{line: l, ns: ns, dad: l.ends%7 == 6}
	err = lives.begin()
	if err == nil {
		err = lives.middle()
	}
	if err == nil {
		err = lives.end()
	}
	if lives.dead {
		return err
	}
	return errors.Join(err, ns.Delete())
}

// A life is one incarnation of a line.
type life struct {
	*line
	ns         *netlab.Namespace // of the host at the other end
	dead       bool              // the namespace has gone
	dad        bool              // addresses are still asked about at the end
	link, vlan *incarnation
	watch      *netlab.TagWatch
}

func (l *life) begin() (err error) {
	if l.link, err = l.s.design(l.name, l.ns); err != nil {
		return err
	}
	if l.dad {
		l.link.c.DADTransmits = config.DefaultDADTransmits
	}
	if err := l.plug(l.link); err != nil {
		return err
	}
	if l.watch, err = l.tags.Watch(l.ns, l.name, uint64(l.link.number)); err != nil {
		return err
	}
	l.port.Store(int64(l.link.number))
	if l.vlan, err = l.s.design(l.name+".7", l.ns); err != nil {
		return err
	}
	c := &l.vlan.c
	c.Type, c.Mode, c.MTU, c.Kernel = config.TypeVLAN, config.ModeAttach, 0, nil
	c.Lower, c.VLAN = l.name, config.VLAN{Protocol: config.Protocol8021Q, ID: 7}
	c.DADTransmits = l.link.c.DADTransmits
	if err := l.s.attach(l.vlan); err != nil {
		return err
	}
	l.line.vlan.Store(int64(l.vlan.number))
	return nil
}

// middle waits until packets are held; every third time the carrier goes for a
// moment, and they are held again.
func (l *life) middle() error {
	if l.dad {
		return nil
	}
	if err := l.awaitHeld(); err != nil || l.ends%3 != 2 {
		return err
	}
	err := errors.Join(l.ns.SetDown(l.name), l.await(func(i ifmgr.Info) bool { return i.State == ifmgr.Down && i.Discovery.HeldPackets == 0 }))
	if err = errors.Join(err, l.ns.SetUp(l.name)); err != nil {
		return err
	}
	return l.awaitHeld()
}

func (l *life) awaitHeld() error {
	return l.await(func(i ifmgr.Info) bool {
		return i.State == ifmgr.Up && i.Discovery.HeldPackets > 0 && i.Discovery.Neighbors[nd.Incomplete] > 0
	})
}

// await waits until both interfaces are so.
func (l *life) await(so func(ifmgr.Info) bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		n := 0
		var seen []ifmgr.Info
		err := l.s.r.Loop.Do(context.Background(), func(t *loop.Turn) error {
			for _, i := range l.s.r.Interfaces.All(t) {
				if i.ID != l.link.id && i.ID != l.vlan.id {
					continue
				}
				if seen = append(seen, i); so(i) {
					n++
				}
			}
			return nil
		})
		if err != nil || n == 2 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("interfaces are not as they should within %v: %+v", patience, seen)
		}
	}
}

// end ends the link by command, by deletion, by a broken descriptor, by the death of
// the namespace that the other end is in, or after its VLAN.
func (l *life) end() (err error) {
	certain := !l.dad // that packets are held at that moment
	switch l.ends % 5 {
	case 0:
		err = l.s.delete(l.link)
	case 1:
		certain = false // the carrier may go first
		err = l.ns.DeleteLink(l.name)
	case 2:
		err = l.s.breakDown(l.link.id)
	case 3:
		certain = false
		l.dead = true
		// A socket keeps a namespace.
		err = errors.Join(l.watch.Close(), l.ns.Delete())
	default:
		err = errors.Join(l.s.delete(l.vlan), l.s.delete(l.link))
	}
	if err != nil {
		return err
	}
	for _, i := range []*incarnation{l.link, l.vlan} {
		res, err := l.s.await(i.id)
		if err != nil {
			return err
		}
		if certain && res.Purged == 0 {
			return fmt.Errorf("%s ended with nothing held: %+v", i.c.Name, res)
		}
		l.purged += res.Purged
		l.causes[res.Cause.Error()]++
	}
	l.watch.Gone()
	return l.clear()
}

// clear takes away a cable that has outlived its interface, when more packets have
// come in for it: they may not arrive.
func (l *life) clear() error {
	if _, err := l.s.home.Link(l.name); errors.Is(err, netlab.ErrNoLink) {
		return nil
	}
	sent := l.tags.Sent.Load()
	l.s.until("packets for what has ended", func() bool { return l.tags.Sent.Load() > sent+20 })
	return l.s.home.DeleteLink(l.name)
}

// plugTAP makes a TAP, whose other end is a host.
func (s *stage) plugTAP(i *incarnation) error {
	i.c.Type, i.c.Kernel.Routes, i.c.Queues = config.TypeTAP, nil, workers(i)
	if err := s.attach(i); err != nil {
		return err
	}
	return i.ns.AddRoute(i.c.Name, everywhere, i.c.Addresses[0].Addr())
}

// plugLink lays a cable to a host, and takes this end of it: every other time with
// the cable's own MAC, so that the kernel is to be silent on it.
func (s *stage) plugLink(i *incarnation) error {
	host := i.c.Kernel.Addresses[0]
	if err := netlab.Connect(s.home, i.c.Name, i.ns, i.c.Name); err != nil {
		return err
	}
	if err := errors.Join(i.ns.AddAddress(i.c.Name, host), i.ns.AddRoute(i.c.Name, everywhere, i.c.Addresses[0].Addr())); err != nil {
		return err
	}
	i.c.Type, i.c.Mode, i.c.MTU, i.c.Kernel, i.c.Queues = config.TypePacket, config.ModeAttach, 0, nil, workers(i)
	if i.number%4 < 2 {
		i.c.MAC = config.MAC{2, 0, 0, 0, byte(i.number >> 8), byte(i.number)}
	}
	return s.attach(i)
}

// workers is how many an incarnation has: one, two or three.
func workers(i *incarnation) int { return 1 + i.number%3 }

var everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

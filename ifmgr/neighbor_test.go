package ifmgr

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/router6d/router6d/ifmgr/nd"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// A lan is an Ethernet interface, and what its neighbor discovery has sent.
type lan struct {
	*house
	id  ID
	n   *Neighbors
	out nd.Output // all of it; the loop's
}

func newLAN(t *testing.T, settings Settings) *lan {
	t.Helper()
	return newLANOn(t, new(framed), settings)
}

func newLANOn(t *testing.T, p link.Port, settings Settings) *lan {
	t.Helper()
	l := &lan{house: newHouse(t)}
	l.do(func(x *loop.Turn) {
		hooks := l.m.hooks
		hooks.Transmit = func(_ *loop.Turn, _ *Interface, out nd.Output) {
			l.out.Send = append(l.out.Send, out.Send...)
			l.out.Released = append(l.out.Released, out.Released...)
			l.out.Refused = append(l.out.Refused, out.Refused...)
		}
		hooks.Up = func(*loop.Turn, ID) {} // it is asked more than once
		l.m.Hook(hooks)
		var err error
		if l.id, err = l.m.Attach(x, p, settings); err != nil {
			t.Error(err)
		}
		l.n = l.m.ifaces[l.id].neighbors
	})
	return l
}

// settle waits for what was put into the inbox.
func (l *lan) settleInbox() {
	done := make(chan struct{})
	l.loop.Notify(func(*loop.Turn) { close(done) })
	<-done
}

// packets are n that may be held.
func packets(n int) []*link.Packet {
	b := link.NewBatch(link.NewPool(1))
	var all [][]byte
	for range n {
		all = append(all, make([]byte, 60))
	}
	b.Inject(all...)
	var some []*link.Packet
	for i := range n {
		some = append(some, b.At(i))
	}
	return some
}

func target(n int) *[16]byte {
	a := [16]byte{0x20, 1, 0xd, 0xb8, 14: byte(n >> 8), 15: byte(n)}
	return &a
}

// What is put into an inbox is bounded, whoever puts it, while the loop is busy; what
// does not fit is counted.
func TestInboxIsBounded(t *testing.T) {
	l := newLAN(t, settings("lan", "2001:db8::fff/64"))
	busy, free := make(chan struct{}), make(chan struct{})
	l.loop.Post(func(*loop.Turn) { close(busy); <-free })
	<-busy
	var none [16]byte
	p := packets(1)[0]
	held, answers, others, used := 0, 0, 0, 0
	for i := range 1000 {
		count := func(n *int, ok bool) {
			if ok {
				*n++
			}
		}
		count(&held, l.n.Hold(p, &none, target(i), 0) == 0)
		count(&answers, l.n.Answer(&nd.Message{Type: header.TypeNeighborAdvertisement, Target: *target(i)}))
		count(&others, l.n.Tell(&nd.Message{Type: header.TypeRouterSolicitation, Source: *target(i)}))
		count(&used, l.n.note(&l.n.inbox.waiting.used, target(i)))
	}
	if held != maxHolds || answers != maxAnswers || others != maxOthers || used != maxNotes {
		t.Errorf("took %d, %d, %d, %d", held, answers, others, used)
	}
	close(free)
	l.settleInbox()
	l.do(func(*loop.Turn) {
		if lost := l.n.info().Lost; lost != 3000-maxHolds-maxAnswers-maxOthers {
			t.Errorf("lost %d", lost)
		}
	})
	if r := <-l.detach(l.id); !r.Clean || r.Purged == 0 {
		t.Errorf("ledger = %+v", r)
	}
}

// No neighbor fills the place of answers: a few are kept about each, and none twice.
func TestInboxKeepsFewAboutEach(t *testing.T) {
	var letters letters
	for i := range 100 {
		letters.answer(&nd.Message{Target: *target(1), LinkLayer: [6]byte{byte(i % 50)}})
	}
	if n := len(letters.answers); n != maxAlike {
		t.Errorf("%d about one, want %d", n, maxAlike)
	}
	if !letters.answer(&nd.Message{Target: *target(1), LinkLayer: [6]byte{0}}) || len(letters.answers) != maxAlike {
		t.Error("one that says nothing new is kept, or refused")
	}
	if !letters.answer(&nd.Message{Target: *target(2)}) {
		t.Error("no place for another")
	}
}

// A full inbox gives the loop a pause.
func TestFullInboxPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, settings("lan", "2001:db8::fff/64"))
		begin := time.Now()
		turns := 0
		for range 100 {
			for i := range 2 * maxOthers {
				l.n.Tell(&nd.Message{Type: header.TypeRouterSolicitation, Source: *target(i)})
			}
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		l.do(func(x *loop.Turn) { turns = int(x.Stats().Turns) })
		if took := time.Since(begin); turns > int(took/pause)+20 {
			t.Errorf("%d turns in %v", turns, took)
		}
		<-l.detach(l.id)
		l.stop()
	})
}

// From the gate on nothing is held, and what was is purged in the same turn, even
// while readers are still there; those see the neighbors that they saw.
func TestDetachClosesTheInbox(t *testing.T) {
	l := newLAN(t, settings("lan", "2001:db8::fff/64"))
	var none [16]byte
	for i, p := range packets(5) {
		l.n.Hold(p, &none, target(1+i%3), 0)
	}
	l.settleInbox()
	known := *target(77)
	l.do(func(x *loop.Turn) {
		l.n.step(x, &nd.Message{Type: header.TypeRouterSolicitation, Source: known, LinkLayer: [6]byte{2, 9}, HasLinkLayer: true})
	})
	r := l.dom.Register("worker")
	g := r.Enter()
	done := l.detach(l.id)
	var refused int
	l.do(func(*loop.Turn) { refused = len(l.out.Refused) })
	if refused != 5 {
		t.Errorf("%d packets refused, want 5", refused)
	}
	if why := l.n.Hold(packets(1)[0], &none, target(1), 0); why != nd.Stopped {
		t.Errorf("a packet is held after the gate, or not for that: %d", why)
	}
	if l.n.Tell(&nd.Message{}) || l.n.Answer(&nd.Message{}) {
		t.Error("something is taken after the gate")
	}
	if mac, ok := l.n.Lookup(&known); !ok || mac != [6]byte{2, 9} {
		t.Error("a neighbor is gone under a reader")
	}
	g.Leave()
	r.Close()
	if res := <-done; !res.Clean || res.Purged != 5 {
		t.Errorf("ledger = %+v", res)
	}
	l.do(func(*loop.Turn) {
		if d := l.m.Discovered(nil); d.Solicited == 0 {
			t.Error("what has ended is no longer counted")
		}
	})
}

// A packet that is put into an inbox while the interface ends is purged, or was not
// taken: none stays behind, and nothing is left for a turn after the end.
func TestNothingIsPutBetweenPurgeAndGate(t *testing.T) {
	l := newLAN(t, settings("lan", "2001:db8::fff/64"))
	defer func() { <-l.detach(l.id) }()
	var none [16]byte
	p := packets(1)[0]
	for range 10 {
		n := &Neighbors{m: l.m, i: l.n.i, inbox: inbox{posted: true}} // its turn is to come
		purged, taken := make(chan int), make(chan bool)
		n.inbox.mu.Lock()
		go func() { purged <- len(n.inbox.close().holds) }()
		time.Sleep(2 * time.Millisecond)
		go func() { taken <- n.Hold(p, &none, target(1), 0) == 0 }()
		time.Sleep(2 * time.Millisecond)
		// Who finds it locked after a millisecond's wait has it handed over, and the
		// next after that: the worker is in front of any second lock of the loop's.
		n.inbox.mu.Unlock()
		n.inbox.mu.Lock()
		time.Sleep(2 * time.Millisecond)
		n.inbox.mu.Unlock()
		if a, b := <-taken, <-purged; a != (b == 1) {
			t.Fatalf("taken %v, and %d purged", a, b)
		}
	}
}

// Addresses that are asked about first are not there for others before.
func TestAddressesAreUsedWhenTheyAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings("lan", "2001:db8::1/64")
		s.DADTransmits = 1
		l := newLAN(t, s)
		look := func() (addresses, onLink int, own bool) {
			l.do(func(x *loop.Turn) {
				addresses, onLink = len(l.m.Addresses(x, l.id)), len(l.m.OnLink(x, l.id))
				own = l.m.Find(x, l.id).Addrs().LinkLocal().IsValid()
			})
			return addresses, onLink, own
		}
		if a, p, own := look(); a != 0 || p != 1 || own {
			t.Errorf("at once %d addresses, %d prefixes, link-local %v", a, p, own)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if a, p, own := look(); a != 1 || p != 1 || !own {
			t.Errorf("after a while %d addresses, %d prefixes, link-local %v", a, p, own)
		}
		if l.logged("address in use") != 2 {
			t.Errorf("told %d times", l.logged("address in use"))
		}
		l.do(func(x *loop.Turn) { l.m.Carrier(x, l.id, false) })
		if a, _, own := look(); a != 0 || own {
			t.Errorf("without carrier %d addresses, link-local %v", a, own)
		}
		<-l.detach(l.id)
		l.stop()
	})
}

// RFC 2464 §5: the link-local address is made of the MAC.
func TestRFC2464_5_LinkLocalAddress(t *testing.T) {
	got := withLinkLocal(nil, new(framed))
	if want := "[fe80::ff:fe00:1/64]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// RFC 4862 §5.4.5: an interface whose hardware address somebody else has is in no
// lookup and takes no routes, though it has carrier, and what is stacked on it goes on;
// until there is carrier anew, another MAC, or addresses are set.
//
// Proves:
//   - RFC 4862 §5.4.5 disable-interface
func TestRFC4862_5_4_5_Disabled(t *testing.T) {
	again := map[string]func(*lan, *loop.Turn, *framed){
		"carrier": func(l *lan, x *loop.Turn, _ *framed) {
			l.m.Carrier(x, l.id, false)
			l.n.look(x) // sends nothing
			l.m.Carrier(x, l.id, true)
		},
		"addresses": func(l *lan, x *loop.Turn, _ *framed) {
			if err := l.m.SetAddresses(x, l.id, nil); err != nil {
				t.Error(err)
			}
		},
		"MAC": func(l *lan, x *loop.Turn, p *framed) {
			p.other = true
			l.m.noteMAC(x, l.n.i)
		},
	}
	for name, anew := range again {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { disabled(t, anew) })
		})
	}
}

func disabled(t *testing.T, anew func(*lan, *loop.Turn, *framed)) {
	s := settings("lan", "2001:db8::fff/64")
	s.DADTransmits, s.Up = 10, true
	p := new(framed)
	l := newLANOn(t, p, s)
	defer l.stop()
	var withdrawn, up int
	var v ID
	l.do(func(x *loop.Turn) {
		hooks := l.m.hooks
		hooks.Withdraw = func(*loop.Turn, ID) (int, int) { withdrawn++; return 0, 0 }
		hooks.Up = func(*loop.Turn, ID) { up++ }
		l.m.Hook(hooks)
		id, err := l.m.attachVLAN(x, vlanOn("lan", 7, config.Protocol8021Q))
		if err != nil {
			t.Fatal(err)
		}
		v = id
	})
	time.Sleep(1500 * time.Millisecond) // it has asked, and waits
	mine := header.MAC{2, 5: 1}
	twin := nd.Message{Type: header.TypeNeighborAdvertisement, Target: header.LinkLocalOf(&mine), From: mine}
	if !l.n.Answer(&twin) {
		t.Fatal("no room")
	}
	l.settleInbox()
	route := func(x *loop.Turn) error {
		h, err := l.m.Acquire(x, l.id, Route)
		if err == nil {
			h.Release()
		}
		return err
	}
	l.do(func(x *loop.Turn) {
		i, on := l.m.ifaces[l.id], l.m.ifaces[v]
		if !i.Disabled() || i.state != Up || withdrawn != 1 || i.Withdrawn() == 0 || !errors.Is(route(x), ErrDown) {
			t.Errorf("disabled %v, %v, withdrawn %d times, at %d, a route: %v", i.Disabled(), i.state, withdrawn, i.Withdrawn(), route(x))
		}
		if on.state != Up || on.Disabled() {
			t.Errorf("the VLAN is %v, disabled %v", on.state, on.Disabled())
		}
		up = 0
		anew(l, x, p)
		if i.Disabled() || i.Withdrawn() != 0 || up == 0 || route(x) != nil {
			t.Errorf("disabled %v, withdrawn at %d, up %d times, a route: %v", i.Disabled(), i.Withdrawn(), up, route(x))
		}
	})
	time.Sleep(15 * time.Second)
	l.do(func(*loop.Turn) {
		if !l.m.ifaces[l.id].addrs.Load().LinkLocal().IsValid() {
			t.Error("its address is not in use")
		}
	})
	<-l.detach(v)
	<-l.detach(l.id)
}

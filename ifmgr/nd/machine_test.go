package nd

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// RFC 4861 §7.2.2: three solicitations, a second apart, to the solicited-node
// group, with the router's MAC; then whoever waits is told that there is nobody.
//
// Proves:
//   - RFC 4861 §7.2.2 own-address-in-group
//   - RFC 4861 §7.2.2 retransmit
//   - RFC 4861 §7.2.2 retransmit-limit
//   - RFC 4861 §7.3.3 one-in-retrans-timer
func TestRFC4861_7_2_2_Resolution(t *testing.T) {
	w := newWire(t)
	ask := "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a option 1 020000000001"
	w.do(hold(hostA, "1"))
	w.do(hold(hostA, "2"))
	w.want(ask)
	w.pass(retransTimer - 1)
	w.want()
	w.pass(1)
	w.want(ask)
	w.pass(retransTimer)
	w.want(ask)
	w.pass(retransTimer - 1)
	w.want()
	w.pass(1)
	w.want("refuse 1: no answer", "refuse 2: no answer")
	w.wantState(hostA, 0, header.MAC{})
}

// RFC 4861 §7.2.2: the source of the packet is that of the solicitation, if it is
// the router's.
//
// Proves:
//   - RFC 4861 §7.2.2 source-of-prompt
func TestRFC4861_7_2_2_SourceOfSolicitation(t *testing.T) {
	w := newWire(t)
	w.do(Hold{Target: a16(hostA), Source: a16(own), Packet: note("1")})
	w.wantOne("NS 2001:db8::a from 2001:db8::1 ")
}

// RFC 4861 §7.2.2: packets wait for the answer, and leave in order.
//
// Proves:
//   - RFC 4861 §7.2.2 hold
//   - RFC 4861 §7.2.2 release
func TestRFC4861_7_2_2_HeldPacketsLeaveInOrder(t *testing.T) {
	w := newWire(t)
	w.do(hold(hostA, "1"))
	w.do(hold(hostA, "2"))
	w.take()
	w.do(na(hostA, "SO", macA))
	w.want("release 1 to 02000000000a", "release 2 to 02000000000a")
	w.do(hold(hostA, "late")) // it was under way
	w.want("release late to 02000000000a")
}

// RFC 4861 §7.2.2: of too many, the newest are kept.
//
// Proves:
//   - RFC 4861 §7.2.2 hold-few
//   - RFC 4861 §7.2.2 hold-newest
func TestRFC4861_7_2_2_NewestAreHeld(t *testing.T) {
	w := newWire(t)
	for i := range maxHeldPackets + 2 {
		w.do(hold(hostA, fmt.Sprint(i)))
	}
	if got := w.take()[1:]; !slices.Equal(got, []string{"refuse 0: overflow", "refuse 1: overflow"}) {
		t.Errorf("came %q", got)
	}
	w.do(na(hostA, "S", macA))
	if got := w.take(); len(got) != maxHeldPackets || got[0] != "release 2 to 02000000000a" {
		t.Errorf("came %q", got)
	}
}

// What is held is bounded in bytes too, for all neighbors together.
func TestHeldBytesAreBounded(t *testing.T) {
	w := newWire(t)
	big := strings.Repeat("x", 64<<10)
	for i := range 30 {
		w.do(hold(fmt.Sprintf("2001:db8::a:%x", i), big))
	}
	if s := w.Stats(); s.HeldBytes > maxHeld || s.HeldPackets != maxHeld/len(big) {
		t.Errorf("%d packets, %d bytes are held", s.HeldPackets, s.HeldBytes)
	}
	w.do(Down{})
	if s := w.Stats(); s.HeldBytes != 0 || s.HeldPackets != 0 {
		t.Errorf("%d packets, %d bytes are held without carrier", s.HeldPackets, s.HeldBytes)
	}
}

// RFC 4861 §7.2.2: nobody is asked for a group, for the router's own address, or
// from no address.
//
// Proves:
//   - RFC 4861 §7.2 not-for-groups
//   - RFC 4861 §7.3 unicast-only
//   - RFC 4862 §5.4 tentative-not-used
func TestRFC4861_7_2_2_WhatIsNotResolved(t *testing.T) {
	w := newWire(t)
	for _, to := range []string{"ff02::1", own, "::", "::1"} {
		w.do(hold(to, "1"))
		w.want("refuse 1: stopped")
	}
	w = newDeadWire(t, 1)
	w.do(Addresses{netip.MustParsePrefix(own + "/64")})
	w.do(hold(hostA, "1"))
	w.want("refuse 1: stopped")
	w.do(Up{ownMAC})
	w.take()
	w.do(hold(hostA, "1")) // the address is tentative
	w.want("refuse 1: stopped")
}

// RFC 4861 §7.2.3: who is known by a solicitation is no router.
//
// Proves:
//   - RFC 4861 §7.2.3 ns-not-router
func TestRFC4861_7_2_3_NewNeighborIsNoRouter(t *testing.T) {
	w := newWire(t)
	w.do(ns(hostA, own, macA))
	if n := w.All(); len(n) != 1 || n[0].Router || n[0].State != Stale {
		t.Errorf("neighbors = %+v", n)
	}
}

// RFC 4861 §7.3.3: nothing that the link layer says makes a neighbor reachable.
//
// Proves:
//   - RFC 4861 §7.3.3 link-information
func TestRFC4861_7_3_3_LinkLayerConfirmsNothing(t *testing.T) {
	for _, from := range []State{Stale, Delay, Probe, Unreachable} {
		w := newWire(t)
		w.bring(hostA, from)
		w.do(HardwareAddr{macB})
		w.wantState(hostA, from, macA)
		w.do(Up{ownMAC})
		w.wantState(hostA, 0, header.MAC{})
	}
}

// RFC 4861 §7.2.3, RFC 5942 §4: who is not on this link is not learned.
func TestRFC4861_7_2_3_OffLinkSourcesAreNotLearned(t *testing.T) {
	w := newWire(t)
	w.do(rs("2001:db8:9::a", macA))
	w.wantState("2001:db8:9::a", 0, header.MAC{})
	w.do(rs("fe80::a", macA))
	w.wantState("fe80::a", Stale, macA)
}

// RFC 4861 §7.2.4: the answer goes to who asked, from the target, with the target's
// MAC, and is said to be asked for and to override.
//
// Proves:
//   - RFC 4861 §7.2.4 answer
//   - RFC 4861 §7.2.4 own-address-to-group
//   - RFC 4861 §7.2.4 router-flag
//   - RFC 4861 §7.2.4 override
//   - RFC 4861 §7.2.4 to-source
func TestRFC4861_7_2_4_Advertisement(t *testing.T) {
	w := newWire(t)
	w.do(ns(hostA, own, macA))
	w.want("NA 2001:db8::1 ORS from 2001:db8::1 to 2001:db8::a at 02000000000a option 2 020000000001")
	w.wantState(hostA, Stale, macA)
}

// RFC 4861 §7.2.4: who has no address is answered by telling all.
//
// Proves:
//   - RFC 4861 §7.2.4 to-unspecified
//   - RFC 4861 §7.2.3 ns-unspecified
//   - RFC 4862 §5.4.3 not-tentative
func TestRFC4861_7_2_4_AdvertisementToAll(t *testing.T) {
	w := newWire(t)
	w.do(ns("::", own))
	w.want("NA 2001:db8::1 OR from 2001:db8::1 to ff02::1 option 2 020000000001")
	if len(w.neighbors) != 0 {
		t.Errorf("neighbors = %v", w.All())
	}
}

// RFC 4861 §7.2.4: who did not say where he is is found first.
//
// Proves:
//   - RFC 4861 §7.2.4 resolve-for-answer
func TestRFC4861_7_2_4_AdvertisementIsResolved(t *testing.T) {
	w := newWire(t)
	w.do(ns(hostA, own))
	w.wantOne("NS 2001:db8::a from 2001:db8::1")
	w.do(na(hostA, "S", macA))
	w.want("NA 2001:db8::1 ORS from 2001:db8::1 to 2001:db8::a at 02000000000a option 2 020000000001")

	w.do(ns(hostA, own)) // a probe: known now
	w.wantOne("NA 2001:db8::1 ORS from 2001:db8::1 to 2001:db8::a at 02000000000a")
}

// RFC 4861 §7.2.3: what is asked of others is nothing to the router, and teaches
// it nothing.
//
// Proves:
//   - RFC 4861 §7.2.3 ns-not-ours
func TestRFC4861_7_2_3_OthersTargets(t *testing.T) {
	w := newWire(t)
	w.do(ns(hostA, hostB, macA))
	w.want()
	w.wantState(hostA, 0, header.MAC{})
}

// What was answered by others is learned from all the same, and not answered twice.
func TestAnsweredSolicitation(t *testing.T) {
	w := newWire(t)
	m := ns(hostA, own, macA)
	m.Answered = true
	w.do(m)
	w.want()
	w.wantState(hostA, Stale, macA)
}

// RFC 4861 §7.2.7, RFC 4291 §2.6.1: for an anycast address the answer comes after a
// random time, overrides nothing, and does not come from that address.
//
// Proves:
//   - RFC 4861 §7.2.4 anycast-delay
//   - RFC 4861 §7.2.4 override
//   - RFC 4861 §7.2.7 anycast-no-override
func TestRFC4861_7_2_7_Anycast(t *testing.T) {
	w := newWire(t)
	w.do(ns(hostA, "2001:db8::", macA))
	w.do(ns(hostA, "2001:db8::", macA))
	w.want()
	w.pass(maxAnycastDelay)
	w.want("NA 2001:db8:: RS from fe80::1 to 2001:db8::a at 02000000000a option 2 020000000001")
	for i := range 2 * maxAnycast {
		w.do(ns(fmt.Sprintf("2001:db8::a:%x", i), "2001:db8::", macA))
	}
	if n := len(w.anycast); n != maxAnycast {
		t.Errorf("%d answers wait, want at most %d", n, maxAnycast)
	}
	w.do(Down{})
	w.take()
	w.pass(maxAnycastDelay)
	w.want()
}

// RFC 4861 §7.2.6: another MAC is told to all, three times, a second apart; for
// anycast addresses without overriding.
//
// Proves:
//   - RFC 4861 §7.2.6 announce
//   - RFC 4861 §7.2.6 announce-interval
//   - RFC 4861 §7.2.6 announce-solicited
//   - RFC 4861 §7.2.6 announce-router
//   - RFC 4861 §7.2.6 announce-apart
//   - RFC 4861 §7.2.7 anycast-no-override
func TestRFC4861_7_2_6_UnsolicitedAdvertisements(t *testing.T) {
	w := newWire(t)
	w.do(HardwareAddr{macB})
	w.want(
		"NA 2001:db8:: R from fe80::1 to ff02::1 option 2 02000000000b",
	)
	w.pass(announceApart)
	w.want(
		"NA 2001:db8::1 OR from 2001:db8::1 to ff02::1 option 2 02000000000b",
	)
	w.pass(announceApart)
	w.want(
		"NA fe80::1 OR from fe80::1 to ff02::1 option 2 02000000000b",
	)
	w.pass(retransTimer - 2*announceApart - 1)
	w.want()
	w.pass(time.Minute)
	if got := w.take(); len(got) != 6 {
		t.Errorf("came %q, want each two more times", got)
	}
	w.do(HardwareAddr{macB})
	w.want()

	// Of two changes the second is told when a second has passed, or all are told too
	// often.
	w.do(HardwareAddr{macA})
	w.pass(500 * time.Millisecond)
	w.take()
	w.do(HardwareAddr{ownMAC})
	w.pass(499 * time.Millisecond)
	w.want()
	w.pass(time.Millisecond)
	w.wantOne("NA 2001:db8:: R from fe80::1 to ff02::1 option 2 020000000001")
}

// RFC 4861 §7.2.5, §6.2.6: who is a router is known.
//
// Proves:
//   - RFC 4861 §7.2.5 na-router-flag
//   - RFC 4861 §7.2.3 ns-router-kept
//   - RFC 4861 §7.2 no-address-no-entry
func TestRFC4861_7_2_5_RouterFlag(t *testing.T) {
	w := newWire(t)
	router := func() bool { return w.neighbors[a16(peer)].router }
	w.do(ra(peer, macA))
	if !router() {
		t.Error("who advertises itself is no router")
	}
	w.do(na(peer, "S", macA))
	if router() {
		t.Error("who says that it is no router is one")
	}
	w.do(na(peer, "RS", macA))
	w.do(ns(peer, own, macA))
	if !router() {
		t.Error("a solicitation makes a router a host")
	}
	w.do(rs(peer, macA))
	if router() {
		t.Error("who asks for routers is one")
	}
}

// RFC 4861 §7.3.3: a probe goes to the neighbor itself. RFC 7048 §3: who does not
// answer is searched for by everybody, ever less often, and keeps getting packets,
// as long as there are any.
//
// Proves:
//   - RFC 4861 §7.3.3 probe
//   - RFC 4861 §7.3.3 one-in-retrans-timer
//   - RFC 4861 §7.3.3 keeps-sending
//   - RFC 4861 §7.3.3 probe-fails
//   - RFC 4861 §7.2.2 own-address-in-unicast
func TestRFC7048_3_Backoff(t *testing.T) {
	w := newWire(t)
	w.bring(hostA, Probe)
	w.take()
	w.pass(2 * retransTimer)
	for _, s := range w.take() {
		if !strings.Contains(s, "to 2001:db8::a at 02000000000a") {
			t.Errorf("sent %q, want a probe", s)
		}
	}
	var at []time.Duration
	begin := w.now
	for range 300 {
		w.Table().Lookup(ptr(a16(hostA)))
		w.pass(time.Second)
		for _, s := range w.take() {
			if !strings.HasPrefix(s, "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a") {
				t.Fatalf("came %q", s)
			}
			at = append(at, w.now.Sub(begin)/time.Second)
		}
	}
	if want := []time.Duration{1, 2, 5, 14, 41, 101, 161, 221, 281}; !slices.Equal(at, want) {
		t.Errorf("asked after %v seconds, want %v", at, want)
	}
	w.wantState(hostA, Unreachable, macA)
	w.pass(2 * maxRetransTimer) // nobody sends to it
	w.wantState(hostA, 0, header.MAC{})
}

// RFC 4861 §7.3.3: a neighbor that nobody sends to is not probed.
//
// Proves:
//   - RFC 4861 §7.3.3 no-traffic-no-probe
//   - RFC 4861 §7.3.3 expires
func TestRFC4861_7_3_3_IdleNeighborsAreNotProbed(t *testing.T) {
	w := newWire(t)
	w.bring(hostA, Reachable)
	w.take()
	w.pass(9 * time.Minute)
	w.want()
	w.wantState(hostA, Stale, macA)
	w.pass(2 * time.Minute)
	w.wantState(hostA, 0, header.MAC{})
}

// RFC 4861 §6.3.2: the time is random, from half to one and a half of 30 seconds.
func TestRFC4861_6_3_2_ReachableTimeIsRandom(t *testing.T) {
	w := newWire(t)
	seen := map[time.Duration]bool{}
	for range 100 {
		d := w.reachableTime()
		if d < 15*time.Second || d > 45*time.Second {
			t.Errorf("%v", d)
		}
		seen[d] = true
	}
	if len(seen) < 90 {
		t.Errorf("%d times of 100", len(seen))
	}
}

// Static neighbors are there at once, release what waits, and go when they are
// taken back.
func TestStatics(t *testing.T) {
	w := newWire(t)
	w.do(hold(hostA, "1"))
	w.take()
	w.do(Statics{netip.MustParseAddr(hostA): macB})
	w.want("release 1 to 02000000000b")
	w.wantState(hostA, Static, macB)
	w.do(Down{})
	w.take()
	w.do(hold(hostA, "2"))
	w.want("refuse 2: stopped")
	w.do(Up{ownMAC})
	w.wantState(hostA, Static, macB)
	at := w.All()[0].Since
	w.pass(time.Second)
	w.do(Statics{netip.MustParseAddr(hostA): macB, netip.MustParseAddr(hostB): macB})
	if n := w.All()[0]; n.Since != at {
		t.Errorf("what was not changed is %v since %v, want %v", n.State, n.Since, at)
	}
	w.do(Statics{netip.MustParseAddr(hostA): macA})
	w.wantState(hostA, Static, macA)
	w.wantState(hostB, 0, header.MAC{})
	w.do(Statics{})
	w.wantState(hostA, 0, header.MAC{})
}

// A scan of a prefix: neighbors in use stay, memory is bounded, solicitations are
// few, and people are told of it, and of its end (RFC 6583 §6, §7).
func TestRFC6583_Scan(t *testing.T) {
	w := newWire(t)
	for i := range 100 {
		addr := fmt.Sprintf("2001:db8::1:%x", i)
		w.do(hold(addr, "x"))
		w.do(na(addr, "SO", macA))
		w.pass(10 * time.Millisecond)
	}
	w.do(rs("2001:db8::2:1", macB)) // never asked
	w.take()
	before := w.Stats()
	const rate, seconds = 20_000, 5
	var sent, events int
	begin := w.now
	for i := range rate * seconds {
		w.now = begin.Add(time.Duration(i) * time.Second / rate)
		var to [16]byte
		copy(to[:], bytesOf("2001:db8::"))
		binary.BigEndian.PutUint64(to[8:], 1<<32+uint64(i))
		w.Table().Lookup(&to)
		out := w.Step(w.now, Hold{Target: to, Packet: note("scan")})
		sent += len(out.Send)
		events += len(out.Events)
	}
	s := w.Stats()
	if got := sent; got > solicitRate*seconds+solicitBurst {
		t.Errorf("%d solicitations in %d s", got, seconds)
	}
	if events != 1 || !s.Overloaded {
		t.Errorf("%d events, overloaded = %v", events, s.Overloaded)
	}
	if n := s.Neighbors[Incomplete]; n > maxAsked {
		t.Errorf("%d are asked for", n)
	}
	if s.Neighbors[Reachable] != before.Neighbors[Reachable] || s.Neighbors[Stale] != 1 {
		t.Errorf("%d reachable, %d stale, want %d and 1", s.Neighbors[Reachable], s.Neighbors[Stale], before.Neighbors[Reachable])
	}
	w.pass(30 * time.Second)
	if got := w.take(); got[len(got)-1] != "event at ease invalid IP" {
		t.Errorf("at the end came %q", got[len(got)-1])
	}
}

// Those who only say that they are there push out nobody who has answered, and of
// their own kind those first that nobody sends to.
func TestRFC6583_Flood(t *testing.T) {
	w := newWire(t)
	w.bring(hostA, Reachable)
	w.bring(hostB, Stale)
	w.Table().Lookup(ptr(a16(hostB)))
	w.flood()
	if n := w.pools[heard].Len(); n != maxHeard {
		t.Errorf("%d are known by hearsay, want %d", n, maxHeard)
	}
	if s, _ := w.state(hostA); s != Reachable {
		t.Errorf("who has answered is %v", s)
	}
	if s, _ := w.state(hostB); s != Stale {
		t.Errorf("who is sent to is %v", s)
	}
}

// flood has more neighbors say that they are there than are kept.
func (w *wire) flood() {
	for i := range 5 * maxHeard {
		m := *rs(peer, macB)
		binary.BigEndian.PutUint64(m.Source[8:], 1<<32+uint64(i))
		w.Step(w.now, &m)
	}
}

// Who is sent to stays in each state that follows from it, before the next packet.
func TestRFC6583_FloodWhileProbed(t *testing.T) {
	w := newWire(t)
	w.bring(hostA, Stale)
	w.cause("packet used")
	for _, s := range []State{Delay, Probe} {
		w.flood()
		if got, _ := w.state(hostA); got != s {
			t.Fatalf("who is sent to is %v, want %v", got, s)
		}
		w.pass(delayFirstProbe)
	}
}

// Nor does who says that he answers, and was not asked.
func TestRFC6583_UnaskedAnswers(t *testing.T) {
	w := newWire(t)
	for i := range maxHeard {
		addr := fmt.Sprintf("2001:db8::9:%x", i)
		w.do(rs(addr, macB))
		w.do(na(addr, "SO", macB))
		w.wantState(addr, Reachable, macB)
	}
	if n := w.pools[answered].Len(); n != 0 {
		t.Errorf("%d have answered, want none", n)
	}
}

// The same inputs at the same times have the same outputs.
func TestStepsAreRepeatable(t *testing.T) {
	run := func() []string {
		w := newDeadWire(t, 1)
		w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64")})
		w.do(Up{ownMAC})
		for i := range 20 {
			w.do(hold(fmt.Sprintf("2001:db8::%x", i+16), "x"))
			w.pass(300 * time.Millisecond)
		}
		w.do(Down{})
		return w.take()
	}
	if a, b := run(), run(); !slices.Equal(a, b) {
		t.Errorf("%q\n%q", a, b)
	}
}

// Senders who look while the table changes find a neighbor that stays, and its old
// or its new MAC.
func TestTableWhileItChanges(t *testing.T) {
	table := newTable(rand.New(rand.NewPCG(1, 2)), func(*[16]byte) bool { return true })
	stays := a16(hostA)
	table.put(&adjacency{target: stays, mac: macA, known: true})
	done := make(chan struct{})
	failed := make(chan string, 4)
	for range cap(failed) {
		go func() {
			for {
				select {
				case <-done:
					failed <- ""
					return
				default:
				}
				if m, ok := table.Lookup(&stays); !ok || m != macA && m != macB {
					failed <- fmt.Sprintf("found %x, %v", m, ok)
					return
				}
			}
		}()
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		var a [16]byte
		binary.BigEndian.PutUint64(a[8:], r.Uint64N(3000))
		if r.IntN(2) == 0 {
			table.put(&adjacency{target: a, known: true})
		} else {
			table.remove(&a)
		}
		table.put(&adjacency{target: stays, mac: []header.MAC{macA, macB}[r.IntN(2)], known: true})
	}
	close(done)
	for range cap(failed) {
		if s := <-failed; s != "" {
			t.Error(s)
		}
	}
}

// The first of many who use a neighbor tells; if that could not be noted, the next
// one does.
func TestFirstUseIsTold(t *testing.T) {
	told, ok := 0, false
	table := newTable(rand.New(rand.NewPCG(1, 2)), func(*[16]byte) bool { told++; return ok })
	a := a16(hostA)
	table.put(&adjacency{target: a, mac: macA, known: true, watched: true})
	table.Lookup(&a)
	ok = true
	for range 5 {
		table.Lookup(&a)
	}
	if told != 2 {
		t.Errorf("told %d times, want 2", told)
	}
	if n := testing.AllocsPerRun(100, func() { table.Lookup(&a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever happens in whatever order: nothing panics, memory is bounded, and there
// is always a deadline.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte("\x00\x00\x00\x01\x01\x00\x06\x01\x00\x08\x02\x01\x03\x03\x20\x04\x05\x05"))
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newDeadWire(t, len(script)%3)
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		for len(script) > 0 {
			out := w.Step(w.now, w.any(next))
			if out.Wake.IsZero() || out.Wake.After(w.now.Add(idle)) {
				t.Fatalf("wakes at %v", out.Wake)
			}
			for _, s := range out.Send {
				if describe(t, s); !isStation(&s.To) && !header.IsGroupMAC(&s.To) {
					t.Fatalf("sent to %x", s.To)
				}
			}
			if next()%4 == 0 {
				w.now = w.now.Add(time.Duration(next()) * time.Second / 8)
			}
			w.checkBounds()
		}
	})
}

// any is an input of all there are.
func (w *wire) any(next func() byte) Input {
	addrs := []string{hostA, hostB, own, local, "fe80::ff:fe00:1", "2001:db8::", "::", peer, "ff02::1", "2001:db8:9::1", "2001:db8::ff:a"}
	macs := []header.MAC{macA, macB, ownMAC}
	addr := func() string { return addrs[int(next())%len(addrs)] }
	source := func() string { // Parse takes none from groups
		if a := addr(); a != "ff02::1" {
			return a
		}
		return hostA
	}
	link := func() []header.MAC {
		if b := next(); b%4 != 0 {
			return []header.MAC{macs[int(b)%len(macs)]}
		}
		return nil
	}
	switch next() % 16 {
	case 0:
		return Up{macs[int(next())%3]}
	case 1:
		return Down{}
	case 2:
		return HardwareAddr{macs[int(next())%3]}
	case 3:
		all := Addresses{}
		for _, s := range []string{own + "/64", local + "/64", hostB + "/128", "2001:db8::/127", "2001:db8:0:1::1/64"} {
			if next()%2 == 0 {
				all = append(all, netip.MustParsePrefix(s))
			}
		}
		return all
	case 4:
		return Statics{netip.MustParseAddr(hostB): macB}
	case 5:
		return Statics{}
	case 6, 7:
		return Hold{Target: a16(addr()), Source: a16(addr()), Packet: note(strings.Repeat("x", int(next())*512))}
	case 8:
		w.Table().Lookup(ptr(a16(addr())))
		return Used{a16(addr())}
	case 9:
		return Reached{a16(addr())}
	case 10:
		return Lost{int(next())}
	case 11:
		m := ns(source(), addr(), link()...)
		m.HasNonce, m.Answered = next()%2 == 0, next()%2 == 0
		return m
	case 12:
		return na(source(), []string{"", "S", "O", "SO", "RSO"}[next()%5], link()...)
	case 13:
		return rs(source(), link()...)
	case 14:
		return ra(source(), link()...)
	}
	return &Message{Type: header.TypeMLDQuery, Source: a16(peer), Target: a16([]string{"::", solicitedOwn, "ff02::2"}[next()%3]), Query: Query{
		Version: 1 + int(next()%2), MaxResponse: time.Duration(next()) * time.Second, Robustness: int(next() % 8), Interval: time.Duration(next()) * time.Second,
	}}
}

func (w *wire) checkBounds() {
	w.t.Helper()
	total, held := 0, 0
	for kind := range pools {
		if n := w.pools[kind].Len(); n > poolSizes[kind] {
			w.t.Fatalf("%d neighbors of kind %d", n, kind)
		}
		total += w.pools[kind].Len()
	}
	for _, n := range w.neighbors {
		for _, p := range n.held {
			held += p.Size()
		}
		if n.state == 0 || n.state != Incomplete && (len(n.held) > 0 || !isStation(&n.mac)) {
			w.t.Fatalf("%v at %x holds %d", n.state, n.mac, len(n.held))
		}
		if m, known, has := w.Table().Peek(&n.addr); !has || known != (n.state != Incomplete) || known && m != n.mac {
			w.t.Fatalf("the table has %x, %v, %v of %v at %x", m, known, has, n.state, n.mac)
		}
	}
	if total != len(w.neighbors) || held != w.held || held > maxHeld {
		w.t.Fatalf("%d neighbors, %d in pools, %d bytes held, %d counted", len(w.neighbors), total, held, w.held)
	}
	if len(w.timers) > len(w.neighbors)+len(w.addresses)+len(w.anycast)+2*len(w.groups)+4 || len(w.anycast) > maxAnycast {
		w.t.Fatalf("%d timers", len(w.timers))
	}
}

package nd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// newAsking asks whether its addresses are taken.
func newAsking(t *testing.T, transmits int, addresses ...string) *wire {
	w := newDeadWire(t, transmits)
	var all Addresses
	for _, a := range addresses {
		all = append(all, netip.MustParsePrefix(a))
	}
	w.do(all)
	w.do(Up{ownMAC})
	return w
}

// sent is what came of that kind.
func only(all []string, kind string) (some []string) {
	for _, s := range all {
		if strings.HasPrefix(s, kind) {
			some = append(some, s)
		}
	}
	return some
}

// RFC 4862 §5.4.2: before an address is used, its solicited-node group is joined
// and others are asked, from :: and with a nonce (RFC 7527 §4.1); the first message
// of an interface waits for up to a second.
//
// Proves:
//   - RFC 4862 §5.4 every-address
//   - RFC 4862 §5.4.2 join-first
//   - RFC 4862 §5.4.2 form
//   - RFC 4862 §5.4.2 first-message-delay
func TestRFC4862_5_4_2_Asking(t *testing.T) {
	w := newAsking(t, 1, local+"/64")
	w.want()
	begin := w.now
	for w.now.Sub(begin) <= maxRtrSolicitationDelay {
		w.pass(10 * time.Millisecond)
		got := w.take()
		if ns := only(got, "NS"); len(ns) > 0 {
			if joined := slices.Index(got, "report 4:ff02::1:ff00:1 from :: to ff02::16"); joined < 0 || joined > slices.Index(got, ns[0]) {
				t.Errorf("came %q, want the report first", got)
			}
			if want := []string{"NS fe80::1 from :: to ff02::1:ff00:1 nonce"}; !slices.Equal(ns, want) {
				t.Errorf("came %q, want %q", ns, want)
			}
			break
		}
	}
	w.pass(retransTimer - 10*time.Millisecond)
	if a := w.addresses[a16(local)]; a.state != Tentative {
		t.Errorf("%v a moment before a second", a.state)
	}
	w.pass(20 * time.Millisecond)
	if got := w.take(); !slices.Contains(got, "event ready fe80::1") || len(only(got, "NA fe80::1 OR from fe80::1 to ff02::1")) != 1 {
		t.Errorf("after a second came %q", got)
	}
}

// RFC 4862 §5.1: how often others are asked is for the operator to say.
//
// Proves:
//   - RFC 4862 §5.4 transmits-zero
//   - RFC 4862 §5.4.2 transmits
func TestRFC4862_5_1_DupAddrDetectTransmits(t *testing.T) {
	for n := range 4 {
		w := newAsking(t, n, local+"/64")
		w.pass(time.Duration(n+2) * retransTimer)
		if got := only(w.take(), "NS"); len(got) != n {
			t.Errorf("asked %d times, want %d", len(got), n)
		}
	}
}

// RFC 4862 §5.4: no question about a tentative address is answered, and it is not a
// source.
//
// Proves:
//   - RFC 4862 §5.4 tentative-not-used
//   - RFC 4861 §7.2.3 ns-tentative
func TestRFC4862_5_4_TentativeAddressesDoNotAnswer(t *testing.T) {
	w := newAsking(t, 1, own+"/64", local+"/64")
	w.take()
	w.do(ns(hostA, own, macA))
	w.do(ns(hostA, local, macA))
	w.do(hold(hostA, "1"))
	w.want("refuse 1: stopped")
	w.wantState(hostA, 0, header.MAC{})
}

// RFC 4862 §5.4.3: who asks for a tentative address from :: wants it too; who asks
// from an address of his own does not, and our own question does not count.
//
// Proves:
//   - RFC 4862 §5.4.3 resolution-ignored
//   - RFC 4862 §5.4.3 simultaneous
//   - RFC 4862 §5.4.3 loopback
//   - RFC 4861 §7.2.3 ns-tentative
//   - RFC 4862 §5.4.2 listen-during-delay
func TestRFC4862_5_4_3_Solicitations(t *testing.T) {
	for _, sent := range []bool{false, true} {
		w := newAsking(t, 1, own+"/64", local+"/64")
		if sent {
			w.pass(1100 * time.Millisecond)
		}
		a := w.addresses[a16(own)]
		if sent && a.sent != 1 {
			t.Fatalf("asked %d times", a.sent)
		}
		w.do(ns(hostA, own, macA))
		loop := ns("::", own)
		loop.Nonce, loop.HasNonce = a.nonce, sent
		if sent {
			w.do(loop)
		}
		if a.state != Tentative {
			t.Fatalf("%v", a.state)
		}
		w.take()
		other := ns("::", own)
		other.Nonce, other.HasNonce = [6]byte{9}, true
		w.do(other)
		if got := w.take(); a.state != Duplicate || !slices.Contains(got, "event duplicate 2001:db8::1") {
			t.Errorf("%v, came %q", a.state, got)
		}
	}
}

// RFC 4862 §5.4.4: who says that he has a tentative address has it.
//
// Proves:
//   - RFC 4862 §5.4.4 advertisement
//   - RFC 4862 §5.4.2 listen-during-delay
func TestRFC4862_5_4_4_Advertisements(t *testing.T) {
	w := newAsking(t, 1, own+"/64", local+"/64")
	w.take()
	mine := na(own, "O", ownMAC)
	mine.From = ownMAC // come back
	w.do(mine)
	w.want()
	w.do(na(own, "O", macA))
	if got := w.take(); !slices.Contains(got, "event duplicate 2001:db8::1") {
		t.Errorf("came %q", got)
	}
}

// RFC 4862 §5.4.5: an address that is somebody else's is not used: nothing answers
// for it and nothing comes from it, until addresses are set anew, or there is
// carrier again.
//
// Proves:
//   - RFC 4862 §5.4.5 duplicate-not-assigned
//   - RFC 4862 §5.4 each-address
func TestRFC4862_5_4_5_Duplicates(t *testing.T) {
	again := map[string]func(*wire){
		"addresses": func(w *wire) {
			w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64")})
		},
		"carrier": func(w *wire) { w.do(Down{}); w.do(Up{ownMAC}) },
	}
	for name, anew := range again {
		w := newAsking(t, 1, own+"/64", local+"/64")
		w.do(na(own, "O", macA))
		w.pass(time.Minute)
		if got := only(w.take(), "event"); !slices.Equal(got, []string{"event duplicate 2001:db8::1", "event ready fe80::1"}) {
			t.Errorf("came %q", got)
		}
		w.do(ns(hostA, own, macA))
		w.want()
		w.do(Hold{Target: a16(hostA), Source: a16(own), Packet: note("1")})
		w.wantOne("NS 2001:db8::a from fe80::1 ")
		if !w.listens("ff02::1:ff00:1") {
			t.Error("the group of another address was left") // they share it here
		}
		anew(w)
		w.pass(time.Minute)
		if got := only(w.take(), "event"); !slices.Contains(got, "event ready 2001:db8::1") {
			t.Errorf("after %s anew came %q", name, got)
		}
	}
}

// RFC 4862 §5.4.5: if it is the link-local address that is made of the MAC, nothing is
// sent or taken any more, and nothing is held; until addresses are set anew, or there is
// another MAC or carrier. Who has the MAC too says so when he is asked; before, it is
// our own advertisement that comes back.
//
// Proves:
//   - RFC 4862 §5.4.5 disable-interface
func TestRFC4862_5_4_5_DuplicateOfTheHardwareAddress(t *testing.T) {
	const made = "fe80::ff:fe00:1"
	prefixes := Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(made + "/64")}
	again := map[string]func(*wire){
		"addresses": func(w *wire) { w.do(prefixes) },
		"MAC":       func(w *wire) { w.do(HardwareAddr{macA}) },
		"carrier": func(w *wire) {
			w.do(Down{})
			w.do(HardwareAddr{macA})
			w.do(prefixes)
			w.pass(time.Hour) // nothing is sent without carrier
			if len(only(w.seen, "NS")) > 0 {
				t.Errorf("came %q", w.seen)
			}
			w.do(Up{ownMAC})
		},
	}
	twin := na(made, "O", ownMAC)
	twin.From = ownMAC
	w := newAsking(t, 1, made+"/64")
	w.do(twin)
	if w.Stats().Disabled {
		t.Error("our own has disabled it")
	}
	for name, anew := range again {
		w := newAsking(t, 1, own+"/64")
		w.pass(5 * time.Second)
		w.bring(hostA, Reachable)
		w.do(prefixes)
		w.do(Hold{Target: a16(hostB), Source: a16(own), Packet: note("1")})
		w.take()
		w.do(twin)
		if got := w.take(); !slices.Equal(only(got, "event"), []string{"event duplicate " + made, "event disabled " + made}) || len(only(got, "NA"))+len(only(got, "NS"))+len(only(got, "report")) > 0 {
			t.Errorf("came %q", got)
		}
		w.do(Hold{Target: a16(hostA), Source: a16(own), Packet: note("2")})
		w.want("refuse 2: stopped")
		w.do(ns(hostA, own, macA))
		w.do(ns("::", own))
		w.do(na(own, "O", macB))
		w.do(HardwareAddr{ownMAC})
		w.pass(time.Hour)
		w.want()
		if s := w.Stats(); !s.Disabled || len(w.All()) > 0 || s.HeldPackets > 0 {
			t.Errorf("stats = %+v", s)
		}
		anew(w)
		w.pass(10 * time.Second)
		got := only(w.take(), "event")
		slices.Sort(got)
		if !slices.Equal(got, []string{"event enabled invalid IP", "event ready " + own, "event ready " + made}) {
			t.Errorf("after %s anew came %q", name, got)
		}
	}
}

// An address that is not made of the MAC disables nothing: RFC 4862 §5.4.5 leaves it to
// the node.
func TestOtherDuplicatesDisableNothing(t *testing.T) {
	w := newAsking(t, 1, own+"/64", local+"/64")
	w.do(na(local, "O", macA))
	w.pass(5 * time.Second)
	if got := only(w.take(), "event"); !slices.Equal(got, []string{"event duplicate " + local, "event ready " + own}) || w.Stats().Disabled {
		t.Errorf("came %q", got)
	}
}

// RFC 4862 §5.4.4 is about tentative addresses: one in use stays, and people hear
// of it, not too often.
//
// Proves:
//   - RFC 4862 §5.4.4 assigned-conflict
func TestClaimedAddressStays(t *testing.T) {
	w := newWire(t)
	for range 100 {
		w.do(na(own, "O", macA))
		w.pass(time.Second)
	}
	w.want("event claimed 2001:db8::1", "event claimed 2001:db8::1")
	w.do(ns(hostA, own, macA))
	w.wantOne("NA 2001:db8::1 ORS")
}

// RFC 4862 §5.4: with carrier again all is asked anew.
func TestRFC4862_5_4_CarrierAsksAnew(t *testing.T) {
	w := newAsking(t, 1, own+"/64", local+"/64")
	w.pass(5 * time.Second)
	w.bring(hostA, Reachable)
	w.take()
	w.do(Down{})
	w.wantState(hostA, 0, header.MAC{})
	w.do(Up{ownMAC})
	w.do(ns(hostA, own, macA))
	if got := only(w.take(), "NA"); len(got) != 0 {
		t.Errorf("answered %q", got)
	}
	w.pass(5 * time.Second)
	if got := only(w.take(), "event"); len(got) != 2 {
		t.Errorf("came %q", got)
	}
}

// RFC 4291 §2.6.1, RFC 6164 §5: each prefix has the address of all its routers, but
// not one that two routers share. RFC 4862 §5.4: nobody is asked about these.
//
// Proves:
//   - RFC 4862 §5.4 not-anycast
func TestRFC4291_2_6_1_SubnetRouterAnycast(t *testing.T) {
	w := newAsking(t, 1, own+"/64", "2001:db8:1::1/127", "2001:db8:2::1/128", "2001:db8:3::2/126", local+"/64")
	var got []string
	for _, a := range w.Machine.Addresses() {
		if a.State == Anycast {
			got = append(got, a.Addr.String())
		}
	}
	if want := []string{"2001:db8::", "2001:db8:3::"}; !slices.Equal(got, want) {
		t.Errorf("anycast %q, want %q", got, want)
	}
	w.pass(5 * time.Second)
	for _, s := range only(w.take(), "NS") {
		if strings.Contains(s, "NS 2001:db8:: ") || strings.Contains(s, "NS 2001:db8:3:: ") {
			t.Errorf("asked %q", s)
		}
	}
}

// Addresses that stay are not asked about again, and those that go leave their
// groups.
//
// Proves:
//   - RFC 4862 §5.4 each-address
func TestAddressesChange(t *testing.T) {
	w := newAsking(t, 1, own+"/64", local+"/64")
	w.pass(5 * time.Second)
	w.take()
	w.do(Addresses{netip.MustParsePrefix("2001:db8::7/64"), netip.MustParsePrefix(local + "/64")})
	w.pass(5 * time.Second)
	got := w.take()
	if ns := only(got, "NS"); len(ns) != 1 || !strings.HasPrefix(ns[0], "NS 2001:db8::7 ") {
		t.Errorf("asked %q", ns)
	}
	if !slices.Equal(only(got, "event"), []string{"event ready 2001:db8::7"}) {
		t.Errorf("came %q", got)
	}
	w.do(ns(hostA, own, macA))
	w.want()
}

// RFC 3810 §5.2, §6.1: a join is reported at once, from the link-local address to
// the MLDv2 routers, and again within a second; the group of all nodes never.
//
// Proves:
//   - RFC 4861 §7.2.1 follow-addresses
//   - RFC 4861 §7.2.1 join-by-mld
func TestRFC3810_6_1_Joins(t *testing.T) {
	w := newWire(t)
	w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64"), netip.MustParsePrefix("2001:db8::7:7/64")})
	if got := only(w.take(), "report"); !slices.Equal(got, []string{"report 4:ff02::1:ff07:7 from fe80::1 to ff02::16"}) {
		t.Errorf("came %q", got)
	}
	w.pass(unsolicitedReport)
	if got := only(w.take(), "report"); !slices.Equal(got, []string{"report 4:ff02::1:ff07:7 from fe80::1 to ff02::16"}) {
		t.Errorf("came %q", got)
	}
	w.pass(time.Minute)
	w.want()
	w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64")})
	w.pass(time.Minute)
	gone := "report 3:ff02::1:ff07:7 from fe80::1 to ff02::16"
	w.want(gone, gone)
}

// RFC 4861 §7.2.1: a group is left with the last address in it.
//
// Proves:
//   - RFC 4861 §7.2.1 keep-shared-group
//   - RFC 4861 §7.2.1 follow-addresses
func TestRFC4861_7_2_1_SharedGroup(t *testing.T) {
	w := newWire(t)
	set := func(more ...string) {
		all := Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64")}
		for _, a := range more {
			all = append(all, netip.MustParsePrefix(a))
		}
		w.do(all)
		w.pass(time.Minute)
	}
	set("2001:db8::7:7/64", "2001:db8::1:7:7/64")
	w.take()
	set("2001:db8::7:7/64")
	w.want()
	set()
	gone := "report 3:ff02::1:ff07:7 from fe80::1 to ff02::16"
	w.want(gone, gone)
}

// RFC 3810 §6.2, §6.3: a general query is answered with all groups, within the time
// that the querier waits.
func TestRFC3810_6_2_GeneralQuery(t *testing.T) {
	w := newWire(t)
	query := &Message{Type: header.TypeMLDQuery, Source: a16(peer), Query: Query{Version: 2, MaxResponse: 10 * time.Second}}
	w.do(query)
	w.do(query) // of no consequence
	w.want()
	w.pass(10 * time.Second)
	w.want("report 2:ff02::2 2:ff02::1:ff00:0 2:ff02::1:ff00:1 2:ff05::2 from fe80::1 to ff02::16")
}

// RFC 3810 §6.2, §6.3: a query about a group is answered for that one, if the router
// is in it.
func TestRFC3810_6_2_GroupQuery(t *testing.T) {
	w := newWire(t)
	w.do(&Message{Type: header.TypeMLDQuery, Source: a16(peer), Target: a16(solicitedOwn), Query: Query{Version: 2, MaxResponse: time.Second}})
	w.do(&Message{Type: header.TypeMLDQuery, Source: a16(peer), Target: a16("ff02::1:ff99:9"), Query: Query{Version: 2, MaxResponse: time.Second}})
	w.pass(time.Second)
	w.want("report 2:ff02::1:ff00:1 from fe80::1 to ff02::16")
}

// RFC 3810 §5.1.8: how often a change is reported is for the querier to say.
func TestRFC3810_5_1_8_Robustness(t *testing.T) {
	w := newWire(t)
	w.do(&Message{Type: header.TypeMLDQuery, Source: a16(peer), Query: Query{Version: 2, Robustness: 5}})
	w.pass(time.Second)
	w.take()
	w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64"), netip.MustParsePrefix("2001:db8::7:7/64")})
	w.pass(time.Minute)
	if got := only(w.take(), "report 4:ff02::1:ff07:7"); len(got) != 5 {
		t.Errorf("reported %d times, want 5", len(got))
	}
}

// RFC 3810 §8.2.1: while there is a querier of version 1, reports are of that.
func TestRFC3810_8_2_1_Version1(t *testing.T) {
	w := newWire(t)
	w.do(&Message{Type: header.TypeMLDQuery, Source: a16(peer), Query: Query{Version: 1, MaxResponse: time.Second}})
	w.pass(time.Second)
	w.want("report1 from fe80::1 to ff02::2", "report1 from fe80::1 to ff02::1:ff00:0", "report1 from fe80::1 to ff02::1:ff00:1", "report1 from fe80::1 to ff05::2")
	w.do(Addresses{netip.MustParsePrefix(local + "/64")})
	w.pass(unsolicitedReport)
	done := "done1 ff02::1:ff00:0 from fe80::1 to ff02::2"
	w.want(done, done)
	w.pass(robustness*queryInterval + time.Second)
	w.take()
	w.do(&Message{Type: header.TypeMLDQuery, Source: a16(peer), Query: Query{Version: 2}})
	w.pass(time.Second)
	if got := w.take(); len(got) != 1 || !strings.HasPrefix(got[0], "report 2:") {
		t.Errorf("after a while without it came %q", got)
	}
}

// RFC 3590 §4: what was reported from :: is reported again from the link-local
// address.
//
// Proves:
//   - RFC 4861 §7.2.1 join-groups
func TestRFC3590_4_ReportsAfterTheAddress(t *testing.T) {
	w := newAsking(t, 1, local+"/64")
	w.pass(5 * time.Second)
	got := only(w.take(), "report")
	for _, g := range []string{"ff02::2", "ff05::2", "ff02::1:ff00:1"} {
		for _, from := range []string{"::", local} {
			if want := fmt.Sprintf("report 4:%s from %s to ff02::16", g, from); !slices.Contains(got, want) {
				t.Errorf("no %q among %q", want, got)
			}
		}
	}
}

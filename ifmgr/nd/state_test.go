package nd

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// transitions is RFC 4861 Appendix C with what RFC 7048 §3 adds to it: in which
// state what leads where, and what is sent. A packet is held from the beginning
// where the entry is Incomplete. Where the appendix and §7.2.5 differ, about
// advertisements that override nothing, the section holds.
//
// The MAC that is known is that of A; messages have it (same), that of B (other)
// or none.
var transitions = []struct {
	from  State
	event string
	to    State
	mac   header.MAC
	sends string // the beginning of the only thing that is sent; empty: nothing
}{
	{0, "packet", Incomplete, header.MAC{}, "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a"},
	{Incomplete, "retransmit", Incomplete, header.MAC{}, "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a"},
	{Incomplete, "retransmit too often", 0, header.MAC{}, "refuse held: no answer"},
	{Incomplete, "NA same", Delay, macA, "release held"}, // Stale, and a packet was sent
	{Incomplete, "NA O same", Delay, macA, "release held"},
	{Incomplete, "NA S same", Reachable, macA, "release held"},
	{Incomplete, "NA SO same", Reachable, macA, "release held"},
	{Incomplete, "NA SO none", Incomplete, header.MAC{}, ""},
	{Incomplete, "NS other", Delay, macB, "release held"},
	{Incomplete, "RS other", Delay, macB, "release held"},
	{Incomplete, "RA other", Delay, macB, "release held"},
	{Incomplete, "NS none", Incomplete, header.MAC{}, ""},
	{Incomplete, "hint", Incomplete, header.MAC{}, ""},

	{0, "NS same", Stale, macA, ""},
	{0, "RS same", Stale, macA, ""},
	{0, "RA same", Stale, macA, ""},
	{0, "NS none", Incomplete, header.MAC{}, "NS 2001:db8::a from 2001:db8::1 to ff02::1:ff00:a"}, // the answer wants to go there
	{0, "NA SO same", 0, header.MAC{}, ""},
	{0, "hint", 0, header.MAC{}, ""},

	{Reachable, "timeout", Stale, macA, ""},
	{Reachable, "packet used", Reachable, macA, ""},
	{Stale, "packet used", Delay, macA, ""},
	{Delay, "timeout", Probe, macA, "NS 2001:db8::a from fe80::1 to 2001:db8::a at 02000000000a"},
	{Probe, "retransmit", Probe, macA, "NS 2001:db8::a from fe80::1 to 2001:db8::a at 02000000000a"},
	{Probe, "retransmit too often", Unreachable, macA, "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a"},
	{Unreachable, "retransmit used", Unreachable, macA, "NS 2001:db8::a from fe80::1 to ff02::1:ff00:a"},
	{Unreachable, "retransmit", 0, header.MAC{}, ""}, // nobody sends to it any more

	{Reachable, "NA S same", Reachable, macA, ""},
	{Stale, "NA S same", Reachable, macA, ""},
	{Delay, "NA S same", Reachable, macA, ""},
	{Probe, "NA S same", Reachable, macA, ""},
	{Unreachable, "NA S same", Reachable, macA, ""},

	{Reachable, "NA S other", Stale, macA, ""},
	{Stale, "NA S other", Stale, macA, ""},
	{Delay, "NA S other", Delay, macA, ""},
	{Probe, "NA S other", Probe, macA, ""},
	{Unreachable, "NA S other", Unreachable, macA, ""},

	{Reachable, "NA SO other", Reachable, macB, ""},
	{Stale, "NA SO other", Reachable, macB, ""},
	{Delay, "NA SO other", Reachable, macB, ""},
	{Probe, "NA SO other", Reachable, macB, ""},
	{Unreachable, "NA SO other", Reachable, macB, ""},
	{Probe, "NA SO same", Reachable, macA, ""},
	{Probe, "NA SO none", Reachable, macA, ""}, // §7.2.5: as if it were the same
	{Stale, "NA S none", Reachable, macA, ""},

	{Reachable, "NA same", Reachable, macA, ""},
	{Stale, "NA same", Stale, macA, ""},
	{Delay, "NA same", Delay, macA, ""},
	{Probe, "NA same", Probe, macA, ""},
	{Reachable, "NA other", Stale, macA, ""},
	{Delay, "NA other", Delay, macA, ""},
	{Probe, "NA other", Probe, macA, ""},

	{Reachable, "NA O same", Reachable, macA, ""},
	{Probe, "NA O same", Probe, macA, ""},
	{Reachable, "NA O other", Stale, macB, ""},
	{Stale, "NA O other", Stale, macB, ""},
	{Delay, "NA O other", Stale, macB, ""},
	{Probe, "NA O other", Stale, macB, ""},
	{Unreachable, "NA O other", Stale, macB, ""},

	{Stale, "hint", Reachable, macA, ""},
	{Delay, "hint", Reachable, macA, ""},
	{Probe, "hint", Reachable, macA, ""},
	{Unreachable, "hint", Reachable, macA, ""},

	{Reachable, "NS same", Reachable, macA, ""},
	{Probe, "NS same", Probe, macA, ""},
	{Reachable, "NS other", Stale, macB, ""},
	{Stale, "RS other", Stale, macB, ""},
	{Delay, "RA other", Stale, macB, ""},
	{Probe, "NS other", Stale, macB, ""},
	{Unreachable, "NS other", Stale, macB, ""},
	{Reachable, "NS none", Reachable, macA, ""},

	{Static, "NA SO other", Static, macA, ""},
	{Static, "NS other", Static, macA, ""},
	{Static, "hint", Static, macA, ""},
	{Static, "packet used", Static, macA, ""},
}

// Appendix C, row by row.
//
// Proves:
//   - RFC 4861 §7.2 no-address-no-entry
//   - RFC 4861 §7.2.2 resolve
//   - RFC 4861 §7.2.2 release
//   - RFC 4861 §7.2.3 ns-learn
//   - RFC 4861 §7.2.3 ns-learn-change
//   - RFC 4861 §7.2.5 na-unknown
//   - RFC 4861 §7.2.5 na-incomplete-without-address
//   - RFC 4861 §7.2.5 na-incomplete
//   - RFC 4861 §7.2.5 na-no-override-reachable
//   - RFC 4861 §7.2.5 na-no-override-other
//   - RFC 4861 §7.2.5 na-override-address
//   - RFC 4861 §7.2.5 na-solicited
//   - RFC 4861 §7.2.5 na-unsolicited-change
//   - RFC 4861 §7.2.5 na-unsolicited-same
//   - RFC 4861 §7.3.1 hints
//   - RFC 4861 §7.3.1 no-confirmation
//   - RFC 4861 §7.3.3 keeps-sending
//   - RFC 4861 §7.3.3 failed-deleted
//   - RFC 4861 §7.3.3 confirmed
//   - RFC 4861 §7.3.3 hint-incomplete
//   - RFC 4861 §7.3.3 expires
//   - RFC 4861 §7.3.3 first-packet
//   - RFC 4861 §7.3.3 delay-ends
//   - RFC 4861 §7.3.3 probe
//   - RFC 4861 §7.3.3 created-stale
//   - RFC 4861 §7.3.3 changed-stale
func TestStates(t *testing.T) {
	for _, row := range transitions {
		t.Run(row.from.String()+", "+row.event, func(t *testing.T) {
			w := newWire(t)
			w.bring(hostA, row.from)
			w.take()
			w.cause(row.event)
			w.wantState(hostA, row.to, row.mac)
			var sent []string
			for _, s := range w.take() {
				if s[:3] != "NA " { // answers to solicitations are not of this table
					sent = append(sent, s)
				}
			}
			switch {
			case row.sends == "" && len(sent) > 0:
				t.Errorf("sent %q, want nothing", sent)
			case row.sends != "" && (len(sent) != 1 || len(sent[0]) < len(row.sends) || sent[0][:len(row.sends)] != row.sends):
				t.Errorf("sent %q, want %q", sent, row.sends)
			}
		})
	}
}

// bring makes a neighbor, which is A, be in a state.
func (w *wire) bring(addr string, s State) {
	switch s {
	case 0:
	case Incomplete:
		w.do(hold(addr, "held"))
	case Reachable:
		w.do(hold(addr, "before"))
		w.do(na(addr, "SO", macA))
	case Stale:
		w.do(rs(addr, macA))
	case Delay:
		w.bring(addr, Stale)
		w.do(Used{a16(addr)})
	case Probe:
		w.bring(addr, Delay)
		w.pass(delayFirstProbe)
	case Unreachable:
		w.bring(addr, Probe)
		w.pass(maxUnicastSolicit * retransTimer)
	case Static:
		w.do(Statics{netip.MustParseAddr(addr): macA})
	}
	if got, _ := w.state(addr); got != s {
		w.t.Fatalf("brought to %v, want %v", got, s)
	}
}

// cause has an event of the table happen.
func (w *wire) cause(event string) {
	switch event {
	case "packet":
		w.do(hold(hostA, "held"))
	case "packet used":
		w.used = nil
		if _, ok := w.Table().Lookup(ptr(a16(hostA))); !ok {
			w.t.Fatal("not found")
		}
		for _, a := range w.used {
			w.do(Used{a})
		}
	case "hint":
		w.do(Reached{a16(hostA)})
	case "timeout":
		w.pass(w.neighbors[a16(hostA)].timer.when.Sub(w.now))
	case "retransmit":
		w.pass(retransTimer)
	case "retransmit used":
		w.Table().Lookup(ptr(a16(hostA)))
		w.pass(retransTimer)
	case "retransmit too often":
		n := maxMulticastSolicit
		w.pass(time.Duration(n-1) * retransTimer)
		w.take()
		w.pass(retransTimer)
	default:
		w.do(message(event))
	}
}

// message is one of the table's: its type, flags, and whose MAC it has.
func message(event string) *Message {
	words := strings.Fields(event)
	lla := map[string][]header.MAC{"same": {macA}, "other": {macB}, "none": nil}[words[len(words)-1]]
	switch words[0] {
	case "NS":
		return ns(hostA, own, lla...)
	case "RS":
		return rs(hostA, lla...)
	case "RA":
		return ra(hostA, lla...)
	}
	flags := ""
	if len(words) == 3 {
		flags = words[1]
	}
	return na(hostA, flags, lla...)
}

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

// The link of most tests: the router, and hosts A and B.
const (
	own   = "2001:db8::1"
	local = "fe80::1"
	hostA = "2001:db8::a"
	hostB = "2001:db8::b"
)

var (
	ownMAC = header.MAC{2, 0, 0, 0, 0, 1}
	macA   = header.MAC{2, 0, 0, 0, 0, 0xa}
	macB   = header.MAC{2, 0, 0, 0, 0, 0xb}
)

// A wire is a Machine and its clock.
type wire struct {
	t *testing.T
	*Machine
	now  time.Time
	wake time.Time
	seen []string // what came of all steps since the last take
	used [][16]byte
}

// newWire has carrier and addresses that are in use: nobody is asked.
func newWire(t *testing.T) *wire {
	w := newDeadWire(t, 0)
	w.do(Addresses{netip.MustParsePrefix(own + "/64"), netip.MustParsePrefix(local + "/64")})
	w.do(Up{ownMAC})
	w.pass(5 * time.Second)
	w.take()
	return w
}

// newDeadWire has no carrier and no addresses.
func newDeadWire(t *testing.T, transmits int) *wire {
	w := &wire{t: t, now: time.Unix(1_000_000, 0)}
	w.Machine = New(Config{
		DADTransmits: transmits, Random: rand.New(rand.NewPCG(1, 2)),
		Used: func(a *[16]byte) bool { w.used = append(w.used, *a); return true },
	})
	return w
}

// listens reports whether the router is in a group.
func (w *wire) listens(addr string) bool {
	g := w.groups[a16(addr)]
	return g != nil && !g.gone
}

// do takes one step.
func (w *wire) do(in Input) Output {
	w.t.Helper()
	out := w.Step(w.now, in)
	if out.Wake.Before(w.now) && in == nil || out.Wake.After(w.now.Add(idle)) {
		w.t.Errorf("wakes at %v, now is %v", out.Wake, w.now)
	}
	w.wake = out.Wake
	w.note(out)
	return out
}

// pass lets time go by, with a step whenever the Machine wants one.
func (w *wire) pass(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); ; {
		if w.wake.After(end) {
			w.now = end
			return
		}
		if w.wake.After(w.now) {
			w.now = w.wake
		}
		w.do(nil)
	}
}

func (w *wire) note(out Output) {
	for _, f := range out.Send {
		w.seen = append(w.seen, describe(w.t, f))
	}
	for _, r := range out.Released {
		w.seen = append(w.seen, fmt.Sprintf("release %s to %s", r.Packet, mac(r.To)))
	}
	for _, r := range out.Refused {
		w.seen = append(w.seen, fmt.Sprintf("refuse %s: %s", r.Packet, [...]string{"", "no answer", "overflow", "stopped"}[r.Cause]))
	}
	for _, e := range out.Events {
		w.seen = append(w.seen, strings.TrimSpace(fmt.Sprintf("event %s %v", [...]string{"", "ready", "duplicate", "claimed", "overloaded", "at ease", "disabled", "enabled"}[e.Kind], e.Addr)))
	}
}

// take is what came of all steps since it was last called.
func (w *wire) take() []string {
	s := w.seen
	w.seen = nil
	return s
}

// want checks what came since then.
func (w *wire) want(want ...string) {
	w.t.Helper()
	if got := w.take(); !slices.Equal(got, want) {
		w.t.Errorf("came:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// wantOne checks that one line has all of the texts.
func (w *wire) wantOne(texts ...string) string {
	w.t.Helper()
	got := w.take()
	if len(got) != 1 {
		w.t.Fatalf("came:\n\t%s\nwant one thing", strings.Join(got, "\n\t"))
	}
	for _, text := range texts {
		if !strings.Contains(got[0], text) {
			w.t.Errorf("came %q, want %q in it", got[0], text)
		}
	}
	return got[0]
}

// state is that of a neighbor, and its MAC.
func (w *wire) state(addr string) (State, header.MAC) {
	n := w.neighbors[a16(addr)]
	if n == nil {
		return 0, header.MAC{}
	}
	return n.state, n.mac
}

func (w *wire) wantState(addr string, s State, m header.MAC) {
	w.t.Helper()
	if gotS, gotM := w.state(addr); gotS != s || gotM != m {
		w.t.Errorf("%s is %v at %s, want %v at %s", addr, gotS, mac(gotM), s, mac(m))
	}
	if m2, known, _ := w.Table().Peek(ptr(a16(addr))); known != (s != 0 && s != Incomplete) || known && m2 != m {
		w.t.Errorf("the table says %s, %v of %s, which is %v at %s", mac(m2), known, addr, s, mac(m))
	}
}

func ptr[T any](v T) *T { return &v }

func a16(s string) [16]byte { return netip.MustParseAddr(s).As16() }

// note is a held packet.
type note string

func (n note) Size() int { return len(n) }

func hold(to, what string) Hold {
	return Hold{Target: a16(to), Source: a16("2001:db8:1::1"), Packet: note(what)}
}

func mac(m header.MAC) string { return fmt.Sprintf("%x", m[:]) }

// Messages as they come in.

func ns(from, target string, lla ...header.MAC) *Message {
	m := &Message{Type: header.TypeNeighborSolicitation, From: macA, Source: a16(from), Target: a16(target)}
	m.Destination = header.SolicitedNode(&m.Target)
	return m.with(lla)
}

func rs(from string, lla ...header.MAC) *Message {
	return (&Message{Type: header.TypeRouterSolicitation, From: macA, Source: a16(from), Destination: header.AllRouters}).with(lla)
}

func ra(from string, lla ...header.MAC) *Message {
	return (&Message{Type: header.TypeRouterAdvertisement, From: macA, Source: a16(from), Destination: header.AllNodes, Router: true}).with(lla)
}

// na has flags as letters: R, S, O.
func na(target, flags string, lla ...header.MAC) *Message {
	m := &Message{Type: header.TypeNeighborAdvertisement, From: macA, Source: a16(target), Destination: a16(local), Target: a16(target)}
	m.Router, m.Solicited, m.Override = strings.Contains(flags, "R"), strings.Contains(flags, "S"), strings.Contains(flags, "O")
	return m.with(lla)
}

func (m *Message) with(lla []header.MAC) *Message {
	if len(lla) > 0 {
		m.LinkLayer, m.HasLinkLayer = lla[0], true
	}
	return m
}

// describe is a packet of the router's own in words, after checks of what must be
// true of all.
func describe(t *testing.T, f Frame) string {
	t.Helper()
	pkt, ok := header.ParseIPv6(f.Packet)
	if !ok || len(pkt) != len(f.Packet) {
		t.Fatalf("no packet: %x", f.Packet)
	}
	u, ok := header.UpperLayer(pkt)
	if !ok {
		t.Fatalf("no upper layer: %x", f.Packet)
	}
	msg := pkt[u.Offset:]
	if header.Checksum(pkt.SourceBytes(), pkt.DestinationBytes(), header.ProtoICMPv6, msg) != 0 {
		t.Errorf("wrong checksum: %x", f.Packet)
	}
	if dst := pkt.DestinationBytes(); header.IsMulticast(dst) && f.To != header.GroupMAC(dst) {
		t.Errorf("to %v in a frame to %s", pkt.Destination(), mac(f.To))
	}
	s := fmt.Sprintf("from %v to %v", pkt.Source(), pkt.Destination())
	if !header.IsMulticast(pkt.DestinationBytes()) {
		s += " at " + mac(f.To)
	}
	if typ := header.ICMPv6(msg).Type(); typ != header.TypeMLDv2Report && typ != header.TypeMLDReport && typ != header.TypeMLDDone {
		if pkt.HopLimit() != 255 {
			t.Errorf("hop limit = %d, want 255", pkt.HopLimit())
		}
	} else if pkt.HopLimit() != 1 || !hasRouterAlert(pkt) {
		t.Errorf("hop limit = %d, router alert = %v", pkt.HopLimit(), hasRouterAlert(pkt))
	}
	switch header.ICMPv6(msg).Type() {
	case header.TypeNeighborSolicitation:
		return "NS " + netip.AddrFrom16([16]byte(msg[8:])).String() + " " + s + options(msg[24:])
	case header.TypeNeighborAdvertisement:
		flags := ""
		for bit, c := range map[byte]string{flagRouter: "R", flagSolicited: "S", flagOverride: "O"} {
			if msg[4]&bit != 0 {
				flags += c
			}
		}
		b := []byte(flags)
		slices.Sort(b)
		return "NA " + netip.AddrFrom16([16]byte(msg[8:])).String() + " " + string(b) + " " + s + options(msg[24:])
	case header.TypeMLDReport:
		return "report1 " + s
	case header.TypeMLDDone:
		return "done1 " + netip.AddrFrom16([16]byte(msg[8:])).String() + " " + s
	case header.TypeMLDv2Report:
		r := ""
		for b, n := msg[8:], binary.BigEndian.Uint16(msg[6:]); n > 0; n-- {
			r += fmt.Sprintf(" %d:%v", b[0], netip.AddrFrom16([16]byte(b[4:])))
			b = b[20:]
		}
		return "report" + r + " " + s
	}
	t.Fatalf("an unexpected message: %x", f.Packet)
	return ""
}

func options(b []byte) (s string) {
	for len(b) > 0 {
		if b[0] == optionNonce {
			s += " nonce"
		} else {
			s += fmt.Sprintf(" option %d %x", b[0], b[2:8])
		}
		b = b[int(b[1])*8:]
	}
	return s
}

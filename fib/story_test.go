package fib_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
)

// A story is a table and its slow twin, going through the same changes.
type story struct {
	*fixture
	choose  func(n int) int // a number below n
	oracle  lab.LinearFIB[string]
	ifaces  []ifmgr.ID
	members map[uint32][]member // what was put into a slot
	history []chapter
}

type member struct {
	iface int
	gw    string
}

// A chapter is one generation, which some reader still looks at.
type chapter struct {
	guard  epoch.Guard
	reader *epoch.Reader
	snap   *fib.Snapshot
	oracle *lab.LinearFIB[string]
}

var (
	addresses = []netip.Addr{
		netip.MustParseAddr("2001:db8:4000:0:8000::1"), netip.MustParseAddr("2001:db8:4000:0:8000::"),
		netip.MustParseAddr("2001:db8:4000:0:a000::1"), netip.MustParseAddr("2001:db8:6000::1"),
		netip.MustParseAddr("2001:d38::"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("::"),
	}
	lengths = []int{0, 1, 5, 6, 7, 12, 24, 25, 31, 32, 34, 35, 48, 59, 60, 61, 64, 65, 66, 67, 68, 125, 126, 127, 128}
)

const ifaceCount = 3

func newStory(t tb, choose func(int) int) *story {
	s := &story{fixture: newFixture(t), choose: choose, members: map[uint32][]member{}}
	s.oracle.Slots = map[uint32]string{0: "unreachable"}
	for i := range ifaceCount {
		s.ifaces = append(s.ifaces, s.attach(fmt.Sprintf("if%d", i)))
	}
	return s
}

// step makes some changes in one transaction, and checks.
func (s *story) step() {
	s.remember()
	s.update(func(t *loop.Turn, x *fib.Txn) {
		for range 1 + s.choose(1+s.choose(12)) {
			s.change(t, x)
		}
	})
	s.check()
}

func (s *story) change(t *loop.Turn, x *fib.Txn) {
	switch s.choose(9) {
	case 0, 1:
		s.newGroup(t, x)
	case 2, 3, 4:
		p := s.prefix()
		c := s.candidates()
		x.Set(p, ids(c)...)
		if len(c) == 0 {
			s.oracle.Delete(p)
		} else {
			s.oracle.Set(p, c...)
		}
	case 5:
		p := s.prefix()
		x.Delete(p)
		s.oracle.Delete(p)
	case 6:
		if g, ok := s.slot(); ok {
			s.rewrite(t, x, g)
		}
	case 7:
		i := s.choose(ifaceCount)
		x.Withdraw(s.ifaces[i])
		for g, m := range s.members {
			s.members[g] = slices.DeleteFunc(slices.Clone(m), func(m member) bool { return m.iface == i })
			s.write(g)
		}
	case 8:
		if g, ok := s.slot(); ok && !s.oracle.Names(g) {
			x.Drop(fib.GroupID(g))
			delete(s.oracle.Slots, g)
			delete(s.members, g)
		}
	}
}

func ids(slots []uint32) (out []fib.GroupID) {
	for _, g := range slots {
		out = append(out, fib.GroupID(g))
	}
	return out
}

func (s *story) prefix() netip.Prefix {
	p, _ := addresses[s.choose(len(addresses))].Prefix(lengths[s.choose(len(lengths))])
	return p
}

// slot is one of those there are, but for slot 0.
func (s *story) slot() (uint32, bool) {
	all := slices.Sorted(maps.Keys(s.members))
	if len(all) == 0 {
		return 0, false
	}
	return all[s.choose(len(all))], true
}

func (s *story) candidates() (c []uint32) {
	for range s.choose(4) {
		if g, ok := s.slot(); ok && !slices.Contains(c, g) {
			c = append(c, g)
		}
	}
	return c
}

var gateways = []string{"", "fe80::1", "fe80::2"}

// ways chooses members, of which some may be in the slot already.
func (s *story) ways() (ms []member) {
	for range s.choose(4) {
		m := member{s.choose(ifaceCount), gateways[s.choose(len(gateways))]}
		if !slices.Contains(ms, m) {
			ms = append(ms, m)
		}
	}
	return ms
}

func (s *story) newGroup(t *loop.Turn, x *fib.Txn) {
	if s.choose(4) == 0 {
		v := fib.Verdict(s.choose(3))
		g := x.NewGroup(v)
		s.members[uint32(g)], s.oracle.Slots[uint32(g)] = nil, v.String()
		return
	}
	ms := s.ways()
	g := uint32(x.NewGroup(fib.Forward, s.nexthops(t, nil, ms)...))
	s.members[g], s.oracle.Slots[g] = ms, ""
	s.write(g)
}

// rewrite keeps the nexthops that stay.
func (s *story) rewrite(t *loop.Turn, x *fib.Txn, g uint32) {
	ms := s.ways()
	have := x.Group(fib.GroupID(g)).Nexthops()
	x.Rewrite(fib.GroupID(g), fib.Forward, s.nexthops(t, have, ms)...)
	s.members[g], s.oracle.Slots[g] = ms, ""
	s.write(g)
}

func (s *story) nexthops(t *loop.Turn, have []*fib.Nexthop, ms []member) (nhs []*fib.Nexthop) {
	for _, m := range ms {
		i := slices.IndexFunc(have, func(n *fib.Nexthop) bool {
			return n.ID() == s.ifaces[m.iface] && (n.Gateway().IsValid() && n.Gateway().String() == m.gw || !n.Gateway().IsValid() && m.gw == "")
		})
		if i >= 0 {
			nhs = append(nhs, have[i])
		} else {
			nhs = append(nhs, s.nexthop(t, s.ifaces[m.iface], m.gw, 1))
		}
	}
	return nhs
}

// write tells the oracle what the members of a forwarding slot come to.
func (s *story) write(g uint32) {
	if c := s.oracle.Slots[g]; c != "" && c[0] != 'f' {
		return // a refusal
	}
	c := ""
	for _, m := range s.members[g] {
		gw := netip.Addr{}
		if m.gw != "" {
			gw = netip.MustParseAddr(m.gw)
		}
		c += fmt.Sprintf(" if%d %v", m.iface, gw)
	}
	if c != "" {
		c = "forward" + c
	}
	s.oracle.Slots[g] = c
}

// remember keeps looking at the present generation, and leaves an old one.
func (s *story) remember() {
	r := s.dom.Register("chapter")
	g := r.Enter()
	s.history = append(s.history, chapter{g, r, s.table.Load(g), s.oracle.Clone()})
	if len(s.history) > 5 {
		s.leave()
	}
}

func (s *story) leave() {
	s.history[0].guard.Leave()
	s.history[0].reader.Close()
	s.history = s.history[1:]
}

// check compares every generation that somebody looks at, and the books.
func (s *story) check() {
	s.t.Helper()
	r := s.dom.Register("check")
	defer r.Close()
	g := r.Enter()
	defer g.Leave()
	s.compare(s.table.Load(g), &s.oracle)
	for _, c := range s.history {
		s.compare(c.snap, c.oracle)
	}
	if got, want := s.books().Prefixes, len(s.oracle.Routes); got != want {
		s.t.Fatalf("prefixes = %d, want %d", got, want)
	}
}

// books are right, and come to this.
func (s *story) books() (st fib.Stats) {
	s.t.Helper()
	var err error
	s.turn(func(t *loop.Turn) {
		err = s.table.Recount(t)
		st = s.table.Stats(t)
	})
	if err != nil {
		s.t.Fatalf("books: %v", err)
	}
	return st
}

func (s *story) compare(snap *fib.Snapshot, oracle *lab.LinearFIB[string]) {
	s.t.Helper()
	for _, a := range addresses {
		want := oracle.Lookup(a)
		if want == "" {
			want = "unreachable"
		}
		if got := text(lookup(snap, a)); got != want {
			s.t.Fatalf("generation %d: lookup %v = %q, want %q", snap.Generation(), a, got, want)
		}
		steps := snap.Explain(a)
		if last := steps[len(steps)-1].Group; last != lookup(snap, a) {
			s.t.Fatalf("explain %v ends in %q, lookup in %q", a, text(last), want)
		}
		for _, st := range steps[:len(steps)-1] {
			if !st.Group.Emptied() || !st.Prefix.Contains(a) {
				s.t.Fatalf("explain %v steps over %v %q", a, st.Prefix, text(st.Group))
			}
		}
	}
}

// end takes everything out; nothing may be left.
func (s *story) end() {
	s.t.Helper()
	s.update(func(_ *loop.Turn, x *fib.Txn) {
		for _, r := range s.oracle.Routes {
			x.Delete(r.Prefix)
		}
		for g := range s.members {
			x.Drop(fib.GroupID(g))
		}
	})
	for len(s.history) > 0 {
		s.leave()
	}
	if n := s.held(); n != 0 {
		s.t.Fatalf("%d nexthops still hold their interface", n)
	}
	got := s.books()
	if want := (fib.Stats{Pairs: 2, Generation: got.Generation, Memory: got.Memory}); got != want {
		s.t.Fatalf("stats at the end = %+v, want %+v", got, want)
	}
	s.turn(func(t *loop.Turn) {
		if live, _ := s.table.Live(t); live != fib.Halves {
			s.t.Errorf("%d half-lines are left in use, want %d", live, fib.Halves)
		}
	})
	for _, id := range s.ifaces {
		s.detach(id)
	}
}

func TestTableAnswersAsTheOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(rt, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") })
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			s.step()
		}
		s.end()
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08"))
	f.Add([]byte("\x02\x01\x03\x03\x01\x02\x00\x00\x02\x02\x01\x01\x03\x02\x09\x01\x01\x02\x04\x07\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStory(t, func(n int) int {
			if len(b) == 0 {
				return 0
			}
			c := int(b[0]) % n
			b = b[1:]
			return c
		})
		for range 60 {
			if len(b) == 0 {
				break
			}
			s.step()
		}
		s.end()
	})
}

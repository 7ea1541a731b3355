package lab_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/router6d/router6d/fib"
	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

func TestRouter(t *testing.T) {
	r := lab.New(t)
	a, b := r.Attach("a", "2001:db8:a::1/64"), r.Attach("b")
	r.Route("2001:db8:1::/48", lab.Via("fe80::1", "b"))
	r.Route("2001:db8:2::/48", lab.Via("2001:db8:1::1", ""))
	r.Route("2001:db8:3::/48", lab.Refuse(fib.Blackhole))
	for _, dst := range []string{"2001:db8:1::1", "2001:db8:2::1"} {
		a.Send(lab.UDP("2001:db8:a::2", dst, 1, 2, nil))
		if got := header.IPv6(b.Expect()); got.Destination().String() != dst || got.HopLimit() != 63 {
			t.Errorf("came out: %x", got)
		}
	}
	a.Send(lab.UDP("2001:db8:a::2", "2001:db8:3::1", 1, 2, nil))
	a.ExpectNone()
	b.ExpectNone()

	r.Unroute("2001:db8:2::/48")
	a.Send(lab.UDP("2001:db8:a::2", "2001:db8:2::1", 1, 2, nil))
	if typ := header.ICMPv6(a.Expect()[40:]).Type(); typ != header.TypeDestinationUnreachable {
		t.Errorf("type = %d, want %d", typ, header.TypeDestinationUnreachable)
	}

	b.Detach()
	b.TrySend(nil) // nobody reads it
	a.Send(lab.UDP("2001:db8:a::2", "2001:db8:1::1", 1, 2, nil))
	a.Expect()
	if st := r.Stats(); st.Received != 5 || !st.Balanced() {
		t.Errorf("account = %+v, want 5 packets", st)
	}
}

// A stacked port panics when it is used after Close, as a pipe does.
func TestStackedPanicsAfterClose(t *testing.T) {
	r := lab.New(t)
	low := r.Attach("low")
	var h *ifmgr.Handle
	r.Turn(func(turn *loop.Turn) {
		var err error
		if h, err = r.Interfaces.Acquire(turn, low.ID, ifmgr.Stacked); err != nil {
			t.Error(err)
		}
	})
	s := lab.NewStacked("s", h, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for what, use := range map[string]func(){
		"Send":  func() { _ = s.Send(&link.Vector{}) },
		"Claim": func() { s.Claim(&link.Packet{}) },
		"Close": func() { _ = s.Close() },
	} {
		if !panics(use) {
			t.Errorf("%s after Close does not panic", what)
		}
	}
}

func panics(fn func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	fn()
	return false
}

// A severed port takes nothing, and what it refused is counted.
func TestStackedSevered(t *testing.T) {
	r := lab.New(t)
	low := r.Attach("low")
	ppp := r.Stack("ppp", low, 1, "2001:db8:f::1/64")
	ppp.Sever()
	a := r.Attach("a")
	a.Send(lab.UDP(src, "2001:db8:f::2", 1, 2, nil))
	low.ExpectNone()
	if n := ppp.Traffic().TxErrors.Load(); n != 1 {
		t.Errorf("refused = %d, want 1", n)
	}
}

// Encapsulation is undone by its own session only.
func TestStackedSessions(t *testing.T) {
	one, two := lab.NewStacked("one", nil, 1), lab.NewStacked("two", nil, 2)
	pkt := lab.UDP(src, dst, 1, 2, nil)
	if got := one.Decapsulate(one.Encapsulate(pkt)); !bytes.Equal(got, pkt) {
		t.Errorf("there and back: %x, want %x", got, pkt)
	}
	for _, b := range [][]byte{two.Encapsulate(pkt), pkt, nil, one.Encapsulate(nil)[:7]} {
		if got := one.Decapsulate(b); got != nil {
			t.Errorf("decapsulated %x from %x, want nothing", got, b)
		}
	}
}

// A port whose name is taken is refused, and what was refused is not closed: it
// is still the caller's.
func TestStackUnderATakenName(t *testing.T) {
	r := lab.New(t)
	low := r.Attach("low")
	r.Stack("ppp", low, 1)
	err := r.Try(func(turn *loop.Turn) error {
		h, err := r.Interfaces.Acquire(turn, low.ID, ifmgr.Stacked)
		if err != nil {
			return err
		}
		second := lab.NewStacked("ppp", h, 2)
		_, err = r.Interfaces.Stack(turn, low.ID, second, lab.Settings("ppp"))
		return errors.Join(err, second.Close())
	})
	if !errors.Is(err, ifmgr.ErrExists) {
		t.Errorf("error = %v, want %v", err, ifmgr.ErrExists)
	}
}

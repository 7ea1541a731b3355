package torture

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/netlab"
	"github.com/router6d/router6d/tcpstack"
)

// TestHopLimitOnTheWire looks at what the router itself sends: segments have the hop
// limit of the connection, else of the route, else of the interface, else 64; echo
// replies and errors likewise, but that they have no connection. A change, by a reload,
// holds from the next packet on: each time there is a segment under way that nobody
// takes, and it is sent again with what holds then, by the same interface or by
// another one of its name.
func TestHopLimitOnTheWire(t *testing.T) {
	h := newHops(t)
	for _, step := range []struct {
		name              string
		own, route, iface uint8 // zero: it says nothing
		attach            bool  // the interface goes meanwhile, and comes again
		segment, other    uint8
	}{
		{name: "nobody says", segment: 64, other: 64},
		{name: "the interface says", iface: 33, segment: 33, other: 33},
		{name: "the route says", iface: 33, route: 9, segment: 9, other: 9},
		{name: "the connection says, by another interface", own: 200, iface: 44, route: 11, attach: true, segment: 200, other: 11},
		{name: "the connection does no longer", iface: 44, route: 12, segment: 12, other: 12},
		{name: "nor does the route, by another interface", iface: 55, attach: true, segment: 55, other: 55},
		{name: "nobody says any more", segment: 64, other: 64},
	} {
		t.Log(step.name)
		want := func(what string, pkt header.IPv6, limit uint8) {
			if got := pkt.HopLimit(); got != limit {
				t.Errorf("%s: %s has hop limit %d, want %d", step.name, what, got, limit)
			}
		}
		h.must(h.west.DeleteAddress("lo", hopsFar))
		lost := h.write()
		h.segment(lost)
		h.must(h.c.SetHopLimit(step.own))
		if step.attach {
			h.must(h.delete(&incarnation{c: config.Interface{Name: hopsLink}}))
		}
		h.reload(step.route, step.iface)
		if step.attach {
			h.look()
		}
		want("an echo reply", h.answer(lab.Echo(hopsFar.Addr().String(), hopsOwn.String(), 1, 1, nil), header.TypeEchoReply), step.other)
		want("an error", h.answer(lab.UDP(hopsFar.Addr().String(), hopsNowhere, 1, 1, nil), header.TypeDestinationUnreachable), step.other)
		want("a segment that is sent again", h.segment(lost), step.segment)
		h.must(h.west.AddAddress("lo", hopsFar))
		h.comesBack(lost)
		next := h.write()
		want("the next segment", h.segment(next), step.segment)
		h.comesBack(next)
	}
}

const (
	hopsLink    = "hops"
	hopsNowhere = "2001:db8:dead::1" // the router has no route to it
)

var (
	hopsFar = netip.MustParsePrefix("2001:db8:fa::1/128")
	hopsOwn = netlab.End(netlab.Wire(1), 1) // the router's, and it stays
)

// hops is a connection of the router's own to an address in west, by an interface for
// that alone. Answers come by another one.
type hops struct {
	*stage
	cfg  *config.Config
	c    *tcpstack.Conn
	n    byte            // written last
	wire *netlab.Capture // of what leaves the router by the interface
	buf  [link.MaxPacket]byte
}

func newHops(t *testing.T) *hops {
	t.Helper()
	h := &hops{}
	h.stage = newStageWith(t, detachTimeout(), func(c *config.Config) {
		for i := range c.Interfaces {
			c.Interfaces[i].Line = 1 // a reload is to know them
		}
		c.Services.Discard = &config.Service{Protocols: []config.Transport{config.TCP}, Port: config.DefaultDiscard, Interfaces: []string{"west"}} // else there is no TCP
		h.cfg = c
	})
	h.reload(0, 0)
	h.look()
	h.must(h.west.AddAddress("lo", hopsFar))
	d := tcpstack.Dialer{Stack: h.r.Transport, From: hopsOwn}
	c, err := d.DialContext(t.Context(), h.echo())
	h.must(err)
	t.Cleanup(func() { _ = c.Close() })
	h.c = c
	return h
}

// reload has the route and the interface say a hop limit, or nothing with zero.
func (h *hops) reload(route, iface uint8) {
	h.t.Helper()
	i, err := netlab.Leg(hopsLink, h.west, netlab.Wire(3))
	h.must(err)
	i.Line, i.Kernel.Routes = 1, nil
	if iface != 0 {
		i.HopLimit = iface
	}
	next := *h.cfg
	next.Interfaces = append(slices.Clone(next.Interfaces), i)
	next.Routes = []config.Route{{Prefix: hopsFar, HopLimit: route, Paths: []config.Path{{Dev: hopsLink, Weight: 1}}, Line: 1}}
	_, err = h.r.Reload(h.t.Context(), &next, false)
	h.must(err)
}

// look looks at the interface that there is now.
func (h *hops) look() {
	h.t.Helper()
	w, err := netlab.OpenCapture(h.west, hopsLink, netlab.CaptureConfig{IgnoreOutgoing: true})
	h.must(err)
	h.t.Cleanup(func() { _ = w.Close() })
	h.must(w.SetReadDeadline(time.Now().Add(patience)))
	h.wire = w
}

// echo sends back what one connection brings.
func (h *hops) echo() netip.AddrPort {
	h.t.Helper()
	var l *net.TCPListener
	h.must(h.west.Do(func() (err error) {
		l, err = net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(netip.AddrPortFrom(hopsFar.Addr(), 0)))
		return err
	}))
	var all sync.WaitGroup
	all.Go(func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(struct{ io.Writer }{c}, c) // until the router closes it; without the pipes of splice
			_ = c.Close()
		}
	})
	h.t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// write has a segment of one byte sent, which says which it is.
func (h *hops) write() byte {
	h.t.Helper()
	h.n++
	_, err := h.c.Write([]byte{h.n})
	h.must(err)
	return h.n
}

// comesBack waits for what was written.
func (h *hops) comesBack(n byte) {
	h.t.Helper()
	var got [1]byte
	h.must(h.c.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.ReadFull(h.c, got[:]); err != nil || got[0] != n {
		h.t.Fatalf("came back %d, %v, want %d", got[0], err, n)
	}
}

// segment is the next one with that byte.
func (h *hops) segment(n byte) header.IPv6 {
	h.t.Helper()
	return h.see(header.ProtoTCP, func(b []byte) bool {
		data := b[header.TCP(b).DataOffset():]
		return len(data) == 1 && data[0] == n
	})
}

// answer is what the router says of a packet from far.
func (h *hops) answer(pkt []byte, typ uint8) header.IPv6 {
	h.t.Helper()
	h.must(netlab.SendRaw(h.west, "west", pkt))
	return h.see(header.ProtoICMPv6, func(b []byte) bool { return header.ICMPv6(b).Type() == typ })
}

// see waits for a packet to far. Borrowed until the next one.
func (h *hops) see(proto uint8, fits func(payload []byte) bool) header.IPv6 {
	h.t.Helper()
	for {
		p, err := h.wire.Read(h.buf[:])
		h.must(err)
		pkt, ok := header.ParseIPv6(h.buf[:p.Len])
		if ok && pkt.Destination() == hopsFar.Addr() && pkt.NextHeader() == proto && fits(pkt.Payload()) {
			return pkt
		}
	}
}

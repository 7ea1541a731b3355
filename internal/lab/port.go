package lab

import (
	"net/netip"
	"sync/atomic"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// ethernetMTU is what ports have unless the test says otherwise.
const ethernetMTU = 1500

// A Port is an interface of the router, seen from the far end of its wire.
type Port struct {
	ID   ifmgr.ID
	Name string

	// The two ends of the wire. Those of a stacked port are its lower one's.
	Near, Far *link.Pipe

	r        *Router
	frames   *ethernet // nil unless it has frames
	lower    *Port     // nil unless it is stacked
	stack    *Stacked  // likewise
	traffic  *ifmgr.Traffic
	offered  atomic.Uint64 // wire segments given to Near
	detached bool          // under Router.mu
}

// Attach adds an interface that is up, with the router's addresses on it, and
// returns its far end.
func (r *Router) Attach(name string, addrs ...string) *Port {
	r.t.Helper()
	return r.AttachAs(Settings(name, addrs...))
}

// Settings is what Attach attaches with.
func Settings(name string, addrs ...string) ifmgr.Settings {
	s := ifmgr.Settings{Name: name, MTU: ethernetMTU, Up: true}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, netip.MustParsePrefix(a))
	}
	return s
}

// AttachAs is Attach with everything said.
func (r *Router) AttachAs(s ifmgr.Settings) *Port {
	r.t.Helper()
	p := &Port{Name: s.Name, r: r}
	p.Near, p.Far = link.NewPipe(s.Name, s.Name+" far")
	r.add(p, func(t *loop.Turn) (ifmgr.ID, error) { return r.Interfaces.Attach(t, p.Near, s) })
	return p
}

// Stack adds an interface on top of another one. It has the lower one's wire.
func (r *Router) Stack(name string, lower *Port, session uint16, addrs ...string) *Port {
	r.t.Helper()
	p := &Port{Name: name, r: r, Near: lower.Near, Far: lower.Far, lower: lower}
	r.add(p, func(t *loop.Turn) (ifmgr.ID, error) {
		h, err := r.Interfaces.Acquire(t, lower.ID, ifmgr.Stacked)
		if err != nil {
			return 0, err
		}
		p.stack = NewStacked(name, h, session)
		s := Settings(name, addrs...)
		s.MTU -= stackedHeader
		return r.Interfaces.Stack(t, lower.ID, p.stack, s)
	})
	return p
}

// add attaches p, and ends the test if that fails.
func (r *Router) add(p *Port, attach func(*loop.Turn) (ifmgr.ID, error)) {
	r.t.Helper()
	err := r.Try(func(t *loop.Turn) (err error) {
		if p.ID, err = attach(t); err != nil {
			return err
		}
		for _, in := range r.Interfaces.All(t) {
			if in.ID == p.ID {
				p.traffic = in.Traffic
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatalf("attach %s: %v", p.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports = append(r.ports, p)
}

// Router is what the port belongs to.
func (p *Port) Router() *Router { return p.r }

func (p *Port) stacked() bool { return p.lower != nil }

// Traffic is the interface's counters.
func (p *Port) Traffic() *ifmgr.Traffic { return p.traffic }

// Send puts packets on the wire towards the router.
func (p *Port) Send(pkts ...[]byte) {
	p.r.t.Helper()
	for _, b := range pkts {
		if !p.TrySend(b) {
			p.r.t.Fatalf("%s: wire is full", p.Name)
		}
	}
}

// TrySend puts one packet on the wire if there is room. It may be called on any
// goroutine, and after the interface has ended.
func (p *Port) TrySend(pkt []byte) bool {
	if p.stacked() {
		return p.lower.TrySend(p.Encapsulate(pkt))
	}
	if !p.Near.Offer(pkt) {
		return false
	}
	p.offered.Add(1)
	return true
}

// SendFrame puts a packet with a virtio-net header in front on the wire.
func (p *Port) SendFrame(frame []byte) {
	p.r.t.Helper()
	segments := p.Near.OfferFrame(frame)
	if segments == 0 {
		p.r.t.Fatalf("%s: wire is full", p.Name)
	}
	p.offered.Add(uint64(segments))
}

// Expect returns the packet that has come out, and ends the test if there is
// none. What the router does with what was sent before is waited for.
func (p *Port) Expect() []byte {
	p.r.t.Helper()
	p.r.Settle()
	b := p.Take()
	if b == nil {
		p.r.t.Fatalf("nothing came out of %s", p.Name)
	}
	return b
}

// ExpectFrame is Expect, with the virtio-net header.
func (p *Port) ExpectFrame() []byte {
	p.r.t.Helper()
	p.r.Settle()
	f := p.Far.TakeFrame()
	if f == nil {
		p.r.t.Fatalf("nothing came out of %s", p.Name)
	}
	return f
}

// ExpectNone fails the test if anything has come out.
func (p *Port) ExpectNone() {
	p.r.t.Helper()
	p.r.Settle()
	if b := p.Take(); b != nil {
		p.r.t.Fatalf("out of %s came %x", p.Name, b)
	}
}

// Take is what has come out, or nil. It waits for nothing.
func (p *Port) Take() []byte {
	b := p.Far.Take()
	if p.stacked() && b != nil {
		return p.stack.Decapsulate(b)
	}
	return b
}

// Encapsulate is pkt as it is on the wire: a stacked port has a header there.
func (p *Port) Encapsulate(pkt []byte) []byte {
	if p.stacked() {
		return p.stack.Encapsulate(pkt)
	}
	return pkt
}

// Decapsulate is the packet in what is on the wire, or nil if b is not the
// port's.
func (p *Port) Decapsulate(b []byte) []byte {
	if p.stacked() {
		return p.stack.Decapsulate(b)
	}
	return b
}

// Carrier says whether the interface has carrier.
func (p *Port) Carrier(up bool) {
	p.r.t.Helper()
	p.r.Turn(func(t *loop.Turn) { p.r.Interfaces.Carrier(t, p.ID, up) })
}

// Sever ends the port of a stacked interface without a detach, as a deadline
// does.
func (p *Port) Sever() { _ = p.stack.Sever() } // never fails

// SetMTU changes the interface's MTU.
func (p *Port) SetMTU(mtu int) {
	p.r.t.Helper()
	p.r.Turn(func(t *loop.Turn) { p.r.Interfaces.SetMTU(t, p.ID, mtu) })
}

// Detach ends the interface.
func (p *Port) Detach() ifmgr.Result {
	p.r.t.Helper()
	return p.r.Detach(p)[0]
}

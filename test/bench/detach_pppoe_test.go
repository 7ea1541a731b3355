//go:build bench

package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/config"
	"github.com/router6d/router6d/internal/lab"
	"github.com/router6d/router6d/internal/loop"
	"github.com/router6d/router6d/pppoe"
	"github.com/router6d/router6d/pppoe/ac"
	"github.com/router6d/router6d/rib"
)

// TestBenchDetachPPPoE prints how long it takes from a PADT on the wire to the pointer
// store, with workers and all: for a session whose interface stays, and for one whose
// interface ends with it; and of that, how long from the gate.
func TestBenchDetachPPPoE(t *testing.T) {
	for _, identity := range []config.Identity{config.IdentityKeep, config.IdentityRenew} {
		for _, n := range []int{10, 160_147} {
			t.Run(fmt.Sprintf("%s %d", identity, n), func(t *testing.T) {
				p := newLine(t, identity)
				u := rib.Update{Source: rib.Static}
				for _, prefix := range lab.Prefixes(t, n) {
					u.Set = append(u.Set, rib.Route{Prefix: prefix, Source: rib.Static, Target: rib.Paths{{Iface: "wan", Weight: 1}}})
				}
				p.r.Turn(func(t *loop.Turn) { _ = p.r.RIB.Apply(t, u) }) // refused is no more than a route
				p.r.Settle()
				var wire, gate times
				for range rounds {
					w, g := p.round()
					wire, gate = append(wire, w), append(gate, g)
				}
				name := fmt.Sprintf("%s_%s", identity, size(n))
				figure("pppoe_padt_to_withdrawn_p50_us_"+name, wire.at(50))
				figure("pppoe_padt_to_withdrawn_p99_us_"+name, wire.at(99))
				figure("pppoe_withdraw_p50_us_"+name, gate.at(50))
				figure("pppoe_withdraw_p99_us_"+name, gate.at(99))
			})
		}
	}
}

// A sessionLine is a session with our own concentrator, over a pipe.
type sessionLine struct {
	r        *lab.Router
	wire     *lab.Port
	ac       *ac.Concentrator
	identity config.Identity

	gate, withdrawn time.Time // of the last withdrawal
}

func newLine(t *testing.T, identity config.Identity) *sessionLine {
	p := &sessionLine{r: lab.New(t), identity: identity}
	h := p.r.Hooks()
	withdraw := h.Withdraw
	h.Withdraw = func(t *loop.Turn, id ifmgr.ID) (int, int) {
		p.gate = time.Now()
		routes, slots := withdraw(t, id)
		p.withdrawn = time.Now()
		return routes, slots
	}
	p.r.Interfaces.Hook(h)
	p.wire = p.r.AttachEthernet(lab.Settings("eth0"))
	p.ac = ac.New(ac.Config{MAC: pppoe.MAC{2, 0, 0, 0, 0, 9}, Name: "bras1", MTU: 1492, Random: rand.New(rand.NewChaCha8([32]byte{1}))})
	return p
}

// round opens a session, and ends it from the far end. The interface is another each
// time: one that stays would wait before it calls so soon again.
func (p *sessionLine) round() (wire, gate time.Duration) {
	id := p.add()
	p.until("open", func(in ifmgr.Info) bool { return in.ID == id && in.State == ifmgr.Up && len(p.ac.Sessions()) == 1 })
	sent := time.Now()
	p.answer(p.ac.HangUp(p.ac.Sessions()[0]))
	if p.identity == config.IdentityKeep {
		p.until("down", func(in ifmgr.Info) bool { return in.ID == id && in.State == ifmgr.Down })
	} else {
		p.r.Until("the end", func() bool { return !p.any(func(in ifmgr.Info) bool { return in.ID == id }) })
	}
	wire, gate = p.withdrawn.Sub(sent), p.withdrawn.Sub(p.gate)
	if p.identity == config.IdentityKeep {
		p.r.DetachID(id)
	}
	p.r.Turn(func(t *loop.Turn) { p.r.Interfaces.Forget(t, "wan") })
	return wire, gate
}

func (p *sessionLine) add() (id ifmgr.ID) {
	id, _ = p.r.Interfaces.Add(context.Background(), config.Interface{
		Name: "wan", Type: config.TypePPPoE, Mode: config.ModeAttach, Lower: "eth0", PPPoE: &config.PPPoE{Identity: p.identity},
	})
	return id
}

func (p *sessionLine) any(fits func(ifmgr.Info) bool) (some bool) {
	p.r.Turn(func(t *loop.Turn) {
		for _, in := range p.r.Interfaces.All(t) {
			some = some || fits(in)
		}
	})
	return some
}

// until serves until an interface is as wanted.
func (p *sessionLine) until(what string, fits func(ifmgr.Info) bool) {
	p.r.Until(what, func() bool {
		for b := p.wire.Take(); b != nil; b = p.wire.Take() {
			p.answer(p.ac.Receive(time.Now(), b))
		}
		p.answer(p.ac.Expire(time.Now()))
		return p.any(fits)
	})
}

func (p *sessionLine) answer(out ac.Output) {
	for _, b := range out.Send {
		p.wire.Send(b)
	}
}

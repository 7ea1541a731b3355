package ifmgr

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/router6d/router6d/internal/epoch"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

const timeout = time.Second

// A house is a Manager on its loop, with the rest of the router played by a
// table of interfaces that are Up.
type house struct {
	t    *testing.T
	dom  *epoch.Domain
	loop *loop.Loop
	m    *Manager
	logs *observer.ObservedLogs
	stop func() // ends the loop

	table epoch.Pointer[table]

	// Owned by the loop.
	trace    []string
	attached func(*loop.Turn, ID) // nil: nobody reads
	withdraw func(*loop.Turn, ID) // called before the table changes
}

// A table is what lookups return, and a handle for each.
type table struct {
	gen uint64
	up  map[ID]*Handle
}

func newHouse(t *testing.T) *house {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	d := epoch.NewDomain()
	l := loop.New(d)
	h := &house{t: t, dom: d, loop: l, m: New(l, zap.New(core), timeout), logs: logs}
	h.table.Publish(&table{gen: 1})
	h.m.Hook(Hooks{
		Attached: func(x *loop.Turn, id ID) {
			h.note("attached %d", id)
			if h.attached != nil {
				h.attached(x, id)
			}
		},
		Up: func(x *loop.Turn, id ID) {
			h.note("up %d", id)
			i, err := h.m.Acquire(x, id, Route)
			if err != nil {
				h.t.Errorf("acquire in up: %v", err)
				return
			}
			h.publish(func(up map[ID]*Handle) { up[id] = i })
		},
		Withdraw: func(x *loop.Turn, id ID) (routes, slots int) {
			h.note("withdraw %d", id)
			if h.withdraw != nil {
				h.withdraw(x, id)
			}
			old := h.current().up[id]
			if old == nil {
				return 0, 0
			}
			h.publish(func(up map[ID]*Handle) { delete(up, id) })
			x.AfterGrace(func(*loop.Turn) { old.Release() })
			return 1, 1
		},
		Ended:      func(_ *loop.Turn, r Result) { h.note("ended %d", r.ID) },
		Generation: func(*loop.Turn) uint64 { return h.current().gen },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("loop = %v, want nil", err)
		}
		ended <- nil
	}
	t.Cleanup(h.stop)
	return h
}

func (h *house) note(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

// current is the table, for the loop, which needs no guard.
func (h *house) current() *table {
	r := h.dom.Register("current")
	defer r.Close()
	g := r.Enter()
	defer g.Leave()
	return h.table.Load(g)
}

func (h *house) publish(change func(map[ID]*Handle)) {
	old := h.current()
	next := &table{gen: old.gen + 1, up: map[ID]*Handle{}}
	for id, i := range old.up {
		next.up[id] = i
	}
	change(next.up)
	h.table.Publish(next)
}

// do takes a turn.
func (h *house) do(fn func(*loop.Turn)) {
	h.t.Helper()
	err := h.loop.Do(context.Background(), func(x *loop.Turn) error { fn(x); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
}

// attach makes an interface of p, with carrier.
func (h *house) attach(name string, p link.Port, prefixes ...string) ID {
	h.t.Helper()
	var id ID
	h.do(func(x *loop.Turn) {
		var err error
		if id, err = h.m.Attach(x, p, settings(name, prefixes...)); err != nil {
			h.t.Fatal(err)
		}
	})
	return id
}

func settings(name string, prefixes ...string) Settings {
	s := Settings{Name: name, MTU: 1500, Up: true}
	for _, p := range prefixes {
		s.Addresses = append(s.Addresses, netip.MustParsePrefix(p))
	}
	return s
}

// detach begins a detach; its ledger comes through the channel.
func (h *house) detach(id ID) <-chan Result {
	h.t.Helper()
	done := make(chan Result, 1)
	h.do(func(x *loop.Turn) { h.m.Detach(x, id, ErrRequested, func(r Result) { done <- r }) })
	return done
}

// acquire is the gate, which must be open.
func (h *house) acquire(id ID, who Holder) *Handle {
	h.t.Helper()
	var i *Handle
	h.do(func(x *loop.Turn) {
		var err error
		if i, err = h.m.Acquire(x, id, who); err != nil {
			h.t.Fatal(err)
		}
	})
	return i
}

// state is that of an interface; zero if it has ended.
func (h *house) state(id ID) (s State) {
	h.t.Helper()
	h.do(func(*loop.Turn) {
		if i := h.m.ifaces[id]; i != nil {
			s = i.state
		}
	})
	return s
}

// A port is one whose end takes time, in ways a test chooses.
type port struct {
	closeTakes, severTakes time.Duration
	closeErr, severErr     error

	severing                    atomic.Bool
	interrupts, severed, closed atomic.Int32 // calls that have returned
}

func (p *port) Send(v *link.Vector) error {
	if p.closed.Load() != 0 {
		panic("send on closed port")
	}
	v.Reset()
	return nil
}

func (p *port) Interrupt() { p.interrupts.Add(1) }

func (p *port) Sever() error {
	p.severing.Store(true)
	defer p.severing.Store(false)
	time.Sleep(p.severTakes)
	p.severed.Add(1)
	return p.severErr
}

func (p *port) Close() error {
	if p.severing.Load() {
		panic("closed while it is being severed")
	}
	time.Sleep(p.closeTakes)
	if p.closed.Add(1) != 1 {
		panic("closed twice")
	}
	return p.closeErr
}

// A probed port says how its device is.
type probed struct {
	port
	err atomic.Pointer[error]
}

func (p *probed) Probe() error {
	if err := p.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *probed) becomes(err error) { p.err.Store(&err) }

// claims is a port to stack on another.
type claims struct{ port }

func (*claims) Claim(*link.Packet) link.Claim { return link.NotOurs }

// stack puts a port on top of lower.
func (h *house) stack(name string, lower ID, u link.Upper) ID {
	h.t.Helper()
	var id ID
	h.do(func(x *loop.Turn) {
		var err error
		if id, err = h.m.Stack(x, lower, u, settings(name)); err != nil {
			h.t.Fatal(err)
		}
	})
	return id
}

// logged is how many lines have the message.
func (h *house) logged(message string) int { return h.logs.FilterMessage(message).Len() }

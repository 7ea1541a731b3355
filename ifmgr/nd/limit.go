package nd

import (
	"container/list"
	"time"

	"github.com/router6d/router6d/internal/header"
)

// What a link may cost, whoever is on it. A neighbor takes some 400 bytes.
const (
	maxAsked    = 512  // being resolved: about a second's worth at solicitRate
	maxHeard    = 1024 // that have only said that they are there
	maxAnswered = 4096 // that have answered; those who send nothing are not asked again

	maxHeldPackets = 16        // for one neighbor
	maxHeld        = 512 << 10 // bytes, for all: superframes are up to 64 KiB
	maxAnycast     = 32        // advertisements that wait for their delay
)

// RFC 4861 §7.2.2 wants no more than one solicitation a second for a neighbor. For
// all of them there is this, so that a scan of a prefix is not a storm on the link
// (RFC 6583 §7.1).
const (
	solicitRate, solicitBurst   = 500, 100
	announceRate, announceBurst = 50, 20
)

// A poolKind says what is known of a neighbor, and so what it is worth.
type poolKind uint8

const (
	asked    poolKind = iota // nothing: a packet wants to go there
	heard                    // it says that it is there
	answered                 // it has answered a solicitation, or a hint said so
	static                   // the operator says so
	pools
)

var poolSizes = [pools]int{maxAsked, maxHeard, maxAnswered, maxStatics}

// maxStatics is more than anybody writes into a file.
const maxStatics = 1 << 16

// A pool is neighbors of one kind, the longest known first.
type pool struct{ list.List }

// searched is how many of a full pool are looked at for one that nobody uses.
const searched = 64

// room makes room for one more in a pool: of those in front the first that nobody
// sends to has to go, else the first of all.
func (m *Machine) room(kind poolKind) {
	p := &m.pools[kind]
	if p.Len() < poolSizes[kind] {
		return
	}
	victim := p.Front()
	for e, i := victim, 0; e != nil && i < searched; e, i = e.Next(), i+1 {
		if a := e.Value.(*neighbor).adjacency; !a.used.Load() {
			victim = e
			break
		}
	}
	m.statistics.Evicted++
	m.forget(victim.Value.(*neighbor), Overflow)
}

// enter puts a neighbor last in a pool.
func (m *Machine) enter(n *neighbor, kind poolKind) {
	if n.place != nil {
		m.pools[n.pool].Remove(n.place)
		n.place = nil
	}
	m.room(kind)
	n.pool, n.place = kind, m.pools[kind].PushBack(n)
}

// An overload is the state of being asked for too much.
type overload struct {
	on    bool
	count int // of what was refused since the window began
	ease  int // windows in a row with little
	timer timer
}

// RFC 6583 §6.2 wants the operator to know. More than a few refusals within a
// window are an overload, that ends after some windows without.
const (
	overloadWindow = time.Second
	overloadCount  = 100
	overloadEase   = 10
)

// strain counts n things that were refused because there were too many.
func (m *Machine) strain(now time.Time, n int) {
	o := &m.overload
	o.count += n
	if o.timer.place == 0 {
		m.set(&o.timer, now.Add(overloadWindow), m.window)
	}
	if o.count < overloadCount {
		return
	}
	o.ease = 0
	if !o.on {
		o.on = true
		m.event(Overloaded, nil, header.MAC{})
	}
}

// window ends one window, and begins the next if there is something to watch.
func (m *Machine) window(now time.Time) {
	o := &m.overload
	if o.count < overloadCount {
		o.ease++
	}
	o.count = 0
	if o.on && o.ease >= overloadEase {
		m.calm()
	}
	if o.on {
		m.set(&o.timer, now.Add(overloadWindow), m.window)
	}
}

// calm ends an overload.
func (m *Machine) calm() {
	if m.overload.on {
		m.event(AtEase, nil, header.MAC{})
	}
	m.cancel(&m.overload.timer)
	m.overload = overload{}
}

func (in Lost) take(m *Machine, now time.Time) {
	m.statistics.Lost += uint64(in.N)
	m.strain(now, in.N)
}

package dataplane

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/ifmgr"
	"github.com/router6d/router6d/internal/link"
	"github.com/router6d/router6d/internal/loop"
)

// MaxTaps is how many taps there may be at once: each copies at the workers'
// expense.
const MaxTaps = 4

// ErrTooManyTaps means that there are MaxTaps.
var ErrTooManyTaps = errors.New("too many captures")

// A Direction is which way a packet passes an interface.
type Direction uint8

const (
	// Inbound is received by the router.
	Inbound Direction = iota + 1
	// Outbound is sent by it.
	Outbound
)

// A Sight is one packet as a Tap saw it.
type Sight struct {
	At        time.Time // of its batch
	Direction Direction
	Drop      Drop   // None: it went on
	Size      int    // of the packet, in bytes
	Bytes     []byte // its beginning, as much as the tap keeps
}

// A Tap copies what passes one interface, for one goroutine to read in its own
// time. Workers do not wait for it: what finds no room is counted, and lost. It
// holds no Handle, only the ID: an interface ends as if nobody looked.
//
// A packet that is dropped before it has a way out is seen where it came in, once,
// with its reason; one that the way out refuses is seen there.
type Tap struct {
	id        ifmgr.ID
	dropsOnly bool
	frames    bool // the interface has them: copies begin with an Ethernet header
	snap      int
	ring      ring
	lost      atomic.Uint64
	more      chan struct{} // capacity 1; see More
}

// NewTap returns a Tap that keeps up to snap bytes of each packet, all if it is
// zero, and with dropsOnly is about those only that end here.
func NewTap(snap int, dropsOnly bool) *Tap {
	if snap == 0 {
		snap = link.MaxPacket
	}
	return &Tap{
		snap: min(snap, link.MaxPacket), dropsOnly: dropsOnly,
		ring: newRing(),
		more: make(chan struct{}, 1),
	}
}

// Tap has t see what passes an interface from the next batches on.
func (p *Plane) Tap(turn *loop.Turn, id ifmgr.ID, t *Tap) error {
	all := p.tapped()
	if len(all) >= MaxTaps {
		return ErrTooManyTaps
	}
	t.id = id
	if i := p.ifs.Find(turn, id); i != nil {
		t.frames = i.Neighbors() != nil
	}
	p.publishTaps(append(slices.Clone(all), t))
	return nil
}

// Untap ends what Tap began. Batches under way may still be seen.
func (p *Plane) Untap(_ *loop.Turn, t *Tap) {
	p.publishTaps(slices.DeleteFunc(slices.Clone(p.tapped()), func(x *Tap) bool { return x == t }))
}

func (p *Plane) tapped() []*Tap {
	if all := p.taps.Load(); all != nil {
		return *all
	}
	return nil
}

func (p *Plane) publishTaps(all []*Tap) {
	if len(all) == 0 {
		p.taps.Store(nil)
		return
	}
	p.taps.Store(&all)
}

// Frames reports whether what is seen begins with an Ethernet header; once Plane.Tap
// was called.
func (t *Tap) Frames() bool { return t.frames }

// Snap is how many bytes are kept of each packet.
func (t *Tap) Snap() int { return t.snap }

// More tells that there may be something for Each.
func (t *Tap) More() <-chan struct{} { return t.more }

// Each calls fn with all that waits, in the order in which it came, until fn
// fails. What a Sight has is gone when fn returns.
func (t *Tap) Each(fn func(*Sight) error) error {
	var s Sight
	for r, b := t.ring.oldest(); r != nil; r, b = t.ring.oldest() {
		s = Sight{At: time.Unix(0, r.at), Direction: r.direction, Drop: r.drop, Size: int(r.size), Bytes: b}
		err := fn(&s)
		t.ring.free(r)
		if err != nil {
			return err
		}
	}
	return nil
}

// Lost is how many packets found no room.
func (t *Tap) Lost() uint64 { return t.lost.Load() }

package tcpstack

import (
	"net/netip"
	"sync"
	"time"

	"github.com/router6d/router6d/dataplane"
	"github.com/router6d/router6d/internal/header"
)

// confirmEvery is how often forward progress is told to neighbor discovery: less
// than half of the shortest time for which it believes (RFC 4861 §6.3.2).
const confirmEvery = 5 * time.Second

// A flow is what the stack itself knows of a connection: enough to tell which
// ICMPv6 errors are about it, what it waits for, and that its peer answers. It is
// there for as long as gVisor has an endpoint for it.
type flow struct {
	tuple
	passive bool // begun by the peer

	// It is seen by workers, by whoever sends, and by those who show it.
	mu       sync.Mutex
	began    bool
	una, nxt uint32 // what is sent and not acknowledged: [una, nxt)
	progress bool   // something was acknowledged since that was told
	told     time.Time

	last  dataplane.Outcome // of the last segment
	since time.Time         // it has been so
	held  *held             // to be sent when there is another way; nil: nothing

	moved  bool   // there is another way, and nothing sent by it was acknowledged
	newWay uint32 // the timestamp from which on segments took that

	tx, rx uint64 // bytes of payload, those sent again included
}

// sending notes a segment on its way out. It reports whether that was sent before,
// and whether the peer has confirmed data since that was last told.
func (f *flow) sending(t header.TCP, payload int, now time.Time) (again, reached bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := t.Sequence() + uint32(payload)
	if t.Flags()&(header.FlagSYN|header.FlagFIN) != 0 {
		end++
	}
	if !f.began {
		f.began, f.una, f.nxt = true, t.Sequence(), t.Sequence()
	}
	again = end != t.Sequence() && before(t.Sequence(), f.nxt)
	if before(f.nxt, end) {
		f.nxt = end
	}
	f.tx += uint64(payload)
	if reached = f.progress && now.Sub(f.told) >= confirmEvery; reached {
		f.progress, f.told = false, now
	}
	return again, reached
}

// arrived notes a segment that came in. It reports whether what that echoes is of use.
func (f *flow) arrived(t header.TCP, payload int) (echoes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rx += uint64(max(0, payload))
	echoes = f.echoes(t)
	ack := t.Acknowledgment()
	if t.Flags()&header.FlagACK == 0 || !f.began || before(f.nxt, ack) || !before(f.una, ack) {
		return echoes
	}
	f.una, f.progress = ack, true
	f.moved = f.moved && !echoes
	if f.held != nil && !before(ack, f.held.end) {
		f.held = nil // it came by another one
	}
	return echoes
}

// outstanding reports whether a sequence number is of what is not acknowledged,
// RFC 5927 §4.1.
func (f *flow) outstanding(seq uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.began && !before(seq, f.una) && before(seq, f.nxt)
}

// flows is all connections there are.
type flows struct {
	// Looked up per segment on any goroutine, changed by those that open.
	mu      sync.RWMutex
	all     map[tuple]*flow
	sources map[[8]byte]int // passive ones, by network
}

func newFlows() *flows {
	return &flows{all: map[tuple]*flow{}, sources: map[[8]byte]int{}}
}

func (s *flows) find(t tuple) *flow {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[t]
}

// open returns the flow of t, a new one if there is none.
func (s *flows) open(t tuple, passive bool) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.all[t]
	if f == nil {
		f = &flow{tuple: t, passive: passive}
		s.all[t] = f
		if passive {
			s.sources[network(t.remote.Addr())]++
		}
	}
	return f
}

// full reports whether there is no room for one more, that a would begin.
func (s *flows) full(a netip.Addr, l Limits) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.all) >= l.Connections || s.sources[network(a)] >= l.PerSource
}

// keep forgets all flows but those that are alive.
func (s *flows) keep(alive map[tuple]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, f := range s.all {
		if alive[t] {
			continue
		}
		delete(s.all, t)
		if f.passive {
			n := network(t.remote.Addr())
			if s.sources[n]--; s.sources[n] == 0 {
				delete(s.sources, n)
			}
		}
	}
}

// each is all flows, at this moment.
func (s *flows) each() []*flow {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*flow, 0, len(s.all))
	for _, f := range s.all {
		all = append(all, f)
	}
	return all
}

package tcpstack

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/router6d/router6d/internal/rate"
)

// Limits bound what others can have the router do.
type Limits struct {
	Connections int // all together, those of others and its own
	PerSource   int // from a /64
	SYNRate     int // a second from a /64, in the long run
	HalfOpen    int // per listener; from there on, SYN cookies

	DatagramRate int // of UDP, a second from a /64, in the long run

	// Closing is how long what was written is still sent when a connection has been
	// closed. A peer that takes nothing may answer the probes of it without end.
	Closing time.Duration
}

// DefaultLimits are for services that people and monitoring ask.
var DefaultLimits = Limits{
	Connections: 1024, PerSource: 128, SYNRate: 100, HalfOpen: 128, DatagramRate: 10_000, Closing: 3 * time.Minute,
}

// A throttle limits the rate of SYNs, or of datagrams, by where they come from. It is of
// one size, however many those are: some share a bucket.
type throttle struct {
	seed    maphash.Seed
	buckets [1024]bucket
}

type bucket struct {
	// Workers take from it, which have no Turn. Held for a subtraction.
	mu sync.Mutex
	rate.Limiter
}

// newThrottle begins with what may come in two seconds.
func newThrottle(perSecond int) *throttle {
	t := &throttle{seed: maphash.MakeSeed()}
	for i := range t.buckets {
		t.buckets[i].Limiter = rate.NewLimiter(perSecond, 2*perSecond)
	}
	return t
}

// take asks for one token of the network of a.
func (t *throttle) take(a netip.Addr, now time.Time) bool {
	n := network(a)
	b := &t.buckets[maphash.Bytes(t.seed, n[:])%uint64(len(t.buckets))]
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Take(now)
}

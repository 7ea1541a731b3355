package tcpstack

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/router6d/router6d/internal/header"
	"github.com/router6d/router6d/internal/rate"
)

// Limits bound what others can have the router do.
type Limits struct {
	Connections int // all together, those of others and its own
	PerSource   int // from a /64
	SYNRate     int // a second from a /64, in the long run
	FirstSYNs   int // a second from everybody, likewise; of more, those that are sent again
	HalfOpen    int // per listener; from there on, SYN cookies

	DatagramRate int // of UDP, a second from a /64, in the long run

	// Closing is how long what was written is still sent when a connection has been
	// closed. A peer that takes nothing may answer the probes of it without end.
	Closing time.Duration
}

// DefaultLimits are for services that people and monitoring ask.
var DefaultLimits = Limits{
	Connections: 1024, PerSource: 128,
	SYNRate: 100, FirstSYNs: 500, HalfOpen: 128,
	DatagramRate: 10_000,
	Closing:      3 * time.Minute,
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

// limiter begins with what there may be in two seconds.
func limiter(perSecond int) rate.Limiter { return rate.NewLimiter(perSecond, 2*perSecond) }

// take asks for one token.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Take(now)
}

func newThrottle(perSecond int) *throttle {
	t := &throttle{seed: maphash.MakeSeed()}
	for i := range t.buckets {
		t.buckets[i].Limiter = limiter(perSecond)
	}
	return t
}

// take asks for one token of the network of a.
func (t *throttle) take(a netip.Addr, now time.Time) bool {
	n := network(a)
	return t.buckets[maphash.Bytes(t.seed, n[:])%uint64(len(t.buckets))].take(now)
}

// A sieve is for floods of SYNs from everywhere, of which an answer costs much more
// than all else. So many pass as they come, and of more those that come again: TCP sends
// a SYN again after a second (RFC 6298 §2.1), and who makes up the addresses it is from
// makes up others. It is of one size; a SYN that is forgotten for another one has to
// come once more.
type sieve struct {
	first bucket
	seed  maphash.Seed
	seen  [1 << 18]atomic.Uint32 // of SYNs that did not pass, half of a hash
}

func newSieve(perSecond int) *sieve {
	return &sieve{first: bucket{Limiter: limiter(perSecond)}, seed: maphash.MakeSeed()}
}

// passes reports whether a SYN is to be answered.
func (s *sieve) passes(pkt header.IPv6, t header.TCP, now time.Time) bool {
	if s.first.take(now) {
		return true
	}
	var b [2*16 + 8]byte // addresses, ports, sequence number
	copy(b[:16], pkt.SourceBytes()[:])
	copy(b[16:32], pkt.DestinationBytes()[:])
	copy(b[32:], t)
	h := maphash.Bytes(s.seed, b[:])
	half := uint32(h >> 32)
	return s.seen[h%uint64(len(s.seen))].Swap(half) == half
}

package dataplane

import (
	"math/bits"
	"sync/atomic"
)

// A counter is one number of the account. The drops come first.
type counter uint8

const (
	received      = counter(drops) + iota
	originated    // sent by the router itself: errors, replies
	sent          // taken by a device
	consumed      // for the router, and dealt with
	held          // left with neighbor discovery
	released      // and taken back from it
	errorsSent    // ICMPv6 errors originated
	errorsLimited // ICMPv6 errors not originated because of the rate limit
	deadLookups   // lookups that returned a withdrawn interface
	drainingSent  // transmissions under a snapshot from before a withdrawal: legal
	batches

	numCounters
)

// Counters of one worker. The worker adds to its own numbers and publishes them
// once a batch, all together: what read returns is an account that balances,
// whenever it is called.
type counters struct {
	own   [numCounters]uint64
	dirty uint64 // bit per counter that changed since it was published

	seq       atomic.Uint64 // odd while published is being written
	published [numCounters]atomic.Uint64
}

const _ = uint(64 - numCounters) // dirty has a bit for each

func (c *counters) add(k counter, n int) {
	c.own[k] += uint64(n)
	c.dirty |= 1 << k
}

// drop counts n segments that ended here, if they did.
func (c *counters) drop(why Drop, n int) {
	if why != None {
		c.add(counter(why), n)
	}
}

func (c *counters) publish() {
	c.seq.Add(1)
	for d := c.dirty; d != 0; d &= d - 1 {
		k := bits.TrailingZeros64(d)
		c.published[k].Store(c.own[k])
	}
	c.dirty = 0
	c.seq.Add(1)
}

func (c *counters) read() (out [numCounters]uint64) {
	for {
		before := c.seq.Load()
		for k := range out {
			out[k] = c.published[k].Load()
		}
		if before&1 == 0 && c.seq.Load() == before {
			return out
		}
	}
}

// Stats is the account of the packet path, in wire segments.
type Stats struct {
	Received, Originated uint64
	Sent, Consumed       uint64
	Held, Released       uint64        // for neighbors that are not known yet; the difference waits now
	Dropped              [drops]uint64 // by Drop

	ErrorsSent, ErrorsLimited uint64 // ICMPv6 errors
	DeadLookups               uint64 // must be zero
	DrainingSent              uint64 // legal: the snapshot was from before the withdrawal
	Batches                   uint64
}

// Balanced reports whether every packet is accounted for.
func (s *Stats) Balanced() bool {
	return s.Received+s.Originated+s.Released == s.Sent+s.Consumed+s.Held+s.TotalDropped()
}

// TotalDropped adds up all reasons.
func (s *Stats) TotalDropped() (n uint64) {
	for _, d := range s.Dropped {
		n += d
	}
	return n
}

func (s *Stats) add(c [numCounters]uint64) {
	s.Received += c[received]
	s.Originated += c[originated]
	s.Sent += c[sent]
	s.Consumed += c[consumed]
	s.Held += c[held]
	s.Released += c[released]
	for d := range s.Dropped {
		s.Dropped[d] += c[d]
	}
	s.ErrorsSent += c[errorsSent]
	s.ErrorsLimited += c[errorsLimited]
	s.DeadLookups += c[deadLookups]
	s.DrainingSent += c[drainingSent]
	s.Batches += c[batches]
}

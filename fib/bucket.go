package fib

import (
	"hash/fnv"
	"math"
	"math/bits"
	"net/netip"
)

// A group of several nexthops deals 256 buckets of flows to them by weighted
// rendezvous hashing: for each bucket every member draws a number that depends
// on nothing but the bucket and the member, and the best draw has the bucket.
// So a member that leaves gives up its own buckets, one that comes takes what
// it wins, and no flow between two that stay ever moves.

// memberKey is the same for the same way out, whatever the interface's ID: one
// that comes back gets its flows back.
func memberKey(iface string, gw netip.Addr) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(iface)) // a hash.Hash never returns an error
	b := gw.As16()
	if gw.IsValid() {
		_, _ = h.Write(b[:])
	}
	return h.Sum64()
}

// draw is the nexthop's number for a bucket: the largest wins. With u uniform
// in (0,1), log(u)/weight wins in proportion to the weights.
func (n *Nexthop) draw(bucket int) float64 {
	hi, lo := bits.Mul64(n.key^0xa0761d6478bd642f, uint64(bucket+1)*0xe7037ed1a0b428db)
	hi, lo = bits.Mul64(hi^lo, n.key^0x8ebc6af09c88c6e3)
	u := (float64((hi^lo)>>11) + 0.5) / (1 << 53)
	return math.Log(u) / float64(n.weight)
}

// winner is the index of the nexthop that has a bucket.
func winner(nhs []*Nexthop, bucket int) byte {
	best, at := math.Inf(-1), 0
	for i, n := range nhs {
		if d := n.draw(bucket); d > best {
			best, at = d, i
		}
	}
	return byte(at)
}

// fill deals all buckets.
func fill(nhs []*Nexthop) *[256]byte {
	var b [256]byte
	for i := range b {
		b[i] = winner(nhs, i)
	}
	return &b
}

// refill deals the buckets of those that left g, and keeps the rest.
func refill(g *Group, left []*Nexthop) *[256]byte {
	var moved [256]int // old index to new one; -1: left the group
	i := 0
	for old, n := range g.nexthops {
		moved[old] = -1
		if i < len(left) && left[i] == n {
			moved[old] = i
			i++
		}
	}
	var b [256]byte
	for i, old := range g.buckets {
		if to := moved[old]; to >= 0 {
			b[i] = byte(to)
		} else {
			b[i] = winner(left, i)
		}
	}
	return &b
}

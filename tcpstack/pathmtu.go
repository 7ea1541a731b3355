package tcpstack

import (
	"net/netip"
	"sync"
	"time"
)

const (
	pathMTUAge  = 10 * time.Minute // RFC 8201 §4
	maxPathMTUs = 4096
)

// pathMTUs is what is known of paths that are narrower than the link they begin on,
// RFC 8201.
type pathMTUs struct {
	// Read on whatever goroutine sends, written by a worker: neither has a Turn.
	mu  sync.RWMutex
	all map[netip.Addr]pathMTU
}

type pathMTU struct {
	mtu  int
	till time.Time
}

func newPathMTUs() *pathMTUs { return &pathMTUs{all: map[netip.Addr]pathMTU{}} }

// get is the MTU of the path to a; zero if it is not known.
func (p *pathMTUs) get(a netip.Addr, now time.Time) int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if m, ok := p.all[a]; ok && now.Before(m.till) {
		return m.mtu
	}
	return 0
}

// learn notes an MTU that is smaller than what was known. One of many is forgotten:
// it is learnt again.
func (p *pathMTUs) learn(a netip.Addr, mtu int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.all[a]; ok && now.Before(m.till) && m.mtu <= mtu {
		return
	}
	if len(p.all) >= maxPathMTUs {
		for other := range p.all {
			delete(p.all, other)
			break
		}
	}
	p.all[a] = pathMTU{mtu, now.Add(pathMTUAge)}
}

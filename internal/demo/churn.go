package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/router6d/router6d/internal/netlab"
)

// life is how long an interface of the churn is left alone.
const life = 60 * time.Millisecond

// churnWAN ends the interface that has most routes again and again, by command
// and by deletion in turn, and makes it anew at once under the same name.
func (s *stage) churnWAN(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		i, err := s.raise(ctx, "wan", "wan")
		if err != nil {
			s.fault(err)
			return
		}
		pause(ctx, life)
		s.end(ctx, i, n%2 == 1)
	}
}

// churnSides makes three interfaces at a time, each in a namespace of its own,
// and ends them together: by command, by deletion, and with their namespaces.
func (s *stage) churnSides(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		var all []*incarnation
		for k := range 3 {
			i, err := s.raiseSide(ctx, fmt.Sprintf("side%d", k))
			if err != nil {
				s.fault(err)
				return
			}
			all = append(all, i)
		}
		pause(ctx, life)
		for _, i := range all {
			if n%3 != 2 {
				s.end(ctx, i, n%3 == 1)
			}
			s.fault(i.deleteNamespace())
		}
		for _, i := range all {
			s.fault(i.waitEnd())
		}
	}
}

func (s *stage) raiseSide(ctx context.Context, name string) (*incarnation, error) {
	if err := s.namespace(name); err != nil {
		return nil, err
	}
	return s.raise(ctx, name, name)
}

// raise makes an interface with addresses of its own, and watches what arrives
// on its kernel end.
func (s *stage) raise(ctx context.Context, name, ns string) (*incarnation, error) {
	i := &incarnation{name: name, ended: make(chan struct{})}
	s.mu.Lock()
	s.numbered++
	i.number, i.ns = s.numbered, s.ns[ns]
	s.mu.Unlock()
	c, err := netlab.Leg(name, i.ns, netlab.Wire(firstTag+i.number))
	if err != nil {
		return nil, err
	}
	id, err := s.router.AddInterface(ctx, c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.made++
	s.alive[id] = i
	s.mu.Unlock()
	i.watch, err = s.tags.Watch(i.ns, name, uint64(i.number))
	s.newest.Store(int64(i.number))
	return i, err
}

// end ends an interface: by the router's own command, or behind its back.
func (s *stage) end(ctx context.Context, i *incarnation, byDeletion bool) {
	if byDeletion {
		s.fault(i.ns.DeleteLink(i.name))
		return
	}
	_, err := s.router.DeleteInterface(context.WithoutCancel(ctx), i.name)
	i.watch.Gone()
	s.fault(err)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

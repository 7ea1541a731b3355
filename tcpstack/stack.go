package tcpstack

import (
	"context"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/router6d/router6d/dataplane"
)

// sweepEvery is how often connections that have ended are forgotten.
const sweepEvery = time.Second

// A Stack is the router's own TCP and UDP.
type Stack struct {
	limits    Limits
	net       *stack.Stack
	link      *endpoint
	out       outlet
	inbox     *inbox
	flows     *flows
	paths     *pathMTUs
	syns      *throttle
	sieve     *sieve
	datagrams *throttle
	traces    *traces
	doors     atomic.Pointer[map[doorKey]*door] // copied to change

	changed chan struct{} // capacity 1: there may be ways that there were not

	retried       atomic.Uint64 // segments sent that had waited for a way
	errorsRefused atomic.Uint64 // ICMPv6 errors about what is not outstanding

	datagramsIn, datagramsOut atomic.Uint64
	datagramErrorsRefused     atomic.Uint64 // Packet Too Big about what was not sent
}

// New returns the TCP and UDP of a router that has no interfaces yet. Run has to be called,
// or Close.
func New(p *dataplane.Plane, l Limits) (*Stack, error) {
	s := &Stack{
		limits: l,
		inbox:  newInbox(),
		flows:  newFlows(),
		paths:  newPathMTUs(),
		syns:   newThrottle(l.SYNRate),
		sieve:  newSieve(l.FirstSYNs),

		datagrams: newThrottle(l.DatagramRate),
		traces:    newTraces(),

		changed: make(chan struct{}, 1),
	}
	s.doors.Store(&map[doorKey]*door{})
	s.link = &endpoint{out: s.send}
	var err error
	if s.net, err = newNet(s.link); err != nil {
		return nil, err
	}
	s.out.j = p.NewInjector("tcpstack")
	p.Serve(s.deliver)
	return s, nil
}

// Run takes what comes in for TCP to gVisor until ctx ends, and then resets the
// connections that are left, and closes the sockets.
func (s *Stack) Run(ctx context.Context) error {
	defer s.Close()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	soon := time.NewTimer(pause)
	defer soon.Stop()
	retry := func() {
		if next := s.retry(); next != 0 {
			soon.Reset(next)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.inbox.more:
			for _, pk := range s.inbox.take() {
				s.link.deliver(pk)
			}
		case <-s.changed:
			retry()
		case <-soon.C:
			retry()
		case <-tick.C:
			s.sweep()
			retry() // what was held since
		}
	}
}

// Changed says that lookups may find what they did not find: what waits for a way is
// sent again. It never waits.
func (s *Stack) Changed() {
	select {
	case s.changed <- struct{}{}:
	default: // told already
	}
}

// Close ends a Stack that never ran.
func (s *Stack) Close() {
	s.inbox.close()
	s.net.Destroy()
	for _, d := range *s.doors.Load() {
		if d.socket != nil {
			_ = d.socket.Close() // can't fail
		}
	}
	s.out.close()
}

// sweep forgets the connections that gVisor has no more.
func (s *Stack) sweep() {
	alive := map[tuple]bool{}
	for _, ep := range s.endpoints() {
		alive[ep.id] = true
	}
	s.flows.keep(alive)
}

// A pair is a gVisor endpoint that is a connection, and its two ends.
type pair struct {
	*tcp.Endpoint
	id tuple
}

func (s *Stack) endpoints() (all []pair) {
	for _, list := range [][]stack.TransportEndpoint{s.net.RegisteredEndpoints(), s.net.CleanupEndpoints()} {
		for _, ep := range list {
			e, ok := ep.(*tcp.Endpoint)
			if !ok {
				continue
			}
			if id := idOf(e); id.remote.Port() != 0 {
				all = append(all, pair{e, id})
			}
		}
	}
	return all
}

// now is asked for once a segment.
func now() time.Time { return time.Now() }
